"""Approval of a run: the exact files are shown, and a person types yes or names them beforehand.

An approval is of files by their checksums. It is asked for before the lock is taken, so that nobody waits for a
person; if another run has changed what is to be done meanwhile, it does not hold.
"""

from __future__ import annotations

import getpass
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from newel.database.connection import describe
from newel.errors import NewelError, PermissionDenied
from newel.migrate.plan import Step
from newel.migrate.planned import Planned
from newel.migrate.policy import destroys
from newel.project.environments import Policy

SHORT = 8
"""How many digits of a checksum are shown, and at least asked for behind `@`."""


@dataclass(frozen=True)
class Proposal:
    """What is to be approved: each step with the SHA-256 of the file that it runs."""

    environment: str
    database: str
    target: str
    files: tuple[tuple[Step, str], ...]

    def lines(self) -> list[str]:
        """Return the files in words, one line each."""
        return [
            f"{step.direction:<4}  {step.path}  sha256 {checksum[:SHORT]}" for step, checksum in self.files
        ]

    @property
    def options(self) -> list[str]:
        """What `--approve` has to name."""
        return [f"{step.revision.id}@{checksum[:SHORT]}" for step, checksum in self.files]


Ask = Callable[[Proposal], bool]


def may_be_needed(policy: Policy) -> bool:
    """Say whether a policy can ask for approval."""
    return policy.require_approval or not policy.allow_destructive_operations


def is_needed(policy: Policy, planned: Planned) -> bool:
    """Say whether steps have to be approved: all, or a rollback that destroys where the policy allows no such thing."""
    return policy.require_approval or (
        not policy.allow_destructive_operations
        and any(step.direction == "down" and destroys(planned.file(step)) for step in planned.steps)
    )


def propose(environment: str, params: dict[str, str], target: str, planned: Planned) -> Proposal:
    """Return what is to be approved; `params` are libpq's, of the database."""
    files = tuple((step, planned.file(step).checksum) for step in planned.steps)
    return Proposal(environment, describe(params), target, files)


def approve(proposal: Proposal, given: Sequence[str], ask: Ask | None) -> dict[str, str]:
    """Return what the journal says of each revision's approval, by its id.

    `given` are approvals such as `000012` or `000012@1a2b3c4d`. Without any, `ask` asks a person.

    Raises PermissionDenied if a file is not approved, and NewelError for an approval that names none of them.
    """
    if not given:
        if ask is None:
            raise _not_approved(proposal, [step.revision.id for step, _ in proposal.files])
        if not ask(proposal):
            raise PermissionDenied("not approved; nothing was run")
        return {step.revision.id: _words("typed yes", checksum) for step, checksum in proposal.files}
    named = dict(_parse(text) for text in given)
    wanted = {step.revision.id: checksum for step, checksum in proposal.files}
    for revision, beginning in named.items():
        if revision not in wanted:
            raise NewelError(
                f"{revision} is approved, but this run would not run it",
                cure=f"It would run:\n{_listed(proposal)}",
            )
        if not wanted[revision].startswith(beginning):
            raise PermissionDenied(
                f"{revision} is approved with the checksum {beginning}, but its file has {wanted[revision][:SHORT]}: "
                "it is another file than the one that was approved",
            )
    missing = [revision for revision in wanted if revision not in named]
    if missing:
        raise _not_approved(proposal, missing)
    return {revision: _words("--approve", checksum) for revision, checksum in wanted.items()}


def _parse(text: str) -> tuple[str, str]:
    match = re.fullmatch(rf"0*([0-9]{{1,6}})(?:@([0-9a-fA-F]{{{SHORT},64}}))?", text)
    if match is None:
        raise NewelError(
            f"`{text}` is no approval",
            cure="It reads 000012, or 000012@ and the first eight digits or more of the file's SHA-256.",
        )
    return f"{int(match[1]):06}", (match[2] or "").lower()


def _words(how: str, checksum: str) -> str:
    return f"{how}, by {_user()}, of sha256 {checksum}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user id without a name, as in a container
        return "an unnamed user"


def _not_approved(proposal: Proposal, missing: Sequence[str]) -> PermissionDenied:
    options = " ".join(f"--approve {option}" for option in proposal.options)
    plain = " ".join(f"-x approve={option}" for option in proposal.options)
    return PermissionDenied(
        f"{proposal.environment} asks for approval, and nobody has approved {', '.join(missing)}",
        cure=f"This run would bring {proposal.database} to {proposal.target}:\n{_listed(proposal)}\n"
        f"Read them, then add to the same command:\n  {options}\n"
        f"or, for plain Alembic, in front of the subcommand:\n  {plain}",
    )


def _listed(proposal: Proposal) -> str:
    return "\n".join(f"  {line}" for line in proposal.lines())
