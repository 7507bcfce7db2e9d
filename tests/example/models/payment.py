"""payment_db: who paid whom for what, and what was given back."""

import uuid
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from sqlalchemy import CheckConstraint, DateTime, ForeignKey, Numeric, String, Text, func
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from models.columns import text_enum
from multidb.naming import metadata


class Base(DeclarativeBase):
    metadata = metadata()


class PaymentStatus(StrEnum):
    PENDING = "pending"
    PROCESSING = "processing"
    SUCCESS = "success"
    FAILED = "failed"
    CANCELLED = "cancelled"


class PaymentMethod(StrEnum):
    CREDIT_CARD = "credit_card"
    DEBIT_CARD = "debit_card"
    BANK_TRANSFER = "bank_transfer"
    DIGITAL_WALLET = "digital_wallet"
    PAYPAL = "paypal"
    STRIPE = "stripe"


class RefundStatus(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    COMPLETED = "completed"
    REJECTED = "rejected"


class MethodType(StrEnum):
    CREDIT_CARD = "credit_card"
    DEBIT_CARD = "debit_card"
    PAYPAL = "paypal"
    BANK_ACCOUNT = "bank_account"
    DIGITAL_WALLET = "digital_wallet"


class Provider(StrEnum):
    STRIPE = "stripe"
    PAYPAL = "paypal"


class Payment(Base):
    __tablename__ = "payments"

    payment_id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    request_id: Mapped[uuid.UUID]  # request_db.service_requests.request_id, by value
    payer_id: Mapped[uuid.UUID]  # auth_db.users.user_id, by value
    payee_id: Mapped[uuid.UUID]  # auth_db.users.user_id, by value
    amount: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    payment_status: Mapped[PaymentStatus | None] = mapped_column(text_enum(PaymentStatus), server_default="pending")
    payment_method: Mapped[PaymentMethod] = mapped_column(text_enum(PaymentMethod))
    transaction_id: Mapped[str | None] = mapped_column(String(255))
    created_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), server_default=func.now())
    updated_at: Mapped[datetime | None] = mapped_column(
        DateTime(timezone=True), server_default=func.now(), onupdate=func.now()
    )


class PaymentHistory(Base):
    __tablename__ = "payment_history"

    history_id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    payment_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("payments.payment_id"))
    status: Mapped[str] = mapped_column(String(50))
    notes: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), server_default=func.now())


class Refund(Base):
    __tablename__ = "refunds"

    refund_id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    payment_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("payments.payment_id"))
    amount: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    status: Mapped[RefundStatus | None] = mapped_column(text_enum(RefundStatus), server_default="pending")
    refund_reason: Mapped[str] = mapped_column(Text)
    approved_by: Mapped[uuid.UUID | None]  # auth_db.users.user_id, by value
    created_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), server_default=func.now())
    completed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class UserPaymentMethod(Base):
    __tablename__ = "user_payment_methods"
    __table_args__ = (CheckConstraint("NOT (is_default = true AND is_active = false)", name="default_must_be_active"),)

    method_id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    user_id: Mapped[uuid.UUID]  # auth_db.users.user_id, by value
    method_type: Mapped[MethodType] = mapped_column(text_enum(MethodType))
    provider: Mapped[Provider] = mapped_column(text_enum(Provider))
    provider_method_id: Mapped[str] = mapped_column(String(255))
    display_name: Mapped[str | None] = mapped_column(String(100))
    last_four: Mapped[str | None] = mapped_column(String(4))
    brand: Mapped[str | None] = mapped_column(String(50))
    expiry_month: Mapped[int | None]
    expiry_year: Mapped[int | None]
    is_default: Mapped[bool | None] = mapped_column(server_default="false")
    is_active: Mapped[bool | None] = mapped_column(server_default="true")
    created_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), server_default=func.now())
    updated_at: Mapped[datetime | None] = mapped_column(
        DateTime(timezone=True), server_default=func.now(), onupdate=func.now()
    )


class PaymentMethodUsage(Base):
    __tablename__ = "payment_method_usage"

    usage_id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    method_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("user_payment_methods.method_id"))
    payment_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("payments.payment_id"))
    used_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), server_default=func.now())
