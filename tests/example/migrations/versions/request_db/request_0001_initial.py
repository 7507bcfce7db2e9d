"""initial

Revision ID: request_0001
Revises:
Create Date: 2026-11-23 02:00:00
"""

import sqlalchemy as sa
from alembic import op

revision = "request_0001"
down_revision = None
branch_labels = ("request_db",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "service_requests",
        sa.Column("request_id", sa.String(length=36), nullable=False),
        sa.Column("requester_id", sa.String(length=36), nullable=False),
        sa.Column("title", sa.String(length=255)),
        sa.Column("description", sa.Text()),
        sa.Column(
            "service_type", sa.Enum("TRANSPORTATION", "ERRANDS", "OTHER", name="servicetype"), nullable=False
        ),
        sa.Column("pickup_latitude", sa.Double(), nullable=False),
        sa.Column("pickup_longitude", sa.Double(), nullable=False),
        sa.Column("destination_latitude", sa.Double()),
        sa.Column("destination_longitude", sa.Double()),
        sa.Column("offered_amount", sa.Double()),
        sa.Column(
            "status",
            sa.Enum(
                "PENDING", "ACCEPTED", "IN_PROGRESS", "COMPLETED", "CANCELLED", name="servicerequeststatus"
            ),
        ),
        sa.Column("payment_status", sa.Enum("UNPAID", "PAID", "PAYMENT_FAILED", name="paymentstatus")),
        sa.Column("created_at", sa.DateTime()),
        sa.Column("updated_at", sa.DateTime()),
        sa.PrimaryKeyConstraint("request_id", name=op.f("service_requests_pkey")),
    )
    op.create_table(
        "service_assignments",
        sa.Column("assignment_id", sa.String(length=36), nullable=False),
        sa.Column("request_id", sa.String(length=36), nullable=False),
        sa.Column("provider_id", sa.String(length=36), nullable=False),
        sa.Column(
            "status",
            sa.Enum("ASSIGNED", "ACCEPTED", "IN_PROGRESS", "COMPLETED", "CANCELLED", name="assignmentstatus"),
        ),
        sa.Column("provider_notes", sa.Text()),
        sa.Column("completion_notes", sa.Text()),
        sa.Column("estimated_completion_time", sa.DateTime()),
        sa.Column("completed_at", sa.DateTime()),
        sa.Column("created_at", sa.DateTime()),
        sa.Column("updated_at", sa.DateTime()),
        sa.ForeignKeyConstraint(
            ["request_id"], ["service_requests.request_id"], name=op.f("service_assignments_request_id_fkey")
        ),
        sa.PrimaryKeyConstraint("assignment_id", name=op.f("service_assignments_pkey")),
    )
    op.create_table(
        "ratings",
        sa.Column("rating_id", sa.String(length=36), nullable=False),
        sa.Column("assignment_id", sa.String(length=36), nullable=False),
        sa.Column("rater_id", sa.String(length=36), nullable=False),
        sa.Column("ratee_id", sa.String(length=36), nullable=False),
        sa.Column("rating_score", sa.Integer(), nullable=False),
        sa.Column("review_text", sa.Text()),
        sa.Column("is_provider_rating", sa.Integer()),
        sa.Column("created_at", sa.DateTime()),
        sa.ForeignKeyConstraint(
            ["assignment_id"], ["service_assignments.assignment_id"], name=op.f("ratings_assignment_id_fkey")
        ),
        sa.PrimaryKeyConstraint("rating_id", name=op.f("ratings_pkey")),
    )


def downgrade() -> None:
    op.drop_table("ratings")
    op.drop_table("service_assignments")
    op.drop_table("service_requests")
    op.execute("DROP TYPE assignmentstatus")
    op.execute("DROP TYPE paymentstatus")
    op.execute("DROP TYPE servicerequeststatus")
    op.execute("DROP TYPE servicetype")
