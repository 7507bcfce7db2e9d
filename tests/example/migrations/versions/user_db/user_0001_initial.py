"""initial

Revision ID: user_0001
Revises:
Create Date: 2026-11-23 02:00:00
"""

import sqlalchemy as sa
from alembic import op

revision = "user_0001"
down_revision = None
branch_labels = ("user_db",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "provider_profile",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("service_radius_miles", sa.Numeric(precision=4, scale=2), server_default="2.0"),
        sa.Column("vehicle_description", sa.String(length=500)),
        sa.Column("services_offered", sa.Text()),
        sa.Column("hourly_rate", sa.Numeric(precision=8, scale=2)),
        sa.Column("availability_schedule", sa.Text()),
        sa.Column("is_available", sa.String(length=10), server_default="true"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()")),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()")),
        sa.PrimaryKeyConstraint("id", name=op.f("provider_profile_pkey")),
        sa.UniqueConstraint("user_id", name=op.f("provider_profile_user_id_key")),
    )
    op.create_index(op.f("ix_provider_profile_user_id"), "provider_profile", ["user_id"])
    op.create_table(
        "user_profiles",
        sa.Column("profile_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("bio", sa.Text()),
        sa.Column("average_rating", sa.Numeric(precision=3, scale=2), server_default="0.00"),
        sa.Column("total_ratings", sa.Integer(), server_default="0"),
        sa.Column("default_mode", sa.Enum("NIN", "LAH", name="user_mode"), server_default="NIN"),
        sa.Column("phone_number", sa.String(length=20)),
        sa.Column("profile_picture_url", sa.String(length=500)),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()")),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()")),
        sa.PrimaryKeyConstraint("profile_id", name=op.f("user_profiles_pkey")),
        sa.UniqueConstraint("user_id", name=op.f("user_profiles_user_id_key")),
    )
    op.create_index(op.f("ix_user_profiles_user_id"), "user_profiles", ["user_id"])


def downgrade() -> None:
    op.drop_index(op.f("ix_user_profiles_user_id"), table_name="user_profiles")
    op.drop_table("user_profiles")
    op.drop_index(op.f("ix_provider_profile_user_id"), table_name="provider_profile")
    op.drop_table("provider_profile")
    op.execute("DROP TYPE user_mode")
