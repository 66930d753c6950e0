"""Planning, without a database."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newel.errors import DependencyError, NewelError
from newel.migrate.plan import plan
from newel.project.graph import Revision, heads


def project(*branches: str | None) -> tuple[Revision, ...]:
    """Make revisions 1..n, each on the branch given, chained as file names would chain them."""
    last: dict[str | None, str] = {}
    made = []
    for number, branch in enumerate(branches, 1):
        revision_id = f"{number:06}"
        depends_on = None if branch is None else last.get(None)
        path = f"sql/migrations/{revision_id}_x"
        made.append(
            Revision(
                revision_id, "x", branch, f"{path}.up.sql", f"{path}.down.sql", last.get(branch), depends_on
            )
        )
        last[branch] = revision_id
    return tuple(made)


NINE = project(*[None] * 7, "development", None)
ALL = tuple(item.id for item in NINE)


def words(steps) -> list[str]:
    return [f"{step.direction} {int(step.revision.id)}" for step in steps]


def test_a_fresh_development_database_runs_the_branch_in_its_place():
    assert words(plan(NINE, (), "upgrade", "head"))[-3:] == ["up 7", "up 8", "up 9"]


def test_a_production_database_does_without_the_branch():
    revisions = tuple(item for item in NINE if item.branch is None)
    assert words(plan(revisions, (), "upgrade", "head"))[-2:] == ["up 7", "up 9"]


def test_a_branch_revision_that_arrives_late_still_runs():
    assert words(plan(NINE, (*ALL[:7], ALL[8]), "upgrade", "head")) == ["up 8"]


def test_minus_one_takes_back_what_was_applied_last_whatever_its_number():
    assert words(plan(NINE, (*ALL[:7], ALL[8], ALL[7]), "downgrade", "-1")) == ["down 8"]


def test_a_target_means_everything_up_to_it_and_nothing_after_it():
    assert words(plan(NINE, ALL, "goto", "7")) == ["down 9", "down 8"]
    assert words(plan(NINE, ALL[:5], "goto", "000007_x")) == ["up 6", "up 7"]
    assert words(plan(NINE, (*ALL[:7], ALL[8]), "goto", "8")) == ["down 9", "up 8"]


def test_an_upgrade_never_takes_back_and_a_downgrade_never_applies():
    assert plan(NINE, ALL, "upgrade", "5") == ()
    assert plan(NINE, ALL[:5], "downgrade", "7") == ()


def test_the_base_of_a_branch_does_not_take_the_mainline_down():
    assert words(plan(NINE, ALL, "downgrade", "development@base")) == ["down 8"]


def test_the_head_of_a_branch_brings_what_it_stands_on_and_no_more():
    assert words(plan(NINE, ALL[:6], "upgrade", "development@head")) == ["up 7", "up 8"]


@pytest.mark.parametrize("number", ["10", "000010", "0", "1000000", "abc", "", "-", "dev", "00000"])
def test_a_number_that_is_no_revision_is_refused(number):
    with pytest.raises(NewelError, match="there is no revision"):
        plan(project(*[None] * 9), (), "upgrade", number)


def test_a_number_is_never_matched_by_prefix():
    assert words(plan(project(*[None] * 12), (), "upgrade", "00001")) == ["up 1"]


@pytest.mark.parametrize(
    ("command", "target"),
    [
        ("upgrade", "+10"),
        ("downgrade", "-10"),
        ("upgrade", "-1"),
        ("downgrade", "+1"),
        ("upgrade", "developmnt@head"),
        ("upgrade", "development@+1"),
    ],
)
def test_a_target_that_makes_no_sense_is_refused(command, target):
    with pytest.raises(NewelError):
        plan(NINE, (), command, target)


def test_an_unapplied_revision_below_an_applied_one_of_its_chain_is_refused_with_both_named():
    with pytest.raises(DependencyError) as caught:
        plan(NINE, (*ALL[:5], ALL[6]), "upgrade", "head")
    assert "000006" in str(caught.value)
    assert "000007" in str(caught.value)
    assert "000010" in str(caught.value.cure)


def test_an_unapplied_mainline_revision_below_an_applied_branch_revision_is_refused_too():
    revisions = project(None, None, None, "development")
    with pytest.raises(DependencyError, match=r"000003.*000004"):
        plan(revisions, ("000001", "000002", "000004"), "upgrade", "head")


def test_a_database_that_holds_a_revision_the_checkout_lacks_is_refused():
    with pytest.raises(DependencyError, match="000042"):
        plan(NINE, (*ALL, "000042"), "upgrade", "head")


BRANCHES = st.lists(st.sampled_from([None, None, None, "development", "staging"]), min_size=1, max_size=14)


@st.composite
def databases(draw):
    """A project and a state that a run of upgrades and downgrades can have left."""
    revisions = project(*draw(BRANCHES))
    applied: list[str] = []
    for _ in range(draw(st.integers(0, 20))):
        possible = [
            item.id for item in revisions if item.id not in applied and set(item.needs) <= set(applied)
        ]
        removable = [
            item.id
            for item in revisions
            if item.id in applied
            and not any(item.id in other.needs for other in revisions if other.id in applied)
        ]
        choices = [("up", item) for item in possible] + [("down", item) for item in removable]
        if choices:
            what, item = draw(st.sampled_from(choices))
            applied.append(item) if what == "up" else applied.remove(item)
    return revisions, tuple(applied)


def apply(revisions, applied, steps):
    """Run a plan on paper, and check at every step that dependencies hold."""
    state = list(applied)
    for step in steps:
        if step.direction == "up":
            assert set(step.revision.needs) <= set(state)
            assert step.revision.id not in state
            state.append(step.revision.id)
        else:
            state.remove(step.revision.id)
            assert not [item.id for item in revisions if item.id in state and step.revision.id in item.needs]
    return state


@given(databases())
def test_upgrade_to_head_applies_everything_once_in_an_order_that_holds(database):
    revisions, applied = database
    state = apply(revisions, applied, plan(revisions, applied, "upgrade", "head"))
    assert sorted(state) == [item.id for item in revisions]
    assert plan(revisions, state, "upgrade", "head") == ()


@given(databases())
def test_downgrade_to_base_takes_everything_back(database):
    revisions, applied = database
    assert apply(revisions, applied, plan(revisions, applied, "downgrade", "base")) == []


@given(databases(), st.data())
def test_goto_reaches_exactly_the_revisions_up_to_its_target(database, data):
    revisions, applied = database
    target = data.draw(st.sampled_from([item.id for item in revisions]))
    state = apply(revisions, applied, plan(revisions, applied, "goto", target))
    assert sorted(state) == [item.id for item in revisions if item.id <= target]


@given(databases(), st.data())
def test_down_by_n_is_the_inverse_of_the_last_n_applications(database, data):
    revisions, applied = database
    count = data.draw(st.integers(0, len(applied)))
    state = apply(revisions, applied, plan(revisions, applied, "downgrade", f"-{count}"))
    assert state == list(applied[: len(applied) - count])


@given(databases())
def test_heads_are_the_applied_revisions_that_nothing_applied_stands_on(database):
    revisions, applied = database
    chosen = [item for item in revisions if item.id in applied]
    reachable = set(heads(chosen))
    for item in reversed(chosen):
        if item.id in reachable:
            reachable |= set(item.needs)
    assert reachable == set(applied)
