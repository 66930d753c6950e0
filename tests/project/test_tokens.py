"""Comparing two versions of a SQL file by their tokens."""

from __future__ import annotations

import random
import textwrap
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newel.errors import NewelError
from newel.project.sql import parser
from newel.project.sql.parser import ParseError
from newel.project.sql.tokens import SHOWN_LINES, difference, same, token_lists

STATEMENTS = [
    "SELECT a.b, 'x' || t.c FROM t AS u WHERE a <> -1 AND b ->> 'k' = $1",
    "SELECT 1 - - 2 * 3 / 4, a@-b, 1.5e3, 0xff, x[1:2], y::numeric(10, 2)",
    r"SELECT E'it\'s\n\\', E'\x41', e'a''b' AS e",
    "SELECT U&'d\\0061t', U&\"\\0061\", B'01', X'ff', N'n', n 'n'",
    "SELECT 'it''s', 'two\nlines -- no comment\n/* nor this */', \"q\"\"d\", ''",
    "SELECT 'first'\n'second', E'a\\''\n'\\'b', 'c''\n''d'",
    "DO $$ BEGIN -- a comment is text here\n  PERFORM 'x'; END $$",
    "CREATE FUNCTION f(a int) RETURNS text LANGUAGE sql AS $tag$ SELECT '$$;$$' || $1 $tag$",
    "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT (2); END",
    "CREATE RULE r AS ON UPDATE TO t DO ALSO (INSERT INTO u VALUES (1); DELETE FROM v)",
    "CREATE TABLE příliš (id int PRIMARY KEY, žluť text DEFAULT 'kůň', CHECK (id > 0))",
    "INSERT INTO t (a, b) VALUES (1, 'a'), (2, 'b')",
]
BLANKS = [" ", "\t", "\n", "\r\n", "\r", "\n\n  ", "\f"]
COMMENTS = [
    "/**/",
    " /* it's; */ ",
    " /* a /* nested; $$ */ */\r\n",
    " -- it's; $$ /*\n",
    " --\r\n",
    "\n-- newel: irreversible\n",
]
GAPS = st.sampled_from(BLANKS + COMMENTS)


def tokens_of(sql: str) -> list[str]:
    text = sql.encode()
    return [text[start:end].decode() for start, end in parser.scan(text)]


def is_same(old: str, new: str) -> bool:
    """What same() says; and that difference() is empty exactly if it says so."""
    answer = same(old.encode(), new.encode(), "x.sql")
    assert (difference(old.encode(), new.encode(), "x.sql") == "") is answer
    return answer


def is_refused_or_another(old: str, new: str) -> bool:
    try:
        return not is_same(old, new)
    except NewelError:
        return True


def test_tokens_are_byte_offsets_without_comments():
    text = "SELECT 'ů' /* c */ , b -- d\n+1"
    assert tokens_of(text) == ["SELECT", "'ů'", ",", "b", "+", "1"]
    assert parser.scan(text) == parser.scan(text.encode())
    assert parser.scan("") == parser.scan("-- only a comment") == []


def test_what_cannot_be_scanned_is_refused_with_its_position():
    with pytest.raises(ParseError, match="unterminated") as caught:
        parser.scan("SELECT ů, 'x")
    assert caught.value.position == 10


def test_tokens_come_by_statement_with_its_line():
    sql = b"-- why\nSELECT 1;\r\n\r\nSELECT /* c */ 'a\r\nb'\r\n;;\n"
    assert token_lists(sql, "x.sql") == [(2, ("SELECT", "1")), (4, ("SELECT", "'a\nb'"))]


