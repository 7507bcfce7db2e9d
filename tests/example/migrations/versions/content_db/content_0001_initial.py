"""initial

Revision ID: content_0001
Revises:
Create Date: 2026-11-23 02:00:00
"""

import sqlalchemy as sa
from alembic import op

revision = "content_0001"
down_revision = None
branch_labels = ("content_db",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "news_articles",
        sa.Column("article_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.String(length=255), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("author_id", sa.Uuid()),
        sa.Column("image_url", sa.Text()),
        sa.Column("is_featured", sa.Boolean(), server_default="false"),
        sa.Column("is_active", sa.Boolean(), server_default="true"),
        sa.Column("publish_date", sa.Date()),
        sa.Column("expiry_date", sa.Date()),
        sa.Column("created_at", sa.DateTime()),
        sa.Column("updated_at", sa.DateTime()),
        sa.PrimaryKeyConstraint("article_id", name=op.f("news_articles_pkey")),
    )
    op.create_table(
        "system_settings",
        sa.Column("setting_id", sa.Uuid(), nullable=False),
        sa.Column("setting_key", sa.String(length=255), nullable=False),
        sa.Column("setting_value", sa.Text()),
        sa.Column("setting_type", sa.String(length=50)),
        sa.Column("description", sa.Text()),
        sa.Column("updated_at", sa.DateTime()),
        sa.PrimaryKeyConstraint("setting_id", name=op.f("system_settings_pkey")),
        sa.UniqueConstraint("setting_key", name=op.f("system_settings_setting_key_key")),
    )
    op.create_table(
        "videos",
        sa.Column("video_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.String(length=255), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("video_url", sa.Text(), nullable=False),
        sa.Column("thumbnail_url", sa.Text()),
        sa.Column("video_type", sa.String(length=50)),
        sa.Column("is_featured", sa.Boolean(), server_default="false"),
        sa.Column("is_active", sa.Boolean(), server_default="true"),
        sa.Column("publish_date", sa.Date()),
        sa.Column("expiry_date", sa.Date()),
        sa.Column("created_at", sa.DateTime()),
        sa.Column("updated_at", sa.DateTime()),
        sa.PrimaryKeyConstraint("video_id", name=op.f("videos_pkey")),
    )


def downgrade() -> None:
    op.drop_table("videos")
    op.drop_table("system_settings")
    op.drop_table("news_articles")
