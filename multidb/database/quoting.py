"""Texts and names as SQL writes them."""

from multidb.config.configuration import VersionTable


def version_table(table: VersionTable) -> str:
    """The name of a version table as SQL writes it."""
    return ".".join(quoted(each) for each in (table.schema, table.name) if each is not None)


def literal(value: str) -> str:
    """A text as an SQL literal."""
    return "'" + value.replace("'", "''") + "'"


def quoted(name: str) -> str:
    """A name as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
