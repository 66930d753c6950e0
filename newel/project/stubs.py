"""The Alembic scripts, derived from the names of the SQL files. Nobody edits one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from newel.errors import Location, NewelError
from newel.project.graph import Revision

VERSIONS = "alembic/versions"
_MARK = "Derived by `newel stubs` from the names of the SQL files"
_SCRIPT = '''\
"""{title}

{mark}. Do not edit.
"""

from newel.migrate.script import run_sql

revision = "{id}"
down_revision = {down_revision}
branch_labels = {branch_labels}
depends_on = {depends_on}


def upgrade() -> None:
    run_sql("{up}")


def downgrade() -> None:
    run_sql("{down}")
'''


def script_text(revision: Revision) -> str:
    """Return the text of a revision's Alembic script."""
    is_base_of_branch = revision.branch is not None and revision.down_revision is None
    return _SCRIPT.format(
        title=revision.slug.replace("_", " "),
        mark=_MARK,
        id=revision.id,
        down_revision=_literal(revision.down_revision),
        branch_labels=f'("{revision.branch}",)' if is_base_of_branch else "None",
        depends_on=_literal(revision.depends_on),
        up=revision.up,
        down=revision.down,
    )


def check(root: Path, revisions: Sequence[Revision]) -> list[NewelError]:
    """Compare the scripts on disk with what the SQL files give: missing, different and orphaned ones."""
    problems = []
    for revision in revisions:
        script = root / revision.script
        if not script.is_file():
            what = f"its Alembic script {revision.script} is missing"
            problems.append(NewelError(what, where=Location(revision.up), cure="newel stubs"))
        elif script.read_text(encoding="utf-8", errors="replace") != script_text(revision):
            what = f"differs from what {revision.up} gives; a script is derived, its SQL file is the truth"
            problems.append(NewelError(what, where=_first_difference(root, revision), cure="newel stubs"))
    for path in _orphans(root, revisions):
        derived = _MARK in (root / path).read_text(encoding="utf-8", errors="replace")
        cure = "newel stubs" if derived else f"Write its SQL files, or remove it:  git rm {path}"
        problems.append(NewelError("a script without its pair of SQL files", where=Location(path), cure=cure))
    return problems


def write(root: Path, revisions: Sequence[Revision]) -> tuple[list[str], list[str]]:
    """Write each script that is missing or differs, remove derived ones without SQL files.

    Returns the paths written and the paths removed. A script that newel did not derive is left alone.
    """
    written, removed = [], []
    for revision in revisions:
        script = root / revision.script
        text = script_text(revision)
        if not script.is_file() or script.read_text(encoding="utf-8", errors="replace") != text:
            script.parent.mkdir(parents=True, exist_ok=True)
            script.write_text(text, encoding="utf-8")
            written.append(revision.script)
    for path in _orphans(root, revisions):
        if _MARK in (root / path).read_text(encoding="utf-8", errors="replace"):
            (root / path).unlink()
            removed.append(path)
    return written, removed


def _orphans(root: Path, revisions: Sequence[Revision]) -> Iterator[str]:
    known = {revision.script for revision in revisions}
    for script in sorted((root / VERSIONS).rglob("*.py")):
        path = script.relative_to(root).as_posix()
        if path not in known:
            yield path


def _first_difference(root: Path, revision: Revision) -> Location:
    found = (root / revision.script).read_text(encoding="utf-8", errors="replace").splitlines()
    wanted = script_text(revision).splitlines()
    same = next(
        (number for number, pair in enumerate(zip(found, wanted, strict=False)) if pair[0] != pair[1]),
        min(len(found), len(wanted)),
    )
    return Location(revision.script, same + 1)


def _literal(value: str | None) -> str:
    return "None" if value is None else f'"{value}"'
