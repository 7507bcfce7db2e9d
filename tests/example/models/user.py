"""user_db: profiles of the people, and of those who offer help."""

import uuid
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from sqlalchemy import DateTime, Enum, Numeric, String, Text, UniqueConstraint, func
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from multidb.naming import metadata


class Base(DeclarativeBase):
    metadata = metadata()


class UserMode(StrEnum):
    NIN = "NIN"  # a neighbour in need
    LAH = "LAH"  # a local able helper


class UserProfile(Base):
    __tablename__ = "user_profiles"
    # unique=True beside index=True would make one unique index; the database has a constraint and an index.
    __table_args__ = (UniqueConstraint("user_id"),)

    profile_id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    user_id: Mapped[uuid.UUID] = mapped_column(index=True)  # auth_db.users.user_id, by value
    bio: Mapped[str | None] = mapped_column(Text)
    average_rating: Mapped[Decimal | None] = mapped_column(Numeric(3, 2), server_default="0.00")
    total_ratings: Mapped[int | None] = mapped_column(server_default="0")
    default_mode: Mapped[UserMode | None] = mapped_column(Enum(UserMode, name="user_mode"), server_default="NIN")
    phone_number: Mapped[str | None] = mapped_column(String(20))
    profile_picture_url: Mapped[str | None] = mapped_column(String(500))
    created_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), server_default=func.now())
    updated_at: Mapped[datetime | None] = mapped_column(
        DateTime(timezone=True), server_default=func.now(), onupdate=func.now()
    )


class ProviderProfile(Base):
    __tablename__ = "provider_profile"
    __table_args__ = (UniqueConstraint("user_id"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    user_id: Mapped[uuid.UUID] = mapped_column(index=True)  # auth_db.users.user_id, by value
    service_radius_miles: Mapped[Decimal | None] = mapped_column(Numeric(4, 2), server_default="2.0")
    vehicle_description: Mapped[str | None] = mapped_column(String(500))
    services_offered: Mapped[str | None] = mapped_column(Text)
    hourly_rate: Mapped[Decimal | None] = mapped_column(Numeric(8, 2))
    availability_schedule: Mapped[str | None] = mapped_column(Text)
    is_available: Mapped[str | None] = mapped_column(String(10), server_default="true")
    created_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), server_default=func.now())
    updated_at: Mapped[datetime | None] = mapped_column(
        DateTime(timezone=True), server_default=func.now(), onupdate=func.now()
    )
