"""Which tables a statement touches and what it does to them, and what else it makes; from its parse tree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from newel.project.sql.parser import enum_name, into_of, kind_of, node_of
from newel.validate.drops import kind_words, name_of_type, role_words
from newel.validate.types import quoted

_TABLES = (
    "OBJECT_TABLE",
    "OBJECT_COLUMN",
    "OBJECT_TABCONSTRAINT",
    "OBJECT_TRIGGER",
    "OBJECT_POLICY",
    "OBJECT_RULE",
)
_DEEDS = {
    "AlterTableStmt": ("relation", "alters"),
    "AlterPolicyStmt": ("table", "alters"),
    "ClusterStmt": ("relation", "rewrites"),
    "CopyStmt": ("relation", "inserts"),
    "CreatePolicyStmt": ("table", "alters"),
    "CreateStmt": ("relation", "creates"),
    "CreateTrigStmt": ("relation", "adds a trigger"),
    "DeleteStmt": ("relation", "deletes"),
    "IndexStmt": ("relation", "indexes"),
    "InsertStmt": ("relation", "inserts"),
    "LockStmt": ("relations", "locks"),
    "PartitionCmd": ("name", "alters"),
    "RuleStmt": ("relation", "alters"),
    "TruncateStmt": ("relations", "empties"),
    "UpdateStmt": ("relation", "updates"),
}
"""By the kind of a statement, or of a part of one: the field with the table that it changes, and the word for it."""

_READING = ("SelectStmt", "CreateTableAsStmt", "ViewStmt", "MergeStmt", "PrepareStmt", "ExplainStmt", "RenameStmt",
            "DropStmt", "AlterObjectSchemaStmt", "DeclareCursorStmt")  # fmt: skip
_MADE = {
    "CompositeTypeStmt": ("type", "typevar"),
    "CreateAmStmt": ("access method", "amname"),
    "CreateConversionStmt": ("conversion", "conversion_name"),
    "CreateDomainStmt": ("domain", "domainname"),
    "CreateEnumStmt": ("type", "type_name"),
    "CreateEventTrigStmt": ("event trigger", "trigname"),
    "CreateExtensionStmt": ("extension", "extname"),
    "CreateFdwStmt": ("foreign-data wrapper", "fdwname"),
    "CreateForeignServerStmt": ("server", "servername"),
    "CreateFunctionStmt": ("function", "funcname"),
    "CreateOpClassStmt": ("operator class", "opclassname"),
    "CreateOpFamilyStmt": ("operator family", "opfamilyname"),
    "CreatePLangStmt": ("language", "plname"),
    "CreatePolicyStmt": ("policy", "policy_name"),
    "CreatePublicationStmt": ("publication", "pubname"),
    "CreateRangeStmt": ("type", "type_name"),
    "CreateRoleStmt": ("role", "role"),
    "CreateSchemaStmt": ("schema", "schemaname"),
    "CreateSeqStmt": ("sequence", "sequence"),
    "CreateStatsStmt": ("statistics", "defnames"),
    "CreateSubscriptionStmt": ("subscription", "subname"),
    "CreateTableSpaceStmt": ("tablespace", "tablespacename"),
    "CreateTrigStmt": ("trigger", "trigname"),
    "CreatedbStmt": ("database", "dbname"),
    "IndexStmt": ("index", "idxname"),
    "RuleStmt": ("rule", "rulename"),
    "ViewStmt": ("view", "view"),
}
"""By the kind of a statement: what it makes besides tables, and the field with its name."""

Name = tuple[str, str]
"""Schema, empty where the statement names none, and name."""


def touched(tree: Any, hidden: frozenset[str] = frozenset()) -> Iterator[tuple[Name, str]]:
    """Yield each table of a statement with what is done to it: `creates`, `alters`, `reads` and so on.

    `hidden` are names that are no tables of the database, such as temporary ones; those of WITH are left out anyway.
    """
    if kind_of(tree) in _DEEDS or kind_of(tree) in _READING:
        yield from _walk(tree, hidden)


def temporary(tree: Any) -> str | None:
    """Return the name of the temporary table that a statement makes, if it makes one."""
    match kind_of(tree):
        case "CreateStmt" if tree.relation.relpersistence == "t":
            return str(tree.relation.relname)
        case "CreateTableAsStmt" if tree.into.rel.relpersistence == "t":
            return str(tree.into.rel.relname)
        case "SelectStmt" if (into := into_of(tree)) is not None and into.rel.relpersistence == "t":
            return str(into.rel.relname)
        case _:
            return None


def made(tree: Any) -> str | None:
    """Say what a statement makes besides tables, as `index idx_users_email`; None if it makes nothing else."""
    kind = kind_of(tree)
    match kind:
        case "CreateTableAsStmt":
            is_view = enum_name(tree, "objtype") == "OBJECT_MATVIEW"
            return f"materialized view {_dotted(tree.into.rel)}" if is_view else None
        case "CreateForeignTableStmt":
            return f"foreign table {_dotted(tree.base_stmt.relation)}"
        case "DefineStmt":
            names = [part.string.sval for part in tree.defnames]
            is_operator = enum_name(tree, "kind") == "OBJECT_OPERATOR"
            name = ".".join(names if is_operator else map(quoted, names))
            return f"{kind_words(enum_name(tree, 'kind'))} {name}"
        case "CreateCastStmt":
            return f"cast from {name_of_type(tree.sourcetype)} to {name_of_type(tree.targettype)}"
        case "CreateTransformStmt":
            return f"transform for {name_of_type(tree.type_name)} of language {quoted(tree.lang)}"
        case "CreateUserMappingStmt":
            return f"user mapping of {role_words(tree.user)} on server {quoted(tree.servername)}"
        case _ if kind not in _MADE:
            return None
    word, field = _MADE[kind]
    if kind == "CreateFunctionStmt" and tree.is_procedure:
        word = "procedure"
    value = getattr(tree, field)
    if isinstance(value, str):
        name = quoted(value) if value else ""
    elif _is_repeated(value):
        name = ".".join(quoted(part.string.sval) for part in value)
    else:
        name = _dotted(value)
    return f"{word} {name}" if name else None


def not_looked_into(tree: Any) -> str | None:
    """Say what of a statement is not looked into: what runs as the text of a procedural language, or is too deep."""
    match kind_of(tree):
        case "":
            return "a statement that is nested too deeply"
        case "DoStmt":
            return "a DO block"
        case "CallStmt":
            return "what a CALL does"
        case "CreateFunctionStmt":
            return "the body of a function"
        case _:
            return None


def _walk(message: Any, hidden: frozenset[str]) -> Iterator[tuple[Name, str]]:
    kind = kind_of(message)
    if kind == "RangeVar":
        if message.schemaname or message.relname not in hidden:
            yield (message.schemaname, message.relname), "reads"
        return
    if kind == "AlterTableStmt" and enum_name(message, "objtype") not in _TABLES:
        return
    if "with_clause" in message.DESCRIPTOR.fields_by_name:
        hidden |= {item.common_table_expr.ctename for item in message.with_clause.ctes}
    field, deed = _DEEDS.get(kind, ("", ""))
    for name, done in [*_own(message, kind, field, deed)]:
        if name[0] or name[1] not in hidden:
            yield name, done
    passed = {field, "into", "into_clause", "view", "pktable", "constrrel"}
    if kind == "CreateStmt" and message.HasField("partbound"):
        passed.add("inh_relations")
    if kind in ("MergeStmt", "RenameStmt", "AlterObjectSchemaStmt"):
        passed.add("relation")
    for descriptor, value in message.ListFields():
        if descriptor.name not in passed and descriptor.message_type is not None:
            for item in value if _is_repeated(value) else (value,):
                yield from _walk(item, hidden)


def _own(message: Any, kind: str, field: str, deed: str) -> Iterator[tuple[Name, str]]:
    """Yield what a node does itself, without what is inside it."""
    match kind:
        case "CopyStmt" if not message.is_from:
            deed = "reads"
        case "CreateStmt" if message.HasField("partbound"):
            yield _name(message.relation), deed
            deed = ""
            yield from ((_name(item.range_var), "alters") for item in message.inh_relations)
        case "SelectStmt" if message.HasField("into_clause"):
            yield _name(message.into_clause.rel), "creates"
        case "CreateTableAsStmt" if enum_name(message, "objtype") == "OBJECT_TABLE":
            yield _name(message.into.rel), "creates"
        case "Constraint" if message.HasField("pktable"):
            yield _name(message.pktable), "references"
        case "RenameStmt" | "AlterObjectSchemaStmt":
            part = "rename_type" if kind == "RenameStmt" else "object_type"
            if enum_name(message, part) in _TABLES and message.HasField("relation"):
                yield _name(message.relation), "renames" if kind == "RenameStmt" else "moves"
        case "DropStmt" if enum_name(message, "remove_type") in _TABLES:
            is_table = enum_name(message, "remove_type") == "OBJECT_TABLE"
            for item in message.objects:
                parts = [part.string.sval for part in item.list.items][: None if is_table else -1]
                yield ((parts[-2] if len(parts) > 1 else ""), parts[-1]), "drops" if is_table else "alters"
        case "InsertStmt" if message.on_conflict_clause.target_list:
            yield _name(message.relation), "updates"
        case "MergeStmt":
            for clause in (item.merge_when_clause for item in message.merge_when_clauses):
                what = enum_name(clause, "command_type").removeprefix("CMD_").lower()
                if what != "nothing":
                    yield _name(message.relation), f"{what}s"
    value: Any = getattr(message, field) if field and deed else ()
    for relation in value if _is_repeated(value) else (value,):
        relation = relation if kind_of(relation) == "RangeVar" else node_of(relation)
        if relation.relname:
            yield _name(relation), deed


def _is_repeated(value: Any) -> bool:
    return not hasattr(value, "DESCRIPTOR")


def _name(relation: Any) -> Name:
    return relation.schemaname, relation.relname


def _dotted(relation: Any) -> str:
    return ".".join(quoted(part) for part in _name(relation) if part)
