"""`newel diagram`: the database's tables or the project's revisions as Mermaid, which GitHub and many others draw."""

from __future__ import annotations

import argparse

from newel.cli.terminal import print_json
from newel.project.project import Project


def diagram(project: Project, args: argparse.Namespace) -> None:
    """Print a diagram's text, with nothing around it."""
    text = _revisions(project) if args.subject == "revisions" else _schema(project)
    if args.json:
        print_json({"subject": args.subject, "mermaid": text})
    else:
        print(text)


def _revisions(project: Project) -> str:
    from newel.project.flowchart import revision_flowchart

    return revision_flowchart(project.revisions)


def _schema(project: Project) -> str:
    from newel.cli.opened import opened
    from newel.database.relations.diagram import er_diagram
    from newel.database.relations.read import looking, read_tables

    with opened(project) as database, looking(database.connection, "cannot read the tables") as cursor:
        return er_diagram(read_tables(cursor))
