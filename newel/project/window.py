"""A maintenance window: `Sat,Sun 22:00-04:00 Europe/Berlin`. Days and zone may be left out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import NoReturn

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
EXAMPLE = "Sat,Sun 22:00-04:00 Europe/Berlin"

_MIDNIGHT = 24 * 60
_FORM = re.compile(r"(?:([A-Za-z,\-]+) )?([0-9:]+)-([0-9:]+)(?: (\S+))?")
_TIME = re.compile(r"([0-9]{2}):([0-9]{2})")


@dataclass(frozen=True)
class Window:
    """When work may begin: from `start` up to and without `end`, in minutes of the day.

    `days` are those on which it begins, 0 is Monday. If `end` is not behind `start`, it is an end on the next day.
    """

    days: tuple[int, ...]
    start: int
    end: int
    zone: str

    def contains(self, local: datetime) -> bool:
        """Say whether a moment lies in the window; `local` is naive, in the window's zone.

        Ask the server for it: SELECT clock_timestamp() AT TIME ZONE zone.
        """
        minute = local.hour * 60 + local.minute
        today = local.weekday() in self.days
        yesterday = (local.weekday() - 1) % 7 in self.days
        if self.start < self.end:
            return today and self.start <= minute < self.end
        return (today and minute >= self.start) or (yesterday and minute < self.end)

    def __str__(self) -> str:
        days = "" if len(self.days) == len(DAYS) else f"{_words(self.days)} "
        return f"{days}{_clock(self.start)}-{_clock(self.end)} {self.zone}"


def parse(text: str) -> Window:
    """Read a window as environments.json has it.

    Raises ValueError that says what is wrong and how it should read.
    """
    joined = re.sub(r"\s*([,-])\s*", r"\1", " ".join(text.split()))
    match = _FORM.fullmatch(joined)
    if match is None:
        _refuse(f"`{text}` is no maintenance window")
    days, start, end, zone = match.groups()
    if start == end:
        _refuse(f"`{start}-{end}` ends when it begins; a whole day is 00:00-24:00")
    return Window(
        days=_days(days),
        start=_minutes(start),
        end=_minutes(end, latest="24:00") or _MIDNIGHT,
        zone=_zone(zone or "UTC"),
    )


def _days(text: str | None) -> tuple[int, ...]:
    if text is None:
        return tuple(range(len(DAYS)))
    found: set[int] = set()
    for item in text.split(","):
        first, dash, last = item.partition("-")
        begin = _day(first)
        length = (_day(last) - begin) % 7 if dash else 0
        found |= {(begin + step) % 7 for step in range(length + 1)}
    return tuple(sorted(found))


def _day(word: str) -> int:
    if word.capitalize() not in DAYS:
        near = [day for day in DAYS if word[:2].lower() == day[:2].lower()]
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(DAYS)}"
        _refuse(f"`{word}` is no day; {hint}")
    return DAYS.index(word.capitalize())


def _minutes(text: str, latest: str = "23:59") -> int:
    match = _TIME.fullmatch(text)
    if match is None or int(match[2]) > 59 or text > latest:
        _refuse(f"`{text}` is no time here; it takes HH:MM from 00:00 to {latest}")
    return int(match[1]) * 60 + int(match[2])


def _zone(name: str) -> str:
    """Check the name by Python's time zones, if it has any; the server has the last word."""
    from zoneinfo import ZoneInfo, available_timezones  # slow to import, and few projects have a window

    try:
        return ZoneInfo(name).key
    except (LookupError, ValueError, OSError):
        known = available_timezones()
    if known:
        near = get_close_matches(name.lower(), {zone.lower() for zone in known}, 1)
        hint = f"; did you mean {next(zone for zone in known if zone.lower() == near[0])}?" if near else ""
        _refuse(f"there is no time zone `{name}`{hint}")
    return name


def _words(days: tuple[int, ...]) -> str:
    """Name the days in order, three or more in a row as a range."""
    runs: list[list[int]] = []
    for day in days:
        if runs and runs[-1][-1] == day - 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    named = [[DAYS[day] for day in run] for run in runs]
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ",".join(run) for run in named)


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _refuse(what: str) -> NoReturn:
    stop = "" if what.endswith("?") else "."
    raise ValueError(f"{what}{stop} A window reads like `{EXAMPLE}`; days and zone may be left out.")
