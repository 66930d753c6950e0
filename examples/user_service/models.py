"""The rows that the user service works with. A field is optional where its column may be NULL."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Theme = Literal["light", "dark", "auto"]
"""The themes that user_profiles allows."""

ContactType = Literal["email", "phone", "address"]
"""The kinds of contact that user_contacts allows."""


@dataclass(frozen=True)
class UserProfile:
    """A row of user_service.user_profiles: what a user says about themselves, and how they like the service."""

    id: int
    user_id: int
    bio: str | None
    avatar_url: str | None
    website: str | None
    location: str | None
    phone: str | None
    timezone: str | None
    theme: Theme | None
    email_notifications: bool | None
    created_at: datetime | None
    updated_at: datetime | None


@dataclass(frozen=True)
class User:
    """A row of user_service.users that is not deleted. `profile` is None for a user without one."""

    id: int
    email: str
    first_name: str
    last_name: str
    created_at: datetime | None
    updated_at: datetime | None
    profile: UserProfile | None = None


@dataclass(frozen=True)
class UserContact:
    """A row of user_service.user_contacts. `verified_at` is None until the user has shown that it is theirs."""

    id: int
    user_id: int
    contact_type: ContactType
    value: str
    is_primary: bool
    verified_at: datetime | None
    created_at: datetime | None
    updated_at: datetime | None
