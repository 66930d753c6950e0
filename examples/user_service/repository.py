"""Reads and writes users, their profiles and their contacts. Deleted users are passed over everywhere."""

from __future__ import annotations

from dataclasses import replace

from psycopg2.extensions import connection as Connection  # noqa: N812 - a class with a lower-case name

from .models import ContactType, Theme, User, UserContact, UserProfile


class UserNotFound(LookupError):
    """No user has this id, or the user is deleted."""

    def __init__(self, user_id: int) -> None:
        super().__init__(f"no user has id {user_id}")
        self.user_id = user_id


class UserRepository:
    """The queries of the user service on a psycopg2 connection. Commit and rollback are the caller's.

    Values that the schema does not allow raise psycopg2.IntegrityError or psycopg2.DataError.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create_user(self, email: str, first_name: str, last_name: str) -> User:
        """Add a user. Raises psycopg2.errors.UniqueViolation if the address is taken, by a deleted user too."""
        query = """
            INSERT INTO user_service.users (email, first_name, last_name)
            VALUES (%s, %s, %s)
            RETURNING id, email, first_name, last_name, created_at, updated_at"""
        with self._connection.cursor() as cursor:
            cursor.execute(query, (email, first_name, last_name))
            row = cursor.fetchone()
        assert row is not None
        return User(*row)

    def get_user_with_profile(self, user_id: int) -> User | None:
        """The user with the profile, or None. A user without a profile has None in its place."""
        query = """
            SELECT
                u.id, u.email, u.first_name, u.last_name, u.created_at, u.updated_at,
                p.id, p.user_id, p.bio, p.avatar_url, p.website, p.location, p.phone,
                p.timezone, p.theme, p.email_notifications, p.created_at, p.updated_at
            FROM user_service.users u
            LEFT JOIN user_service.user_profiles p ON u.id = p.user_id
            WHERE u.id = %s
              AND u.deleted_at IS NULL"""
        with self._connection.cursor() as cursor:
            cursor.execute(query, (user_id,))
            row = cursor.fetchone()
        if row is None:
            return None
        user = User(*row[:6])
        # Without a profile the outer join gives NULL in all of its columns, the primary key among them.
        return user if row[6] is None else replace(user, profile=UserProfile(*row[6:]))

    def create_profile(
        self,
        user_id: int,
        *,
        bio: str | None = None,
        avatar_url: str | None = None,
        website: str | None = None,
        location: str | None = None,
        phone: str | None = None,
        timezone: str = "UTC",
        theme: Theme = "light",
        email_notifications: bool = True,
    ) -> UserProfile:
        """Add the user's profile. Raises UserNotFound, or psycopg2.errors.UniqueViolation if there is one already."""
        query = """
            INSERT INTO user_service.user_profiles (
                user_id, bio, avatar_url, website, location, phone, timezone, theme, email_notifications
            )
            SELECT u.id, %s, %s, %s, %s, %s, %s, %s, %s
            FROM user_service.users u
            WHERE u.id = %s
              AND u.deleted_at IS NULL
            RETURNING
                id, user_id, bio, avatar_url, website, location, phone,
                timezone, theme, email_notifications, created_at, updated_at"""
        values = (bio, avatar_url, website, location, phone, timezone, theme, email_notifications)
        with self._connection.cursor() as cursor:
            cursor.execute(query, (*values, user_id))
            row = cursor.fetchone()
        if row is None:
            raise UserNotFound(user_id)
        return UserProfile(*row)

    def get_user_contacts(self, user_id: int) -> list[UserContact]:
        """The user's contacts, primary ones first, then in the order they were added."""
        # Contacts added in one transaction have the same created_at: id decides between them.
        query = """
            SELECT
                c.id, c.user_id, c.contact_type, c.contact_value,
                c.is_primary, c.verified_at, c.created_at, c.updated_at
            FROM user_service.user_contacts c
            JOIN user_service.users u ON u.id = c.user_id
            WHERE c.user_id = %s
              AND u.deleted_at IS NULL
            ORDER BY c.is_primary DESC, c.created_at ASC, c.id ASC"""
        with self._connection.cursor() as cursor:
            cursor.execute(query, (user_id,))
            return [UserContact(*row) for row in cursor.fetchall()]

    def add_user_contact(
        self, user_id: int, contact_type: ContactType, value: str, *, is_primary: bool = False
    ) -> UserContact:
        """Add a contact, not yet verified. Raises UserNotFound, or UniqueViolation if the user has it already."""
        query = """
            INSERT INTO user_service.user_contacts (user_id, contact_type, contact_value, is_primary)
            SELECT u.id, %s, %s, %s
            FROM user_service.users u
            WHERE u.id = %s
              AND u.deleted_at IS NULL
            RETURNING id, user_id, contact_type, contact_value, is_primary, verified_at, created_at, updated_at"""
        with self._connection.cursor() as cursor:
            cursor.execute(query, (contact_type, value, is_primary, user_id))
            row = cursor.fetchone()
        if row is None:
            raise UserNotFound(user_id)
        return UserContact(*row)
