"""`newel tables`, `schema` and `counts` on a database with odd names, on a terminal and off it."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import psycopg2
import pytest
from odd_tables import INVALID, ODD, QUOTED
from small_project import Project, Role

from newel.cli.text import width


@pytest.fixture
def odd(empty_project: Project) -> Project:
    """A project without a revision on a database full of odd tables."""
    empty_project.execute(ODD)
    with pytest.raises(psycopg2.errors.UniqueViolation):
        empty_project.execute(INVALID)
    return empty_project


def on_terminal(project: Project, columns: int, *arguments: str, **environ: str | None) -> str:
    """Return what newel prints on a terminal of that width."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "newel.cli.main", *arguments],
        cwd=project.root,
        env=project.variables({"TERM": "xterm", "COLUMNS": str(columns), "NO_COLOR": None, **environ}),
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.PIPE,
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(ours)
    said = process.communicate(timeout=60)[1]
    assert (process.returncode, said) == (0, b"")
    return shown.decode().replace("\r\n", "\n")


# newel tables


def test_tables_show_columns_types_nullability_defaults_and_keys(odd: Project) -> None:
    shown = odd.newel("tables", "leaves", "app.events")
    assert shown.code == 0, shown.err
    assert shown.out.splitlines()[1:] == [
        "",
        "app.leaves  table",
        "  column  type         null  default",
        "  id      integer      no    serial",
        "  note    varchar(20)  yes   'none'",
        "  odd     bigint       no",
        "",
        "  primary key  leaves_pkey      (id)",
        "  unique       leaves_odd_key   (odd)",
        f'  foreign key  leaves_odd_fkey  (odd) REFERENCES {QUOTED}("Id") ON',
        "                                UPDATE CASCADE ON DELETE CASCADE",
        "",
        "app.events  partitioned table",
        "  column  type    null",
        "  id      bigint  no",
        "  at      date    no",
        "",
        "  primary key   events_pkey      (id, at)",
        "  partition by                   RANGE (at)",
        "  partition     app.events_2024  FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')",
    ]


def test_tables_without_names_are_all_but_partitions_and_newels_own(odd: Project) -> None:
    odd.execute("CREATE SCHEMA newel; CREATE TABLE newel.journalist (a integer)")
    shown = odd.newel("tables")
    headings = [line for line in shown.out.splitlines()[1:] if line and not line.startswith(" ")]
    assert headings == [
        f"{QUOTED}  table",
        "app.a_view  view",
        "app.events  partitioned table",
        "app.heir  unlogged table, inherits app.twice",
        "app.leaves  table",
        "app.nothing  table",
        "app.twice  table",
    ]
    assert "  It has no columns." in shown.out
    assert "  unique index  twice_v  (v) INVALID" in shown.out
    assert "referenced by  leaves_odd_fkey" in shown.out
    assert "partition of app.events FOR VALUES FROM ('2024-01-01')" in odd.newel("tables", "events_2024").out


def test_a_partitioned_table_lists_its_first_partitions_and_json_all(empty_project: Project) -> None:
    empty_project.execute(
        "CREATE TABLE parts (a integer) PARTITION BY LIST (a); DO $$BEGIN FOR n IN 10..34 LOOP "
        "EXECUTE format('CREATE TABLE part_%s PARTITION OF parts FOR VALUES IN (%s)', n, n); END LOOP; END$$"
    )
    shown = empty_project.newel("tables", "parts")
    told = empty_project.newel("tables", "parts", "--json").json
    assert re.findall(r"^  partition +public\.part_(\d+) ", shown.out, re.MULTILINE) == [
        str(number) for number in range(10, 30)
    ]
    assert "and 5 more; --json lists them all" in shown.out
    assert len(told["tables"][0]["partitions"]) == 25


