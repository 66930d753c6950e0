"""Fixtures of the runs' tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made import MadeProject


@pytest.fixture(params=["alembic", "direct"])
def made(request: pytest.FixtureRequest, tmp_path: Path, project_root: Path) -> MadeProject:
    """A project without revisions; what a test asks of it holds for both ways of running it."""
    return MadeProject(tmp_path / "project", project_root, request.param)


@pytest.fixture
def rows() -> Callable[..., list[Any]]:
    """Query a database: `rows(database, "SELECT ...")`."""

    def query(database: Any, sql: str, *values: Any) -> list[Any]:
        with database.connect().cursor() as cursor:
            cursor.execute(sql, values or None)
            return list(cursor.fetchall()) if cursor.description else []

    return query
