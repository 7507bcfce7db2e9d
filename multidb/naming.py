"""The names that constraints get when nobody names them: PostgreSQL's own.

Databases that were made without names (by `create_all()`, or by hand) then match the models without a
rename. It lives here and not in `models`, because an upgrade needs the convention but imports no models.
"""

from sqlalchemy import MetaData

# A CHECK has no default name that two people would guess alike, so each one is named where it is written.
# PostgreSQL cuts names at 63 bytes in a way of its own: a longer one is written out, too.
CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "ck": "%(constraint_name)s",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    "pk": "%(table_name)s_pkey",
}


def metadata() -> MetaData:
    """An empty MetaData that names constraints by the convention."""
    return MetaData(naming_convention=CONVENTION)
