"""The application code in examples/user_service, run against the schema."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import psycopg2.errors
import pytest

from examples.user_service import UserNotFound, UserRepository

if TYPE_CHECKING:
    from newel.testing import Database

HOSTILE = "Robert'); DROP TABLE user_service.users; -- %s :name"


@pytest.fixture
def connection(database_at: Callable[..., Database]) -> Any:
    return database_at("head").connect()


@pytest.fixture
def users(connection: Any) -> UserRepository:
    return UserRepository(connection)


def soft_delete(connection: Any, user_id: int) -> None:
    connection.cursor().execute("UPDATE user_service.users SET deleted_at = now() WHERE id = %s", (user_id,))


def test_a_user_without_a_profile_is_found_with_none(users: UserRepository) -> None:
    ann = users.create_user("ann@example.org", "Ann", "Smith")
    assert users.get_user_with_profile(ann.id) == ann
    assert ann.profile is None
    assert ann.created_at is not None


def test_a_user_is_found_with_the_profile_that_was_created(users: UserRepository) -> None:
    ann = users.create_user("ann@example.org", "Ann", "Smith")
    profile = users.create_profile(
        ann.id,
        bio="Writes SQL",
        avatar_url="https://example.org/ann.png",
        website="https://example.org",
        location="Vienna",
        phone="+43 1 234",
        timezone="Europe/Vienna",
        theme="dark",
        email_notifications=False,
    )
    assert (profile.user_id, profile.bio, profile.avatar_url) == (
        ann.id,
        "Writes SQL",
        "https://example.org/ann.png",
    )
    assert (profile.website, profile.location, profile.phone) == (
        "https://example.org",
        "Vienna",
        "+43 1 234",
    )
    assert (profile.timezone, profile.theme, profile.email_notifications) == ("Europe/Vienna", "dark", False)
    found = users.get_user_with_profile(ann.id)
    assert found is not None
    assert found.email == "ann@example.org"
    assert found.profile == profile


def test_a_profile_has_the_defaults_of_the_schema(users: UserRepository, connection: Any) -> None:
    ann = users.create_user("ann@example.org", "Ann", "Smith")
    bob = users.create_user("bob@example.org", "Bob", "Smith")
    users.create_profile(ann.id)
    connection.cursor().execute("INSERT INTO user_service.user_profiles (user_id) VALUES (%s)", (bob.id,))
    found = [users.get_user_with_profile(user.id) for user in (ann, bob)]
    ours, theirs = (user.profile for user in found if user is not None)
    assert ours is not None
    assert theirs is not None
    assert (ours.timezone, ours.theme, ours.email_notifications) == ("UTC", "light", True)
    assert (theirs.timezone, theirs.theme, theirs.email_notifications) == ("UTC", "light", True)


def test_a_profile_with_nulls_is_read(users: UserRepository, connection: Any) -> None:
    ann = users.create_user("ann@example.org", "Ann", "Smith")
    connection.cursor().execute(
        """INSERT INTO user_service.user_profiles (user_id, timezone, theme, email_notifications)
           VALUES (%s, NULL, NULL, NULL)""",
        (ann.id,),
    )
    found = users.get_user_with_profile(ann.id)
    assert found is not None
    assert found.profile is not None
    assert (found.profile.timezone, found.profile.theme, found.profile.email_notifications) == (
        None,
        None,
        None,
    )


def test_a_user_has_one_address_and_one_profile(users: UserRepository) -> None:
    ann = users.create_user("ann@example.org", "Ann", "Smith")
    users.create_profile(ann.id)
    with pytest.raises(psycopg2.errors.UniqueViolation):
        users.create_user("ann@example.org", "Another", "Ann")
    with pytest.raises(psycopg2.errors.UniqueViolation):
        users.create_profile(ann.id)


def test_contacts_come_primary_first_and_then_in_the_order_they_were_added(users: UserRepository) -> None:
    ann = users.create_user("ann@example.org", "Ann", "Smith")
    bob = users.create_user("bob@example.org", "Bob", "Smith")
    office = users.add_user_contact(ann.id, "phone", "+43 1 234")
    home = users.add_user_contact(ann.id, "address", "Ring 1, Vienna")
    email = users.add_user_contact(ann.id, "email", "ann@example.org", is_primary=True)
    users.add_user_contact(bob.id, "email", "bob@example.org", is_primary=True)
    assert users.get_user_contacts(ann.id) == [email, office, home]
    assert (email.value, email.is_primary, email.verified_at) == ("ann@example.org", True, None)
    assert office.is_primary is False


def test_contacts_added_in_one_transaction_keep_their_order(users: UserRepository, connection: Any) -> None:
    ann = users.create_user("ann@example.org", "Ann", "Smith")
    connection.autocommit = False
    added = [users.add_user_contact(ann.id, "phone", f"+43 {number}") for number in (3, 1, 2)]
    connection.commit()
    assert len({contact.created_at for contact in added}) == 1
    assert users.get_user_contacts(ann.id) == added


def test_contacts_that_000009_copied_are_found(database_at: Callable[..., Database]) -> None:
    database = database_at("000007", environment="production")
    users = UserRepository(database.connect())
    ann = users.create_user("ann@example.org", "Ann", "Smith")
    users.create_profile(ann.id, phone="+43 1 234")
    database.up("000009")
    found = users.get_user_contacts(ann.id)
    assert [(contact.contact_type, contact.value, contact.is_primary) for contact in found] == [
        ("email", "ann@example.org", True),
        ("phone", "+43 1 234", True),
    ]
    assert [contact.verified_at for contact in found] == [ann.created_at, None]


def test_a_contact_is_added_once(users: UserRepository) -> None:
    ann = users.create_user("ann@example.org", "Ann", "Smith")
    users.add_user_contact(ann.id, "phone", "+43 1 234")
    with pytest.raises(psycopg2.errors.UniqueViolation):
        users.add_user_contact(ann.id, "phone", "+43 1 234", is_primary=True)


def test_an_unknown_user_is_not_found(users: UserRepository) -> None:
    assert users.get_user_with_profile(999) is None
    assert users.get_user_contacts(999) == []
    with pytest.raises(UserNotFound, match="no user has id 999"):
        users.create_profile(999)
    with pytest.raises(UserNotFound):
        users.add_user_contact(999, "phone", "+43 1 234")


def test_a_deleted_user_is_not_found(users: UserRepository, connection: Any) -> None:
    ann = users.create_user("ann@example.org", "Ann", "Smith")
    users.add_user_contact(ann.id, "phone", "+43 1 234")
    soft_delete(connection, ann.id)
    assert users.get_user_with_profile(ann.id) is None
    assert users.get_user_contacts(ann.id) == []
    with pytest.raises(UserNotFound):
        users.create_profile(ann.id)
    with pytest.raises(UserNotFound):
        users.add_user_contact(ann.id, "phone", "+43 9 876")


def test_values_are_bound_and_never_read_as_sql(users: UserRepository) -> None:
    ann = users.create_user("ann@example.org", HOSTILE, "Smith")
    users.create_profile(ann.id, bio=HOSTILE)
    users.add_user_contact(ann.id, "address", HOSTILE)
    found = users.get_user_with_profile(ann.id)
    assert found is not None
    assert found.profile is not None
    assert (found.first_name, found.profile.bio) == (HOSTILE, HOSTILE)
    assert [contact.value for contact in users.get_user_contacts(ann.id)] == [HOSTILE]


def test_the_caller_decides_what_is_committed(database_at: Callable[..., Database]) -> None:
    database = database_at("head")
    connection = database.connect()
    connection.autocommit = False
    users = UserRepository(connection)
    ann = users.create_user("ann@example.org", "Ann", "Smith")
    users.create_profile(ann.id)
    connection.rollback()
    assert UserRepository(database.connect()).get_user_with_profile(ann.id) is None
