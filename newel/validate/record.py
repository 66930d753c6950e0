"""The record of a revision: what it does and what it stands on, derived from its SQL and the graph. No database."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from newel.project.files import SqlFile, read
from newel.project.graph import Revision
from newel.project.project import Project
from newel.project.sql.names import quoted
from newel.project.sql.parser import parse
from newel.project.tables.objects import Objects
from newel.project.tables.read import can_see, objects_of, read_definitions
from newel.validate.losses import in_schema, losses, of_statement
from newel.validate.rules.destructive import find_destructions
from newel.validate.touched import Name, made, not_looked_into, temporary, touched

Deeds = dict[Name, list[str]]
"""What is done to each table."""

_WRITING = ("DELETE", "INSERT", "MERGE", "UPDATE", "WITH")
_DESCRIPTION = re.compile(rb"^--[ \t]*Description:[ \t]*(\S[^\r\n]*)", re.MULTILINE)


@dataclass(frozen=True)
class Dependency:
    """A revision that another one stands on, and why."""

    revision: str
    why: str


@dataclass(frozen=True)
class Finding:
    """Something about a line of a file."""

    file: str
    line: int
    what: str


@dataclass(frozen=True)
class RevisionRecord:
    """What is known of a revision from what is on disk."""

    revision: str
    slug: str
    branch: str | None
    description: str
    environments: tuple[str, ...]
    """The environments that run it."""
    depends_on: tuple[Dependency, ...]
    affects_tables: dict[str, tuple[str, ...]]
    """What the up file does to each table: creates, alters, drops, indexes, inserts, updates, deletes, ..."""
    reads: tuple[str, ...]
    """The tables that it only reads."""
    creates: tuple[str, ...]
    """What it makes besides tables."""
    transactional: bool
    """The up file runs in one transaction, and not statement by statement."""
    down_transactional: bool
    rollback_safe: bool
    """The down file can be run and loses nothing, and puts back what the up file takes away."""
    rollback_reasons: tuple[str, ...]
    """Why it is not."""
    destructive: tuple[Finding, ...]
    lossy: tuple[str, ...]
    """What the down file loses, by its directives and its statements."""
    not_looked_into: tuple[Finding, ...]
    statements: int
    down_statements: int
    up: str
    down: str
    up_sha256: str
    down_sha256: str


def record_of(project: Project, revision: Revision) -> RevisionRecord:
    """Derive the record of a revision.

    The up files that it can build on are read too, to find out who makes its tables. Raises what read() raises.
    """
    up, down = (read(project.root, path) for path in (revision.up, revision.down))
    seen = objects_of(
        read_definitions(project.root, (item for item in project.revisions if can_see(revision, item))),
        project.environments.default_schema(revision.branch),
    )
    deeds, creates, unread = _look_into(up, seen)
    lossy = tuple(f"{loss}: {loss.reason or f'{loss.extent} of it'}" for loss in losses(down))
    destructive = {file.path: tuple(_destructive(file)) for file in (up, down)}
    reasons = (
        *_against_rollback(down, lossy, destructive[up.path]),
        *_not_put_back(up, deeds, down, seen),
    )
    return RevisionRecord(
        revision=revision.id,
        slug=revision.slug,
        branch=revision.branch,
        description=_description(up) or revision.slug.replace("_", " ").strip().capitalize(),
        environments=tuple(
            name for name, item in project.environments.by_name.items() if item.lists(revision)
        ),
        depends_on=tuple(_dependencies(revision, deeds, seen)),
        affects_tables={
            quoted(*name): tuple(dict.fromkeys(item for item in done if item != "reads"))
            for name, done in deeds.items()
            if set(done) != {"reads"}
        },
        reads=tuple(quoted(*name) for name, done in deeds.items() if set(done) == {"reads"}),
        creates=creates,
        transactional=up.transactional,
        down_transactional=down.transactional,
        rollback_safe=not reasons,
        rollback_reasons=reasons,
        destructive=destructive[up.path] + destructive[down.path],
        lossy=lossy,
        not_looked_into=unread + _look_into(down, seen)[2],
        statements=sum(1 for _ in up.statements()),
        down_statements=sum(1 for _ in down.statements()),
        up=up.path,
        down=down.path,
        up_sha256=up.checksum,
        down_sha256=down.checksum,
    )


def _look_into(file: SqlFile, seen: Objects) -> tuple[Deeds, tuple[str, ...], tuple[Finding, ...]]:
    """Return what a file does to each table, what else it makes, and what of it is not looked into."""
    deeds: Deeds = {}
    makes: dict[str, None] = {}
    unread = []
    hidden: frozenset[str] = frozenset()
    for statement in file.statements():
        tree = parse(statement.text)
        if passed := not_looked_into(tree):
            unread.append(Finding(file.path, statement.line, passed))
        if tree is None:
            continue
        if name := temporary(tree):
            hidden |= {name}
        for written, deed in touched(tree, hidden):
            table = _whole(written, seen)
            if table is not None:
                deeds.setdefault(table, []).append(deed)
        if (thing := made(tree)) is not None:
            makes[thing] = None
    return deeds, tuple(makes), tuple(unread)


def _whole(written: Name, seen: Objects) -> Name | None:
    """Return a name with its schema; None for a table of PostgreSQL's own."""
    schema, name = written
    if schema in ("pg_catalog", "information_schema") or (not schema and name.startswith("pg_")):
        return None
    return schema or seen.default, name


