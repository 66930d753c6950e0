"""The root error and its few kinds. Each kind has the exit code that the command line ends with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Location:
    """A place in a file: path as the user would type it, line and column counted from 1 in characters."""

    path: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return ":".join(str(part) for part in (self.path, self.line, self.column) if part is not None)


class NewelError(Exception):
    """Something the user can mend. `what` happened, `where`, an `excerpt` of the source, and the `cure`."""

    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        what: str,
        *,
        where: Location | None = None,
        excerpt: str | None = None,
        cure: str | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.excerpt = excerpt
        self.cure = cure

    def __str__(self) -> str:
        first = f"{self.where}: {self.what}" if self.where else self.what
        return "\n".join(part for part in (first, self.excerpt, self.cure) if part)


class FileMissing(NewelError):
    """A file that has to be there is not."""

    exit_code = 2


class ConnectionFailed(NewelError):
    """The server cannot be reached, or refuses the login, or lacks the database."""

    exit_code = 3


class PermissionDenied(NewelError):
    """The server, or the file system, does not allow what was asked."""

    exit_code = 4


class Interrupted(NewelError):
    """The user stopped the run (Ctrl-C); 130 is what a shell makes of SIGINT."""

    exit_code = 130


class Terminated(Interrupted):
    """The run was asked to end by SIGTERM; 143 is what a shell makes of that."""

    exit_code = 143


class DependencyError(NewelError):
    """Revisions do not fit together: a number race, a missing revision, a database that knows others."""

    exit_code = 5
