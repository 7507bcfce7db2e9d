"""Views."""

from multidb.schema import kinds
from multidb.schema.sqlite.base import SqliteObject


class View(SqliteObject, kinds.View):
    query = "SELECT name, sql FROM objects WHERE type = 'view' ORDER BY rowid"
    drop_sql = "DROP VIEW {0.identifier}"
