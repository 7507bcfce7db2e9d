"""notification_db: what people are told, and what they write to each other."""

import uuid
from datetime import datetime
from enum import StrEnum

from sqlalchemy import String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from models.columns import text_enum, utc_now
from multidb.naming import metadata


class Base(DeclarativeBase):
    metadata = metadata()


class NotificationType(StrEnum):
    WELCOME = "welcome"
    PROFILE_UPDATE = "profile_update"
    MODE_CHANGE = "mode_change"
    SERVICE_REQUEST_CREATED = "service_request_created"
    SERVICE_COMPLETED = "service_completed"
    RATING_CREATED = "rating_created"
    PAYMENT_PROCESSED = "payment_processed"
    PAYMENT_FAILED = "payment_failed"
    PAYMENT_REFUNDED = "payment_refunded"
    DISPUTE_OPENED = "dispute_opened"
    DISPUTE_RESOLVED = "dispute_resolved"
    SAFETY_REPORT = "safety_report"


class DeliveryMethod(StrEnum):
    EMAIL = "email"
    PUSH = "push"
    IN_APP = "in_app"


class DeliveryStatus(StrEnum):
    PENDING = "pending"
    SENT = "sent"
    FAILED = "failed"
    DELIVERED = "delivered"


class MessageType(StrEnum):
    DIRECT = "direct"
    SYSTEM = "system"
    SERVICE_REQUEST = "service_request"


class Notification(Base):
    __tablename__ = "notifications"

    notification_id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    user_id: Mapped[uuid.UUID]  # auth_db.users.user_id, by value
    notification_type: Mapped[NotificationType] = mapped_column(text_enum(NotificationType))
    title: Mapped[str] = mapped_column(String(255))
    content: Mapped[str | None] = mapped_column(Text)
    related_id: Mapped[uuid.UUID | None]  # the row that it is about, in the database of its type, by value
    delivery_method: Mapped[DeliveryMethod] = mapped_column(text_enum(DeliveryMethod))
    delivery_status: Mapped[DeliveryStatus | None] = mapped_column(text_enum(DeliveryStatus), server_default="pending")
    is_read: Mapped[bool | None] = mapped_column(server_default="false")
    read_at: Mapped[datetime | None]
    created_at: Mapped[datetime | None] = mapped_column(default=utc_now)


class Message(Base):
    __tablename__ = "messages"

    message_id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    sender_id: Mapped[uuid.UUID]  # auth_db.users.user_id, by value
    recipient_id: Mapped[uuid.UUID]  # auth_db.users.user_id, by value
    service_request_id: Mapped[uuid.UUID | None]  # request_db.service_requests.request_id, by value
    message_type: Mapped[MessageType] = mapped_column(text_enum(MessageType), server_default="direct")
    content: Mapped[str] = mapped_column(Text)
    is_read: Mapped[bool | None] = mapped_column(server_default="false")
    read_at: Mapped[datetime | None]
    created_at: Mapped[datetime | None] = mapped_column(default=utc_now)
