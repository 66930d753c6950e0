"""pytest-alembic's own tests, for each environment with its script folders alone.

There is no model test, as there are no models. A development project has two branches and so two heads;
the mainline has one.
"""

from __future__ import annotations

from collections import Counter

import pytest
from pytest_alembic import tests
from pytest_alembic.config import Config
from pytest_alembic.runner import MigrationContext

from newel.project.project import load_project
from newel.testing import alembic_config_for

ENVIRONMENTS = ("development", "staging", "production")


@pytest.fixture(params=ENVIRONMENTS)
def environment(request):
    return request.param


@pytest.fixture
def alembic_config(project_root, environment):
    return Config(alembic_config=alembic_config_for(project_root, environment))


@pytest.fixture
def alembic_engine(new_database, environment):
    return new_database(environment=environment).engine()


def test_every_environment_upgrades_from_base_to_its_heads(alembic_runner: MigrationContext):
    tests.test_upgrade(alembic_runner)


def test_every_environment_goes_up_and_down_revision_by_revision(alembic_runner: MigrationContext):
    tests.test_up_down_consistency(alembic_runner)


@pytest.mark.parametrize("environment", ["staging", "production"], indirect=True)
def test_the_mainline_has_a_single_head(alembic_runner: MigrationContext):
    tests.test_single_head_revision(alembic_runner)


def test_every_branch_has_one_head(alembic_runner: MigrationContext, project_root, environment):
    revisions = {item.id: item for item in load_project(project_root, {}, environment).revisions}
    heads_of_branch = Counter(revisions[head].branch for head in alembic_runner.heads)
    branches = {item.branch for item in load_project(project_root, {}, environment).environment_revisions}
    assert heads_of_branch == dict.fromkeys(branches, 1)
