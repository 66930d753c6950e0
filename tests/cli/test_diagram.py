"""`newel diagram`: the tables and the revisions as Mermaid."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from odd_tables import ODD
from small_project import Project

from newel.database.relations.diagram import er_diagram
from newel.database.relations.read import looking, read_tables
from newel.project.flowchart import revision_flowchart
from newel.project.graph import load_revisions
from newel.testing import Database


def test_the_schema_is_drawn_by_default_without_anything_around_it(empty_project: Project) -> None:
    empty_project.execute(ODD)
    with empty_project.nothing_changes():
        shown = empty_project.newel("diagram")
        told = empty_project.newel("diagram", "schema", "--json").json
    assert (shown.code, shown.err) == (0, "")
    lines = shown.out.splitlines()
    assert lines[0] == "erDiagram"
    assert lines[1] == "    \"Odd Schema.My 'quoted' Table _s\" {"
    assert '    "Odd Schema.My \'quoted\' Table _s" ||--o| "app.leaves" : "odd"' in lines
    assert told == {"subject": "schema", "mermaid": shown.out.rstrip("\n")}


def test_an_empty_database_and_an_empty_project_are_drawn_too(empty_project: Project) -> None:
    assert empty_project.newel("diagram").out == "erDiagram\n"
    assert empty_project.newel("diagram", "revisions").out == "flowchart TD\n"


def test_revisions_are_drawn_with_their_branches_and_without_any_database(project: Project) -> None:
    shown = project.newel("diagram", "revisions", DATABASE_URL="postgresql://nobody@localhost:1/nowhere")
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.splitlines() == [
        "flowchart TD",
        '    subgraph branch_0["mainline"]',
        '        r000001["000001 first"]',
        '        r000002["000002 second"]',
        '        r000004["000004 fourth"]',
        "    end",
        '    subgraph branch_1["development"]',
        '        r000003["000003 sample"]',
        "    end",
        "    r000001 --> r000002",
        "    r000002 -.-> r000003",
        "    r000002 --> r000004",
    ]


def drawn_in_the_reference(project_root: Path) -> list[str]:
    """The two diagrams of docs/reference.md: tables and revisions."""
    page = (project_root / "docs" / "reference.md").read_text(encoding="utf-8")
    found = re.findall(r"^```mermaid\n(.*?)\n```$", page, re.MULTILINE | re.DOTALL)
    assert len(found) == 2
    return found


def test_the_revisions_in_the_reference_are_those_of_this_project(project_root: Path) -> None:
    assert drawn_in_the_reference(project_root)[1] == revision_flowchart(load_revisions(project_root))


def test_the_tables_in_the_reference_are_those_of_the_first_revisions(
    database_at: Callable[..., Database], project_root: Path
) -> None:
    with looking(database_at("000002").connect(), "cannot look") as cursor:
        assert drawn_in_the_reference(project_root)[0] == er_diagram(read_tables(cursor))