def test_no_control_character_of_the_database_reaches_the_terminal(odd: Project) -> None:
    for command in ("tables", "schema", "counts", "diagram"):
        for shown in (odd.newel(command).out, on_terminal(odd, 120, command, NO_COLOR="1")):
            assert not set(shown) & {"\x1b", "\x07", "\u202e"}, command
    shown = odd.newel("tables").out
    assert "  clears \\x1b[2J the\n  screen\n" in shown
    assert "'\\x1b[2J%s'" in shown
    assert "\\u202eevil \\x07" in shown


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("command", ["tables", "schema"])
def test_no_line_is_wider_than_the_terminal_and_nothing_is_cut(
    odd: Project, command: str, columns: int
) -> None:
    narrow = on_terminal(odd, columns, command, NO_COLOR="1")
    wide = on_terminal(odd, 500, command, NO_COLOR="1")
    headings = re.compile(r"^\S.*$", re.MULTILINE)  # the names of tables, whole
    assert max(width(line) for line in headings.sub("", narrow).splitlines()) <= columns
    assert sorted("".join(narrow.split())) == sorted("".join(wide.split()))


def test_in_a_pipe_lines_have_100_columns_at_most(odd: Project) -> None:
    for command in ("tables", "schema", "counts"):
        assert max(width(line) for line in odd.newel_process(command).out.splitlines()) <= 100


def test_colour_is_for_terminals_without_no_color(odd: Project) -> None:
    assert "\x1b[1mapp.leaves\x1b[0m" in on_terminal(odd, 100, "tables", "leaves")
    assert "\x1b" not in on_terminal(odd, 100, "tables", "leaves", NO_COLOR="1")
    assert "\x1b" not in odd.newel_process("tables", "leaves").out


def test_an_unknown_table_is_refused_with_the_nearest(odd: Project) -> None:
    with odd.nothing_changes():
        refused = odd.newel("tables", "leafs")
        told = odd.newel("tables", "leafs", "--json")
        unlike = odd.newel("tables", "xyzzy")
    assert (refused.code, told.code, unlike.code) == (1, 1, 1)
    assert refused.out == ""
    assert refused.err == "error: there is no table leafs; did you mean leaves?\n"
    assert told.json["error"]["what"] == "there is no table leafs; did you mean leaves?"
    assert unlike.err == "error: there is no table xyzzy\nnewel tables shows those there are.\n"


def test_tables_json_is_whole(odd: Project) -> None:
    told = odd.newel("tables", "--json").json
    assert (told["environment"], told["label"]) == ("development", None)
    tables = {(table["schema"], table["name"]): table for table in told["tables"]}
    assert ("app", "events_2024") in tables
    assert tables["app", "events"]["partitions"] == ["app.events_2024"]
    assert tables["app", "events_2024"]["partition_of"] == "app.events"
    leaves = tables["app", "leaves"]
    assert leaves["columns"][1] == {
        "name": "note",
        "type": "character varying(20)",
        "nullable": True,
        "default": "'none'::character varying",
        "generated": None,
        "identity": None,
        "collation": None,
        "comment": None,
    }
    odd_one = tables["Odd Schema", 'My "quoted" Table %s']
    assert leaves["foreign_keys"] == odd_one["referenced_by"]
    assert leaves["foreign_keys"][0]["on_delete"] == "cascade"
    assert leaves["constraints"][0] == {
        "name": "leaves_pkey",
        "kind": "primary key",
        "columns": ["id"],
        "definition": "PRIMARY KEY (id)",
    }
    assert odd_one["comment"] == "clears \x1b[2J the\nscreen"
    assert all(isinstance(table["bytes"], int) for table in told["tables"])
    assert {index["name"]: index["valid"] for index in tables["app", "twice"]["indexes"]} == {
        "twice_v": False,
        "twice_w": True,
    }


def test_a_database_without_tables_says_so(empty_project: Project) -> None:
    for command, words in (
        ("tables", "There are no tables."),
        ("counts", "There are no tables."),
        ("schema", "There is nothing in it."),
    ):
        shown = empty_project.newel(command)
        assert (shown.code, shown.lines[1:]) == (0, [words])
    assert empty_project.newel("tables", "--json").json["tables"] == []
    assert empty_project.newel("counts", "--json").json["total"]["rows"] == 0


# newel schema and counts


