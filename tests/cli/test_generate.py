"""`newel generate`: every type applies, rolls back and passes validation as it is; what is refused, and how."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from small_project import REPOSITORY, Project

from newel.database.catalog.snapshot import Catalog, snapshot
from newel.project.generate.templates import types
from newel.project.graph import load_revisions

NAMES = {
    "table": "add_orders",
    "column": "add_nickname_to_users",
    "index": "optimize_user_search",
    "data": "migrate_user_profiles_data",
    "schema": "add_reporting_schema",
    "audit": "create_invoices_table",
    "soft_delete": "add_soft_delete_to_user_profiles",
    "polymorphic": "add_comments",
}
"""A name for each type, on this repository's own tables."""


@pytest.fixture
def service(tmp_path: Path, database_at) -> Project:
    """A copy of this repository's project, all of it applied."""
    root = tmp_path / "a service"
    for folder in ("sql", "env", "alembic"):
        shutil.copytree(REPOSITORY / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "alembic.ini", root)
    return Project(root, database_at("head"))


def text(project: Project, path: str) -> str:
    return (project.root / path).read_text(encoding="utf-8")


def catalog(project: Project) -> Catalog:
    connection = project.database.connect()
    try:
        return snapshot(connection).without("column order")
    finally:
        connection.close()


def climb(project: Project) -> None:
    """Take the last revision up, down and up, and compare the catalog."""
    before = catalog(project)
    assert project.newel("up").code == 0
    after = catalog(project)
    assert after != before
    down = project.newel("down")
    assert down.code == 0, down.err
    assert catalog(project) == before
    assert project.newel("up").code == 0
    assert catalog(project) == after
    assert project.rows("SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid") == []


def test_each_type_has_a_name_here() -> None:
    assert sorted([*NAMES, "blank"]) == types(REPOSITORY)


@pytest.mark.parametrize("branch", [None, "development"])
@pytest.mark.parametrize("kind", NAMES)
def test_a_generated_pair_passes_validation_applies_and_rolls_back_as_it_is(
    service: Project, kind: str, branch: str | None
) -> None:
    name = NAMES[kind]
    done = service.newel("generate", name, "--type", kind, *(["--branch", branch] if branch else []))
    assert done.code == 0, done.err
    folder = f"{branch}/" if branch else ""
    paths = [
        f"sql/migrations/{folder}000010_{name}.up.sql",
        f"sql/migrations/{folder}000010_{name}.down.sql",
        f"alembic/versions/{folder}000010_{name}.py",
    ]
    assert done.lines == [
        *(f"wrote    {path}" for path in paths),
        "Edit both SQL files, then:  newel validate && newel up",
    ]
    up, down = text(service, paths[0]), text(service, paths[1])
    header = rf"-- Migration: 000010_{name}\n-- Description: \w.*\n-- Created: \d{{4}}-\d\d-\d\d\n\n"
    assert re.match(header, up)
    assert re.match(r"(-- newel: lossy .*\n)*-- Migration Rollback: 000010_" + name + r"\n-- Desc", down)
    assert "{{" not in up + down
    assert max(map(len, (up + down).splitlines())) <= 120
    checked = service.newel("validate")
    assert checked.out.endswith("10 revisions: 0 errors, 0 warnings\n"), checked.out
    climb(service)


def test_a_blank_pair_has_its_header_alone_and_validation_says_that_it_does_nothing_yet(
    service: Project,
) -> None:
    done = service.newel("generate", "drop_phone_from_users", "--type", "blank")
    assert done.code == 0, done.err
    stem = "sql/migrations/000010_drop_phone_from_users"
    for direction, first in (("up", "Migration"), ("down", "Migration Rollback")):
        lines = text(service, f"{stem}.{direction}.sql").splitlines()
        assert lines[0] == f"-- {first}: 000010_drop_phone_from_users"
        assert all(line.startswith("-- ") or not line for line in lines)
    checked = service.newel("validate")
    assert (checked.code, checked.lines[-1]) == (0, "10 revisions: 0 errors, 2 warnings")
    assert service.newel("up").code == service.newel("down").code == 0


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("drop_phone_from_users", "column"),
        ("remove_soft_delete_from_users", "soft_delete"),
        ("drop_users", "table"),
        ("delete_invoices", "audit"),
        ("drop_users_email", "index"),
        ("rename_reporting_schema", "schema"),
    ],
)
def test_a_name_that_takes_something_away_is_refused_where_the_type_makes_something(
    service: Project, name: str, kind: str
) -> None:
    done = service.newel("generate", name, "--type", kind)
    assert done.code == 1
    assert f"`{name}` begins with `{name.partition('_')[0]}`, and type {kind} makes something new" in done.err
    assert f"newel generate {name} --type blank" in done.err
    assert not list(service.root.glob("sql/migrations/000010*"))


