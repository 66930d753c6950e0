"""Revision 000006: the search indexes, and that the queries they are for can use them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from newel.testing import Database

MIGRATIONS = Path(__file__).parents[2] / "sql" / "migrations"
INDEXES = {
    "idx_users_name_search",
    "idx_users_last_name_prefix",
    "idx_users_active_recent",
    "idx_users_email_domain",
    "idx_user_profiles_location",
    "idx_user_profiles_website",
}


def valid_indexes(cursor: Any) -> set[str]:
    cursor.execute(
        """SELECT c.relname
           FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
           WHERE c.relnamespace = 'user_service'::regnamespace AND i.indisvalid AND i.indisready"""
    )
    return {name for (name,) in cursor.fetchall()}


def with_users(database: Database) -> Any:
    """A cursor on 2,000 users with profiles, analyzed, for which the planner avoids sequential scans."""
    cursor = database.connect().cursor()
    cursor.execute(
        """INSERT INTO user_service.users (email, first_name, last_name, created_at, deleted_at)
           SELECT format('user%s@host%s.example', n, n % 500), format('First%s', n % 300), format('Last%s', n),
                  now() - n * INTERVAL '1 day', CASE WHEN n % 10 = 0 THEN now() END
           FROM generate_series(1, 2000) AS n"""
    )
    cursor.execute(
        """INSERT INTO user_service.user_profiles (user_id, location, website)
           SELECT id, format('City%s', id), format('https://host%s.example', id) FROM user_service.users"""
    )
    cursor.execute("ANALYZE user_service.users, user_service.user_profiles")
    cursor.execute("SET enable_seqscan = off")
    return cursor


def plan(cursor: Any, query: str) -> str:
    cursor.execute("EXPLAIN (COSTS OFF) " + query)
    return "\n".join(line for (line,) in cursor.fetchall())


def test_000006_builds_its_indexes_and_its_rollback_drops_them(database_at: Callable[..., Database]) -> None:
    database = database_at("000005")
    cursor = database.connect().cursor()
    before = valid_indexes(cursor)
    database.up("000006")
    assert valid_indexes(cursor) == before | INDEXES
    database.down("000005")
    assert valid_indexes(cursor) == before


@pytest.mark.parametrize("direction", ["up", "down"])
def test_000006_builds_and_drops_every_index_concurrently(direction: str) -> None:
    text = (MIGRATIONS / f"000006_optimize_user_search.{direction}.sql").read_text()
    statements = [line for line in text.splitlines() if line.startswith(("CREATE ", "DROP "))]
    assert len(statements) == len(INDEXES)
    assert all(" INDEX CONCURRENTLY " in statement for statement in statements)


def test_recently_active_users_are_found_and_sorted_by_an_index(database_at: Callable[..., Database]) -> None:
    cursor = with_users(database_at("000006"))
    found = plan(
        cursor,
        """SELECT u.*, p.location
           FROM user_service.users u
           LEFT JOIN user_service.user_profiles p ON u.id = p.user_id
           WHERE u.created_at > CURRENT_TIMESTAMP - INTERVAL '30 days'
             AND u.deleted_at IS NULL
           ORDER BY u.created_at DESC""",
    )
    assert "idx_users_active_recent" in found
    assert "created_at > " in found


def test_the_beginning_of_a_last_name_is_found_by_an_index_in_any_collation(
    database_at: Callable[..., Database],
) -> None:
    cursor = with_users(database_at("000006"))
    # Where the collation is C, this index could serve as well; without it the answer is the same everywhere.
    cursor.execute("DROP INDEX user_service.idx_users_name_search")
    found = plan(
        cursor, "SELECT * FROM user_service.users WHERE last_name LIKE 'Last77%' ORDER BY first_name"
    )
    assert "idx_users_last_name_prefix" in found
    assert "Index Cond" in found


def test_users_are_sorted_by_name_by_an_index(database_at: Callable[..., Database]) -> None:
    cursor = with_users(database_at("000006"))
    found = plan(cursor, "SELECT * FROM user_service.users ORDER BY last_name, first_name LIMIT 20")
    assert "idx_users_name_search" in found
    assert "Sort" not in found


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (
            "SELECT * FROM user_service.users WHERE split_part(email, '@', 2) = 'host7.example'",
            "idx_users_email_domain",
        ),
        ("SELECT * FROM user_service.user_profiles WHERE location = 'City7'", "idx_user_profiles_location"),
        (
            "SELECT * FROM user_service.user_profiles WHERE website = 'https://host7.example'",
            "idx_user_profiles_website",
        ),
    ],
)
def test_domains_locations_and_websites_are_found_by_an_index(
    database_at: Callable[..., Database], query: str, index: str
) -> None:
    found = plan(with_users(database_at("000006")), query)
    assert index in found
    assert "Index Cond" in found
