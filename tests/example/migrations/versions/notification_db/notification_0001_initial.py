"""initial

Revision ID: notification_0001
Revises:
Create Date: 2026-11-23 02:00:00
"""

import sqlalchemy as sa
from alembic import op

revision = "notification_0001"
down_revision = None
branch_labels = ("notification_db",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "messages",
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("sender_id", sa.Uuid(), nullable=False),
        sa.Column("recipient_id", sa.Uuid(), nullable=False),
        sa.Column("service_request_id", sa.Uuid()),
        sa.Column("message_type", sa.String(length=50), server_default="direct", nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("is_read", sa.Boolean(), server_default="false"),
        sa.Column("read_at", sa.DateTime()),
        sa.Column("created_at", sa.DateTime()),
        sa.PrimaryKeyConstraint("message_id", name=op.f("messages_pkey")),
    )
    op.create_table(
        "notifications",
        sa.Column("notification_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("notification_type", sa.String(length=50), nullable=False),
        sa.Column("title", sa.String(length=255), nullable=False),
        sa.Column("content", sa.Text()),
        sa.Column("related_id", sa.Uuid()),
        sa.Column("delivery_method", sa.String(length=50), nullable=False),
        sa.Column("delivery_status", sa.String(length=50), server_default="pending"),
        sa.Column("is_read", sa.Boolean(), server_default="false"),
        sa.Column("read_at", sa.DateTime()),
        sa.Column("created_at", sa.DateTime()),
        sa.PrimaryKeyConstraint("notification_id", name=op.f("notifications_pkey")),
    )


def downgrade() -> None:
    op.drop_table("notifications")
    op.drop_table("messages")
