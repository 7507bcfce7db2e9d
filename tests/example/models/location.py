"""location_db: where people live and the places that they saved. Needs PostGIS."""

import uuid
from datetime import datetime

from geoalchemy2 import Geography, WKBElement
from sqlalchemy import String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from models.columns import utc_now
from multidb.naming import metadata


class Base(DeclarativeBase):
    metadata = metadata()


class UserAddress(Base):
    __tablename__ = "user_addresses"

    address_id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    user_id: Mapped[uuid.UUID]  # auth_db.users.user_id, by value
    street_address: Mapped[str] = mapped_column(String(255))
    city: Mapped[str] = mapped_column(String(100))
    state: Mapped[str] = mapped_column(String(50))
    postal_code: Mapped[str] = mapped_column(String(20))
    country: Mapped[str] = mapped_column(String(100), server_default="USA")
    # GeoAlchemy2 makes its GiST index, idx_user_addresses_location, by itself.
    location: Mapped[WKBElement] = mapped_column(Geography("POINT", srid=4326))
    is_within_service_area: Mapped[bool | None] = mapped_column(server_default="true")
    is_primary: Mapped[bool | None] = mapped_column(server_default="false")
    address_type: Mapped[str | None] = mapped_column(String(50), server_default="residential")
    created_at: Mapped[datetime | None] = mapped_column(default=utc_now)
    updated_at: Mapped[datetime | None] = mapped_column(default=utc_now, onupdate=utc_now)


class SavedLocation(Base):
    __tablename__ = "saved_locations"

    location_id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    user_id: Mapped[uuid.UUID]  # auth_db.users.user_id, by value
    name: Mapped[str] = mapped_column(String(255))
    address: Mapped[str] = mapped_column(String(255))
    latitude: Mapped[str] = mapped_column(String(50))
    longitude: Mapped[str] = mapped_column(String(50))
    created_at: Mapped[datetime | None] = mapped_column(default=utc_now)
    updated_at: Mapped[datetime | None] = mapped_column(default=utc_now, onupdate=utc_now)
