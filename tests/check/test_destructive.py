"""The rule about statements that destroy data or what others depend on."""

from __future__ import annotations

import pytest

from newel.check.rules.destructive import destructive
from newel.project.parser import parse


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("DROP TABLE app.users", ["drops table app.users"]),
        ("DROP TABLE a, b", ["drops table a, b"]),
        (
            "DROP SCHEMA app CASCADE",
            ["drops schema app", "CASCADE takes along whatever depends on it, known or not"],
        ),
        ("DROP TYPE app.mood", ["drops type app.mood"]),
        ("DROP FUNCTION app.f(int)", ["drops function app.f"]),
        ("DROP MATERIALIZED VIEW v", ["drops materialized view v"]),
        ("DROP DATABASE d", ["drops database d"]),
        ("DROP OWNED BY r", ["drops everything a role owns"]),
        ("TRUNCATE a, app.b", ["empties a, app.b"]),
        ("DELETE FROM app.t", ["deletes every row of app.t"]),
        ("UPDATE app.t SET a = 1", ["changes every row of app.t"]),
        ("WITH gone AS (DELETE FROM t RETURNING *) SELECT * FROM gone", ["deletes every row of t"]),
        ("ALTER TABLE t DROP COLUMN c", ["drops column t.c"]),
        (
            "ALTER TABLE t ALTER COLUMN c TYPE int",
            ["changes the type of t.c: values that do not fit are cut or refused"],
        ),
        (
            "ALTER TABLE t DROP CONSTRAINT k CASCADE",
            ["CASCADE takes along whatever depends on it, known or not"],
        ),
    ],
)
def test_what_a_statement_destroys_is_said(sql, said):
    assert destructive(parse(sql)) == said


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE t (a int)",
        "DELETE FROM t WHERE a < 3",
        "UPDATE t SET a = 1 WHERE a IS NULL",
        "DROP INDEX i",
        "ALTER TABLE t DROP CONSTRAINT k",
        "ALTER TABLE t ADD COLUMN c int",
        "WITH gone AS (DELETE FROM t WHERE a = 1 RETURNING *) SELECT * FROM gone",
        "INSERT INTO t SELECT 1",
        "COMMENT ON TABLE t IS 'DROP TABLE t'",
    ],
)
def test_what_destroys_nothing_is_passed_over(sql):
    assert destructive(parse(sql)) == []
