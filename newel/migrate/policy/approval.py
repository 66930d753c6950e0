"""Approval of a run: the exact files are shown, and a person types yes or names them beforehand.

An approval is of files by their checksums. It is asked for before the lock is taken, so that nobody waits for a
person; if another run has changed what is to be done meanwhile, it does not hold.
"""

from __future__ import annotations

import getpass
import re
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from newel.errors import NewelError, PermissionDenied
from newel.migrate.execute.stop import interrupted
from newel.migrate.plan import Command, Step
from newel.migrate.planned import Planned
from newel.migrate.policy.checks import destroys
from newel.project.environments import Policy

SHORT = 16
"""How many digits of a checksum are shown, and at least asked for behind `@`: fewer could be made to match."""

_NEWEL: Mapping[Command, str] = {"upgrade": "newel up", "downgrade": "newel down", "goto": "newel goto"}


@dataclass(frozen=True)
class Proposal:
    """What is to be approved: each step with the SHA-256 of the file that it runs. `database` is in words."""

    environment: str
    database: str
    command: Command
    target: str
    files: tuple[tuple[Step, str], ...]

    @property
    def headline(self) -> str:
        """What the run would do, in a sentence without its end."""
        return f"This run brings {self.database} to `{self.target}`"

    def lines(self) -> list[str]:
        """Return the files in words, one line each."""
        return [
            f"  {step.direction:<4}  {step.path}  sha256 {checksum[:SHORT]}" for step, checksum in self.files
        ]


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


def approve(
    proposal: Proposal, given: Sequence[str], settled: Collection[str], ask: Ask | None
) -> dict[str, str]:
    """Return what the journal says of each revision's approval, by its id.

    `given` are approvals such as `000012` or `000012@1a2b3c4d5e6f7081`, several by commas. Those of `settled`
    revisions, which are already as the run would leave them, are passed over, so that the same command can go on
    behind a failure. Without any, `ask` asks a person.

    Raises PermissionDenied if a file is not approved, and NewelError for an approval that names none of them.
    """
    wanted = {step.revision.id: checksum for step, checksum in proposal.files}
    named = read_approvals(given)
    if not named:
        if ask is None:
            raise _not_approved(proposal, list(wanted))
        if not _says_yes(proposal, ask):
            raise PermissionDenied("not approved; nothing was run")
        return {revision: _words("typed yes", checksum) for revision, checksum in wanted.items()}
    for revision, beginning in named:
        if revision not in wanted and revision not in settled:
            raise NewelError(
                f"{revision} is approved, but this run would not run it; nothing was run",
                cure="\n".join(["It would run:", *proposal.lines()]),
            )
        if not wanted.get(revision, beginning).startswith(beginning):
            raise PermissionDenied(
                f"{revision} is approved with the checksum {beginning[:SHORT]}, but its file has "
                f"{wanted[revision][:SHORT]}: it is another file than the one that was approved; nothing was run",
            )
    missing = [revision for revision in wanted if revision not in dict(named)]
    if missing:
        raise _not_approved(proposal, missing)
    return {revision: _words("named beforehand", checksum) for revision, checksum in wanted.items()}


def _says_yes(proposal: Proposal, ask: Ask) -> bool:
    try:
        return ask(proposal)
    except EOFError:
        return False
    except KeyboardInterrupt as stop:
        raise interrupted(stop, "nothing was run") from stop


def read_approvals(given: Sequence[str]) -> list[tuple[str, str]]:
    """Return the revision and the beginning of the checksum of each approval; raises NewelError for what is none."""
    return [item for text in given for item in _parse(text)]


def _parse(given: str) -> Iterator[tuple[str, str]]:
    for text in re.findall(r"[^\s,]+", given):
        match = re.fullmatch(rf"([0-9]{{1,6}})(?:@([0-9a-fA-F]{{{SHORT},64}}))?", text, re.ASCII)
        if match is None:
            raise NewelError(
                f"`{text}` is no approval; nothing was run",
                cure=f"It reads 000012, or 000012@ and the first {SHORT} digits or more of the file's SHA-256.",
            )
        yield f"{int(match[1]):06}", (match[2] or "").lower()


def _words(how: str, checksum: str) -> str:
    return f"{how}, by {_user()}, sha256 {checksum}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user id without a name, as in a container
        return "an unnamed user"


def _not_approved(proposal: Proposal, missing: Sequence[str]) -> PermissionDenied:
    value = ",".join(f"{step.revision.id}@{checksum[:SHORT]}" for step, checksum in proposal.files)
    target, environment = shlex.quote(proposal.target), proposal.environment
    lines = [
        f"{proposal.headline}:",
        *proposal.lines(),
        "Nothing was run. Read them, and approve exactly these:",
        f"  {_NEWEL[proposal.command]} {target} --env {environment} --approve {value}",
    ]
    if proposal.command != "goto":
        lines.append(f"  MIGRATION_ENV={environment} alembic -x approve={value} {proposal.command} {target}")
    return PermissionDenied(
        f"{environment} asks for approval, and nobody has approved {', '.join(missing)}",
        cure="\n".join(lines),
    )
