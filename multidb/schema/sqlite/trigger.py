"""Triggers."""

from multidb.schema import kinds
from multidb.schema.sqlite.base import SqliteObject


class Trigger(SqliteObject, kinds.Trigger):
    query = "SELECT name, sql, tbl_name AS table_name FROM objects WHERE type = 'trigger' ORDER BY rowid"
    drop_sql = "DROP TRIGGER {0.identifier}"
