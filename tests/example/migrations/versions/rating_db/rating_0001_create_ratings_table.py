"""create ratings table

Revision ID: rating_0001
Revises:
Create Date: 2026-11-23 02:00:00
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "rating_0001"
down_revision = None
branch_labels = ("rating_db",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ratings",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("rating_score", sa.Integer(), nullable=False),
        sa.Column("comment", sa.Text()),
        sa.Column("rated_user_id", sa.Uuid(), nullable=False),
        sa.Column("rater_user_id", sa.Uuid(), nullable=False),
        sa.Column("service_request_id", sa.Uuid(), nullable=False),
        sa.Column("data", postgresql.JSONB()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()")),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()")),
        sa.CheckConstraint("rating_score >= 1 AND rating_score <= 5", name=op.f("check_rating_score_range")),
        sa.PrimaryKeyConstraint("id", name=op.f("ratings_pkey")),
        sa.UniqueConstraint("rater_user_id", "service_request_id", name="unique_rating_per_request"),
    )


def downgrade() -> None:
    op.drop_table("ratings")
