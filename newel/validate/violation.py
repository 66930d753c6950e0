"""What a check finds: rule, place, message, and a hint with the way out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from newel.errors import Location, NewelError


@dataclass(frozen=True)
class Violation:
    """One finding. An error makes validation fail with its exit code, a warning is for the reviewer."""

    rule: str
    where: Location
    message: str
    hint: str | None = None
    severity: Literal["error", "warning"] = "error"
    excerpt: str | None = None
    exit_code: int = 1

    def as_dict(self) -> dict[str, Any]:
        """The finding for --json."""
        return {
            "rule": self.rule,
            "severity": self.severity,
            "file": self.where.path,
            "line": self.where.line,
            "column": self.where.column,
            "message": self.message,
            "hint": self.hint,
        }


def from_error(rule: str, error: NewelError, fallback: str) -> Violation:
    """Turn what reading the project raised into a finding; `fallback` is the file if the error names none."""
    return Violation(
        rule,
        error.where or Location(fallback),
        error.what,
        error.cure,
        excerpt=error.excerpt,
        exit_code=error.exit_code,
    )
