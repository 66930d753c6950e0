"""Where a fault may strike a run, from the messages of an undisturbed one."""

from __future__ import annotations

import re
from collections.abc import Sequence

from faults import FAULTS
from injection import At, Place
from proxy import Message

_NOT_OF_A_FILE = re.compile(
    r"BEGIN$|COMMIT$|ROLLBACK$|RESET SESSION AUTHORIZATION;|SET (LOCAL|TRANSACTION|CONSTRAINTS|lock_timeout)|"
    r"SELECT (?!pg_sleep|setval|pg_catalog\.set_config)|.*\bnewel\.",
    re.DOTALL,
)
_CONCURRENT = re.compile(r"\bCONCURRENTLY\b")
_MEETS_A_STATEMENT = ("disk full", "lock")
_AS_IT_IS_SENT = (*_MEETS_A_STATEMENT, "SIGINT", "SIGTERM")
"""Faults that leave the message to go on: they strike before it arrives, the others when its answer is on its way."""


def boundaries(messages: Sequence[Message], fault: str) -> list[Place]:
    """Every place between two messages, from where the journal says that a step began until the lock is given up."""
    work = _work(messages)
    if fault in _AS_IT_IS_SENT:
        return [Place(number, "before") for number in work]
    return [Place(work[0], "before"), *(Place(number, "behind") for number in work)]


def insides(messages: Sequence[Message], fault: str) -> list[Place]:
    """Every place inside a statement of a file: while it waits for another session, or half sent.

    A full disk and a lock stand in its way instead.
    """
    found = []
    for number in _work(messages):
        message = messages[number]
        if not is_statement(message):
            continue
        modes: list[At] = (
            ["READER", "WRITER", "SNAPSHOT"] if _CONCURRENT.search(message.text) else ["EXCLUSIVE"]
        )
        if fault in _MEETS_A_STATEMENT:
            found.append(Place(number, "before"))
        elif message.kind == "Q":
            found += [Place(number, mode) for mode in modes]
        if fault in ("SIGKILL", "connection cut", "connection lost"):
            found.append(Place(number, "half"))
    return found


def chosen(messages: Sequence[Message], fault: str, count: int) -> list[Place]:
    """Up to `count` boundaries and as many insides, evenly spread, and other ones for each fault."""
    shift = list(FAULTS).index(fault) / len(FAULTS)
    return [
        *_spread(boundaries(messages, fault), count, shift),
        *_spread(insides(messages, fault), count, shift),
    ]


def is_statement(message: Message) -> bool:
    """Say whether a message carries something of a file, and is not newel's own."""
    return message.kind in "dc" or (message.kind == "Q" and not _NOT_OF_A_FILE.match(message.text))


def _work(messages: Sequence[Message]) -> list[int]:
    begun = next(number for number, item in enumerate(messages) if "INSERT INTO newel.journal" in item.text)
    unlock = next(number for number, item in enumerate(messages) if "pg_advisory_unlock" in item.text)
    return list(range(begun - 2, unlock + 1))


def _spread(places: list[Place], count: int, shift: float) -> list[Place]:
    if len(places) <= count:
        return places
    return [places[int((number + shift) * len(places) / count)] for number in range(count)]
