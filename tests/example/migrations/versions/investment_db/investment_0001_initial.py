"""initial

Revision ID: investment_0001
Revises:
Create Date: 2026-11-23 02:00:00
"""

import sqlalchemy as sa
from alembic import op

revision = "investment_0001"
down_revision = None
branch_labels = ("investment_db",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "investments",
        sa.Column("investment_id", sa.String(length=36), nullable=False),
        sa.Column("title", sa.String(length=255), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("impact", sa.Text(), nullable=False),
        sa.Column("expected_return", sa.String(length=255), nullable=False),
        sa.Column("min_amount", sa.Integer(), nullable=False),
        sa.Column("partner", sa.String(length=255)),
        sa.Column("cover_key", sa.String(length=100)),
        sa.PrimaryKeyConstraint("investment_id", name=op.f("investments_pkey")),
    )


def downgrade() -> None:
    op.drop_table("investments")
