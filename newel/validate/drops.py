"""Every DROP of PostgreSQL in words: what it drops, and under which name."""

from __future__ import annotations

from typing import Any

from newel.project.sql.parser import enum_name, kind_of
from newel.validate.types import quoted, type_words

_REBUILT = ("OBJECT_INDEX", "OBJECT_STATISTIC_EXT")
"""What can be built again from what is there."""

_WORDS = {
    "OBJECT_FDW": "foreign-data wrapper",
    "OBJECT_FOREIGN_SERVER": "server",
    "OBJECT_MATVIEW": "materialized view",
    "OBJECT_OPCLASS": "operator class",
    "OBJECT_OPFAMILY": "operator family",
    "OBJECT_TSCONFIGURATION": "text search configuration",
    "OBJECT_TSDICTIONARY": "text search dictionary",
    "OBJECT_TSPARSER": "text search parser",
    "OBJECT_TSTEMPLATE": "text search template",
}
"""The kinds whose name in the parser is not their name in SQL."""


def drop(tree: Any) -> str | None:
    """Say what a DROP takes away, for example `drops view app.open_orders`.

    None for another statement, and for one that drops indexes or extended statistics.
    """
    match kind_of(tree):
        case "DropStmt":
            kind = enum_name(tree, "remove_type")
            if kind in _REBUILT:
                return None
            return f"drops {kind_words(kind)} {', '.join(_object(kind, item) for item in tree.objects)}"
        case "DropdbStmt":
            return f"drops database {quoted(tree.dbname)}"
        case "DropRoleStmt":
            return f"drops role {', '.join(role_words(item.role_spec) for item in tree.roles)}"
        case "DropTableSpaceStmt":
            return f"drops tablespace {quoted(tree.tablespacename)}"
        case "DropSubscriptionStmt":
            return f"drops subscription {quoted(tree.subname)}"
        case "DropUserMappingStmt":
            return f"drops user mapping of {role_words(tree.user)} on server {quoted(tree.servername)}"
        case "DropOwnedStmt":
            return "drops everything a role owns"
        case _:
            return None


def kind_words(kind: str) -> str:
    """Return a kind of object as SQL calls it: `text search parser` for OBJECT_TSPARSER."""
    return _WORDS.get(kind, kind.removeprefix("OBJECT_").lower().replace("_", " "))


def _object(kind: str, item: Any) -> str:
    match item.WhichOneof("node"):
        case "string":
            return quoted(item.string.sval)
        case "type_name":
            return _dotted(item.type_name.names)
        case "object_with_args":
            names = item.object_with_args.objname
            return (
                ".".join(part.string.sval for part in names) if kind == "OBJECT_OPERATOR" else _dotted(names)
            )
        case _:
            return _listed(kind, item.list.items)


def _listed(kind: str, items: Any) -> str:
    match kind:
        case "OBJECT_CAST":
            return f"from {name_of_type(items[0].type_name)} to {name_of_type(items[1].type_name)}"
        case "OBJECT_TRANSFORM":
            return f"for {name_of_type(items[0].type_name)} of language {_dotted(items[1:])}"
        case "OBJECT_TRIGGER" | "OBJECT_RULE" | "OBJECT_POLICY":
            return f"{_dotted(items[-1:])} on {_dotted(items[:-1])}"
        case "OBJECT_OPCLASS" | "OBJECT_OPFAMILY":
            return f"{_dotted(items[1:])} of {_dotted(items[:1])}"
        case _:
            return _dotted(items)


def name_of_type(type_name: Any) -> str:
    """Return a type's name, with its modifiers where it can be worded as format_type() does."""
    return type_words(type_name) or _dotted(type_name.names)


def _dotted(names: Any) -> str:
    return ".".join(quoted(item.string.sval) for item in names)


def role_words(role: Any) -> str:
    """Return a role's name; CURRENT_USER and its like have none in the tree."""
    return quoted(role.rolename) if role.rolename else enum_name(role, "roletype").removeprefix("ROLESPEC_")
