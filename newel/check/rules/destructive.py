"""destructive: statements of an up file that destroy data or what others depend on.

bad:   DELETE FROM app.orders;
good:  DELETE FROM app.orders WHERE cancelled_at < '2020-01-01';
"""

from __future__ import annotations

from typing import Any

from newel.project.parser import enum_name, kind_of, node_of

RULE = "destructive"
HINT = "If it is meant, say why at the top of the file:  -- newel: allow destructive: <reason>"

_LOSES_DATA = {
    "OBJECT_TABLE": "table",
    "OBJECT_SCHEMA": "schema",
    "OBJECT_MATVIEW": "materialized view",
    "OBJECT_SEQUENCE": "sequence",
    "OBJECT_TYPE": "type",
    "OBJECT_DOMAIN": "domain",
    "OBJECT_VIEW": "view",
    "OBJECT_FUNCTION": "function",
    "OBJECT_EXTENSION": "extension",
    "OBJECT_FOREIGN_TABLE": "foreign table",
}


def destructive(tree: Any) -> list[str]:
    """Say in words what a statement destroys; an empty list for one that destroys nothing.

    Dropping an index or a constraint is none: it can be built again from what is there. A DELETE or UPDATE
    inside WITH counts like one outside.
    """
    found = _statement(tree)
    if "with_clause" in tree.DESCRIPTOR.fields_by_name:
        for item in tree.with_clause.ctes:
            found += destructive(node_of(item.common_table_expr.ctequery))
    return found


def _statement(tree: Any) -> list[str]:
    match kind_of(tree):
        case "DropStmt":
            return _drop(tree)
        case "DropdbStmt":
            return [f"drops database {tree.dbname}"]
        case "TruncateStmt":
            names = ", ".join(_name(item.range_var) for item in tree.relations)
            return [f"empties {names}"]
        case "DeleteStmt" if not tree.HasField("where_clause"):
            return [f"deletes every row of {_name(tree.relation)}"]
        case "UpdateStmt" if not tree.HasField("where_clause"):
            return [f"changes every row of {_name(tree.relation)}"]
        case "AlterTableStmt":
            return _alter(tree)
        case "DropOwnedStmt":
            return ["drops everything a role owns"]
        case _:
            return []


def _drop(tree: Any) -> list[str]:
    kind = enum_name(tree, "remove_type")
    found = []
    if kind in _LOSES_DATA:
        found.append(f"drops {_LOSES_DATA[kind]} {', '.join(_object_name(item) for item in tree.objects)}")
    if enum_name(tree, "behavior") == "DROP_CASCADE":
        found.append("CASCADE takes along whatever depends on it, known or not")
    return found


def _alter(tree: Any) -> list[str]:
    found = []
    for item in tree.cmds:
        command = item.alter_table_cmd
        if enum_name(command, "subtype") == "AT_DropColumn":
            found.append(f"drops column {_name(tree.relation)}.{command.name}")
        if enum_name(command, "subtype") == "AT_AlterColumnType":
            found.append(
                f"changes the type of {_name(tree.relation)}.{command.name}: values that do not fit are cut or refused"
            )
        if enum_name(command, "behavior") == "DROP_CASCADE":
            found.append("CASCADE takes along whatever depends on it, known or not")
    return found


def _name(relation: Any) -> str:
    return ".".join(part for part in (relation.schemaname, relation.relname) if part)


def _object_name(item: Any) -> str:
    parts = {
        "list": lambda: [part.string.sval for part in item.list.items],
        "string": lambda: [item.string.sval],
        "type_name": lambda: [part.string.sval for part in item.type_name.names],
        "object_with_args": lambda: [part.string.sval for part in item.object_with_args.objname],
    }.get(item.WhichOneof("node"), list)()
    return ".".join(parts)