def test_a_data_revision_may_delete(service: Project) -> None:
    assert service.newel("generate", "delete_user_profiles_data", "--type", "data").code == 0


@pytest.mark.parametrize("kind", ["table", "index", "data"])
def test_the_names_come_from_the_revisions_name(service: Project, kind: str) -> None:
    service.newel("generate", NAMES[kind], "--type", kind)
    up = text(service, f"sql/migrations/000010_{NAMES[kind]}.up.sql")
    expected = {
        "table": (
            "CREATE TABLE user_service.orders (",
            "CREATE INDEX idx_orders_created_at ON user_service.orders",
        ),
        "index": ("CREATE INDEX CONCURRENTLY idx_users_first_name\n    ON user_service.users (first_name);",),
        "data": ("CREATE TABLE user_service.migrate_user_profiles_data_record AS", "WHERE timezone IS NULL"),
    }[kind]
    assert [part for part in expected if part not in up] == []


def test_the_data_template_restores_exactly_the_values_that_it_changed(service: Project) -> None:
    service.execute(
        "UPDATE user_service.user_profiles SET timezone = NULL "
        "WHERE id IN (SELECT id FROM user_service.user_profiles ORDER BY id LIMIT 2)"
    )
    rows = "SELECT id, timezone FROM user_service.user_profiles ORDER BY id"
    before = service.rows(rows)
    service.newel("generate", "fill_user_profiles_timezone", "--type", "data")
    service.newel("up")
    after = service.rows(rows)
    assert [zone for _, zone in before].count(None) == 2
    assert [zone for _, zone in after[:2]] == ["UTC", "UTC"]
    assert after[2:] == before[2:]
    service.execute(
        f"UPDATE user_service.user_profiles SET timezone = 'Asia/Tokyo' WHERE id = {before[0][0]}"
    )
    assert service.newel("down").code == 0
    assert service.rows(rows) == [(before[0][0], "Asia/Tokyo"), *before[1:]]


