"""The user service's application code, written against the schema in sql/migrations."""

from .models import ContactType, Theme, User, UserContact, UserProfile
from .repository import UserNotFound, UserRepository

__all__ = [
    "ContactType",
    "Theme",
    "User",
    "UserContact",
    "UserNotFound",
    "UserProfile",
    "UserRepository",
]
