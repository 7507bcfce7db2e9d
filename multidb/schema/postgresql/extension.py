"""Extensions, whatever their version and schema."""

from dataclasses import field

from multidb.schema.difference import HARMLESS
from multidb.schema.postgresql.base import PostgresqlObject


class Extension(PostgresqlObject):
    kind, severity_if_missing, is_declarable = "extension", HARMLESS, False
    query = """
        SELECT extname AS name, quote_ident(extname) AS identifier, e.oid, nspname AS schema
        FROM pg_extension e JOIN pg_namespace n ON n.oid = extnamespace
    """
    schema: str = field(compare=False)