@settings(deadline=None)
@given(
    statements=st.lists(st.sampled_from(STATEMENTS), max_size=4),
    data=st.data(),
    chance=st.sampled_from([0.1, 0.5, 1.0]),
)
def test_comments_and_white_space_never_change_a_file(statements, data, chance):
    spaced = data.draw(st.sampled_from(["", "\ufeff"]))
    choices = data.draw(st.randoms(use_true_random=False))
    for statement in statements:
        text, at = statement.encode(), 0
        spaced += data.draw(GAPS)
        for start, end in parser.scan(text):
            spaced += text[at:start].decode()
            if at and choices.random() < chance:
                # "-" and "--" would be one comment, "/" and "/*" one operator
                spaced += " " + "".join(choices.choices(BLANKS + COMMENTS, k=choices.randint(1, 3)))
            spaced, at = spaced + text[start:end].decode(), end
        spaced += data.draw(GAPS) + ";"
    spaced += data.draw(GAPS)
    assert is_same(";\n".join(statements), spaced)
    assert is_same(spaced, spaced.replace("\r\n", "\n"))


@pytest.mark.parametrize("statement", STATEMENTS)
def test_crlf_is_lf_in_a_literal_and_a_body_too(statement):
    crlf = f"{statement};\n".replace("\n", "\r\n")
    assert is_same(f"{statement};\n", crlf)
    assert token_lists(crlf.encode(), "x.sql") == token_lists(statement.encode(), "x.sql")


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_token_deleted_repeated_or_moved_changes_a_file(statement):
    tokens = tokens_of(statement)
    changed = [tokens[:at] + tokens[at + 1 :] for at in range(len(tokens))]
    changed += [tokens[:at] + tokens[at:][:1] + tokens[at:] for at in range(len(tokens))]
    choices = random.Random(1)
    for at in range(len(tokens)):
        other = choices.randrange(len(tokens))
        swapped = list(tokens)
        swapped[at], swapped[other] = tokens[other], tokens[at]
        changed += [swapped] if swapped != tokens else []
    assert is_same(statement, " ".join(tokens))
    for item in changed:
        assert is_refused_or_another(statement, " ".join(item)), item


@pytest.mark.parametrize("statement", STATEMENTS)
def test_any_character_of_a_token_changes_a_file(statement):
    text, accepted = statement.encode(), 0
    for start, end in parser.scan(text):
        before, token, after = text[:start].decode(), text[start:end].decode(), text[end:].decode()
        for at in range(len(token)):
            for instead in ("", "x", "7", " ", "\n", "'", token[at] * 2, token[at].swapcase()):
                changed = f"{before}{token[:at]}{instead}{token[at + 1 :]}{after}"
                if instead == token[at] or "'\n\n'" in changed:  # a literal may go on some lines below
                    continue
                try:
                    assert not is_same(statement, changed), changed
                    accepted += 1
                except NewelError:
                    pass
    assert accepted > 10


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("SELECT a/**/b", "SELECT a b"),
        ("SELECT 1--2\n", "SELECT 1"),
        ("SELECT 1 +/**/+ 2", "SELECT 1 + + 2"),
        ("SELECT 1 */**/2", "SELECT 1*2"),
        ("SELECT 'a'\n'b'", "SELECT 'a'  \r\n\r\n\t'b'"),
        ("SELECT E'\\''\n'x'", "SELECT E'\\''\r'x'"),
        ("SELECT U&'!0061' UESCAPE '!'", "SELECT U&'!0061'\nUESCAPE\n'!'"),
        ("SELECT nchar 'x'", "SELECT nchar /* c */ 'x'"),
        ("SELECT 1", "\ufeffSELECT 1;\n"),
        ("SELECT 1; SELECT 2", ";;SELECT 1\n;\n-- both\n;SELECT 2;"),
        ("-- newel: no-transaction\nVACUUM;", "VACUUM;"),
        ("", "-- nothing\n;"),
    ],
)
def test_the_same_tokens_are_the_same_file(old, new):
    assert is_same(old, new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("SELECT a/**/b", "SELECT ab"),
        ("SELECT 1 - -2", "SELECT 1 --2\n"),
        ("SELECT a@-b", "SELECT a@ -b"),
        ("SELECT N'x'", "SELECT N 'x'"),
        ("SELECT U&'x'", "SELECT U & 'x'"),
        ("SELECT E'\\1'\n'2'", "SELECT E'\\12'"),
        ("SELECT 'a'\n'b'", "SELECT 'a''b'"),
        ("SELECT E'a\\''\n'b'", "SELECT E'a\\'''b'"),
        ("SELECT 'a\n-- b'", "SELECT 'a\n'"),
        ("SELECT 'a''\n\n''b'", "SELECT 'a''\n''b'"),
        ("SELECT E'a\\'\n\n\\'b'", "SELECT E'a\\'\n\\'b'"),
        ("SELECT '\n\n'", "SELECT '\n'"),
        ("SELECT $$\n\n$$", "SELECT $$\n$$"),
        ("SELECT $a$x$a$", "SELECT $b$x$b$"),
        ('SELECT "a  b"', 'SELECT "a b"'),
        ("SELECT a", "SELECT A"),
        ("SELECT 1; SELECT 2", "SELECT 2; SELECT 1"),
        ("SELECT 1; SELECT 2", "SELECT 1"),
        ("SELECT 1", "SELECT 1; SELECT 1"),
        ("SELECT 1", ""),
    ],
)
def test_what_is_no_white_space_changes_a_file(old, new):
    assert not is_same(old, new)


