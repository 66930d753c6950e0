"""The pages that a reader follows are followed here: their commands run, and print what the pages show."""

from __future__ import annotations

from pathlib import Path

import pytest
from project_copy import ProjectCopy
from walk import alike, blocks, walk


@pytest.mark.long
@pytest.mark.parametrize("page", ["README.md", "docs/tutorial.md"])
def test_a_page_can_be_followed_word_by_word(project_copy: ProjectCopy, project_root: Path, page: str):
    text = (project_root / page).read_text(encoding="utf-8")
    assert walk(text, project_copy.root, project_copy.environ) == []


@pytest.mark.long
@pytest.mark.parametrize("page", ["docs/reference.md", "docs/environments.md"])
def test_the_commands_of_a_page_run_in_an_activated_environment(
    project_copy: ProjectCopy, project_root: Path, page: str
):
    text = (project_root / page).read_text(encoding="utf-8")
    programs = project_copy.root / ".venv" / "bin"
    environ = {**project_copy.environ, "PATH": f"{programs}:{project_copy.environ['PATH']}"}
    assert walk(text, project_copy.root, environ) == []


def test_the_tutorial_writes_the_revisions_that_the_project_has(project_root: Path):
    page = (project_root / "docs" / "tutorial.md").read_text(encoding="utf-8")
    written = {item.path: item.text for item in blocks(page) if item.language == "sql" and item.path}
    assert len(written) == 10
    assert {path: (project_root / path).read_text(encoding="utf-8") for path in written} == written


@pytest.mark.parametrize(
    ("said", "printed", "answer"),
    [
        ("a  12 ms\n", "a 1.3 s\n", True),
        ("a\n...\nz\n", "a\nb\nc\nz\n", True),
        ("a\n...\nz\n", "a\nz\n", True),
        ("a\n...\nz\n", "b\nz\n", False),
        ("2 revisions\n", "3 revisions\n", False),
        ("a\n", "a\nb\n", False),
        ("at 2026-11-22 10:00:00\n", "at 2027-01-01 23:59:59\n", True),
    ],
)
def test_what_is_printed_is_compared_but_for_what_varies(said: str, printed: str, answer: bool):
    assert alike(said, printed) == answer


def test_a_page_that_shows_something_else_is_found(project_copy: ProjectCopy):
    page = "```sh\necho one\n```\n\n```text\ntwo\n```\n\n```sh\ncd sql && false\npwd\n```\n"
    wrong = walk(page, project_copy.root, project_copy.environ)
    assert [item.split("\n")[0] for item in wrong] == ["line 5: the page says", "line 9: ended with 1:"]


def test_a_block_knows_its_file_and_its_mark():
    page = "<!-- ends with 1 -->\n```sh\nfalse\n```\n\n`a/b.sql`:\n\n```sql\nSELECT 1;\n```\n"
    found = [(item.language, item.mark, item.path) for item in blocks(page)]
    assert found == [("sh", "ends with 1", None), ("sql", None, "a/b.sql")]
