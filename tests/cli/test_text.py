"""Text for a terminal: nothing that a name or a comment holds moves its cursor, and lines keep within the width."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newel.cli.terminal import print_table, print_wrapped
from newel.cli.text import cut, pad, visible, width, wrap

COLUMNS = st.integers(min_value=2, max_value=120)


@given(st.text())
def test_nothing_that_a_terminal_obeys_is_left(text: str) -> None:
    shown = visible(text)
    assert not any(unicodedata.category(character) in ("Cc", "Zl", "Zp") for character in shown)
    assert not set(shown) & {"\u202a", "\u202e", "\u2066", "\u2069"}


def test_a_control_character_is_shown_as_python_writes_it() -> None:
    assert visible("\x1b[2J a\nb\x9b\u202e") == "\\x1b[2J a\\nb\\x9b\\u202e"
    assert visible("\x07 a\nb", lines=True) == "\\x07 a\nb"
    assert visible("Grüße, 日本語 %s") == "Grüße, 日本語 %s"


@given(st.text(alphabet=st.characters(exclude_categories=["Cc", "Zl", "Zp", "Cs"])), COLUMNS)
def test_wrapped_lines_fit_and_lose_nothing_but_spaces(text: str, columns: int) -> None:
    lines = wrap(text, columns)
    assert all(width(line) <= columns for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


@given(st.text(), COLUMNS)
def test_what_is_cut_fits(text: str, columns: int) -> None:
    assert width(cut(text, columns + 3)) <= columns + 3


@pytest.mark.parametrize(
    ("text", "columns", "lines"),
    [
        ("a comment of words", 11, ["a comment", "of words"]),
        ("user_contacts_user_id_key", 12, ["user_", "contacts_", "user_id_key"]),
        ("abcdefgh", 3, ["abc", "def", "gh"]),
        ("日本語", 4, ["日本", "語"]),
        ("first\nsecond", 20, ["first", "second"]),
        ("  indented words", 11, ["  indented", "  words"]),
        ("", 5, [""]),
    ],
)
def test_lines_break_at_spaces_then_between_the_words_of_a_name(
    text: str, columns: int, lines: list[str]
) -> None:
    assert wrap(text, columns) == lines


def test_wide_letters_do_not_break_the_alignment(capsys) -> None:
    assert (width("日本"), width("e\u0301"), pad("日本", 6)) == (4, 1, "日本  ")
    print_table(("name", "state"), [("日本", "x"), ("abcd", "y")])
    assert capsys.readouterr().out == "name  state\n日本  x\nabcd  y\n"


def test_a_table_shows_control_characters_and_keeps_each_row_on_its_line(capsys) -> None:
    print_table(("name", ""), [("a\x1b[31m", "b\nc")])
    assert capsys.readouterr().out.splitlines()[1] == "a\\x1b[31m  b\\nc"


def test_a_wrapped_table_keeps_within_the_width_of_a_pipe_and_loses_no_word(capsys) -> None:
    words = " ".join(f"word{number}" for number in range(60))
    print_wrapped(("column", "default", "comment"), [("name", words, words)], indent=2)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    assert sorted(" ".join(lines[1:]).split()) == sorted(["name", *words.split(), *words.split()])
