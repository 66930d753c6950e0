"""Runs commands under a clock and prints figures beside their limits."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median


@dataclass(frozen=True)
class Figure:
    """One line of the table. Without a limit it is there for information."""

    what: str
    value: float
    unit: str
    limit: float | None = None

    @property
    def missed(self) -> bool:
        """Whether the limit is exceeded."""
        return self.limit is not None and self.value > self.limit


def seconds(command: Sequence[str], environ: Mapping[str, str], folder: Path) -> float:
    """Run a command to its end and return the wall time of the whole process. Raises with its output if it fails."""
    start = time.perf_counter()
    done = subprocess.run(command, env=environ, cwd=folder, capture_output=True, text=True, check=False)
    taken = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return taken


def alternate(rounds: int, sides: Sequence[Callable[[], Mapping[str, float]]]) -> dict[str, float]:
    """Let each side measure its named figures once a round, in turn, so that the machine's other work weighs on all.

    Returns the median of each figure.
    """
    taken: dict[str, list[float]] = {}
    for number in range(rounds):
        for side in sides if number % 2 == 0 else reversed(sides):
            for name, value in side().items():
                taken.setdefault(name, []).append(value)
    return {name: median(values) for name, values in taken.items()}


def report(title: str, figures: Sequence[Figure]) -> int:
    """Print the table and return the exit code: 1 if a limit is missed."""
    print(f"{title}  ({os.cpu_count()} CPUs)")
    width = max(len(figure.what) for figure in figures)
    for figure in figures:
        line = f"  {figure.what:<{width}}  {_number(figure.value):>8} {figure.unit:<5}"
        if figure.limit is not None:
            verdict = "MISSED" if figure.missed else "met"
            line += f"  at most {_number(figure.limit):>8} {figure.unit:<5}  {verdict}"
        print(line.rstrip())
    return 1 if any(figure.missed for figure in figures) else 0


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 or value == 0 else f"{value:.2f}"
