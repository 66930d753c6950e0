"""A sample of the injected faults: each in a few scenarios, at other places of each. `make test-faults` does all."""

from __future__ import annotations

import sys
from pathlib import Path

import breakable
import pytest
from breakable import breakable_server
from faults import FAULTS
from injection import forget, inject, prepare
from places import chosen, insides
from scenarios import make_projects, scenarios

pytestmark = pytest.mark.long

SAMPLE = (
    "project development: 000006 -> up 000007",
    "nasty development: 000004 -> up 000005",
    "nasty development: 000008 -> up 000009",
    "nasty development: 000006 -> up 000007",
)


@pytest.fixture(scope="module")
def broken_server():
    with breakable_server() as server:
        yield server


@pytest.fixture(scope="module")
def roots(tmp_path_factory) -> dict[str, Path]:
    return make_projects(tmp_path_factory.mktemp("faults"))


@pytest.mark.parametrize("name", SAMPLE)
def test_after_any_fault_the_same_command_finishes_the_work(broken_server, roots, name: str):
    scenario = next(item for item in scenarios(roots) if item.name == name)
    prepared = prepare(broken_server, roots, scenario)
    done = []
    for number, fault in enumerate(FAULTS, SAMPLE.index(name)):
        places = chosen(prepared.messages, fault, 1)  # one between two messages, one inside a statement
        done.append(inject(broken_server, prepared, fault, places[number % 2]))
    forget(broken_server, prepared)
    assert [item for item in done if not item.converged] == []
    assert any(item.felt for item in done)


@pytest.mark.skipif(sys.platform != "linux", reason="a process can be given a limit on Linux only")
def test_a_disk_can_be_full_where_nothing_may_be_mounted(roots, monkeypatch):
    monkeypatch.setattr(breakable, "can_mount", lambda _: False)
    scenario = next(
        item for item in scenarios(roots) if item.name == "nasty development: 000019 -> up 000020"
    )
    with breakable_server() as server:
        prepared = prepare(server, roots, scenario)
        places = insides(prepared.messages, "disk full")
        done = [inject(server, prepared, "disk full", place) for place in places]
    assert [(item.felt, item.wrong) for item in done] == [(True, ())] * 2
