"""initial

Revision ID: safety_0001
Revises:
Create Date: 2026-11-23 02:00:00
"""

import sqlalchemy as sa
from alembic import op

revision = "safety_0001"
down_revision = None
branch_labels = ("safety_db",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "disputes",
        sa.Column("dispute_id", sa.Uuid(), nullable=False),
        sa.Column("service_assignment_id", sa.Uuid(), nullable=False),
        sa.Column("complainant_id", sa.Uuid(), nullable=False),
        sa.Column("respondent_id", sa.Uuid(), nullable=False),
        sa.Column("dispute_type", sa.String(length=50), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=50), server_default="open"),
        sa.Column("resolution_notes", sa.Text()),
        sa.Column("resolved_by", sa.Uuid()),
        sa.Column("created_at", sa.DateTime()),
        sa.Column("resolved_at", sa.DateTime()),
        sa.PrimaryKeyConstraint("dispute_id", name=op.f("disputes_pkey")),
    )
    op.create_table(
        "platform_metrics",
        sa.Column("metric_id", sa.Uuid(), nullable=False),
        sa.Column("metric_name", sa.String(length=100), nullable=False),
        sa.Column("metric_value", sa.Numeric(precision=15, scale=4), nullable=False),
        sa.Column("measurement_date", sa.Date(), nullable=False),
        sa.Column("measurement_period", sa.String(length=50), server_default="daily"),
        sa.PrimaryKeyConstraint("metric_id", name=op.f("platform_metrics_pkey")),
    )
    op.create_table(
        "safety_reports",
        sa.Column("report_id", sa.Uuid(), nullable=False),
        sa.Column("reporter_id", sa.Uuid(), nullable=False),
        sa.Column("reported_user_id", sa.Uuid()),
        sa.Column("service_assignment_id", sa.Uuid()),
        sa.Column("incident_type", sa.String(length=50), nullable=False),
        sa.Column("incident_severity", sa.String(length=50), server_default="medium"),
        sa.Column("incident_description", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=50), server_default="reported"),
        sa.Column("created_at", sa.DateTime()),
        sa.PrimaryKeyConstraint("report_id", name=op.f("safety_reports_pkey")),
    )


def downgrade() -> None:
    op.drop_table("safety_reports")
    op.drop_table("platform_metrics")
    op.drop_table("disputes")
