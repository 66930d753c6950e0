"""Revision 000005: the user_profiles table."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import psycopg2.errors
import pytest

if TYPE_CHECKING:
    from newel.testing import Database


def table_exists(cursor: Any, table: str) -> bool:
    cursor.execute("SELECT to_regclass(%s) IS NOT NULL", (table,))
    return cursor.fetchone()[0]


def foreign_keys(cursor: Any, table: str) -> list[str]:
    cursor.execute(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'f'",
        (table,),
    )
    return [definition for (definition,) in cursor.fetchall()]


def insert_user(cursor: Any) -> int:
    cursor.execute(
        """INSERT INTO user_service.users (email, first_name, last_name)
           VALUES ('ann@example.org', 'Ann', 'Smith') RETURNING id"""
    )
    return cursor.fetchone()[0]


def test_000005_makes_the_profiles_table_and_its_rollback_removes_it(
    database_at: Callable[..., Database],
) -> None:
    database = database_at("000004")
    cursor = database.connect().cursor()
    assert not table_exists(cursor, "user_service.user_profiles")

    database.up("000005")
    assert table_exists(cursor, "user_service.user_profiles")
    assert foreign_keys(cursor, "user_service.user_profiles") == [
        "FOREIGN KEY (user_id) REFERENCES user_service.users(id) ON DELETE CASCADE"
    ]

    user_id = insert_user(cursor)
    cursor.execute(
        "INSERT INTO user_service.user_profiles (user_id, bio, timezone) VALUES (%s, %s, %s)",
        (user_id, "Test bio", "America/New_York"),
    )
    cursor.execute(
        "SELECT user_id, bio, timezone, theme, email_notifications, phone FROM user_service.user_profiles"
    )
    assert cursor.fetchall() == [(user_id, "Test bio", "America/New_York", "light", True, None)]

    database.down("000004")
    assert not table_exists(cursor, "user_service.user_profiles")
    cursor.execute("SELECT id FROM user_service.users")
    assert cursor.fetchall() == [(user_id,)]


def test_a_user_has_one_profile(database_at: Callable[..., Database]) -> None:
    cursor = database_at("000005").connect().cursor()
    user_id = insert_user(cursor)
    cursor.execute("INSERT INTO user_service.user_profiles (user_id) VALUES (%s)", (user_id,))
    with pytest.raises(psycopg2.errors.UniqueViolation):
        cursor.execute("INSERT INTO user_service.user_profiles (user_id) VALUES (%s)", (user_id,))


@pytest.mark.parametrize(("column", "value"), [("theme", "blue"), ("bio", "x" * 1001)])
def test_a_profile_refuses_an_unknown_theme_and_a_bio_above_its_limit(
    database_at: Callable[..., Database], column: str, value: str
) -> None:
    cursor = database_at("000005").connect().cursor()
    user_id = insert_user(cursor)
    with pytest.raises(psycopg2.errors.CheckViolation):
        cursor.execute(
            f"INSERT INTO user_service.user_profiles (user_id, {column}) VALUES (%s, %s)", (user_id, value)
        )


def test_a_bio_may_have_a_thousand_characters(database_at: Callable[..., Database]) -> None:
    cursor = database_at("000005").connect().cursor()
    cursor.execute(
        "INSERT INTO user_service.user_profiles (user_id, bio) VALUES (%s, %s)",
        (insert_user(cursor), "é" * 1000),
    )
    assert cursor.rowcount == 1


def test_user_id_has_one_index(database_at: Callable[..., Database]) -> None:
    cursor = database_at("000005").connect().cursor()
    cursor.execute(
        """SELECT indexdef FROM pg_indexes
           WHERE schemaname = 'user_service' AND tablename = 'user_profiles' AND indexdef LIKE '%(user_id)'"""
    )
    assert [definition.split()[1] for (definition,) in cursor.fetchall()] == ["UNIQUE"]


def test_a_profile_goes_with_its_user(database_at: Callable[..., Database]) -> None:
    cursor = database_at("000005").connect().cursor()
    user_id = insert_user(cursor)
    cursor.execute("INSERT INTO user_service.user_profiles (user_id) VALUES (%s)", (user_id,))
    cursor.execute("DELETE FROM user_service.users WHERE id = %s", (user_id,))
    cursor.execute("SELECT count(*) FROM user_service.user_profiles")
    assert cursor.fetchone() == (0,)
