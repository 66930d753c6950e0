"""Revisions 000001 to 000004: users, settings with audit columns, soft delete, and the activity log."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg2.errors
import pytest

if TYPE_CHECKING:
    from newel.testing import Database

MIGRATIONS = Path(__file__).parents[2] / "sql" / "migrations"


def insert_user(cursor: Any, email: str = "ann@example.org") -> int:
    cursor.execute(
        "INSERT INTO user_service.users (email, first_name, last_name) VALUES (%s, 'Ann', 'Smith') RETURNING id",
        (email,),
    )
    return cursor.fetchone()[0]


def test_users_have_the_columns_that_the_service_counts_on(database_at: Callable[..., Database]) -> None:
    cursor = database_at("000001").connect().cursor()
    cursor.execute(
        """SELECT attname, format_type(atttypid, atttypmod), attnotnull
           FROM pg_attribute
           WHERE attrelid = 'user_service.users'::regclass AND attnum > 0
           ORDER BY attnum"""
    )
    assert cursor.fetchall() == [
        ("id", "integer", True),
        ("email", "character varying(255)", True),
        ("first_name", "character varying(100)", True),
        ("last_name", "character varying(100)", True),
        ("created_at", "timestamp with time zone", False),
        ("updated_at", "timestamp with time zone", False),
    ]


def test_two_users_cannot_have_one_address(database_at: Callable[..., Database]) -> None:
    cursor = database_at("000001").connect().cursor()
    insert_user(cursor)
    with pytest.raises(psycopg2.errors.UniqueViolation):
        insert_user(cursor)


def test_a_schema_that_is_there_already_stops_the_first_revision(
    database_at: Callable[..., Database],
) -> None:
    cursor = database_at("base").connect().cursor()
    cursor.execute("CREATE SCHEMA user_service")
    with pytest.raises(psycopg2.errors.DuplicateSchema):
        cursor.execute((MIGRATIONS / "000001_create_users.up.sql").read_text())


def test_the_first_rollback_does_not_drop_what_others_put_into_the_schema(
    database_at: Callable[..., Database],
) -> None:
    cursor = database_at("000001").connect().cursor()
    cursor.execute("CREATE TABLE user_service.of_somebody_else (id INTEGER)")
    with pytest.raises(psycopg2.errors.DependentObjectsStillExist):
        cursor.execute((MIGRATIONS / "000001_create_users.down.sql").read_text())
    cursor.execute("SELECT to_regclass('user_service.users'), to_regclass('user_service.of_somebody_else')")
    assert None not in cursor.fetchone()


def test_a_setting_has_one_value_for_each_user_and_key(database_at: Callable[..., Database]) -> None:
    cursor = database_at("000002").connect().cursor()
    ann, bob = insert_user(cursor), insert_user(cursor, "bob@example.org")
    insert = (
        "INSERT INTO user_service.user_settings (user_id, setting_key, setting_value) VALUES (%s, 'lang', %s)"
    )
    cursor.execute(insert, (ann, '"de"'))
    cursor.execute(insert, (bob, '"en"'))
    with pytest.raises(psycopg2.errors.UniqueViolation):
        cursor.execute(insert, (ann, '"fr"'))


def test_a_setting_keeps_who_made_it_after_that_user_is_gone(database_at: Callable[..., Database]) -> None:
    cursor = database_at("000002").connect().cursor()
    ann, admin = insert_user(cursor), insert_user(cursor, "admin@example.org")
    cursor.execute(
        """INSERT INTO user_service.user_settings (user_id, setting_key, setting_value, created_by, updated_by)
           VALUES (%s, 'lang', '"de"', %s, %s)""",
        (ann, admin, admin),
    )
    cursor.execute("DELETE FROM user_service.users WHERE id = %s", (admin,))
    cursor.execute(
        "SELECT created_by, updated_by, created_at IS NOT NULL, updated_at IS NOT NULL FROM user_service.user_settings"
    )
    assert cursor.fetchall() == [(admin, admin, True, True)]


def test_settings_go_with_their_user(database_at: Callable[..., Database]) -> None:
    cursor = database_at("000002").connect().cursor()
    ann = insert_user(cursor)
    cursor.execute(
        "INSERT INTO user_service.user_settings (user_id, setting_key, setting_value) VALUES (%s, 'lang', '1')",
        (ann,),
    )
    cursor.execute("DELETE FROM user_service.users WHERE id = %s", (ann,))
    cursor.execute("SELECT count(*) FROM user_service.user_settings")
    assert cursor.fetchone() == (0,)


def test_the_audit_columns_are_indexed(database_at: Callable[..., Database]) -> None:
    cursor = database_at("000002").connect().cursor()
    cursor.execute("SELECT indexname FROM pg_indexes WHERE tablename = 'user_settings'")
    names = {name for (name,) in cursor.fetchall()}
    assert {"idx_user_settings_created_at", "idx_user_settings_updated_at"} <= names


def test_users_from_before_soft_delete_are_active(database_at: Callable[..., Database]) -> None:
    database = database_at("000002")
    cursor = database.connect().cursor()
    ann = insert_user(cursor)
    database.up("000003")
    cursor.execute("SELECT id FROM user_service.users WHERE deleted_at IS NULL AND deleted_by IS NULL")
    assert cursor.fetchall() == [(ann,)]


def test_the_index_of_active_users_leaves_deleted_ones_out(database_at: Callable[..., Database]) -> None:
    cursor = database_at("000003").connect().cursor()
    cursor.execute("SELECT indexdef FROM pg_indexes WHERE indexname = 'idx_users_not_deleted'")
    (definition,) = cursor.fetchone()
    assert definition.endswith("USING btree (id) WHERE (deleted_at IS NULL)")


def test_rolling_back_soft_delete_keeps_every_user(database_at: Callable[..., Database]) -> None:
    database = database_at("000003")
    cursor = database.connect().cursor()
    ann, bob = insert_user(cursor), insert_user(cursor, "bob@example.org")
    cursor.execute(
        "UPDATE user_service.users SET deleted_at = now(), deleted_by = %s WHERE id = %s", (bob, ann)
    )
    database.down("000002")
    cursor.execute("SELECT * FROM user_service.users ORDER BY id")
    assert [(row[0], len(row)) for row in cursor.fetchall()] == [(ann, 6), (bob, 6)]


def test_an_activity_points_to_a_row_of_any_table(database_at: Callable[..., Database]) -> None:
    cursor = database_at("000004").connect().cursor()
    ann = insert_user(cursor)
    for entity_type, entity_id in (("users", ann), ("user_settings", 7)):
        cursor.execute(
            """INSERT INTO user_service.activities (user_id, activity_type, entity_type, entity_id, metadata)
               VALUES (%s, 'viewed', %s, %s, '{"from": "search"}')""",
            (ann, entity_type, entity_id),
        )
    cursor.execute(
        """SELECT user_id, metadata->>'from', created_at IS NOT NULL
           FROM user_service.activities
           WHERE entity_type = 'user_settings' AND entity_id = 7"""
    )
    assert cursor.fetchall() == [(ann, "search", True)]


def test_an_activity_needs_a_user_who_exists(database_at: Callable[..., Database]) -> None:
    cursor = database_at("000004").connect().cursor()
    with pytest.raises(psycopg2.errors.ForeignKeyViolation):
        cursor.execute(
            """INSERT INTO user_service.activities (user_id, activity_type, entity_type, entity_id)
               VALUES (999, 'viewed', 'users', 1)"""
        )


@pytest.mark.parametrize("column", ["user_id", "activity_type", "entity_type", "entity_id"])
def test_an_activity_says_who_did_what_to_which_row(
    database_at: Callable[..., Database], column: str
) -> None:
    cursor = database_at("000004").connect().cursor()
    values: dict[str, object] = {
        "user_id": insert_user(cursor),
        "activity_type": "viewed",
        "entity_type": "users",
        "entity_id": 1,
    }
    values[column] = None
    with pytest.raises(psycopg2.errors.NotNullViolation) as raised:
        cursor.execute(
            """INSERT INTO user_service.activities (user_id, activity_type, entity_type, entity_id)
               VALUES (%(user_id)s, %(activity_type)s, %(entity_type)s, %(entity_id)s)""",
            values,
        )
    assert raised.value.diag.column_name == column


def test_a_user_with_activities_can_be_soft_deleted_only(database_at: Callable[..., Database]) -> None:
    cursor = database_at("000004").connect().cursor()
    ann = insert_user(cursor)
    cursor.execute(
        """INSERT INTO user_service.activities (user_id, activity_type, entity_type, entity_id)
           VALUES (%s, 'viewed', 'users', %s)""",
        (ann, ann),
    )
    with pytest.raises(psycopg2.errors.ForeignKeyViolation):
        cursor.execute("DELETE FROM user_service.users WHERE id = %s", (ann,))
    cursor.execute("UPDATE user_service.users SET deleted_at = now() WHERE id = %s", (ann,))
    cursor.execute("SELECT count(*) FROM user_service.users WHERE deleted_at IS NULL")
    assert cursor.fetchone() == (0,)