COPY = "-- data\nCOPY t FROM stdin{options};\n{data}\\.\nSELECT 1;\n"


def test_the_data_of_copy_belongs_to_its_statement_by_line():
    sql = COPY.format(options=" CSV", data="a;1\r\n\r\n--b \n")
    assert [tokens for _, tokens in token_lists(sql.encode(), "x.sql")] == [
        ("COPY", "t", "FROM", "stdin", "CSV", "a;1\n", "\n", "--b \n"),
        ("SELECT", "1"),
    ]


@pytest.mark.parametrize(
    ("options", "data", "alike"),
    [
        ("", "a\r\n--b\r\n", True),
        ("\t", "a\n--b\n", True),
        ("", "a\n", False),
        ("", "a\n--b \n", False),
        ("", "a\n--b\n\n", False),
        ("", "--b\na\n", False),
        (" CSV", "a\n--b\n", False),
        ("", "", False),
    ],
)
def test_the_data_of_copy_counts_by_the_character(options, data, alike):
    old = COPY.format(options="", data="a\n--b\n")
    new = COPY.format(options=options, data=data)
    assert is_same(old, new.replace("-- data", "-- what's there")) is alike


def test_a_line_of_data_is_not_taken_for_a_word_of_the_statement():
    assert not is_same("COPY t FROM stdin;\nCSV\n\\.\n", "COPY t FROM stdin CSV;\n\\.\n")


def shown(old: str, new: str) -> str:
    return difference(textwrap.dedent(old).encode(), textwrap.dedent(new).encode(), "up.sql")


def test_a_difference_shows_only_the_statements_that_changed_with_their_lines():
    old = """\
        CREATE TABLE gone (id int);
        CREATE TABLE a (id int);
        -- all of them
        CREATE TABLE b (
            id int,   -- the key
            name text,
            born date
        );
        SELECT 1;
        """
    new = """\
        CREATE TABLE a
            (id int);
        CREATE TABLE b (
            id int,   -- the key
            name varchar(80),
            born date
        );
        SELECT /* one */ 1;
        SELECT 2;
        """
    assert shown(old, new) == textwrap.dedent(
        """\
        up.sql:1 as it was applied: removed
            -CREATE TABLE gone (id int);
        up.sql:3: changed
             CREATE TABLE b (
                 id int,   -- the key
            -    name text,
            +    name varchar(80),
                 born date
             );
        up.sql:9: added
            +SELECT 2;"""
    )


