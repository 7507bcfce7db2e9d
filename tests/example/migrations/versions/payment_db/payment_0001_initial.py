"""initial

Revision ID: payment_0001
Revises:
Create Date: 2026-11-23 02:00:00
"""

import sqlalchemy as sa
from alembic import op

revision = "payment_0001"
down_revision = None
branch_labels = ("payment_db",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "payments",
        sa.Column("payment_id", sa.Uuid(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("payer_id", sa.Uuid(), nullable=False),
        sa.Column("payee_id", sa.Uuid(), nullable=False),
        sa.Column("amount", sa.Numeric(precision=10, scale=2), nullable=False),
        sa.Column("payment_status", sa.String(length=50), server_default="pending"),
        sa.Column("payment_method", sa.String(length=50), nullable=False),
        sa.Column("transaction_id", sa.String(length=255)),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()")),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()")),
        sa.PrimaryKeyConstraint("payment_id", name=op.f("payments_pkey")),
    )
    op.create_table(
        "user_payment_methods",
        sa.Column("method_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("method_type", sa.String(length=50), nullable=False),
        sa.Column("provider", sa.String(length=50), nullable=False),
        sa.Column("provider_method_id", sa.String(length=255), nullable=False),
        sa.Column("display_name", sa.String(length=100)),
        sa.Column("last_four", sa.String(length=4)),
        sa.Column("brand", sa.String(length=50)),
        sa.Column("expiry_month", sa.Integer()),
        sa.Column("expiry_year", sa.Integer()),
        sa.Column("is_default", sa.Boolean(), server_default="false"),
        sa.Column("is_active", sa.Boolean(), server_default="true"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()")),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()")),
        sa.CheckConstraint(
            "NOT (is_default = true AND is_active = false)", name=op.f("default_must_be_active")
        ),
        sa.PrimaryKeyConstraint("method_id", name=op.f("user_payment_methods_pkey")),
    )
    op.create_table(
        "payment_history",
        sa.Column("history_id", sa.Uuid(), nullable=False),
        sa.Column("payment_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.String(length=50), nullable=False),
        sa.Column("notes", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()")),
        sa.ForeignKeyConstraint(
            ["payment_id"], ["payments.payment_id"], name=op.f("payment_history_payment_id_fkey")
        ),
        sa.PrimaryKeyConstraint("history_id", name=op.f("payment_history_pkey")),
    )
    op.create_table(
        "payment_method_usage",
        sa.Column("usage_id", sa.Uuid(), nullable=False),
        sa.Column("method_id", sa.Uuid(), nullable=False),
        sa.Column("payment_id", sa.Uuid(), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), server_default=sa.text("now()")),
        sa.ForeignKeyConstraint(
            ["method_id"],
            ["user_payment_methods.method_id"],
            name=op.f("payment_method_usage_method_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["payment_id"], ["payments.payment_id"], name=op.f("payment_method_usage_payment_id_fkey")
        ),
        sa.PrimaryKeyConstraint("usage_id", name=op.f("payment_method_usage_pkey")),
    )
    op.create_table(
        "refunds",
        sa.Column("refund_id", sa.Uuid(), nullable=False),
        sa.Column("payment_id", sa.Uuid(), nullable=False),
        sa.Column("amount", sa.Numeric(precision=10, scale=2), nullable=False),
        sa.Column("status", sa.String(length=50), server_default="pending"),
        sa.Column("refund_reason", sa.Text(), nullable=False),
        sa.Column("approved_by", sa.Uuid()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()")),
        sa.Column("completed_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(
            ["payment_id"], ["payments.payment_id"], name=op.f("refunds_payment_id_fkey")
        ),
        sa.PrimaryKeyConstraint("refund_id", name=op.f("refunds_pkey")),
    )


def downgrade() -> None:
    op.drop_table("refunds")
    op.drop_table("payment_method_usage")
    op.drop_table("payment_history")
    op.drop_table("user_payment_methods")
    op.drop_table("payments")
