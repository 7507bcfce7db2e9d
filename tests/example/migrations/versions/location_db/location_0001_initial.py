"""initial

Revision ID: location_0001
Revises:
Create Date: 2026-11-23 02:00:00
"""

from alembic import op

revision = "location_0001"
down_revision = None
branch_labels = ("location_db",)
depends_on = None


def upgrade() -> None:
    # Where an operator has created the extension, this does nothing and needs no privilege.
    op.execute("CREATE EXTENSION IF NOT EXISTS postgis")
    # As text, because every upgrade loads this file and importing geoalchemy2 would slow each one down.
    op.execute("""
        CREATE TABLE user_addresses (
            address_id uuid NOT NULL,
            user_id uuid NOT NULL,
            street_address varchar(255) NOT NULL,
            city varchar(100) NOT NULL,
            state varchar(50) NOT NULL,
            postal_code varchar(20) NOT NULL,
            country varchar(100) DEFAULT 'USA' NOT NULL,
            location geography(POINT, 4326) NOT NULL,
            is_within_service_area boolean DEFAULT 'true',
            is_primary boolean DEFAULT 'false',
            address_type varchar(50) DEFAULT 'residential',
            created_at timestamp,
            updated_at timestamp,
            CONSTRAINT user_addresses_pkey PRIMARY KEY (address_id)
        )
    """)
    op.execute("CREATE INDEX idx_user_addresses_location ON user_addresses USING gist (location)")
    op.execute("""
        CREATE TABLE saved_locations (
            location_id uuid NOT NULL,
            user_id uuid NOT NULL,
            name varchar(255) NOT NULL,
            address varchar(255) NOT NULL,
            latitude varchar(50) NOT NULL,
            longitude varchar(50) NOT NULL,
            created_at timestamp,
            updated_at timestamp,
            CONSTRAINT saved_locations_pkey PRIMARY KEY (location_id)
        )
    """)


def downgrade() -> None:
    op.drop_table("saved_locations")
    op.drop_table("user_addresses")
    # The extension stays: an operator may have created it, and other things may use it.