def test_schema_shows_relations_and_indexes_and_marks_the_invalid(odd: Project) -> None:
    shown = odd.newel("schema")
    assert shown.code == 0, shown.err
    assert 'schema "Odd Schema"' in shown.lines
    assert re.search(r"^  events +partitioned table, 1 partition +about 1,200 +\d+\.\d kB$", shown.out, re.M)
    assert re.search(r"^    twice_v +unique INVALID +\(v\)", shown.out, re.MULTILINE)
    assert re.search(r"^    twice_w +unique +\(w\) WHERE w <> ''::text +\d+\.\d kB$", shown.out, re.M)
    assert "sequence  leaves_id_seq" in shown.lines
    assert "enum      mood" in shown.lines
    told = odd.newel("schema", "--json").json
    assert {item["name"] for item in told["relations"]} >= {"events", "events_2024", "a_view"}
    assert {item["kind"] for item in told["others"]} == {"sequence", "enum", "domain"}
    [invalid] = [index for index in told["indexes"] if not index["valid"]]
    assert (invalid["name"], invalid["unique"], invalid["scans"]) == ("twice_v", True, 0)


def test_counts_show_rows_and_sizes_the_largest_first_with_a_total(odd: Project) -> None:
    shown = odd.newel("counts")
    assert shown.code == 0, shown.err
    lines = shown.out.splitlines()
    assert lines[1].split() == ["table", "rows", "size", "table", "size", "index", "size"]
    assert re.fullmatch(r"app\.events +1,200 +\S+ kB +\S+ kB +\S+ kB", lines[2])
    assert lines[-1].startswith("6 tables")
    assert " 1,202 " in lines[-1]
    told = odd.newel("counts", "--json").json
    assert told["total"]["rows"] == 1202
    assert told["total"]["exact"] is True
    sizes = [table["bytes"] for table in told["tables"]]
    assert sizes == sorted(sizes, reverse=True)
    assert told["total"]["bytes"] == sum(t["bytes"] for t in told["tables"] if t["partition_of"] is None)
    assert told["total"]["bytes"] == told["total"]["table_bytes"] + told["total"]["index_bytes"]


def test_counts_without_select_are_estimates_that_are_called_so(
    odd: Project, role: Callable[[str], Role]
) -> None:
    made = role("s3cr@t")
    odd.execute(f"ANALYZE app.twice; GRANT USAGE ON SCHEMA app TO {made.name}")
    odd.execute(f"GRANT SELECT ON app.leaves TO {made.name}")
    with odd.nothing_changes():
        shown = odd.newel("counts", DATABASE_URL=made.url())
        told = odd.newel("counts", "--json", DATABASE_URL=made.url()).json
        tables = odd.newel("tables", DATABASE_URL=made.url())
    assert (shown.code, tables.code) == (0, 0)
    assert re.search(r"^app\.twice +about 2 ", shown.out, re.MULTILINE)
    assert re.search(r"^app\.leaves +0 ", shown.out, re.MULTILINE)
    [twice] = [table for table in told["tables"] if table["name"] == "twice"]
    assert (twice["rows"], twice["exact"], twice["reason"]) == (2, False, "SELECT is not permitted")
    assert "Not counted, since SELECT is not permitted: " in shown.out
    assert "app.twice  table" in tables.out


def test_a_database_of_another_environment_is_looked_at_with_a_note(odd: Project) -> None:
    odd.pair("000001", "first")
    odd.stubs()
    assert odd.newel("up", MIGRATION_ENV="production").code == 0
    with odd.nothing_changes():
        results = [odd.newel(command) for command in ("tables", "schema", "counts", "info", "diagram")]
    for result in results:
        assert result.code == 0
        assert result.err == "note: the database belongs to production, but this command is for development\n"
        assert "note:" not in result.out
    told: Any = odd.newel("counts", "--json").json
    assert (told["environment"], told["label"]) == ("development", "production")


@pytest.mark.parametrize("command", ["tables", "schema", "counts", "info", "health", "connect", "diagram"])
def test_a_server_that_is_not_there_ends_with_3(empty_project: Project, command: str) -> None:
    nowhere = {"DATABASE_URL": "postgresql://app:hunter2@127.0.0.1:1/service_db"}
    refused = empty_project.newel(command, **nowhere)
    told = empty_project.newel(command, "--json", **nowhere)
    assert (refused.code, told.code) == (3, 3)
    assert refused.err.startswith("error: cannot connect to service_db on 127.0.0.1:1 as app: ")
    assert told.json["error"]["exit_code"] == 3
    assert "hunter2" not in refused.out + refused.err + told.out + told.err
