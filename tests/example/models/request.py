"""request_db: who needs help, who took it on, and how it went."""

from datetime import datetime
from enum import Enum as PythonEnum
from enum import auto

from sqlalchemy import Double, Enum, ForeignKey, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from models.columns import utc_now, uuid_text
from multidb.naming import metadata


class Base(DeclarativeBase):
    metadata = metadata()


class ServiceType(PythonEnum):
    TRANSPORTATION = auto()
    ERRANDS = auto()
    OTHER = auto()


class ServiceRequestStatus(PythonEnum):
    PENDING = auto()
    ACCEPTED = auto()
    IN_PROGRESS = auto()
    COMPLETED = auto()
    CANCELLED = auto()


class PaymentStatus(PythonEnum):
    UNPAID = auto()
    PAID = auto()
    PAYMENT_FAILED = auto()


class AssignmentStatus(PythonEnum):
    ASSIGNED = auto()
    ACCEPTED = auto()
    IN_PROGRESS = auto()
    COMPLETED = auto()
    CANCELLED = auto()


class ServiceRequest(Base):
    __tablename__ = "service_requests"

    request_id: Mapped[str] = mapped_column(String(36), primary_key=True, default=uuid_text)
    requester_id: Mapped[str] = mapped_column(String(36))  # auth_db.users.user_id, by value
    title: Mapped[str | None] = mapped_column(String(255))
    description: Mapped[str | None] = mapped_column(Text)
    service_type: Mapped[ServiceType] = mapped_column(Enum(ServiceType, name="servicetype"))
    pickup_latitude: Mapped[float] = mapped_column(Double)
    pickup_longitude: Mapped[float] = mapped_column(Double)
    destination_latitude: Mapped[float | None] = mapped_column(Double)
    destination_longitude: Mapped[float | None] = mapped_column(Double)
    offered_amount: Mapped[float | None] = mapped_column(Double)
    status: Mapped[ServiceRequestStatus | None] = mapped_column(
        Enum(ServiceRequestStatus, name="servicerequeststatus"), default=ServiceRequestStatus.PENDING
    )
    payment_status: Mapped[PaymentStatus | None] = mapped_column(
        Enum(PaymentStatus, name="paymentstatus"), default=PaymentStatus.UNPAID
    )
    created_at: Mapped[datetime | None] = mapped_column(default=utc_now)
    updated_at: Mapped[datetime | None] = mapped_column(default=utc_now, onupdate=utc_now)


class ServiceAssignment(Base):
    __tablename__ = "service_assignments"

    assignment_id: Mapped[str] = mapped_column(String(36), primary_key=True, default=uuid_text)
    request_id: Mapped[str] = mapped_column(String(36), ForeignKey("service_requests.request_id"))
    provider_id: Mapped[str] = mapped_column(String(36))  # auth_db.users.user_id, by value
    status: Mapped[AssignmentStatus | None] = mapped_column(
        Enum(AssignmentStatus, name="assignmentstatus"), default=AssignmentStatus.ASSIGNED
    )
    provider_notes: Mapped[str | None] = mapped_column(Text)
    completion_notes: Mapped[str | None] = mapped_column(Text)
    estimated_completion_time: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    created_at: Mapped[datetime | None] = mapped_column(default=utc_now)
    updated_at: Mapped[datetime | None] = mapped_column(default=utc_now, onupdate=utc_now)


class Rating(Base):
    """A rating of one assignment; rating_db has a table of this name, too, and it is another one."""

    __tablename__ = "ratings"

    rating_id: Mapped[str] = mapped_column(String(36), primary_key=True, default=uuid_text)
    assignment_id: Mapped[str] = mapped_column(String(36), ForeignKey("service_assignments.assignment_id"))
    rater_id: Mapped[str] = mapped_column(String(36))  # auth_db.users.user_id, by value
    ratee_id: Mapped[str] = mapped_column(String(36))  # auth_db.users.user_id, by value
    rating_score: Mapped[int]
    review_text: Mapped[str | None] = mapped_column(Text)
    is_provider_rating: Mapped[int | None] = mapped_column(default=0)
    created_at: Mapped[datetime | None] = mapped_column(default=utc_now)
