"""rating_db: how people rated each other, a rating per person and request."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, DateTime, Text, UniqueConstraint, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from multidb.naming import metadata


class Base(DeclarativeBase):
    metadata = metadata()


class Rating(Base):
    __tablename__ = "ratings"
    __table_args__ = (
        CheckConstraint("rating_score >= 1 AND rating_score <= 5", name="check_rating_score_range"),
        UniqueConstraint("rater_user_id", "service_request_id", name="unique_rating_per_request"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4, server_default=func.gen_random_uuid())
    rating_score: Mapped[int]
    comment: Mapped[str | None] = mapped_column(Text)
    rated_user_id: Mapped[uuid.UUID]  # auth_db.users.user_id, by value
    rater_user_id: Mapped[uuid.UUID]  # auth_db.users.user_id, by value
    service_request_id: Mapped[uuid.UUID]  # request_db.service_requests.request_id, by value
    data: Mapped[dict[str, Any] | None] = mapped_column(JSONB, default=dict)
    created_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), server_default=func.now())
    updated_at: Mapped[datetime | None] = mapped_column(
        DateTime(timezone=True), server_default=func.now(), onupdate=func.now()
    )
