"""investment_db: what people can put money into. Runs on SQLite and on PostgreSQL."""

from sqlalchemy import String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from models.columns import uuid_text
from multidb.naming import metadata


class Base(DeclarativeBase):
    metadata = metadata()


class Investment(Base):
    __tablename__ = "investments"

    investment_id: Mapped[str] = mapped_column(String(36), primary_key=True, default=uuid_text)
    title: Mapped[str] = mapped_column(String(255))
    summary: Mapped[str] = mapped_column(Text)
    impact: Mapped[str] = mapped_column(Text)
    expected_return: Mapped[str] = mapped_column(String(255))
    min_amount: Mapped[int] = mapped_column(default=0)
    partner: Mapped[str | None] = mapped_column(String(255))
    cover_key: Mapped[str | None] = mapped_column(String(100))
