"""`newel counts`: rows and sizes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import groupby

from newel.cli.opened import opened
from newel.cli.terminal import count, human_size, print_json, print_wrapped, rows_in_words, screen_width
from newel.cli.text import visible, wrap
from newel.database.relations.count import Counted, count_tables
from newel.database.relations.read import looking, read_relations, total
from newel.project.project import Project

_SIZES = ("bytes", "table_bytes", "index_bytes")


def counts(project: Project, args: argparse.Namespace) -> None:
    """Show the rows and the size of each table, the largest first."""
    with opened(project) as database:
        with looking(database.connection, "cannot read the tables") as cursor:
            relations = read_relations(cursor)
        found = count_tables(database.connection, relations)
    shown = [item for item in found if item.relation.partition_of is None]
    rows = total([item.rows for item in shown])
    exact = all(item.exact for item in shown)
    sizes = [sum(sizes) for sizes in zip(*(_sizes(item) for item in shown), strict=True)] or [0, 0, 0]
    if args.json:
        in_all = {"tables": len(shown), "rows": rows, "exact": exact, **dict(zip(_SIZES, sizes, strict=True))}
        print_json({**database.head, "tables": [_count_document(item) for item in found], "total": in_all})
        return
    print(database.words)
    if not shown:
        print("There are no tables.")
        return
    print_wrapped(
        ("table", "rows", "size", "table size", "index size"),
        [
            *(
                (
                    item.relation.identity,
                    rows_in_words(item.rows, exact=item.exact),
                    *map(human_size, _sizes(item)),
                )
                for item in shown
            ),
            (count(len(shown), "table"), rows_in_words(rows, exact=exact), *map(human_size, sizes)),
        ],
    )
    _print_reasons(shown)


def _sizes(item: Counted) -> tuple[int, int, int]:
    return item.relation.bytes, item.relation.table_bytes, item.relation.index_bytes


def _count_document(item: Counted) -> dict[str, object]:
    relation = item.relation
    return {
        "schema": relation.schema,
        "name": relation.name,
        "kind": relation.kind,
        "partition_of": relation.partition_of,
        "rows": item.rows,
        "exact": item.exact,
        "reason": item.reason,
        **dict(zip(_SIZES, _sizes(item), strict=True)),
    }


def _print_reasons(shown: Sequence[Counted]) -> None:
    """Say why some rows are estimates."""
    for reason, items in groupby(
        sorted((item for item in shown if item.reason), key=lambda item: str(item.reason)),
        key=lambda item: item.reason,
    ):
        names = visible(", ".join(item.relation.identity for item in items))
        print("\n".join(wrap(f"Not counted, since {reason}: {names}", screen_width())))
