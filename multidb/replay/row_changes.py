"""Whether a revision may have read or changed rows, by the statements that its replay sends.

A scratch database has no rows. A revision that reads rows and changes them one by one sends nothing but a SELECT there,
so that reading the rows of a table counts, too. Reading the catalogs does not.
"""

import re
from collections.abc import Iterator

from multidb.config.configuration import VersionTable
from multidb.database import journal
from multidb.database.quoting import without_texts

_ROWS = re.compile(r"\s*(?:INSERT|UPDATE|DELETE|MERGE|REPLACE|TRUNCATE|COPY|DO|CALL|EXECUTE)\b", re.IGNORECASE)
_QUERY = re.compile(r"\s*\(?\s*(?:SELECT|WITH|TABLE|VALUES)\b", re.IGNORECASE)
# A query of the catalogs, and a call of a function that is the server's own.
_CATALOGS = re.compile(r"\b(?:pg_catalog|pg_\w+|information_schema|sqlite_master|sqlite_schema)\b", re.IGNORECASE)
_FROM = re.compile(r"\b(?:FROM|TABLE)\b", re.IGNORECASE)
_CALL = re.compile(r"\b(?!set_config|setval|current_|version|to_reg|now|SELECT|VALUES|AS)\w+\s*\(", re.IGNORECASE)


def touches_rows(text: str, version_table: VersionTable) -> bool:
    """Whether one of the statements of a text may read or change the rows of a table that is not this project's."""
    return any(_touches_rows(statement, version_table) for statement in _statements(text))


def _statements(text: str) -> Iterator[str]:
    """The statements of a text, without comments, and without what texts and bodies of functions contain."""
    return (each for each in without_texts(text).split(";") if each.strip())


def _touches_rows(statement: str, version_table: VersionTable) -> bool:
    if _ROWS.match(statement):
        ours = rf"\W(?:{re.escape(version_table.name)}|{journal.NAME})\W"
        return not re.search(ours, f"{statement} ")
    if not _QUERY.match(statement):
        return False  # DDL
    if not _FROM.search(statement):
        return bool(_CALL.search(statement)) and not _CATALOGS.search(statement)
    return not _CATALOGS.search(statement) and not re.search(rf"\W{re.escape(version_table.name)}\W", f"{statement} ")
