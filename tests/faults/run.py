"""Inject every fault into every scenario, and print what came of it: `make test-faults`.

python tests/faults/run.py [--places N] [--workers N] [--only WORDS] [--fault NAME] [--json FILE] [--markdown FILE]
"""

from __future__ import annotations

import argparse
import atexit
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from breakable import BreakableServer, breakable_server
from faults import FAULTS
from injection import Injection, forget, inject, prepare
from places import chosen
from scenarios import Scenario, make_projects, scenarios

_server: BreakableServer
_roots: dict[str, Path]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print the table, and return 1 if anything did not converge."""
    parser = argparse.ArgumentParser(description="Inject faults into runs of newel.")
    parser.add_argument(
        "--places", type=int, default=2, metavar="N", help="boundaries, and insides, a scenario and fault"
    )
    parser.add_argument("--workers", type=int, default=(os.cpu_count() or 1) + 1, metavar="N")
    parser.add_argument("--only", default="", metavar="WORDS", help="scenarios whose name holds these words")
    parser.add_argument("--fault", choices=FAULTS, action="append", help="this fault only; may be repeated")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every injection")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table")
    args = parser.parse_args(arguments)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="newel-") as folder:
        roots = make_projects(Path(folder))
        tasks = [
            (item, tuple(args.fault or FAULTS), args.places)
            for item in scenarios(roots)
            if args.only in item.name
        ]
        done: list[Injection] = []
        with multiprocessing.Pool(args.workers, _begin, (roots,)) as pool:
            for number, results in enumerate(pool.imap_unordered(_work, tasks), 1):
                done += results
                report(results, f"{number}/{len(tasks)}")
    words = f"{len(done)} injections in {time.monotonic() - began:.0f} s"
    if args.json:
        args.json.write_text(
            json.dumps([asdict(item) | {"converged": item.converged} for item in done], indent=1)
        )
    text = f"{table(done)}\n\n{words}"
    if args.markdown:
        args.markdown.write_text(f"{text}\n")
    print(f"\n{text}")
    return 0 if done and all(item.converged for item in done) else 1


def report(results: list[Injection], progress: str) -> None:
    """Print a line for a scenario, and all about those injections that did not converge."""
    failed = [item for item in results if not item.converged]
    words = f", {len(failed)} did not converge" if failed else ""
    print(f"{progress}  {results[0].scenario}: {len(results)} injections{words}", flush=True)
    for item in failed:
        print(f"  {item.fault} {item.place.at} message {item.place.message} ({item.statement})")
        for line in item.wrong:
            print("    " + line.replace("\n", "\n    "), flush=True)


def table(done: Sequence[Injection]) -> str:
    """The outcome as a Markdown table, one row a fault."""
    lines = [
        "| fault | how it is made | injections | felt by the run | converged | manual repairs |",
        "|---|---|---|---|---|---|",
    ]
    rows = [
        (name, fault.made, [item for item in done if item.fault == name]) for name, fault in FAULTS.items()
    ]
    for name, made, items in [*rows, ("all", "", list(done))]:
        felt, well = sum(item.felt for item in items), sum(item.converged for item in items)
        lines.append(f"| {name} | {made} | {len(items)} | {felt} | {well} | {len(items) - well} |")
    return "\n".join(lines)


def _begin(roots: dict[str, Path]) -> None:
    global _server, _roots
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a shell's background job ignores it, and so do its children
    stack = ExitStack()
    _server, _roots = stack.enter_context(breakable_server()), roots
    atexit.register(stack.close)


def _work(task: tuple[Scenario, tuple[str, ...], int]) -> list[Injection]:
    scenario, faults, count = task
    prepared = prepare(_server, _roots, scenario)
    done = []
    for fault in faults:
        for place in chosen(prepared.messages, fault, count):
            try:
                done.append(inject(_server, prepared, fault, place))
            except Exception:
                text = traceback.format_exc()
                done.append(Injection(scenario.name, fault, place, "", False, 0, 0.0, (text,)))
    forget(_server, prepared)
    return done


if __name__ == "__main__":
    raise SystemExit(main())
