"""Tells of a run as it happens, on a terminal or a pipe, or gathers it all for --json."""

from __future__ import annotations

import os
import shutil
import time
from typing import TYPE_CHECKING, Any

from newel.cli.progress import Lines
from newel.cli.terminal import coloured, count, duration, human_size, print_json
from newel.database.reach import Reached
from newel.migrate.plan import Step
from newel.project.project import Project

if TYPE_CHECKING:
    from newel.migrate.policy.approval import Proposal


class Report:
    """Prints events as they come, or gathers them for --json."""

    def __init__(self, project: Project, reached: Reached, *, as_json: bool) -> None:
        self.project, self.reached, self.as_json = project, reached, as_json
        self.done: list[dict[str, Any]] = []
        self.notices: list[str] = []
        self.started = time.perf_counter()
        self.lines = Lines(quiet=as_json)
        self.width = 0
        self.backup: dict[str, Any] | None = None
        self.losses: tuple[str, ...] = ()

    def begin(self, steps: tuple[Step, ...]) -> None:
        self.width = max((len(step.revision.slug) for step in steps), default=0)
        self.lines.say(f"{self.project.settings.environment}: {self.reached.words}")

    def listen(self, event: Any) -> None:
        from newel.migrate import events

        match event:
            case events.Waiting(holder):
                self.lines.say(f"waiting for another run: {holder}")
            case events.StepStarted(step, number, total):
                self.notices = []
                self.lines.show(f"{self._name(step)}  ... {number} of {total}")
            case events.Resumed(step, number):
                self.lines.say(f"{step.revision.id} goes on behind statement {number}, where it had stopped")
            case events.StatementDone(step, number):
                self.lines.show(f"{self._name(step)}  ... statement {number} done")
            case events.StoredSql(step, sql):
                self.lines.say(f"{step.revision.id} is not in this checkout; the journal keeps its down SQL:")
                for line in sql.rstrip().splitlines():
                    self.lines.say(f"    {line}")
            case events.Blocked(blockers):
                for blocker in blockers:
                    self.lines.say(f"        waits for {blocker}")
            case events.Retrying(step, reason, attempt, pause):
                self.lines.say(f"{self._name(step)}  {reason}")
                self.lines.say(f"        attempt {attempt}; again in {duration(pause)}")
            case events.Warned(text):
                self.lines.say(f"{coloured('warning:', 'yellow')} {text}")
            case events.Losing(losses):
                self.losses = losses
                self.lines.say("The rollback loses:")
                for loss in losses:
                    self.lines.say(f"  {loss}")
            case events.BackedUp(path, size, restore):
                self.backup = {"path": path, "bytes": size, "restore": restore}
                self.lines.say(f"Backup: {path}, {human_size(size)}. To restore it:\n  {restore}")
            case events.TakingBack():
                self.lines.say("The run has failed. Taking back what it had applied:")
            case events.Noticed(text):
                self.notices.append(text)
            case events.StepFinished(step, seconds):
                self._finished(step, seconds)

    def ask(self, proposal: Proposal) -> bool:
        """Show what is to be approved and have a person type yes."""
        print(f"{proposal.environment} asks for approval. {proposal.headline}:", *proposal.lines(), sep="\n")
        return input("Type yes to approve it: ").strip() == "yes"

    def document(self) -> dict[str, Any]:
        """Return what was done, for --json."""
        environment = self.project.settings.environment
        document: dict[str, Any] = {
            "environment": environment,
            "database": self.reached.words,
            "steps": self.done,
        }
        document |= {"backup": self.backup} if self.backup else {}
        return document | ({"losses": self.losses} if self.losses else {})

    def summary(self) -> None:
        """Say what was done, once the run is over."""
        environment = self.project.settings.environment
        if self.as_json:
            print_json(self.document())
            return
        if self.done:
            taken = sum(1 for item in self.done if item["direction"] == "down")
            applied = len(self.done) - taken
            words = [f"applied {count(applied, 'revision')}"] if applied else []
            words += [f"rolled back {count(taken, 'revision')}"] if taken else []
            line = f"{' and '.join(words)} in {duration(time.perf_counter() - self.started)}"
            self.lines.say(coloured(line[0].upper() + line[1:], "green"))
        else:
            self.lines.say(f"{environment}: nothing to do, {self.reached.words} is there already")
        if self.reached.embedded and (self.done or self.reached.server_started):
            self.lines.say(
                f'The server stays running; newel server stop ends it. Connect:  {_psql()} "{self.reached.url}"'
            )

    def _finished(self, step: Step, seconds: float) -> None:
        self.done.append(
            {
                "revision": step.revision.id,
                "slug": step.revision.slug,
                "direction": step.direction,
                "seconds": round(seconds, 6),
                "notices": self.notices,
            }
        )
        self.lines.say(f"{self._name(step)}  {duration(seconds):>10}")
        for notice in self.notices:
            for line in notice.splitlines():
                self.lines.say(f"        {line}")

    def _name(self, step: Step) -> str:
        return f"  {step.direction:<4}  {step.revision.id}  {step.revision.slug:<{self.width}}"


def _psql() -> str:
    if shutil.which("psql"):
        return "psql"
    from newel.database.embedded.binaries import find_psql

    return str(find_psql(os.environ) or "psql")
