"""Names: what is an identifier, which one is nearest, and how words are compared."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newel.project.sql.names import (
    is_identifier,
    nearest_identifier,
    places_of,
    quoted,
    same_word,
    shortened,
    words_of,
)
from newel.project.sql.parser import parse

NAMES = st.text("abcxyz019_", min_size=1, max_size=30)


@pytest.mark.parametrize(
    ("typed", "nearest"),
    [
        ("Add-User Profiles", "add_user_profiles"),
        ("AddUserProfiles", "add_user_profiles"),
        ("add user's profiles!", "add_user_s_profiles"),
        ("_private", "private"),
        ("2fa_tokens", "add_2fa_tokens"),
        ("Gehälter", "gehalter"),
        ("--force", "force"),
        ("!!", None),
        ("", None),
        ("я", None),
    ],
)
def test_the_nearest_identifier_is_offered(typed: str, nearest: str | None) -> None:
    assert not is_identifier(typed)
    assert nearest_identifier(typed) == nearest


@settings(deadline=None)
@given(st.text())
def test_what_is_offered_is_an_identifier_and_offered_for_itself(typed: str) -> None:
    nearest = nearest_identifier(typed)
    if nearest is not None:
        assert is_identifier(nearest)
        assert nearest_identifier(nearest) == nearest


@pytest.mark.parametrize("name", ["a" * 64, "A", "1a", "_a", "a-b", "a b", "a\n", "é", ""])
def test_what_is_no_identifier_is_told_apart(name: str) -> None:
    assert not is_identifier(name)


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=15))
def test_a_quoted_name_is_read_back_by_the_parser_as_it_was(name: str) -> None:
    relation = parse(f"TABLE {quoted('a schema', name)}").from_clause[0].range_var
    assert (relation.schemaname, relation.relname) == ("a schema", name)


def test_keywords_are_quoted_and_plain_names_are_not() -> None:
    assert quoted("app", "users") == "app.users"
    assert quoted("app", "order") == 'app."order"'
    assert quoted("Mixed") == '"Mixed"'


@pytest.mark.parametrize(
    "pair", ["user users", "status statuses", "house houses", "category categories", "box boxes", "day days"]
)
def test_singular_and_plural_are_one_word(pair: str) -> None:
    one, other = pair.split()
    assert same_word(one, other)
    assert same_word(other, one)


@pytest.mark.parametrize("pair", ["user userz", "new news_", "profile profiles_old", "use user"])
def test_other_words_are_not(pair: str) -> None:
    assert not same_word(*pair.split())


@settings(deadline=None)
@given(st.lists(NAMES, max_size=3), NAMES, st.lists(NAMES, max_size=3))
def test_a_name_is_found_where_its_words_stand(before: list[str], name: str, behind: list[str]) -> None:
    own = words_of(name) or ["x"]
    words = [word for part in before for word in words_of(part)]
    place = (len(words), len(words) + len(own))
    assert place in list(
        places_of(own, [*words, *own, *(word for part in behind for word in words_of(part))])
    )


@settings(deadline=None)
@given(st.text(min_size=1, max_size=80), st.integers(1, 12))
def test_a_shortened_name_fits_and_is_free(name: str, number: int) -> None:
    taken: set[str] = set()
    for _ in range(number):
        found = shortened(name, taken)
        assert found not in taken
        assert len(found.encode()) <= 63
        taken.add(found)
