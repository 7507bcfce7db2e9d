"""content_db: news, videos and the platform's settings."""

import datetime as dt
import uuid
from enum import StrEnum

from sqlalchemy import String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from models.columns import text_enum, utc_now
from multidb.naming import metadata


class Base(DeclarativeBase):
    metadata = metadata()


class VideoType(StrEnum):
    INFORMATIONAL = "informational"
    TUTORIAL = "tutorial"
    PROMOTIONAL = "promotional"
    COMMUNITY = "community"


class NewsArticle(Base):
    __tablename__ = "news_articles"

    article_id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    title: Mapped[str] = mapped_column(String(255))
    content: Mapped[str] = mapped_column(Text)
    author_id: Mapped[uuid.UUID | None]  # auth_db.users.user_id, by value
    image_url: Mapped[str | None] = mapped_column(Text)
    is_featured: Mapped[bool | None] = mapped_column(server_default="false")
    is_active: Mapped[bool | None] = mapped_column(server_default="true")
    publish_date: Mapped[dt.date | None]
    expiry_date: Mapped[dt.date | None]
    created_at: Mapped[dt.datetime | None] = mapped_column(default=utc_now)
    updated_at: Mapped[dt.datetime | None] = mapped_column(default=utc_now, onupdate=utc_now)


class Video(Base):
    __tablename__ = "videos"

    video_id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    title: Mapped[str] = mapped_column(String(255))
    description: Mapped[str | None] = mapped_column(Text)
    video_url: Mapped[str] = mapped_column(Text)
    thumbnail_url: Mapped[str | None] = mapped_column(Text)
    video_type: Mapped[VideoType | None] = mapped_column(text_enum(VideoType))
    is_featured: Mapped[bool | None] = mapped_column(server_default="false")
    is_active: Mapped[bool | None] = mapped_column(server_default="true")
    publish_date: Mapped[dt.date | None]
    expiry_date: Mapped[dt.date | None]
    created_at: Mapped[dt.datetime | None] = mapped_column(default=utc_now)
    updated_at: Mapped[dt.datetime | None] = mapped_column(default=utc_now, onupdate=utc_now)


class SystemSetting(Base):
    __tablename__ = "system_settings"

    setting_id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    setting_key: Mapped[str] = mapped_column(String(255), unique=True)
    setting_value: Mapped[str | None] = mapped_column(Text)
    setting_type: Mapped[str | None] = mapped_column(String(50))
    description: Mapped[str | None] = mapped_column(Text)
    updated_at: Mapped[dt.datetime | None] = mapped_column(default=utc_now, onupdate=utc_now)
