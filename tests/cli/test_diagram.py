"""`newel diagram`: the tables and the revisions as Mermaid."""

from __future__ import annotations

import re
from pathlib import Path

from odd_tables import ODD
from small_project import REPOSITORY, Project

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


def test_the_diagrams_in_the_reference_are_those_of_this_project(project_root: Path) -> None:
    page = (project_root / "docs" / "reference.md").read_text(encoding="utf-8")
    [schema, revisions] = re.findall(r"^```mermaid\n(.*?)\n```$", page, re.MULTILINE | re.DOTALL)
    assert revisions == revision_flowchart(load_revisions(REPOSITORY))
    assert schema.startswith("erDiagram\n")


def test_the_entities_in_the_reference_are_drawn_from_the_revisions(
    head: Database, project_root: Path
) -> None:
    page = (project_root / "docs" / "reference.md").read_text(encoding="utf-8")
    shown = page.partition("```mermaid\nerDiagram\n")[2].partition("\n```")[0]
    head.up("000002")
    with looking(head.connect(), "cannot look") as cursor:
        assert f"erDiagram\n{shown}" == er_diagram(read_tables(cursor))
