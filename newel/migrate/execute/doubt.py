"""Settles whether a statement that cannot run in a transaction was done when the process died.

PostgreSQL's catalog is asked, never a guess: the journal says only that the statement was begun.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from newel.database.connection import quote_identifier
from newel.errors import Location, NewelError
from newel.project.sql.parser import enum_name, kind_of, parse
from newel.project.sql.statements import Statement

_TABLES_OF = {
    "REINDEX_OBJECT_INDEX": "SELECT indrelid FROM pg_index WHERE indexrelid = to_regclass(%(name)s) "
    "OR indexrelid IN (SELECT relid FROM pg_partition_tree(to_regclass(%(name)s)))",
    "REINDEX_OBJECT_TABLE": "SELECT to_regclass(%(name)s)::oid "
    "UNION SELECT relid FROM pg_partition_tree(to_regclass(%(name)s))",
    "REINDEX_OBJECT_SCHEMA": "SELECT oid FROM pg_class WHERE relnamespace = to_regnamespace(%(name)s)",
    "REINDEX_OBJECT_DATABASE": "SELECT oid FROM pg_class",
    "REINDEX_OBJECT_SYSTEM": "SELECT oid FROM pg_class",
}
"""The tables that each sort of REINDEX works on, without the TOAST tables that belong to them."""


@dataclass(frozen=True)
class Question:
    """What to look for: the kind of object, its name, and whether the statement makes it or takes it away.

    An index to be made is looked for on its table (`parent`), since the search_path may hold another of its
    name. The name of one to be dropped, and of tables, is as to_regclass() takes it. A REINDEX CONCURRENTLY names
    what `parent` says, in the parser's words.
    """

    kind: Literal["index", "database", "tablespace", "subscription", "partition", "reindex", "repeatable"]
    name: str = ""
    makes: bool = True
    parent: str = ""


def question_of(statement: Statement) -> Question:
    """Derive the question from the parse tree. VACUUM and its like are simply run again."""
    tree = parse(statement.text)
    match kind_of(tree):
        case "IndexStmt":
            return Question("index", tree.idxname, parent=_name_of(tree.relation))
        case "DropStmt":
            names = [item.string.sval for item in tree.objects[0].list.items]
            return Question("index", ".".join(quote_identifier(name) for name in names), makes=False)
        case "CreatedbStmt" | "DropdbStmt" as kind:
            return Question("database", tree.dbname, makes=kind == "CreatedbStmt")
        case "CreateTableSpaceStmt" | "DropTableSpaceStmt" as kind:
            return Question("tablespace", tree.tablespacename, makes=kind == "CreateTableSpaceStmt")
        case "CreateSubscriptionStmt" | "DropSubscriptionStmt" as kind:
            return Question("subscription", tree.subname, makes=kind == "CreateSubscriptionStmt")
        case "AlterTableStmt":
            partition = getattr(tree.cmds[0].alter_table_cmd, "def").partition_cmd.name
            return Question("partition", _name_of(partition), makes=False, parent=_name_of(tree.relation))
        case "ReindexStmt" if any(item.def_elem.defname == "concurrently" for item in tree.params):
            whole = quote_identifier(tree.name)
            name = _name_of(tree.relation) if tree.HasField("relation") else whole
            return Question("reindex", name, parent=enum_name(tree, "kind"))
        case _:
            return Question("repeatable")


def will_leave_a_trace(cursor: Any, question: Question) -> bool:
    """Say, before the statement runs, whether its effect can be told from what is there already."""
    if question.kind == "reindex":
        return not _left_by_reindex(cursor, question)
    return question.kind == "repeatable" or _exists(cursor, question) != question.makes


def settle(cursor: Any, question: Question) -> bool:
    """Say whether the statement in doubt is done; clear away what it left half done so that it can run again."""
    if question.kind == "repeatable":
        return False
    if question.kind == "reindex":
        for name in _left_by_reindex(cursor, question):
            _drop_invalid(cursor, name)
        return False
    if question.kind == "index" and question.makes:
        index = _index_on_table(cursor, question)
        if index and not index[1]:
            _drop_invalid(cursor, index[0])
        return bool(index and index[1])
    if question.kind == "partition" and _detach_pending(cursor, question):
        cursor.execute(f"ALTER TABLE {question.parent} DETACH PARTITION {question.name} FINALIZE")
        return True
    return _exists(cursor, question) == question.makes


def require_no_leftovers(cursor: Any, question: Question, where: Location) -> None:
    """Refuse to begin a REINDEX CONCURRENTLY where an earlier one was broken off: what it left is not newel's."""
    found = _left_by_reindex(cursor, question) if question.kind == "reindex" else []
    if found:
        raise NewelError(
            f"a REINDEX CONCURRENTLY was broken off before, and not by newel; it left INVALID: {', '.join(found)}",
            where=where,
            cure="Drop what it left, then run the same command again:  "
            + "  ".join(f"DROP INDEX CONCURRENTLY {index};" for index in found),
        )


