"""Every revision of each environment: up, down and up, with the catalogs compared."""

from __future__ import annotations

import pytest

from newel.check.stairway import climb
from newel.project.project import load_project


@pytest.mark.parametrize("environment", ["development", "staging", "production"])
def test_every_down_file_restores_the_catalog(new_database, project_root, environment):
    database = new_database(environment=environment)
    project = load_project(project_root, {}, environment)
    runs = database.connect()
    runs.autocommit = False
    results = list(climb(project, runs, database.connect()))
    assert [str(item) for item in results if item.outcome != "holds"] == []
    assert len(results) == len(project.environment_revisions)
