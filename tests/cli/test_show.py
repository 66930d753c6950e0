"""`newel show`: the record of a revision as a sheet, as JSON and as a page."""

from __future__ import annotations

import pytest
from small_project import Project


@pytest.fixture
def orders(project: Project) -> Project:
    """A project whose last revision, 000005, says much of itself."""
    project.pair(
        "000005",
        "orders_of_users",
        up="-- Description: Orders <b>and</b> their | lines\nCREATE TABLE orders (i int PRIMARY KEY);\n"
        "INSERT INTO orders SELECT id FROM first;\nDO $$ BEGIN END $$;\nDROP TABLE second;\n",
        down="-- newel: lossy orders all of them\nDROP TABLE orders;\nCREATE TABLE second (id integer);\n",
    )
    project.stubs()
    return project


def test_the_sheet_says_what_it_does_and_stands_on(orders: Project) -> None:
    for named in ("000005", "5", "000005_orders_of_users"):
        shown = orders.newel("show", named, DATABASE_URL="postgresql://nobody@127.0.0.1:1/nowhere")
        assert shown.code == 0
    assert shown.out.splitlines()[:-2] == [
        "000005_orders_of_users",
        "Orders <b>and</b> their | lines",
        "",
        "branch        mainline",
        "runs in       development, staging, production",
        "up            sql/migrations/000005_orders_of_users.up.sql: 4 statements, in one transaction",
        "down          sql/migrations/000005_orders_of_users.down.sql: 2 statements, in one transaction",
        "depends on    000004 comes before it in the mainline",
        "              000002 makes public.second",
        "              000001 makes public.first",
        "tables        public.orders: creates, inserts",
        "              public.second: drops",
        "reads         public.first",
        "rollback      not safe",
        "              loses orders: all of them",
        "              line 5 of the up file drops table second, which no down file brings back",
        "destroys      sql/migrations/000005_orders_of_users.up.sql:5: drops table second",
        "              sql/migrations/000005_orders_of_users.down.sql:2: drops table orders",
        "not seen      sql/migrations/000005_orders_of_users.up.sql:4: a DO block",
    ]
    assert max(map(len, shown.out.splitlines())) <= 100


def test_a_revision_of_another_environments_branch_is_shown_too(project: Project) -> None:
    shown = project.newel("show", "3", "--env", "production")
    assert "branch        development" in shown.lines
    assert "runs in       development" in shown.lines
    assert "rollback      not safe" in shown.lines


def test_json_holds_the_whole_record(orders: Project) -> None:
    document = orders.newel("show", "5", "--json").json
    assert document["depends_on"][1] == {"revision": "000002", "why": "makes public.second"}
    assert document["affects_tables"] == {"public.orders": ["creates", "inserts"], "public.second": ["drops"]}
    assert document["rollback_safe"] is False
    assert document["destructive"][0] == {
        "file": "sql/migrations/000005_orders_of_users.up.sql",
        "line": 5,
        "what": "drops table second",
    }
    assert len(document["up_sha256"]) == 64
    assert "written" not in document


def test_the_page_is_written_on_demand_and_always_the_same(orders: Project) -> None:
    assert not (orders.root / "docs").exists()
    done = orders.newel("show", "5", "--write")
    assert done.lines == ["wrote    docs/migrations/000005.md"]
    page = orders.root / "docs/migrations/000005.md"
    written = page.read_text()
    assert written.startswith("# 000005_orders_of_users\n\nOrders \\<b\\>and\\</b\\> their \\| lines\n\n")
    assert "Derived from the SQL files and the graph by `newel show 000005 --write`. Do not edit." in written
    assert "## Rollback\n\n- not safe\n- loses orders: all of them\n" in written
    assert orders.newel("show", "5", "--write", "--json").json["written"] == "docs/migrations/000005.md"
    assert page.read_text() == written


def test_what_a_terminal_would_obey_is_made_visible(project: Project) -> None:
    project.pair(
        "000005",
        "tricky",
        up='-- Description: Clear \x1b[2J all\nCREATE TABLE "\x1b[31m" (i int);',
        down="-- newel: lossy x \x1b]0;title\x07 gone\nSELECT 1;",
    )
    shown = project.newel("show", "5")
    assert "Clear \\x1b[2J all" in shown.lines
    assert "\x1b" not in shown.out
    assert '"\\x1b[31m": creates' in shown.out
    assert "\\x1b]0;title\\x07 gone" in shown.out
    project.newel("show", "5", "--write")
    assert "\x1b" not in (project.root / "docs/migrations/000005.md").read_text()


def test_a_page_that_somebody_wrote_is_left_alone(orders: Project) -> None:
    orders.write("docs/migrations/000005.md", "# Our thoughts\n")
    with orders.nothing_changes():
        refused = orders.newel("show", "5", "--write")
        assert refused.code == 1
        assert "docs/migrations/000005.md: is there already and was not written by newel show" in refused.err


@pytest.mark.parametrize(
    ("named", "said"), [("9", "there is no revision `9`"), ("frist", "did you mean 000001?")]
)
def test_an_unknown_revision_is_refused(project: Project, named: str, said: str) -> None:
    with project.nothing_changes():
        refused = project.newel("show", named, "--write")
        assert refused.code == 1
        assert said in refused.err


def test_a_file_that_cannot_be_parsed_is_refused_with_its_line(project: Project) -> None:
    project.pair("000005", "broken", up="CREATE TABLE;")
    refused = project.newel("show", "5")
    assert refused.code == 1
    assert "sql/migrations/000005_broken.up.sql:1:13" in refused.err
