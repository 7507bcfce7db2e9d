"""Extensions, whatever their version."""

from multidb.schema.difference import HARMLESS
from multidb.schema.postgresql.base import PostgresqlObject


class Extension(PostgresqlObject):
    kind, severity_if_missing, is_declarable = "extension", HARMLESS, False
    query = "SELECT extname AS name, quote_ident(extname) AS identifier, oid FROM pg_extension"
