"""Revision 000008: test users, in development only, and a rollback that spares everybody else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg2.errors
import pytest

if TYPE_CHECKING:
    from newel.testing import Database

DEVELOPMENT = Path(__file__).parents[2] / "sql" / "migrations" / "development"
UP_FILE = DEVELOPMENT / "000008_dev_test_users.up.sql"
DOWN_FILE = DEVELOPMENT / "000008_dev_test_users.down.sql"
TEST_USERS = [
    "dev.tester@example.com",
    "product.manager@example.com",
    "qa.engineer@example.com",
    "ux.designer@example.com",
]


def insert_user(cursor: Any, email: str) -> int:
    cursor.execute(
        "INSERT INTO user_service.users (email, first_name, last_name) VALUES (%s, 'Real', 'Person') RETURNING id",
        (email,),
    )
    return cursor.fetchone()[0]


def emails(cursor: Any) -> list[str]:
    cursor.execute("SELECT email FROM user_service.users ORDER BY email")
    return [email for (email,) in cursor.fetchall()]


def contents(cursor: Any, *tables: str) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of the tables, as it is stored."""
    found = {}
    for table in tables:
        cursor.execute(f"SELECT * FROM user_service.{table} ORDER BY id")
        found[table] = cursor.fetchall()
    return found


def test_development_has_the_test_users_with_their_profiles(database_at: Callable[..., Database]) -> None:
    cursor = database_at("000008").connect().cursor()
    assert emails(cursor) == TEST_USERS
    cursor.execute(
        """SELECT u.first_name, u.last_name, p.bio, p.location, p.timezone
           FROM user_service.users u JOIN user_service.user_profiles p ON p.user_id = u.id
           ORDER BY u.email"""
    )
    rows = cursor.fetchall()
    assert rows[2] == (
        "QA",
        "Engineer",
        "Quality Assurance Engineer with 5+ years experience",
        "New York, NY",
        "America/Los_Angeles",
    )
    assert [row[3] for row in rows] == ["San Francisco, CA", "Austin, TX", "New York, NY", "Seattle, WA"]


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_the_test_users_are_in_no_other_environment(
    database_at: Callable[..., Database], environment: str
) -> None:
    cursor = database_at("head", environment=environment).connect().cursor()
    assert emails(cursor) == []
    cursor.execute(
        """SELECT to_regclass('user_service.user_contacts') IS NOT NULL,
                  to_regclass('user_service.migration_000008_users')"""
    )
    assert cursor.fetchone() == (True, None)


def test_the_rollback_of_000008_removes_its_users_however_old_or_changed(
    database_at: Callable[..., Database],
) -> None:
    database = database_at("000007")
    cursor = database.connect().cursor()
    insert_user(cursor, "ann@example.org")
    before = contents(cursor, "users", "user_profiles")
    database.up("000008")
    cursor.execute(
        """UPDATE user_service.users SET created_at = now() - INTERVAL '2 years', email = 'renamed@example.com'
           WHERE email = 'dev.tester@example.com'"""
    )
    database.down("000007")
    assert contents(cursor, "users", "user_profiles") == before


def test_the_rollback_of_000008_keeps_users_and_profiles_that_were_there(
    database_at: Callable[..., Database],
) -> None:
    database = database_at("000007")
    cursor = database.connect().cursor()
    with_profile = insert_user(cursor, "dev.tester@example.com")
    cursor.execute(
        "INSERT INTO user_service.user_profiles (user_id, bio) VALUES (%s, 'Mine')", (with_profile,)
    )
    insert_user(cursor, "ux.designer@example.com")
    before = contents(cursor, "users", "user_profiles")

    database.up("000008")
    assert emails(cursor) == TEST_USERS
    cursor.execute("SELECT count(*) FROM user_service.user_profiles")
    assert cursor.fetchone() == (4,)

    database.down("000007")
    assert contents(cursor, "users", "user_profiles") == before


def test_the_rollback_of_000008_keeps_a_user_who_took_the_address_later(
    database_at: Callable[..., Database],
) -> None:
    database = database_at("000008")
    cursor = database.connect().cursor()
    cursor.execute("SELECT id FROM user_service.users WHERE email = 'dev.tester@example.com'")
    (made,) = cursor.fetchone()
    cursor.execute("DELETE FROM user_service.users WHERE id = %s", (made,))
    cursor.execute(
        """INSERT INTO user_service.users (id, email, first_name, last_name)
           VALUES (%s, 'dev.tester@example.com', 'Real', 'Person')""",
        (made,),
    )
    database.down("000007")
    assert emails(cursor) == ["dev.tester@example.com"]


def test_000009_copies_the_test_users_and_both_roll_back(database_at: Callable[..., Database]) -> None:
    database = database_at("000007")
    cursor = database.connect().cursor()
    insert_user(cursor, "ann@example.org")
    before = contents(cursor, "users", "user_profiles")
    database.up("000009")
    cursor.execute("SELECT contact_value FROM user_service.user_contacts ORDER BY contact_value")
    assert [value for (value,) in cursor.fetchall()] == ["ann@example.org", *TEST_USERS]
    database.down("000007")
    assert contents(cursor, "users", "user_profiles") == before


def test_000008_added_late_rolls_back_without_touching_the_contacts_of_others(
    database_at: Callable[..., Database],
) -> None:
    database = database_at("000007", environment="production")
    cursor = database.connect().cursor()
    insert_user(cursor, "ann@example.org")
    insert_user(cursor, "dev.tester@example.com")
    database.up("000009")
    before = contents(cursor, "users", "user_profiles", "user_contacts")
    cursor.execute(UP_FILE.read_text())
    cursor.execute(
        """INSERT INTO user_service.user_contacts (user_id, contact_type, contact_value)
           SELECT id, 'phone', '+1 555 0100' FROM user_service.users WHERE email = 'qa.engineer@example.com'"""
    )
    cursor.execute(DOWN_FILE.read_text())
    assert contents(cursor, "users", "user_profiles", "user_contacts") == before


def test_a_test_user_with_activities_stops_the_rollback_of_000008(
    database_at: Callable[..., Database],
) -> None:
    cursor = database_at("000008").connect().cursor()
    cursor.execute(
        """INSERT INTO user_service.activities (user_id, activity_type, entity_type, entity_id)
           SELECT id, 'login', 'users', id FROM user_service.users WHERE email = 'qa.engineer@example.com'"""
    )
    before = contents(cursor, "users", "user_profiles", "activities")
    with pytest.raises(psycopg2.errors.ForeignKeyViolation):
        cursor.execute(DOWN_FILE.read_text())
    assert contents(cursor, "users", "user_profiles", "activities") == before
