"""safety_db: incidents, disputes, and the platform's figures."""

import datetime as dt
import uuid
from decimal import Decimal

from sqlalchemy import Numeric, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from models.columns import utc_now
from multidb.naming import metadata


class Base(DeclarativeBase):
    metadata = metadata()


class SafetyReport(Base):
    __tablename__ = "safety_reports"

    report_id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    reporter_id: Mapped[uuid.UUID]  # auth_db.users.user_id, by value
    reported_user_id: Mapped[uuid.UUID | None]  # auth_db.users.user_id, by value
    service_assignment_id: Mapped[uuid.UUID | None]  # request_db.service_assignments.assignment_id, by value
    incident_type: Mapped[str] = mapped_column(String(50))
    incident_severity: Mapped[str | None] = mapped_column(String(50), server_default="medium")
    incident_description: Mapped[str] = mapped_column(Text)
    status: Mapped[str | None] = mapped_column(String(50), server_default="reported")
    created_at: Mapped[dt.datetime | None] = mapped_column(default=utc_now)


class Dispute(Base):
    __tablename__ = "disputes"

    dispute_id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    service_assignment_id: Mapped[uuid.UUID]  # request_db.service_assignments.assignment_id, by value
    complainant_id: Mapped[uuid.UUID]  # auth_db.users.user_id, by value
    respondent_id: Mapped[uuid.UUID]  # auth_db.users.user_id, by value
    dispute_type: Mapped[str] = mapped_column(String(50))
    description: Mapped[str] = mapped_column(Text)
    status: Mapped[str | None] = mapped_column(String(50), server_default="open")
    resolution_notes: Mapped[str | None] = mapped_column(Text)
    resolved_by: Mapped[uuid.UUID | None]  # auth_db.users.user_id, by value
    created_at: Mapped[dt.datetime | None] = mapped_column(default=utc_now)
    resolved_at: Mapped[dt.datetime | None]


class PlatformMetric(Base):
    __tablename__ = "platform_metrics"

    metric_id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    metric_name: Mapped[str] = mapped_column(String(100))
    metric_value: Mapped[Decimal] = mapped_column(Numeric(15, 4))
    measurement_date: Mapped[dt.date] = mapped_column(default=dt.date.today)
    measurement_period: Mapped[str | None] = mapped_column(String(50), server_default="daily")
