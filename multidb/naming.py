"""The models' naming convention for constraints without a name: PostgreSQL's own default names.

Databases whose constraints were created without names (by `create_all()`, or by hand) then match the models without a
rename. Autogenerate writes the names into the revisions, which run with no convention, as in plain Alembic.
"""

from sqlalchemy import MetaData

# The default name of a CHECK depends on its columns, so each CHECK is named where it is written. PostgreSQL shortens a
# name of more than 63 bytes in its own way: such a name is written out, too.
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