@pytest.mark.parametrize(
    ("tables", "name", "kind"),
    [
        ("CREATE TABLE users (id uuid PRIMARY KEY)", "add_comments", "polymorphic"),
        ("CREATE TABLE nobody (id int PRIMARY KEY)", "add_comments", "polymorphic"),
        ("CREATE TABLE users (id uuid PRIMARY KEY, j json, a point, b text)", "index_users_j", "index"),
        ('CREATE TABLE "Order items" ("Id" int, "No" int, a text, PRIMARY KEY ("Id", "No"))', "order_items", "data"),
        ('CREATE TABLE "Order items" ("Id" int PRIMARY KEY, "Label" text)', "order_items_label", "index"),
        ('CREATE TABLE "Order items" ("Id" int PRIMARY KEY)', "add_user_to_order_items", "column"),
        ('CREATE TABLE "Order items" ("Id" int PRIMARY KEY)', "soft_delete_order_items", "soft_delete"),
        ("CREATE TABLE t (i int PRIMARY KEY, g int GENERATED ALWAYS AS (i) STORED, j jsonb)", "fill_t", "data"),
        ("CREATE TABLE t (i int, j int, PRIMARY KEY (i)) PARTITION BY RANGE (i)", "add_x_to_t", "column"),
        ("CREATE TABLE t (i int PRIMARY KEY); CREATE TABLE idx_order_created_at (i int)", "add_order", "table"),
        ("CREATE TABLE users (id int PRIMARY KEY, email text, CONSTRAINT idx_users_email UNIQUE (email))",
         "index_users_email", "index"),
        ("CREATE TABLE t (i int PRIMARY KEY, x xid, p jsonpath, j json[], b text)", "index_t_x_p_j", "index"),
        ("CREATE TABLE t (old_value int, new_value int, j int, PRIMARY KEY (old_value, new_value))",
         "fill_t_j", "data"),
        ("CREATE TABLE t (i int NOT NULL, j int); CREATE UNIQUE INDEX t_pk ON t (i); "
         "ALTER TABLE t ADD CONSTRAINT t_key PRIMARY KEY USING INDEX t_pk", "fill_t", "data"),
        ("SELECT 1 AS i, 2 AS j INTO t", "index_t_j", "index"),
        ("SELECT 1", "add_select", "table"),
        ("SELECT 1", f"add_{'x' * 59}", "audit"),
    ],
)  # fmt: skip
def test_it_works_for_tables_of_other_shapes_and_names(
    empty_project: Project, tables: str, name: str, kind: str
) -> None:
    project = empty_project
    project.pair("000001", "tables", up=tables, down="DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    project.stubs()
    assert project.newel("up").code == 0
    done = project.newel("generate", name, "--type", kind)
    assert done.code == 0, done.err
    assert project.newel("validate").out.startswith("2 revisions: 0 errors, 0 warnings")
    climb(project)


@pytest.mark.parametrize(
    ("tables", "name", "kind", "said"),
    [
        ("CREATE TABLE users (id int PRIMARY KEY)", "add_users_pkey", "table", "public.users_pkey is there already"),
        ("CREATE TABLE a (i serial)", "add_a_i_seq", "table", "public.a_i_seq is there already"),
        ("SELECT 1 INTO snapshots", "add_snapshots", "table", "public.snapshots is there already"),
        ("CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; "
         "CREATE FOREIGN TABLE imports () SERVER s",
         "add_imports", "table", "public.imports is there already"),
        ("CREATE TABLE a (i int)", "add_xmin_to_a", "column", "PostgreSQL gives every table a column xmin of its own"),
        ("CREATE TABLE a (i int)", "add_tableoid_to_a", "column", "a column tableoid of its own"),
        ("CREATE TYPE t AS (i int); CREATE TABLE typed OF t", "add_nickname_to_typed", "column",
         "public.typed is a table OF a type, and PostgreSQL adds no column to such a table"),
        ("CREATE TYPE t AS (i int); CREATE TABLE typed OF t (PRIMARY KEY (i))", "soft_delete_typed", "soft_delete",
         "public.typed is a table OF a type"),
    ],
)  # fmt: skip
def test_a_pair_that_postgresql_would_refuse_is_refused_before_it_is_written(
    empty_project: Project, tables: str, name: str, kind: str, said: str
) -> None:
    project = empty_project
    project.pair("000001", "tables", up=tables, down="SELECT 1")
    project.stubs()
    assert project.newel("up").code == 0
    with project.nothing_changes():
        refused = project.newel("generate", name, "--type", kind)
        assert refused.code == 1
        assert said in refused.err


def test_a_virtual_column_and_a_key_without_overlaps_are_passed_over(empty_project: Project) -> None:
    project = empty_project
    project.pair(
        "000001",
        "rooms",
        up="CREATE TABLE rooms (i int, v int GENERATED ALWAYS AS (i * 2) VIRTUAL, b text);\n"
        "CREATE TABLE bookings (room int4range, at daterange, b text, PRIMARY KEY (room, at WITHOUT OVERLAPS));\n",
        down="DROP TABLE rooms, bookings;",
    )
    project.stubs()
    with project.nothing_changes():
        refused = project.newel("generate", "fill_bookings_b", "--type", "data")
        assert refused.code == 1
        assert "no up file gives public.bookings a primary key that type data could use" in refused.err
    assert project.newel("generate", "index_rooms_v_b", "--type", "index").code == 0
    assert "ON public.rooms (b)" in text(project, "sql/migrations/000002_index_rooms_v_b.up.sql")
    connection = project.database.connect()
    version = connection.server_version
    connection.close()
    done = project.newel("up")
    assert done.code == (0 if version >= 180000 else 1), done.err
    assert version >= 180000 or "syntax error" in done.err


def test_the_table_of_a_name_that_blanks_and_capitals_stand_in_is_found_in_its_directive(
    empty_project: Project,
) -> None:
    project = empty_project
    project.pair("000001", "mixed", up='CREATE TABLE "Mixed Case" (i int PRIMARY KEY, "order" int);')
    project.newel("generate", "migrate_mixed_case_order", "--type", "data")
    shown = project.newel("show", "2", "--json").json
    assert shown["lossy"][0] == (
        'public."Mixed Case"."order": what this revision has written is replaced by what was there before'
    )


def test_a_project_without_a_search_path_gets_its_tables_in_public(empty_project: Project) -> None:
    empty_project.newel("generate", "add_users")
    assert "CREATE TABLE public.users (" in text(empty_project, "sql/migrations/000001_add_users.up.sql")


def test_the_schema_is_that_of_the_branchs_environment_and_a_missing_one_is_told(
    empty_project: Project,
) -> None:
    empty_project.environments(
        production={}, staging={"search_path": ["app"]}, development={"search_path": ["dev"]}
    )
    for branch, schema in (
        ((), "app"),
        (("--branch", "development"), "dev"),
        (("--branch", "production"), "app"),
    ):
        made = empty_project.newel("generate", f"add_t_{len(branch) and branch[1]}", *branch, "--json").json
        assert f"CREATE TABLE {schema}.t_" in text(empty_project, made["up"])
        assert f"no up file makes schema {schema}" in made["note"]
        of_branch = "".join(f" {word}" for word in branch)
        assert made["note"].endswith(
            f"newel generate add_{schema}_schema --type schema{of_branch} && newel renumber {made['revision']}"
        )


@pytest.mark.parametrize("branch", [(), ("--branch", "development")])
@pytest.mark.parametrize("schema", ["bare", "new", "My app"])
def test_what_the_note_about_a_missing_schema_says_works(
    empty_project: Project, schema: str, branch: tuple[str, ...]
) -> None:
    project = empty_project
    project.environments(development={"search_path": [schema]})
    note = project.newel("generate", "add_users", *branch, "--json").json["note"]
    commands, _, written = note.partition(":  ")[2].partition(", and write ")
    for command in commands.split(" && "):
        done = project.newel(*command.split()[1:])
        assert done.code == 0, done.err
    if written:
        for direction, part in zip(("up", "down"), written.split(", "), strict=True):
            sql = part.removesuffix(f" into its {direction} file")
            (path,) = project.root.glob(f"sql/migrations/**/000002_add_schema.{direction}.sql")
            path.write_text(sql)
    assert bool(written) == (schema != "bare")
    assert [item.slug for item in load_revisions(project.root)][-1] == "add_users"
    done = project.newel("up")
    assert done.code == 0, done.err
    assert project.rows("SELECT table_schema FROM information_schema.tables WHERE table_name = 'users'") == [
        (schema,)
    ]
    assert project.newel("down", "base").code == 0


def test_a_mainline_revision_does_not_build_on_what_a_branch_makes(project: Project) -> None:
    with project.nothing_changes():
        refused = project.newel("generate", "index_samples", "--type", "index")
        assert refused.code == 1
        assert (
            "`index_samples` names none; there are public.first, public.fourth, public.second." in refused.err
        )
    done = project.newel("generate", "index_samples", "--type", "index", "--branch", "development")
    assert done.code == 0
    assert load_revisions(project.root)[-1].depends_on == "000004"


def test_json_says_what_was_written(project: Project) -> None:
    made = project.newel("generate", "add_orders", "--json").json
    assert made == {
        "revision": "000005",
        "slug": "add_orders",
        "type": "table",
        "branch": None,
        "up": "sql/migrations/000005_add_orders.up.sql",
        "down": "sql/migrations/000005_add_orders.down.sql",
        "script": "alembic/versions/000005_add_orders.py",
        "note": None,
        "next": ["newel validate", "newel up"],
    }
    assert [
        path for path in (made["up"], made["down"], made["script"]) if not (project.root / path).is_file()
    ] == []


def test_scripts_of_others_are_left_alone_and_told(project: Project) -> None:
    project.write("alembic/versions/000001_first.py", "# changed\n")
    done = project.newel("generate", "add_orders")
    assert "note: 1 other script to be mended:  newel stubs" in done.out
    assert text(project, "alembic/versions/000001_first.py") == "# changed\n"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("Add-User Profiles",), 1, "Nearest is:  newel generate add_user_profiles --type table"),
        (("",), 1, "`` is no name for a revision: lower-case letters, digits and _, a letter first, at most 63"),
        (("a" * 64,), 1, f"newel generate {'a' * 63} --type table"),
        (("add_x", "--type", "tabel"), 1, "there is no type `tabel`; did you mean `table`?"),
        (("add_x", "--type", "../../../etc"), 1, "there are audit, blank, column, data, index, polymorphic, schema"),
        (("add_x", "--branch", "developmnt"), 1, "did you mean `development`?"),
        (("add_x", "--branch", ".."), 1, "there is no environment `..`"),
        (("add_first",), 1, "public.first is there already: revision 000001 makes it"),
        (("add_x_to_frist", "--type", "column"), 1, "did you mean public.first?"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_and_nothing_is_written(
    project: Project, arguments: tuple[str, ...], code: int, said: str
) -> None:
    with project.nothing_changes():
        refused = project.newel("generate", *arguments)
        assert refused.code == code
        assert said in refused.err
        document = project.newel("generate", *arguments, "--json")
        assert document.code == document.json["error"]["exit_code"] == code


def test_a_branch_whose_new_revision_nobody_would_run_is_refused_with_the_line_to_change(
    project: Project,
) -> None:
    project.environments(production={}, development={"migrations": ["development/000003_sample.up.sql"]})
    with project.nothing_changes():
        refused = project.newel("generate", "add_x", "--branch", "development")
        assert refused.code == 1
        assert (
            "env/environments.json:4:5: no environment lists development/000005_add_x.up.sql" in refused.err
        )
        assert 'by a glob:  "development/*.up.sql"' in refused.err


def test_a_number_race_is_refused_with_its_cure(project: Project) -> None:
    project.pair("000004", "other")
    with project.nothing_changes():
        refused = project.newel("generate", "add_x")
        assert refused.code == 5
        assert "newel renumber sql/migrations/000004_other.up.sql" in refused.err


def test_nothing_is_overwritten_and_a_failure_half_way_leaves_no_file(project: Project) -> None:
    project.write("alembic/versions/000005_add_x.py", "mine\n")
    with project.nothing_changes():
        refused = project.newel("generate", "add_x")
        assert refused.code == 1
        assert "alembic/versions/000005_add_x.py: is there already, and nothing is overwritten" in refused.err


def test_a_folder_that_cannot_be_written_is_told_and_new_folders_go_again(project: Project) -> None:
    project.environments(development={}, staging={})
    (project.root / "alembic/versions/staging").write_text("no folder")
    with project.nothing_changes():
        refused = project.newel("generate", "add_x", "--branch", "staging")
        assert refused.code == 1
        assert "alembic/versions/staging/000005_add_x.py: cannot write the file" in refused.err
    assert not (project.root / "sql/migrations/staging").exists()


def test_a_projects_own_template_wins_and_may_be_a_type_of_its_own(project: Project) -> None:
    for kind in ("table", "trigger"):
        project.write(
            f"sql/templates/{kind}.up.sql", "-- {{ number }} of {{date}}\nCREATE TABLE {{new_table}} ();\n"
        )
        project.write(f"sql/templates/{kind}.down.sql", "DROP TABLE {{ new_table }};\n")
        done = project.newel("generate", f"add_{kind}_things", "--type", kind)
        assert done.code == 0, done.err
    assert (
        text(project, "sql/migrations/000006_add_trigger_things.down.sql")
        == "DROP TABLE public.trigger_things;\n"
    )
    up = text(project, "sql/migrations/000005_add_table_things.up.sql")
    assert re.fullmatch(r"-- 000005 of \d{4}-\d\d-\d\d\nCREATE TABLE public.table_things \(\);\n", up)
    assert project.newel("generate", "x", "--type", "triger").err.startswith(
        "error: there is no type `triger`; did you mean `trigger`?"
    )


@pytest.mark.parametrize(
    ("files", "code", "said"),
    [
        ({"up": "SELECT 1;"}, 2, "a template is a pair of files, and sql/templates/own.down.sql is missing"),
        ({"down": "SELECT 1;"}, 2, "sql/templates/own.down.sql: a template is a pair of files"),
        ({"up": "\nDROP {{nwe_table}};", "down": ""}, 1, "sql/templates/own.up.sql:2:6: unknown placeholder "
                                                        "`{{nwe_table}}`; did you mean `{{new_table}}`?"),
        ({"up": "", "down": "{{zzz}}"}, 1, "own.down.sql:1:1: unknown placeholder `{{zzz}}`; there are number"),
        ({"up": b"\xff", "down": ""}, 1, "sql/templates/own.up.sql:1:1: not valid UTF-8"),
        ({"up": "CREATE TABLE;", "down": ""}, 1, "sql/templates/own.up.sql:1:13: syntax error"),
    ],
)  # fmt: skip
def test_a_template_that_is_no_good_is_refused_with_file_and_line(
    project: Project, files: dict[str, str | bytes], code: int, said: str
) -> None:
    for direction, content in files.items():
        project.write(f"sql/templates/own.{direction}.sql", content)
    with project.nothing_changes():
        refused = project.newel("generate", "add_x", "--type", "own")
        assert refused.code == code
        assert said in refused.err


def test_the_last_number_is_the_last(project: Project) -> None:
    project.pair("999999", "last")
    project.stubs()
    with project.nothing_changes():
        refused = project.newel("generate", "add_x")
        assert refused.code == 5
        assert "no number is free above 999999" in refused.err
