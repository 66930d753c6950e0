"""What a failed run may take back of what it had applied: `auto_rollback_on_failure` of the policy."""

from __future__ import annotations

from collections.abc import Sequence

from newel.database.journal.state import DatabaseState
from newel.migrate.plan import Step
from newel.migrate.planned import Planned


def to_take_back(planned: Planned, done: Sequence[Step], state: DatabaseState) -> tuple[Planned, str]:
    """Return the rollbacks of what was applied, the last first, and why the rest stays, if any does.

    No down file is run that says it is lossy or irreversible, nor one below it, nor one below a half-done revision.
    """
    if state.half_done:
        half_done = ", ".join(item.revision for item in state.half_done)
        return Planned((), {}), f"{half_done} is half done, so what it stands on stays"
    steps: list[Step] = []
    kept = ""
    for step in reversed(done):
        if step.direction == "down":
            break
        says = planned.records[step.revision.id].down.directives
        if says.irreversible or says.lossy:
            word = "irreversible" if says.irreversible else "lossy"
            kept = f"{step.revision.id} stays, with what was applied before it: its down file is {word}"
            break
        steps.append(Step(step.revision, "down"))
    return Planned(tuple(steps), planned.records), kept