def _dependencies(revision: Revision, deeds: Deeds, seen: Objects) -> Iterator[Dependency]:
    whys: dict[str, list[str]] = {}
    if revision.down_revision:
        place = "the mainline" if revision.branch is None else f"branch {revision.branch}"
        whys[revision.down_revision] = [f"comes before it in {place}"]
    if revision.depends_on:
        whys[revision.depends_on] = ["is the mainline below it"]
    tables: dict[str, list[str]] = {}
    for name in deeds:
        if name in seen.tables:
            tables.setdefault(seen.tables[name].made_by, []).append(quoted(*name))
    for maker, made_tables in sorted(tables.items(), reverse=True):
        whys.setdefault(maker, []).append(f"makes {', '.join(made_tables)}")
    yield from (Dependency(needed, "; ".join(why)) for needed, why in whys.items())


def _destructive(file: SqlFile) -> Iterator[Finding]:
    for statement, destruction in find_destructions(file):
        yield Finding(file.path, statement.line, destruction.what)


def _against_rollback(down: SqlFile, lossy: tuple[str, ...], destroyed: tuple[Finding, ...]) -> Iterator[str]:
    if down.directives.irreversible:
        yield f"the down file says it is irreversible: {down.directives.irreversible}"
    elif next(down.statements(), None) is None:
        yield "the down file holds no statement, so it takes nothing back"
    yield from (f"loses {loss}" for loss in lossy)
    yield from (
        f"line {statement.line} of the down file: {destruction.what}"
        for statement, destruction in find_destructions(down)
        if destruction.kind in ("cascade", "unread")
    )
    yield from (
        f"line {item.line} of the up file {item.what}, which no down file brings back" for item in destroyed
    )


def _not_put_back(up: SqlFile, deeds: Deeds, down: SqlFile, seen: Objects) -> Iterator[str]:
    """Yield what the up file deletes or overwrites by a condition, where the down file writes nothing into the table.

    Without a condition it is a destruction, which is told anyway. Nor is told what the down file loses as well, such
    as a column that it drops, or rows of a table that the up file makes.
    """
    down_deeds, _, unread = _look_into(down, seen)
    as_far = ", as far as it is looked into" if unread else ""
    inserted, written = (
        {quoted(*name) for name, done in down_deeds.items() if not words.isdisjoint(done)}
        for words in ({"inserts"}, {"inserts", "updates"})
    )
    made_here = {quoted(*name) for name, done in deeds.items() if "creates" in done}
    touched_here = {quoted(*name) for name in deeds}
    lost = {(in_schema(loss.table, seen.default), loss.column) for loss in losses(down)}
    destroying = {statement.start for statement, _ in find_destructions(up)}
    for statement in up.statements():
        if statement.keyword not in _WRITING or statement.start in destroying:
            continue
        for loss in of_statement(statement):
            table = in_schema(loss.table, seen.default)
            back = inserted if loss.column is None else written
            known = {(table, None), (table, loss.column)} & lost
            if table in touched_here - made_here - back and not known:
                what = (
                    f"deletes rows of {table}" if loss.column is None else f"changes {loss.column} of {table}"
                )
                yield f"line {statement.line} of the up file {what}, and the down file puts nothing back{as_far}"


def _description(up: SqlFile) -> str | None:
    found = _DESCRIPTION.search(up.data)
    return found[1].decode("utf-8").strip() if found else None
