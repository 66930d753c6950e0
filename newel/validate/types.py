"""Types of columns: their names as PostgreSQL's format_type() words them, and whether a change narrows."""

from __future__ import annotations

import math
import re
from typing import Any

_SQL_NAMES = {
    "bool": "boolean",
    "bpchar": "character",
    "float4": "real",
    "float8": "double precision",
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "time": "time without time zone",
    "timestamp": "timestamp without time zone",
    "timestamptz": "timestamp with time zone",
    "timetz": "time with time zone",
    "varbit": "bit varying",
    "varchar": "character varying",
}
"""PostgreSQL's names of types, with those of the SQL standard that format_type() prints instead."""

ANY_TEXT = ("text", "character varying")
"""The types that hold any text, so that no value is cut."""

_DIGITS = {"smallint": 5, "integer": 10, "bigint": 19}
_EXACT = {
    ("cidr", "inet"),
    ("integer", "double precision"),
    ("real", "double precision"),
    ("smallint", "double precision"),
    ("smallint", "real"),
}
_WIDER = {
    "bit": ("bit varying",),
    "bit varying": ("bit varying",),
    "character": ("character", "bpchar", "character varying"),
    "character varying": ("character varying",),
    "interval": ("interval",),
    "time with time zone": ("time with time zone",),
    "time without time zone": ("time without time zone",),
    "timestamp with time zone": ("timestamp with time zone",),
    "timestamp without time zone": ("timestamp without time zone",),
}
"""Types with a length or precision, and those that take their values if theirs is not smaller."""

_WORDING = re.compile(r"([a-z]\w*(?: [a-z]+)*?)(?:\((-?\d+(?:,-?\d+)*)\))?((?: with| without) time zone)?")
_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*")


def quoted(name: str) -> str:
    """Return an identifier as SQL needs it written, in quotes where it is not all lower case."""
    return name if _PLAIN.fullmatch(name) else '"' + name.replace('"', '""') + '"'


def type_words(type_name: Any) -> str | None:
    """Return a parse tree's TypeName as format_type() words it, with schema if the statement has one.

    None for a type whose modifier only the server can word: an interval of certain fields, or a type of an
    extension such as `geometry(Point)`.
    """
    names = [part.string.sval for part in type_name.names]
    if len(names) > 1 and names[0] == "pg_catalog":
        names = names[1:]
    name = ".".join(quoted(part) for part in names)
    if name == "char":
        name = '"char"'  # the one-byte type; char without quotes is parsed as bpchar with a length
    elif name != "bpchar" or type_name.typmods:
        name = _SQL_NAMES.get(name, name)
    modifiers = [_integer(item) for item in type_name.typmods]
    if name == "numeric" and len(modifiers) == 1:
        modifiers.append(0)
    if modifiers:
        if None in modifiers or (name not in _WIDER and name != "numeric") or name == "interval":
            return None
        base, *zone = re.split(r"(?= with)", name, maxsplit=1)
        name = f"{base}({','.join(map(str, modifiers))}){''.join(zone)}"
    return name + "[]" if type_name.array_bounds else name


def narrows(old: str, new: str) -> bool:
    """Say whether values of type `old` may be cut, changed or refused by type `new`.

    Both are worded as format_type() does. True for whatever is not known to keep every value, such as types
    of extensions. Padding is no value: `character(5)` to `text` keeps all there is.
    """
    if old == new:
        return False
    if old.endswith("[]") and new.endswith("[]"):
        return narrows(old[:-2], new[:-2])
    if new in ANY_TEXT:
        return False
    (old_name, old_sizes), (new_name, new_sizes) = _read(old), _read(new)
    if new_name == "numeric":
        if not new_sizes:
            return old_name != "numeric" and old_name not in _DIGITS
        kept = old_sizes if old_name == "numeric" else (_DIGITS.get(old_name, math.inf), 0)
        return not kept or not _holds(new_sizes, kept)
    if old_name in _DIGITS and new_name in _DIGITS:
        return _DIGITS[new_name] < _DIGITS[old_name]
    if new_name in _WIDER.get(old_name, ()):
        return _limit(new_name, new_sizes) < _limit(old_name, old_sizes)
    return (old, new) not in _EXACT


def _integer(node: Any) -> int | None:
    constant = node.a_const
    return int(constant.ival.ival) if constant.WhichOneof("val") == "ival" else None


def _read(words: str) -> tuple[str, tuple[int, ...]]:
    """Take name and modifiers apart; the name is empty for a wording that is not understood.

    `character` and `bit` alone are not: in SQL their length is 1, while format_type() without a modifier
    means any length.
    """
    match = _WORDING.fullmatch(words)
    if match is None or words in ("character", "bit"):
        return "", ()
    name, sizes = match[1] + (match[3] or ""), [int(size) for size in (match[2] or "").split(",") if size]
    if name == "numeric" and len(sizes) == 1:
        sizes.append(0)
    return name, tuple(sizes)


def _limit(name: str, sizes: tuple[int, ...]) -> float:
    """Return the greatest length or precision: without one, times have microseconds and strings no end."""
    return sizes[0] if sizes else 6 if name.startswith(("time", "interval")) else math.inf


def _holds(new: tuple[float, ...], old: tuple[float, ...]) -> bool:
    """Say whether numeric(new) has at least the digits of numeric(old) on both sides of the point."""
    (new_precision, new_scale), (old_precision, old_scale) = new, old
    return new_scale >= old_scale and new_precision - new_scale >= old_precision - old_scale
