"""Tables as a Mermaid entity-relationship diagram: https://mermaid.js.org/syntax/entityRelationshipDiagram.html"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, count

from newel.database.connection import quote_identifier
from newel.database.relations.model import Column, ForeignKey, Relation, Table, folded, short_type

_WORDS = (
    *("acctitle", "accdescr", "class", "classdef", "direction", "end", "erdiagram", "style", "subgraph"),
    *("many", "o", "one", "only", "optionally", "title", "to", "u", "zero"),
)
"""What an entity cannot be called without quotes: the diagram's own words, in either case."""
_UNSEEN = "\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069"
"""Control and bidi characters and line separators, for a class of a regular expression."""
_KEY = re.compile(r"[PFU]K(?!\w)", re.IGNORECASE | re.ASCII)
_VIEWS = ("view", "materialized view")

Names = Mapping[tuple[str, str], str]
"""The entity of each table, by schema and name; a partition's is that of the whole."""


def er_diagram(tables: Sequence[Table]) -> str:
    """Return tables with their columns, keys and relations; partitions and views are left out.

    Names that Mermaid cannot take are changed to the nearest that it can; a column's own name stands in its comment
    then. With one schema, its name is left out.
    """
    names = _names([table.relation for table in tables if table.relation.kind not in _VIEWS])
    shown = [table for table in folded(tables) if table.relation.kind not in _VIEWS]
    lines = ["erDiagram", *(line for table in shown for line in _entity(table, names))]
    lines += [
        f"    {_relation(table, key, names)}"
        for table in shown
        for key in table.foreign_keys
        if (key.references_schema, key.references_table) in names
    ]
    return "\n".join(lines)


def _names(relations: Sequence[Relation]) -> Names:
    one_schema = len({relation.schema for relation in relations}) == 1
    names: dict[tuple[str, str], str] = {}
    of: dict[str, str] = {}
    taken: set[str] = set()
    for relation in relations:
        if relation.partition_of is None:
            own = relation.name if one_schema else f"{relation.schema}.{relation.name}"
            name = _free(_entity_name(own), taken)
            is_word = re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) and name.lower() not in _WORDS
            of[relation.identity] = name if is_word else f'"{name}"'
    above = {relation.identity: relation.partition_of for relation in relations}
    for relation in relations:
        whole = relation.identity
        while parent := above.get(whole):
            whole = parent
        if whole in of:
            names[relation.schema, relation.name] = of[whole]
    return names


def _entity(table: Table, names: Names) -> Iterator[str]:
    primary = {name for item in table.constraints if item.kind == "primary key" for name in item.columns}
    foreign = {name for key in table.foreign_keys for name in key.columns}
    unique = {columns[0] for columns in _unique(table) if len(columns) == 1}
    yield f"    {names[table.relation.schema, table.relation.name]} {{"
    taken: set[str] = set()
    for column in table.columns:
        name = _free(_word(column.name), taken)
        keys = ", ".join(
            key
            for key, which in (("PK", primary), ("FK", foreign), ("UK", unique - primary))
            if column.name in which
        )
        comment = _comment(column, name)
        yield " ".join(
            part for part in (f"        {_word(short_type(column.type))} {name}", keys, comment) if part
        )
    yield "    }"


def _relation(table: Table, key: ForeignKey, names: Names) -> str:
    """One row of the other table belongs to each of these, or to none if a column may be null; a unique key has one
    row here at most."""
    nullable = any(column.nullable for column in table.columns if column.name in key.columns)
    one = any(set(columns) <= set(key.columns) for columns in _unique(table))
    there = names[key.references_schema, key.references_table]
    here = names[key.schema, key.table]
    label = ", ".join(map(_word, key.columns))
    return f'{there} {"|o" if nullable else "||"}--{"o|" if one else "o{"} {here} : "{label}"'


def _unique(table: Table) -> Iterator[tuple[str, ...]]:
    """Give the columns of each primary key, and of each unique constraint or index without a condition."""
    names = {
        name: column.name for column in table.columns for name in (column.name, quote_identifier(column.name))
    }
    yield from (item.columns for item in table.constraints if item.kind in ("primary key", "unique"))
    for index in table.indexes:
        if index.unique and index.valid and index.predicate is None and names.keys() >= set(index.columns):
            yield tuple(names[column] for column in index.columns)


def _word(name: str) -> str:
    """Return a name as Mermaid's attributes can have it: letters, digits, and few signs; PK, FK and UK are its own."""
    word = re.sub(r"[^\w\[\]()-]|[\u0080-\u00bf]", "_", name)
    return f"_{word}" if re.match(r"[^\W\d_]|_", word) is None or _KEY.match(word) else word


def _entity_name(name: str) -> str:
    """Return a name as Mermaid takes it in quotes, where a line with `direction TB` would be a command."""
    name = re.sub(rf"[%\\{_UNSEEN}]", "_", name.replace('"', "'"))
    return _untagged(re.sub(r"(direction)\s+(?=TB|BT|RL|LR)", r"\1_", name, flags=re.IGNORECASE))


def _comment(column: Column, name: str) -> str:
    """Return the comment in quotes, behind the column's own name if it was changed; a pair of ~ would be a type."""
    words = [column.name] if column.name != name else []
    text = ": ".join([*words, column.comment] if column.comment else words)
    text = re.sub(rf"[{_UNSEEN}\s]+", " ", text.replace('"', "'").replace("~", "-"))
    text = re.sub("%(?=%)", "% ", text)  # two would begin a directive
    return f'"{_untagged(text.strip())}"' if text.strip() else ""


def _untagged(text: str) -> str:
    """Write < as Mermaid's code for it: what looks like a tag of HTML is changed before anything is parsed."""
    return text.replace("<", "#lt;")


def _free(name: str, taken: set[str]) -> str:
    """Return the name, with a number behind it if it is taken, and take it. Case makes no difference."""
    free = next(
        item for item in chain([name], (f"{name}_{n}" for n in count(2))) if item.lower() not in taken
    )
    taken.add(free.lower())
    return free
