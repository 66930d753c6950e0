"""`newel show`: what a revision does, derived from its SQL and the graph; printed, or written as a page."""

from __future__ import annotations

import argparse
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from newel.cli.terminal import coloured, count, print_json
from newel.cli.text import visible
from newel.errors import NewelError
from newel.project.pages import MARK, title, write_page
from newel.project.project import Project

if TYPE_CHECKING:
    from newel.validate.record import Finding, RevisionRecord

_WIDTH = 100
_LABEL = 14


def show(project: Project, args: argparse.Namespace) -> None:
    """Print the record of a revision, or write it into docs/migrations."""
    from newel.migrate.plan import find_revision
    from newel.validate.record import record_of

    if not args.revision:
        raise NewelError("a revision is missing", cure="For make:  make db-migration-show VERSION=000005")
    number = find_revision(project.revisions, args.revision, where="")
    record = record_of(project, next(item for item in project.revisions if item.id == number))
    path = write_page(project.root, record.revision, page(record)) if args.write else None
    if args.json:
        print_json(asdict(record) | ({"written": path} if path else {}))
    elif path:
        print(f"wrote    {path}")
    else:
        print(coloured(f"{record.revision}_{record.slug}", "bold"))
        width = min(_WIDTH, shutil.get_terminal_size().columns) if sys.stdout.isatty() else _WIDTH
        for line in sheet(record, width):
            print(line)


def sheet(record: RevisionRecord, width: int = _WIDTH) -> list[str]:
    """Return the record as aligned lines within a width; a word that is longer is not cut."""
    lines = textwrap.wrap(visible(record.description), width)
    lines.append("")
    for label, items in _entries(record):
        for number, item in enumerate(items):
            lines += textwrap.wrap(
                visible(item),
                width,
                initial_indent=f"{label if number == 0 else '':<{_LABEL}}",
                subsequent_indent=" " * (_LABEL + 2),
                break_long_words=False,
                break_on_hyphens=False,
            )
    return lines


def page(record: RevisionRecord) -> str:
    """Return the record as a page in Markdown; the same record gives the same text."""
    command = f"newel show {record.revision} --write"
    parts = [
        title(record.revision, record.slug),
        _text(record.description),
        f"{MARK} `{command}`. Do not edit.",
    ]
    for label, items in _entries(record):
        parts += [f"## {label.capitalize()}", "\n".join(f"- {_text(item)}" for item in items)]
    return "\n\n".join(parts) + "\n"


def _entries(record: RevisionRecord) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield the parts of the record that there are: a label, and what is said under it."""
    affected = [f"{table}: {', '.join(deeds)}" for table, deeds in record.affects_tables.items()]
    for label, items in (
        ("branch", [record.branch or "mainline"]),
        ("runs in", [", ".join(record.environments) or "no environment"]),
        ("up", [_run(record.up, record.statements, transactional=record.transactional)]),
        ("down", [_run(record.down, record.down_statements, transactional=record.down_transactional)]),
        ("depends on", [f"{item.revision} {item.why}" for item in record.depends_on]),
        ("tables", affected),
        ("reads", record.reads),
        ("creates", record.creates),
        ("rollback", ["safe"] if record.rollback_safe else ["not safe", *record.rollback_reasons]),
        ("destroys", _found(record.destructive)),
        ("not seen", _found(record.not_looked_into)),
        ("sha256 up", [record.up_sha256]),
        ("sha256 down", [record.down_sha256]),
    ):
        if items:
            yield label, items


def _run(path: str, statements: int, *, transactional: bool) -> str:
    way = "in one transaction" if transactional else "one by one"
    return f"{path}: {count(statements, 'statement')}, {way}"


def _found(findings: Sequence[Finding]) -> list[str]:
    return [f"{item.file}:{item.line}: {item.what}" for item in findings]


def _text(words: str) -> str:
    """Keep Markdown from reading names as its own marks, and a terminal that shows the page from obeying them."""
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>|#" else letter for letter in visible(words))
