"""Revision 000007: every user gets a profile, and the rollback takes back exactly that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from newel.testing import Database

UP_FILE = Path(__file__).parents[2] / "sql" / "migrations" / "000007_migrate_user_profiles_data.up.sql"


def insert_user(cursor: Any, name: str) -> int:
    cursor.execute(
        "INSERT INTO user_service.users (email, first_name, last_name) VALUES (%s, %s, 'Smith') RETURNING id",
        (f"{name}@example.org", name),
    )
    return cursor.fetchone()[0]


def insert_profile(cursor: Any, user_id: int, **values: object) -> None:
    columns = ["user_id", *values]
    cursor.execute(
        f"""INSERT INTO user_service.user_profiles ({", ".join(columns)})
            VALUES ({", ".join(["%s"] * len(columns))})""",
        (user_id, *values.values()),
    )


def profiles(cursor: Any) -> list[tuple[Any, ...]]:
    """Every profile, every column, as it is stored."""
    cursor.execute("SELECT * FROM user_service.user_profiles ORDER BY id")
    return cursor.fetchall()


def preferences(cursor: Any, user_id: int) -> tuple[Any, ...]:
    cursor.execute(
        "SELECT timezone, theme, email_notifications FROM user_service.user_profiles WHERE user_id = %s",
        (user_id,),
    )
    return cursor.fetchone()


def test_every_user_has_a_profile_after_000007(database_at: Callable[..., Database]) -> None:
    database = database_at("000006", environment="production")
    cursor = database.connect().cursor()
    own, partial = insert_user(cursor, "own"), insert_user(cursor, "partial")
    for name in ("one", "two", "three"):
        insert_user(cursor, name)
    insert_profile(cursor, own, timezone="Europe/Vienna", theme="dark")
    insert_profile(cursor, partial, timezone=None, theme="auto")
    database.up("000007")
    cursor.execute(
        """SELECT
               COUNT(*) as total_users,
               COUNT(p.id) as users_with_profiles,
               COUNT(CASE WHEN p.timezone = 'UTC' THEN 1 END) as default_timezones,
               COUNT(CASE WHEN p.theme = 'light' THEN 1 END) as default_themes
           FROM user_service.users u
           LEFT JOIN user_service.user_profiles p ON u.id = p.user_id"""
    )
    assert cursor.fetchall() == [(5, 5, 4, 3)]


def test_000007_leaves_complete_profiles_as_they_are(database_at: Callable[..., Database]) -> None:
    database = database_at("000006")
    cursor = database.connect().cursor()
    insert_profile(cursor, insert_user(cursor, "ann"), bio="Mine", theme="dark", updated_at="2020-02-02Z")
    before = profiles(cursor)
    database.up("000007")
    assert profiles(cursor) == before


def test_a_deleted_user_gets_a_profile_too(database_at: Callable[..., Database]) -> None:
    database = database_at("000006")
    cursor = database.connect().cursor()
    ann = insert_user(cursor, "ann")
    cursor.execute("UPDATE user_service.users SET deleted_at = now()")
    database.up("000007")
    assert preferences(cursor, ann) == ("UTC", "light", True)


def test_the_notice_of_000007_counts_its_own_rows_only(database_at: Callable[..., Database]) -> None:
    connection = database_at("000006").connect()
    cursor = connection.cursor()
    insert_profile(cursor, insert_user(cursor, "own"))
    insert_profile(cursor, insert_user(cursor, "partial"), theme=None)
    insert_user(cursor, "one")
    insert_user(cursor, "two")
    cursor.execute(UP_FILE.read_text())
    assert connection.notices == ["NOTICE:  Migration completed: 2 profiles created, 1 profiles updated\n"]


def test_the_rollback_of_000007_removes_its_profiles_however_old_and_no_other(
    database_at: Callable[..., Database],
) -> None:
    database = database_at("000006")
    cursor = database.connect().cursor()
    insert_profile(cursor, insert_user(cursor, "before"))
    aged, edited = insert_user(cursor, "aged"), insert_user(cursor, "edited")
    insert_user(cursor, "fresh")
    database.up("000007")
    cursor.execute(
        """UPDATE user_service.user_profiles
           SET created_at = now() - INTERVAL '2 years', updated_at = now() - INTERVAL '2 years'
           WHERE user_id = %s""",
        (aged,),
    )
    cursor.execute("UPDATE user_service.user_profiles SET bio = 'Mine' WHERE user_id = %s", (edited,))
    # Just like the ones that 000007 makes, but made by the application afterwards.
    insert_profile(cursor, insert_user(cursor, "after"))
    cursor.execute(
        """SELECT p.* FROM user_service.user_profiles p JOIN user_service.users u ON u.id = p.user_id
           WHERE u.first_name IN ('before', 'after') ORDER BY p.id"""
    )
    own = cursor.fetchall()
    database.down("000006")
    assert len(own) == 2
    assert profiles(cursor) == own


def test_a_profile_made_anew_by_its_user_survives_the_rollback_of_000007(
    database_at: Callable[..., Database],
) -> None:
    database = database_at("000006")
    cursor = database.connect().cursor()
    ann = insert_user(cursor, "ann")
    database.up("000007")
    cursor.execute("SELECT id FROM user_service.user_profiles")
    (made,) = cursor.fetchone()
    cursor.execute("DELETE FROM user_service.user_profiles")
    # Even with the id that the first one had.
    insert_profile(cursor, ann, id=made, bio="Mine")
    before = profiles(cursor)
    database.down("000006")
    assert profiles(cursor) == before


def test_the_rollback_of_000007_puts_back_the_nulls_it_replaced(database_at: Callable[..., Database]) -> None:
    database = database_at("000006")
    cursor = database.connect().cursor()
    for number, nulls in enumerate(
        (["timezone"], ["theme"], ["email_notifications"], ["timezone", "theme", "email_notifications"])
    ):
        insert_profile(
            cursor,
            insert_user(cursor, f"user{number}"),
            updated_at="2020-02-02 02:02:02.123456Z",
            **dict.fromkeys(nulls),
        )
    insert_profile(cursor, insert_user(cursor, "null"), theme=None, updated_at=None)
    before = profiles(cursor)
    database.up("000007")
    cursor.execute(
        """SELECT count(*) FROM user_service.user_profiles
           WHERE timezone IS NULL OR theme IS NULL OR email_notifications IS NULL"""
    )
    assert cursor.fetchone() == (0,)
    database.down("000006")
    assert profiles(cursor) == before


def test_the_rollback_of_000007_keeps_what_a_user_has_chosen_since(
    database_at: Callable[..., Database],
) -> None:
    database = database_at("000006")
    cursor = database.connect().cursor()
    ann = insert_user(cursor, "ann")
    insert_profile(cursor, ann, timezone=None, theme=None, email_notifications=None)
    database.up("000007")
    cursor.execute(
        """UPDATE user_service.user_profiles
           SET timezone = 'Europe/Vienna', email_notifications = false, updated_at = '2030-01-01Z'"""
    )
    database.down("000006")
    assert preferences(cursor, ann) == ("Europe/Vienna", None, False)
    cursor.execute("SELECT updated_at = '2030-01-01Z' FROM user_service.user_profiles")
    assert cursor.fetchone() == (True,)


def test_up_down_and_up_again_of_000007_gives_every_user_a_profile(
    database_at: Callable[..., Database],
) -> None:
    database = database_at("000006")
    cursor = database.connect().cursor()
    ann = insert_user(cursor, "ann")
    database.up("000007")
    database.down("000006")
    assert profiles(cursor) == []
    database.up("000007")
    assert preferences(cursor, ann) == ("UTC", "light", True)
