"""Revision 000009: contacts in a table of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import psycopg2.errors
import pytest

if TYPE_CHECKING:
    from newel.testing import Database


def insert_user(cursor: Any, email: str, phone: str | None = None) -> int:
    cursor.execute(
        """INSERT INTO user_service.users (email, first_name, last_name, created_at)
           VALUES (%s, 'Ann', 'Smith', '2021-03-04Z') RETURNING id""",
        (email,),
    )
    (user_id,) = cursor.fetchone()
    cursor.execute(
        "INSERT INTO user_service.user_profiles (user_id, phone) VALUES (%s, %s)", (user_id, phone)
    )
    return user_id


def test_000009_copies_addresses_and_phone_numbers(database_at: Callable[..., Database]) -> None:
    database = database_at("000007", environment="production")
    cursor = database.connect().cursor()
    ann = insert_user(cursor, "ann@example.org", "+43 1 234")
    bob = insert_user(cursor, "bob@example.org")
    database.up("000009")
    cursor.execute(
        """SELECT user_id, contact_type, contact_value, is_primary, verified_at = '2021-03-04Z'
           FROM user_service.user_contacts ORDER BY user_id, contact_type"""
    )
    assert cursor.fetchall() == [
        (ann, "email", "ann@example.org", True, True),
        (ann, "phone", "+43 1 234", True, None),
        (bob, "email", "bob@example.org", True, True),
    ]


def test_000009_passes_over_blank_addresses_and_phone_numbers(database_at: Callable[..., Database]) -> None:
    database = database_at("000007", environment="production")
    cursor = database.connect().cursor()
    insert_user(cursor, "", "")
    insert_user(cursor, " ", "  ")
    database.up("000009")
    cursor.execute("SELECT count(*) FROM user_service.user_contacts")
    assert cursor.fetchone() == (0,)


def test_the_rollback_of_000009_leaves_addresses_and_phone_numbers_as_they_are(
    database_at: Callable[..., Database],
) -> None:
    database = database_at("000007", environment="production")
    cursor = database.connect().cursor()
    ann = insert_user(cursor, "ann@example.org", "+43 1 234")
    bob = insert_user(cursor, "bob@example.org")
    database.up("000009")
    # Ann moves to a new address. Bob enters a second primary address, which is Ann's, and a phone number.
    cursor.execute("UPDATE user_service.users SET email = 'ann@new.example.org' WHERE id = %s", (ann,))
    cursor.execute(
        """INSERT INTO user_service.user_contacts (user_id, contact_type, contact_value, is_primary)
           VALUES (%(bob)s, 'email', 'ann@new.example.org', true), (%(bob)s, 'phone', '+43 9 876', true)""",
        {"bob": bob},
    )
    select = """SELECT u.*, p.phone, p.updated_at FROM user_service.users u
                JOIN user_service.user_profiles p ON p.user_id = u.id ORDER BY u.id"""
    cursor.execute(select)
    before = cursor.fetchall()
    database.down("000007")
    cursor.execute(select)
    assert cursor.fetchall() == before
    cursor.execute("SELECT to_regclass('user_service.user_contacts')")
    assert cursor.fetchone() == (None,)


@pytest.mark.parametrize(
    ("contact_type", "value", "is_primary", "error"),
    [
        ("fax", "+43 1 234", False, psycopg2.errors.CheckViolation),
        ("phone", "", False, psycopg2.errors.CheckViolation),
        ("phone", "   ", False, psycopg2.errors.CheckViolation),
        ("phone", None, False, psycopg2.errors.NotNullViolation),
        ("phone", "+43 1 234", None, psycopg2.errors.NotNullViolation),
        ("email", "ann@example.org", False, psycopg2.errors.UniqueViolation),
    ],
)
def test_a_contact_of_no_known_kind_a_blank_one_and_a_second_of_the_same_are_refused(
    database_at: Callable[..., Database],
    contact_type: str,
    value: str | None,
    is_primary: bool | None,
    error: type[psycopg2.Error],
) -> None:
    database = database_at("000007", environment="production")
    cursor = database.connect().cursor()
    ann = insert_user(cursor, "ann@example.org")
    database.up("000009")
    with pytest.raises(error):
        cursor.execute(
            """INSERT INTO user_service.user_contacts (user_id, contact_type, contact_value, is_primary)
               VALUES (%s, %s, %s, %s)""",
            (ann, contact_type, value, is_primary),
        )


def test_no_index_of_user_contacts_is_on_user_id_alone(database_at: Callable[..., Database]) -> None:
    cursor = database_at("000009").connect().cursor()
    cursor.execute(
        """SELECT indexname FROM pg_indexes
           WHERE schemaname = 'user_service' AND tablename = 'user_contacts' AND indexdef LIKE '%(user_id)'"""
    )
    assert cursor.fetchall() == []
