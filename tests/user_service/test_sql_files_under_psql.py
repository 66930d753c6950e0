"""Every SQL file also runs under psql -f."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from newel.testing import Database

MIGRATIONS = Path(__file__).parents[2] / "sql" / "migrations"


def runs_in_a_transaction(path: Path) -> bool:
    code = [line for line in path.read_text().splitlines() if not line.startswith("--")]
    return not any("CONCURRENTLY" in line for line in code)


def psql(database: Database, path: Path, *options: str) -> None:
    done = subprocess.run(
        [
            str(database.psql),
            "-X",
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            *options,
            "-d",
            database.url,
            "-f",
            str(path),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def schema_exists(database: Database) -> bool:
    cursor = database.connect().cursor()
    cursor.execute("SELECT to_regnamespace('user_service') IS NOT NULL")
    return cursor.fetchone()[0]


@pytest.mark.parametrize("single_transaction", [False, True], ids=["autocommit", "single-transaction"])
def test_psql_runs_every_up_file_and_then_every_down_file(
    database_at: Callable[..., Database], single_transaction: bool
) -> None:
    database = database_at("base")
    if database.psql is None:
        pytest.skip("this server comes without psql")
    ups = sorted(MIGRATIONS.rglob("*.up.sql"), key=lambda path: path.name)
    downs = [path.with_name(path.name.removesuffix(".up.sql") + ".down.sql") for path in reversed(ups)]
    assert len(ups) >= 9
    for path in (*ups, *downs):
        if path == downs[0]:
            assert schema_exists(database)
        in_one = single_transaction and runs_in_a_transaction(path)
        psql(database, path, *(["--single-transaction"] if in_one else []))
    assert not schema_exists(database)