def require_valid_index(cursor: Any, question: Question, where: Location) -> None:
    """Refuse an INVALID index behind CREATE INDEX CONCURRENTLY: IF NOT EXISTS passes over one in silence."""
    index = _index_on_table(cursor, question) if question.kind == "index" and question.makes else None
    if index and not index[1]:
        raise NewelError(
            f"index {index[0]} exists but is INVALID: no query uses it, and newel did not build it",
            where=where,
            cure=f"Drop it, then run the same command again:  DROP INDEX CONCURRENTLY {index[0]};",
        )


def _exists(cursor: Any, question: Question) -> bool:
    if question.kind == "index" and question.makes:
        return _index_on_table(cursor, question) is not None
    query, values = {
        "index": ("SELECT pg_catalog.to_regclass(%s) IS NOT NULL", (question.name,)),
        "database": ("SELECT EXISTS (SELECT FROM pg_database WHERE datname = %s)", (question.name,)),
        "tablespace": ("SELECT EXISTS (SELECT FROM pg_tablespace WHERE spcname = %s)", (question.name,)),
        "subscription": (
            "SELECT EXISTS (SELECT FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid "
            "WHERE s.subname = %s AND d.datname = current_database())",
            (question.name,),
        ),
        "partition": (
            "SELECT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = to_regclass(%s) AND inhparent = to_regclass(%s))",
            (question.name, question.parent),
        ),
    }[question.kind]
    cursor.execute(query, values)
    return bool(cursor.fetchone()[0])


def _index_on_table(cursor: Any, question: Question) -> tuple[str, bool] | None:
    """Return the index's name as SQL takes it, and whether it is valid; None if its table has no such index."""
    cursor.execute(
        "SELECT c.oid::regclass::text, x.indisvalid FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid "
        "WHERE x.indrelid = to_regclass(%s) AND c.relname = %s",
        (question.parent, question.name),
    )
    row = cursor.fetchone()
    return (row[0], row[1]) if row else None


def _left_by_reindex(cursor: Any, question: Question) -> list[str]:
    """Return the INVALID indexes that a REINDEX CONCURRENTLY leaves when it is broken off, as SQL takes their names.

    `_ccnew` is the new one that was not finished, `_ccold` the old one that was not dropped, with a number where
    that name was taken (PostgreSQL manual, "Rebuilding Indexes Concurrently").
    """
    cursor.execute(_TABLES_OF[question.parent], {"name": question.name})
    tables = [row[0] for row in cursor.fetchall()]
    cursor.execute(
        "SELECT c.oid::regclass::text FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid "
        "WHERE NOT x.indisvalid AND c.relname ~ '_cc(new|old)[0-9]*$' AND (x.indrelid = ANY (%(tables)s::oid[]) "
        "OR x.indrelid IN (SELECT reltoastrelid FROM pg_class WHERE oid = ANY (%(tables)s::oid[]))) ORDER BY 1",
        {"tables": tables},
    )
    return [row[0] for row in cursor.fetchall()]


def _drop_invalid(cursor: Any, index: str) -> None:
    cursor.execute(
        "SELECT p.pid FROM pg_stat_progress_create_index p "
        "JOIN pg_index x ON x.indexrelid = to_regclass(%s) JOIN pg_class t ON x.indrelid IN (t.oid, t.reltoastrelid) "
        "WHERE p.datname = current_database() AND (p.index_relid = x.indexrelid "
        "OR (p.command LIKE 'REINDEX%%' AND p.relid IN (t.oid, t.reltoastrelid)))",
        (index,),
    )
    row = cursor.fetchone()
    if row:
        raise NewelError(
            f"index {index} is still being built by the session of a run that was killed (pid {row[0]})",
            cure=f"Wait until it is done, or end it:  SELECT pg_terminate_backend({row[0]});  then run the same "
            "command again.",
        )
    cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {index}")


def _detach_pending(cursor: Any, question: Question) -> bool:
    cursor.execute(
        "SELECT inhdetachpending FROM pg_inherits WHERE inhrelid = to_regclass(%s)", (question.name,)
    )
    row = cursor.fetchone()
    return bool(row and row[0])


def _name_of(relation: Any) -> str:
    return ".".join(quote_identifier(part) for part in (relation.schemaname, relation.relname) if part)