def test_a_statement_inserted_between_changed_ones_is_told_from_them():
    old = "UPDATE a SET x = 1;\nUPDATE b SET x = 1;\n"
    new = "UPDATE a SET x = 2;\nDELETE FROM c;\nUPDATE b SET x = 2;\n"
    heads = [line for line in shown(old, new).splitlines() if not line.startswith(" ")]
    assert heads == ["up.sql:1: changed", "up.sql:2: added", "up.sql:3: changed"]


def test_changes_far_apart_in_a_statement_are_separate_hunks():
    lines = [f"  ({number})," for number in range(50)]
    old = "\n".join(["INSERT INTO t VALUES", *lines, "  (99)"])
    new = old.replace("(10)", "(1000)").replace("(40)", "(4000)")
    assert shown(old, new) == textwrap.dedent(
        """\
        up.sql:1: changed
               (8),
               (9),
            -  (10),
            +  (1000),
               (11),
               (12),
            ...
               (38),
               (39),
            -  (40),
            +  (4000),
               (41),
               (42),"""
    )


def test_a_difference_in_the_data_of_copy_shows_its_lines():
    old, new = (COPY.format(options="", data=data) for data in ("1\n2\n3\n4\n5\n", "1\n2\n3\n5\n"))
    assert shown(old, new).splitlines() == ["up.sql:2: changed", "     2", "     3", "    -4", "     5"]


def test_a_difference_at_the_end_of_a_long_line_is_in_sight():
    old = "INSERT INTO t VALUES " + ", ".join(f"({number})" for number in range(9999))
    text = shown(old, old.replace("(9990)", "(-1)"))
    assert "(9990)" in text
    assert "(-1)" in text
    assert max(map(len, text.splitlines())) < 130


def test_a_long_difference_is_capped_and_counted():
    old = "".join(f"SELECT {number};\n" for number in range(100))
    lines = shown(old, old.replace("SELECT", "VALUES").replace(" ", "(").replace(";", ");")).splitlines()
    assert len(lines) == SHOWN_LINES
    assert lines[-1] == f"… and {300 - SHOWN_LINES + 1} more"


def test_a_lone_carriage_return_in_a_literal_is_shown():
    assert shown("SELECT 'a\rb'", "SELECT 'ab'").splitlines()[1:] == [
        "    -SELECT 'a\\rb';",
        "    +SELECT 'ab';",
    ]


@pytest.mark.parametrize("compare", [same, difference])
def test_a_version_that_cannot_be_parsed_is_refused_with_its_place(compare):
    with pytest.raises(NewelError) as caught:
        compare(b"SELECT 1;", b"SELECT 2;\nSELECT FORM x y;", "up.sql")
    assert str(caught.value.where) == "up.sql:2:15"


def test_a_moved_statement_is_removed_here_and_added_there():
    old = "CREATE TABLE a ();\nCREATE TABLE b ();\nCREATE TABLE c ();\n"
    new = "CREATE TABLE b ();\nCREATE TABLE c ();\nCREATE TABLE a ();\n"
    heads = [line for line in shown(old, new).splitlines() if not line.startswith(" ")]
    assert heads == ["up.sql:1 as it was applied: removed", "up.sql:3: added"]


def test_thousands_of_changed_statements_do_not_take_minutes():
    old = "".join(f"INSERT INTO t VALUES ({number});\nDELETE FROM u{number};\n" for number in range(3000))
    started = time.process_time()
    assert shown(old, old.replace("VALUES (", "VALUES (-")).endswith(" more")
    assert time.process_time() - started < 6  # it took ten times as long when SequenceMatcher saw them all


def test_a_statement_of_a_megabyte_is_compared_in_seconds():
    old = "INSERT INTO t VALUES " + ",\n".join(f"({number}, 'name {number}')" for number in range(40_000))
    started = time.process_time()
    assert same(old.encode(), old.replace("),", ") /* next */,").replace("\n", "\r\n").encode(), "x.sql")
    assert time.process_time() - started < 5
