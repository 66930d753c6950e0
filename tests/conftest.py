"""The whole suite takes its server and databases from newel.testing, as a user's project does."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from project_copy import ProjectCopy, copy_project

pytest_plugins = ["newel.testing"]

# A shell lets a background job, and all it starts, ignore Ctrl-C; the tests of Ctrl-C need it.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def project_copy(tmp_path: Path, project_root: Path) -> Iterator[ProjectCopy]:
    """A copy of this project; its server is stopped when the test ends."""
    copy = copy_project(project_root, tmp_path)
    yield copy
    copy.make("db-stop")
