"""The graph of revisions as a Mermaid flowchart: https://mermaid.js.org/syntax/flowchart.html"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from newel.project.graph import Revision


def revision_flowchart(revisions: Sequence[Revision]) -> str:
    """Return the revisions, a box for each branch; arrows lead to what comes after, dotted ones to what depends."""
    lines = ["flowchart TD"]
    by_branch = groupby(
        sorted(revisions, key=lambda item: (item.branch or "", item.id)), lambda item: item.branch
    )
    for number, (branch, items) in enumerate(by_branch):
        lines.append(f'    subgraph branch_{number}["{branch or "mainline"}"]')
        lines += [f'        r{item.id}["{item.id} {item.slug}"]' for item in items]
        lines.append("    end")
    for item in revisions:
        if item.down_revision:
            lines.append(f"    r{item.down_revision} --> r{item.id}")
        if item.depends_on:
            lines.append(f"    r{item.depends_on} -.-> r{item.id}")
    return "\n".join(lines)
