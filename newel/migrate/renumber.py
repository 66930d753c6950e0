"""Whether a database lets a revision have another number: not if it is applied, nor below one that is. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from newel.database.journal.state import DatabaseState
from newel.errors import DependencyError
from newel.project.graph import Revision
from newel.project.renumber import Move


def check_move(move: Move, after: Sequence[Revision], state: DatabaseState, database: str) -> None:
    """Refuse to move an applied or half-done revision, or one to where it would never run.

    `after` are the revisions that the database's environment runs once the move is done. Of two with one number, the
    journal tells by the name which is applied. Raises DependencyError.
    """
    pair = move.pair
    slugs = {item.revision: item.slug for item in state.applied} | {
        item.revision: item.slug for item in state.half_done
    }
    applied = pair.number in slugs and (move.twin is None or slugs[pair.number] == pair.slug)
    if applied:
        half = pair.number in {item.revision for item in state.half_done}
        raise DependencyError(
            f"{pair.number}_{slugs[pair.number]} is {'half done' if half else 'applied'} in {database}, "
            "so it keeps its number",
            cure=f"Give the other one a number instead:  newel renumber {move.twin.path}"
            if move.twin
            else "What shall run behind it gets a higher number; to move it nevertheless, take it back first:  newel "
            f"goto REVISION  with the one below {pair.number}",
        )
    if move.number not in {revision.id for revision in after}:
        return  # this environment does not run it
    for revision in after:
        above = revision.id > move.number and pair.folder in (None, revision.branch)
        if above and revision.id in state.applied_ids:
            raise DependencyError(
                f"{move.number} is below {revision.id}_{revision.slug}, which is applied in {database}: "
                "the revision would never run",
                cure=f"Leave the number to newel:  newel renumber {pair.path}",
            )
