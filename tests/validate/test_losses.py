"""What a down file loses, by its statements and by its directives."""

from __future__ import annotations

from pathlib import Path

import pytest

from newel.project.directives import Directives
from newel.project.files import SqlFile, read
from newel.validate.losses import Loss, losses


@pytest.fixture
def lost(tmp_path: Path):
    """Return the losses of a down file's text."""

    def of(text: str) -> tuple[Loss, ...]:
        (tmp_path / "x.down.sql").write_text(text)
        return losses(read(tmp_path, "x.down.sql"))

    return of


def every(table: str, column: str | None = None) -> Loss:
    return Loss(table, column, "all")


def some(table: str, column: str | None = None) -> Loss:
    return Loss(table, column, "some")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("DROP TABLE a.b, c CASCADE", [every("a.b"), every("c")]),
        ("DROP TABLE IF EXISTS this_database.a.b", [every("a.b")]),
        ("DROP MATERIALIZED VIEW a.b", [every("a.b")]),
        ('DROP TABLE "Mixed"."x""y", "order", "left", a.user', [
            every('"Mixed"."x""y"'), every('"order"'), every('"left"'), every('a."user"')]),
        ("ALTER TABLE a.b DROP COLUMN c, DROP COLUMN IF EXISTS \"D\", ADD COLUMN e int",
         [every("a.b", "c"), every("a.b", '"D"')]),
        ("ALTER TABLE b ALTER COLUMN c TYPE int USING c::int", [some("b", "c")]),
        ("TRUNCATE a, ONLY b CASCADE", [every("a"), every("b")]),
        ("DELETE FROM a.b x", [every("a.b")]),
        ("DELETE FROM a.b x USING c WHERE c.i = x.i", [some("a.b")]),
        ("UPDATE a.b SET x = 1, (y, z) = (2, 3)", [every("a.b", "x"), every("a.b", "y"), every("a.b", "z")]),
        ("UPDATE a.b SET x[1] = 1 WHERE true", [some("a.b", "x")]),
        ("WITH gone AS (DELETE FROM a RETURNING *) INSERT INTO b SELECT * FROM gone", [every("a")]),
        ("CREATE TABLE c AS WITH gone AS (DELETE FROM a RETURNING *) SELECT * FROM gone", [every("a")]),
        ("INSERT INTO a VALUES (1, 2) ON CONFLICT (i) DO UPDATE SET j = 2", [some("a", "j")]),
        ("INSERT INTO a VALUES (1, 2) ON CONFLICT DO NOTHING", []),
        ("MERGE INTO a USING b ON a.i = b.i WHEN MATCHED AND a.j > 1 THEN DELETE "
         "WHEN MATCHED THEN UPDATE SET j = b.j", [some("a"), some("a", "j")]),
        ('DROP SCHEMA a, "B" CASCADE', [every("a.*"), every('"B".*')]),
        ("DROP SCHEMA a", []),
        ("DROP VIEW a; DROP INDEX b; DROP FUNCTION c(); DROP SEQUENCE d", []),
        ("ALTER TYPE a DROP ATTRIBUTE b; ALTER FOREIGN TABLE c DROP COLUMN d", []),
        ("DO $$ BEGIN DELETE FROM a; END $$", []),
        ("SELECT " + "(" * 300 + "1" + ")" * 300, []),
        ("UPDATE a SET b = " + "(" * 300 + "1" + ")" * 300 + "; DELETE FROM c", [every("a", "b"), every("c")]),
        ("-- nothing", []),
    ],
)  # fmt: skip
def test_a_statement_loses(lost, text: str, expected: list[Loss]) -> None:
    assert list(lost(text)) == expected


def test_each_table_and_column_is_named_once_and_all_wins_over_some(lost) -> None:
    found = lost("UPDATE a SET x = 1 WHERE y; DELETE FROM a WHERE y; UPDATE a SET x = 2; DROP TABLE a;")
    assert found == (every("a", "x"), every("a"))


@pytest.mark.parametrize(
    ("word", "text", "expected"),
    [
        ("a.b", "DROP TABLE a.b", [Loss("a.b", None, "all", "why")]),
        ("A.B", "DROP TABLE a.b", [Loss("a.b", None, "all", "why")]),
        ('a."B.c"', 'DROP TABLE a."B.c"', [Loss('a."B.c"', None, "all", "why")]),
        ("a.b.c", "ALTER TABLE a.b DROP c", [Loss("a.b", "c", "all", "why")]),
        ("b.c", "ALTER TABLE b DROP c", [Loss("b", "c", "all", "why")]),
        ("b.c", "SELECT 1", [Loss("b.c", None, "some", "why")]),
        ("b", "SELECT 1", [Loss("b", None, "some", "why")]),
        ("a.b.c", "DROP TABLE a.b", [Loss("a.b", "c", "some", "why"), every("a.b")]),
        ("a.b", "ALTER TABLE a.b DROP c", [Loss("a.b", None, "some", "why"), every("a.b", "c")]),
        ('a."B c".d', 'ALTER TABLE a."B c" DROP d', [Loss('a."B c"', "d", "all", "why")]),
        (
            '"A ""b"" c"."D  e"',
            'DROP TABLE "A ""b"" c"."D  e"',
            [Loss('"A ""b"" c"."D  e"', None, "all", "why")],
        ),
        ("a..", "SELECT 1", [Loss('"a.."', None, "some", "why")]),
    ],
)
def test_a_directive_gives_the_reason_of_the_loss_that_it_names(lost, word, text, expected) -> None:
    assert list(lost(f"-- newel: lossy {word} why\n{text};")) == expected


def test_two_reasons_for_one_loss_are_both_kept(lost) -> None:
    found = lost("-- newel: lossy a.b one\n-- newel: lossy a.b two\nDROP TABLE a.b;")
    assert found == (Loss("a.b", None, "all", "one; two"),)


def test_a_file_without_statements_loses_nothing() -> None:
    assert losses(SqlFile("x.down.sql", b"", Directives(), True)) == ()
