"""What columns of several databases have in common."""

import uuid
from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import Enum


def utc_now() -> datetime:
    """The current UTC time for a `timestamp` column, which holds no zone."""
    return datetime.now(UTC).replace(tzinfo=None)


def uuid_text() -> str:
    """A new random UUID for a `varchar(36)` key."""
    return str(uuid.uuid4())


def text_enum(values: type[StrEnum]) -> Enum:
    """The type of a `varchar(50)` column whose values Python knows as an enum.

    The database holds the text and checks nothing. A new value needs no migration, but every service that reads the
    column has to know it before another writes it.
    """
    return Enum(
        values,
        native_enum=False,
        create_constraint=False,
        length=50,
        values_callable=lambda members: [member.value for member in members],
    )
