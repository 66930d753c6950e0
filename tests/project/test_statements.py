"""Splitting SQL text into statements."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newel.errors import NewelError
from newel.project.sql import statements
from newel.project.sql.statements import Statement, split


def texts(sql: str | bytes) -> list[str]:
    data = sql if isinstance(sql, bytes) else sql.encode()
    return [item.text for item in split(data, "x.sql")]


@pytest.mark.parametrize("sql", ["", "\n\n", "-- only a comment", "/* a /* nested */ one */", ";;", "\ufeff"])
def test_a_file_without_statements_gives_none(sql):
    assert texts(sql) == []


@pytest.mark.parametrize(
    "body",
    [
        "SELECT 'a;b'",
        'SELECT 1 AS "a;b"',
        "SELECT $$;$$",
        "SELECT $tag$ $$;$$ $tag$",
        "SELECT E'it\\';s'",
        "SELECT U&'d\\0061t;'",
        "DO $$ BEGIN PERFORM 1; END $$",
        "SELECT /* ; /* ; */ ; */ 1",
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END",
        "CREATE PROCEDURE p() BEGIN ATOMIC INSERT INTO t VALUES (1); END",
        "CREATE RULE r AS ON UPDATE TO t DO ALSO (INSERT INTO u VALUES (1); DELETE FROM v)",
        "SELECT 'two\n-- lines;\n'",
    ],
)
def test_a_semicolon_inside_a_statement_does_not_end_it(body):
    assert texts(f"SELECT 0;\n{body};\nSELECT 9") == ["SELECT 0", body, "SELECT 9"]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1 WHERE 1 NOT /* c; */ IN (2)",
        "SELECT 1 ORDER BY 1 NULLS -- why; not\n FIRST",
        "SELECT * FROM unnest(ARRAY[1]) WITH /* c */ ORDINALITY",
        "SELECT 'a' -- first;\n 'b'",
        "CREATE INDEX CONCURRENTLY i ON t (a) WHERE a NOT /* žluť */ IN (1)",
    ],
)
def test_a_comment_may_stand_wherever_a_blank_may(statement):
    found = list(split(f"{statement};\nSELECT 2".encode(), "x.sql"))
    assert [item.text for item in found] == [statement, "SELECT 2"]
    assert found[0].needs_autocommit == statement.startswith("CREATE INDEX")


def test_a_window_never_ends_behind_a_semicolon_in_a_comment(monkeypatch):
    monkeypatch.setattr("newel.project.sql.statements.WINDOW", 1)
    schema = "CREATE SCHEMA s -- and its table;\n CREATE TABLE t (id int)"
    assert texts(f"{schema};\nSELECT 1 -- two;\n + 1;\n-- end;\n") == [schema, "SELECT 1 -- two;\n + 1"]


def test_a_statement_is_located_at_its_first_token_not_at_the_comment_before_it():
    found = list(split(b"SELECT 1;\n\n-- why\n/* and\nhow */ SELECT 2;\r\nSELECT 3", "x.sql"))
    assert [(item.line, item.text) for item in found] == [(1, "SELECT 1"), (5, "SELECT 2"), (6, "SELECT 3")]


def test_a_syntax_error_is_located_by_characters_where_bytes_differ():
    with pytest.raises(NewelError) as caught:
        texts("SELECT 1;\nSELECT 'žluťoučký' FORM x;")
    assert str(caught.value.where) == "x.sql:2:25"
    excerpt = (caught.value.excerpt or "").splitlines()
    assert excerpt[0][excerpt[1].index("^")] == "x"


@pytest.mark.parametrize(
    "command", ["\\echo hi", "\\i other.sql", "SELECT 1;\n\\copy t FROM 'x'", "SELECT 1 \\gexec"]
)
def test_a_psql_command_is_named_as_one(command):
    with pytest.raises(NewelError, match="a psql command"):
        texts(command)


@pytest.mark.parametrize(
    "command",
    [
        "BEGIN",
        "START TRANSACTION",
        "COMMIT",
        "END",
        "ROLLBACK",
        "ABORT",
        "SAVEPOINT a",
        "RELEASE a",
        "PREPARE TRANSACTION 'x'",
    ],
)
def test_transaction_control_is_refused_with_its_line(command):
    with pytest.raises(NewelError, match="does not belong in a migration file") as caught:
        texts(f"SELECT 1;\n  {command};")
    assert str(caught.value.where) == "x.sql:2:3"


@pytest.mark.parametrize(
    ("sql", "complaint"),
    [
        ("CREATE INDEX CONCURRENTLY ON t (a)", "without a name"),
        ("COPY t FROM stdin", "without a semicolon and data lines"),
        ("COPY t TO STDOUT", "nobody would read"),
        ("DISCARD ALL", "give up the lock"),
    ],
)
def test_what_could_not_be_run_safely_is_refused_with_its_line(sql, complaint):
    with pytest.raises(NewelError, match=complaint) as caught:
        texts(f"SELECT 1;\n{sql}")
    assert str(caught.value.where) == "x.sql:2:1"


def test_words_of_transaction_control_inside_a_body_are_no_transaction_control():
    assert len(texts('DO $$ BEGIN COMMIT; END $$; CREATE TABLE t ("commit" int)')) == 2


@pytest.mark.parametrize(
    ("sql", "refused_in_a_transaction"),
    [
        ("CREATE INDEX CONCURRENTLY i ON t (a)", True),
        ("CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON t (a)", True),
        ("CREATE INDEX concurrently i ON t (a)", True),
        ("CREATE INDEX i ON t (a)", False),
        ("DROP INDEX CONCURRENTLY i", True),
        ("DROP INDEX i", False),
        ("REINDEX INDEX CONCURRENTLY i", True),
        ("REINDEX (CONCURRENTLY) TABLE t", True),
        ("REINDEX TABLE t", False),
        ("REINDEX SCHEMA s", True),
        ("VACUUM", True),
        ("VACUUM (ANALYZE) t", True),
        ("ANALYZE t", False),
        ("CLUSTER", True),
        ("CLUSTER t USING i", False),
        ("CREATE DATABASE d", True),
        ("DROP DATABASE d", True),
        ("ALTER DATABASE d SET TABLESPACE x", True),
        ("ALTER DATABASE d SET work_mem = '1MB'", False),
        ("CREATE TABLESPACE x LOCATION '/x'", True),
        ("DROP TABLESPACE x", True),
        ("ALTER SYSTEM SET work_mem = '1MB'", True),
        ("DISCARD PLANS", False),
        ("ALTER TABLE p DETACH PARTITION q CONCURRENTLY", True),
        ("ALTER TABLE p DETACH PARTITION q", False),
        ("ALTER TABLE p DETACH PARTITION q FINALIZE", False),
        ("ALTER TYPE e ADD VALUE 'x'", False),
        ("CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p", True),
        ("COMMIT PREPARED 'x'", True),
        ("INSERT INTO t VALUES ('CREATE INDEX CONCURRENTLY')", False),
    ],
)
def test_the_statements_that_postgresql_refuses_in_a_transaction_are_known(sql, refused_in_a_transaction):
    assert [item.needs_autocommit for item in split(sql.encode(), "x.sql")] == [refused_in_a_transaction]


def test_copy_data_is_cut_out_and_sql_goes_on_behind_it():
    sql = b"CREATE TABLE t (a text);\nCOPY t FROM stdin;\nit's; not SQL\n\\N\n\\.\nSELECT 1;\n"
    create, copy, select = split(sql, "x.sql")
    assert copy.copy_data is not None
    assert sql[slice(*copy.copy_data)] == b"it's; not SQL\n\\N\n"
    assert (create.text, copy.text, select.text, select.line) == (
        "CREATE TABLE t (a text)",
        "COPY t FROM stdin",
        "SELECT 1",
        6,
    )


@pytest.mark.parametrize("ending", ["", "\n", "\n\\.", "\n\\.\n", "\r\n\\.\r\n"])
def test_copy_data_ends_with_backslash_dot_or_the_file(ending):
    (copy,) = split(f"COPY t FROM STDIN (FORMAT csv, DELIMITER ';');\n1;2{ending}".encode(), "x.sql")
    assert copy.copy_data is not None


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$\nCOPY t FROM stdin;\n$$",
        "-- COPY t FROM stdin;\nSELECT 1",
        "SELECT '\nCOPY t FROM stdin;\n'",
        "INSERT INTO t VALUES ('a copy of it from stdin')",
        "COPY t FROM '/data.csv'",
    ],
)
def test_what_only_looks_like_copy_from_stdin_is_left_alone(sql):
    found = list(split(f"{sql};\nSELECT 2;".encode(), "x.sql"))
    assert [item.copy_data for item in found] == [None, None]


def test_a_comment_before_or_behind_copy_does_not_hide_its_data():
    sql = b"-- the COPY options\nCOPY t FROM stdin; -- now\n1;2\n\\.\nSELECT 1;"
    copy, select = split(sql, "x.sql")
    assert copy.copy_data is not None
    assert sql[slice(*copy.copy_data)] == b"1;2\n"
    assert select.text == "SELECT 1"


def test_text_behind_copy_on_its_line_is_refused():
    with pytest.raises(NewelError, match="follows COPY"):
        texts("COPY t FROM stdin; SELECT 1;\n1\n\\.\n")


def test_a_tree_deeper_than_protobuf_reads_is_no_error():
    deep = "CREATE VIEW v AS SELECT " + "1+(" * 300 + "1" + ")" * 300
    assert texts(f"{deep};\nSELECT 1") == [deep, "SELECT 1"]


PIECES = st.lists(
    st.sampled_from(
        [
            "SELECT 1",
            "SELECT 'ä;ö'",
            "INSERT INTO t VALUES ('it''s', $x$;$x$)",
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END",
            "CREATE INDEX CONCURRENTLY i ON t (a)",
            "DO $$ BEGIN NULL; END $$",
            'SELECT "a;b"',
        ]
    ),
    max_size=12,
)
BLANKS = st.sampled_from(["\n", "\r\n", " ", "\n\n-- it's; a comment\n", " /* ; /* ' */ */ ", "\t"])


@given(pieces=PIECES, data=st.data(), window=st.integers(min_value=1, max_value=120))
def test_the_window_never_changes_what_is_found(pieces, data, window):
    sql = "".join(f"{data.draw(BLANKS)}{piece}{data.draw(st.sampled_from(['', ' ']))};" for piece in pieces)
    sql += data.draw(BLANKS)
    normal = statements.WINDOW
    try:
        statements.WINDOW = window
        found = list(split(sql.encode(), "x.sql"))
    finally:
        statements.WINDOW = normal
    assert [item.text for item in found] == pieces
    assert [item.line for item in found] == [sql.encode()[: item.start].count(b"\n") + 1 for item in found]


@given(st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=200))
def test_any_text_is_split_or_refused_with_a_place(text):
    found, error = attempt(text)
    assert all(item.text.strip() for item in found)
    if error is not None:
        assert error.where is not None
        assert error.where.line is not None
        assert error.where.line <= text.count("\n") + 1


def attempt(text: str) -> tuple[list[Statement], NewelError | None]:
    try:
        return list(split(text.encode(), "x.sql")), None
    except NewelError as error:
        return [], error


def test_an_apostrophe_in_a_comment_before_copy_does_not_hide_its_data():
    block = "-- copy what's there\nCOPY t FROM stdin;\n1\tit's\n\\.\n"
    found = list(split((block + block).encode(), "x.sql"))
    assert [item.copy_data is not None for item in found] == [True, True]


def test_the_word_copy_in_a_large_statement_costs_nothing_much():
    sql = "INSERT INTO t VALUES " + ",\n".join("('the copy of a copy')" for _ in range(20_000))
    started = time.process_time()
    assert texts(sql) == [sql]
    assert time.process_time() - started < 2  # it took minutes when every such word was a candidate
