"""Seed files: which ones an environment has, in which order, and each read and checked."""

from __future__ import annotations

import re
from pathlib import Path

from newel.errors import Location, NewelError
from newel.project.csv_file import Advance, CsvFile, read_csv
from newel.project.environments import Environments
from newel.project.files import SqlFile, read
from newel.project.source import excerpt, locate

SEEDS = "sql/seeds"
"""Where they lie, relative to the project's root, in a folder `base` and one for each environment."""

_ORDER = re.compile(r"\A[0-9]+[_-]")

Seed = SqlFile | CsvFile


def seed_paths(root: Path, environments: Environments, name: str) -> tuple[str, ...]:
    """Return the paths of an environment's seed files in order of work, those of `base` first.

    Raises FileMissing for a listed path that is not there.
    """
    base = root / SEEDS
    found = [
        path.relative_to(base)
        for path in base.rglob("*")
        if path.suffix.lower() in (".sql", ".csv") and not path.is_dir()
    ]
    shown = sorted(path for path in found if not any(part.startswith(".") for part in path.parts))
    return tuple(f"{SEEDS}/{path}" for path in environments.seeds(name, [path.as_posix() for path in shown]))


def read_seed(root: Path, path: str, advance: Advance = lambda _: None) -> Seed:
    """Read and check one seed file.

    Raises FileMissing, and NewelError with the line for what files.read() and read_csv() refuse, and for a
    statement that cannot run in a transaction.
    """
    if path.lower().endswith(".csv"):
        return read_csv(root, path, table_of(path), advance)
    file = read(root, path)
    if not file.transactional:
        outside = next((item.start for item in file.statements() if item.needs_autocommit), None)
        at = file.data.find(b"no-transaction") if outside is None else outside
        raise NewelError(
            "a seed file runs in one transaction, and this cannot",
            where=locate(file.data, at, path),
            excerpt=excerpt(file.data, at),
            cure="Seeds hold rows; what changes the schema belongs in a revision.",
        )
    return file


def table_of(path: str) -> tuple[str, ...]:
    """Return the table that a CSV file's path names: `base/010_users.csv` or `base/user_service/users.csv`.

    Raises NewelError for a file that lies too deep.
    """
    *folders, name = path.removeprefix(f"{SEEDS}/").split("/")
    if len(folders) > 2:
        raise NewelError(
            "the path names no table: below base and an environment's folder, one folder may name the schema",
            where=Location(path),
            cure=f"Put it at  {SEEDS}/base/<schema>/<table>.csv",
        )
    return tuple(_ORDER.sub("", part) for part in (*folders[1:], name[: -len(".csv")]))
