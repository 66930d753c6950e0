"""Maintenance windows."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from zoneinfo import available_timezones

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from newel.project.window import DAYS, Window, parse

MINUTES = st.integers(0, 24 * 60 - 1)
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1))


@st.composite
def windows(draw: st.DrawFn) -> Window:
    start = draw(MINUTES)
    end = draw(st.integers(1, 24 * 60).filter(lambda minute: minute != start))
    days = draw(st.sets(st.integers(0, 6), min_size=1))
    return Window(
        tuple(sorted(days)), start, end, draw(st.sampled_from(["UTC", "Europe/Berlin", "Etc/GMT+3"]))
    )


def moment(day: str, time: str) -> datetime:
    """A time of the week of 1 January 2024, a Monday."""
    hour, minute = time.split(":")
    return datetime(2024, 1, 1 + DAYS.index(day), int(hour), int(minute))


@given(windows())
def test_the_normal_form_reads_as_the_same_window(window: Window) -> None:
    assert parse(str(window)) == window


@given(windows(), MOMENTS)
def test_a_moment_lies_in_a_window_that_begins_on_its_day_or_on_the_day_before(
    window: Window, local: datetime
) -> None:
    minutes = (window.end - window.start) % (24 * 60) or 24 * 60
    begins = [
        datetime(local.year, local.month, local.day) + timedelta(days=-back, minutes=window.start)
        for back in (0, 1)
    ]
    inside = any(
        begin.weekday() in window.days and begin <= local < begin + timedelta(minutes=minutes)
        for begin in begins
    )
    assert window.contains(local) == inside


@given(st.text(st.sampled_from("MonSatUF ,-:0123456789/")) | st.text())
def test_any_other_text_is_refused_in_words(text: str) -> None:
    form = r"\s*([a-z,\s-]+\s)?\s*\d\d:\d\d\s*-\s*\d\d:\d\d(\s+\S+)?\s*"
    assume(not re.fullmatch(form, text, re.IGNORECASE))
    with pytest.raises(ValueError, match="A window reads like `Sat,Sun 22:00-04:00 Europe/Berlin`"):
        parse(text)


@pytest.mark.parametrize(
    ("day", "time", "inside"),
    [
        ("Sat", "21:59", False),
        ("Sat", "22:00", True),
        ("Sun", "03:59", True),
        ("Sun", "04:00", False),
        ("Mon", "03:59", True),
        ("Mon", "22:00", False),
        ("Sat", "03:00", False),
    ],
)
def test_a_window_past_midnight_belongs_to_the_day_on_which_it_begins(
    day: str, time: str, inside: bool
) -> None:
    assert parse("Sat,Sun 22:00-04:00 Europe/Berlin").contains(moment(day, time)) is inside


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("22:00-04:00", "22:00-04:00 UTC"),
        ("mon-sun 22:00-04:00", "22:00-04:00 UTC"),
        (" SAT , sun  22:00 - 04:00  Europe/Berlin ", "Sat,Sun 22:00-04:00 Europe/Berlin"),
        ("Fri-Mon 01:00-02:00", "Mon,Fri-Sun 01:00-02:00 UTC"),
        ("Sun,Mon,Mon-Wed 01:00-02:00", "Mon-Wed,Sun 01:00-02:00 UTC"),
        ("00:00-24:00", "00:00-24:00 UTC"),
        ("23:00-00:00", "23:00-24:00 UTC"),
        ("04:00-03:59 America/Port-au-Prince", "04:00-03:59 America/Port-au-Prince"),
    ],
)
def test_what_is_read_is_written_in_one_form(text: str, normal: str) -> None:
    assert str(parse(text)) == normal


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "`` is no maintenance window"),
        ("Sat", "`Sat` is no maintenance window"),
        ("Saturday 22:00-04:00", "`Saturday` is no day; did you mean Sat?"),
        ("Foo 22:00-04:00", "`Foo` is no day; there are Mon, Tue, Wed"),
        ("Sat, 22:00-04:00", "is no maintenance window"),
        ("Sat 9:00-10:00", "`9:00` is no time here; it takes HH:MM from 00:00 to 23:59"),
        ("24:00-04:00", "`24:00` is no time here"),
        ("22:00-24:01", "`24:01` is no time here; it takes HH:MM from 00:00 to 24:00"),
        ("22:60-23:00", "`22:60` is no time here"),
        ("04:00-04:00", "ends when it begins; a whole day is 00:00-24:00"),
    ],
)
def test_a_mistake_is_named(text: str, says: str) -> None:
    with pytest.raises(ValueError, match="A window reads like") as caught:
        parse(text)
    assert says in str(caught.value)


@pytest.mark.skipif(not available_timezones(), reason="this machine has no time zones for Python")
@pytest.mark.parametrize("zone", ["Europe/Berln", "europe/berlin"])
def test_a_misspelt_zone_is_named_with_the_nearest(zone: str) -> None:
    with pytest.raises(ValueError, match=f"no time zone `{zone}`; did you mean Europe/Berlin"):
        parse(f"22:00-04:00 {zone}")


@pytest.mark.skipif(not available_timezones(), reason="this machine has no time zones for Python")
@pytest.mark.parametrize("zone", ["Europe", "CEST", "UTC+3", "../etc"])
def test_what_is_no_place_is_no_zone(zone: str) -> None:
    """PostgreSQL would take CEST all the year round, and UTC+3 for three hours to the west."""
    with pytest.raises(ValueError, match="there is no time zone"):
        parse(f"22:00-04:00 {zone}")
