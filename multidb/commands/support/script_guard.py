"""What stops a script of `--sql` in a database that is not at the revision from which the script was made."""

from collections.abc import Sequence

from multidb.config.configuration import Database
from multidb.database.quoting import literal, quoted
from multidb.output import revisions_text

_GUARD = """DO $guard$
DECLARE found text[] := '{{}}';
BEGIN
    IF to_regclass({name}) IS NOT NULL THEN
        SELECT array_agg(version_num::text ORDER BY version_num::text COLLATE "C") INTO found FROM {table};
    END IF;
    IF coalesce(found, '{{}}') <> {expected} THEN
        RAISE EXCEPTION '{database} is at %, and this script begins at {begin}: make it again from there',
            coalesce(nullif(array_to_string(found, ', '), ''), '<base>');
    END IF;
END $guard$"""


def on_postgresql(database: Database, table: str, heads: Sequence[str]) -> str:
    """The statement for psql.

    Args:
        table: the version table, as SQL writes it.
        heads: the revisions that the script begins at.
    """
    expected = f"ARRAY[{', '.join(map(literal, sorted(heads)))}]::text[]"
    begin = revisions_text(heads).replace("'", "''").replace("%", "%%")
    return _GUARD.format(name=literal(table), table=table, expected=expected, database=database.name, begin=begin)


def on_sqlite(database: Database, heads: Sequence[str]) -> Sequence[str]:
    """The statements for sqlite3, which stop it under -bail. The version table has to be there."""
    table, expected = quoted(database.version_table.name), literal(", ".join(sorted(heads)))
    place = quoted(f"this script begins at {revisions_text(heads)}")
    found = f"SELECT version_num FROM {table} ORDER BY version_num"  # noqa: S608 - quoted
    return (
        f"CREATE TEMP TABLE guard (found TEXT CONSTRAINT {place} CHECK (found = {expected}))",
        f"INSERT INTO temp.guard SELECT coalesce(group_concat(version_num, ', '), '') FROM ({found})",  # noqa: S608 - quoted
        "DROP TABLE temp.guard",
    )
