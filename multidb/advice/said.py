"""What a driver's error says: message, detail and hint of the server, without the values of rows.

The names of objects are kept: which view depends, which key repeats. Values may be personal, and lines are logged and
recorded in journals; `--raiseerr` shows them.
"""

import re

import psycopg2

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_ROW_CLASSES = ("23", "44")  # integrity constraint violation, with check option violation: the detail shows a row
# invalid_text_representation, invalid_datetime_format, datetime_field_overflow, numeric_value_out_of_range: the message
# quotes a value, in the quotation marks of the server's language.
_VALUE_STATES = {"22P02", "22007", "22008", "22003"}
_QUOTED_VALUE = re.compile(r'["«»„“「].*["«»“”」]', re.DOTALL)
_KEY_VALUES = re.compile(r"=\(.*\)", re.DOTALL)  # of `Key (email)=(a@b.example) already exists.`, in every language


def first_line(text: str) -> str:
    """The first line of a driver's message; the others repeat it, or give hints."""
    return (text.strip().splitlines() or ["no message"])[0].strip()


def message(error: BaseException) -> str:
    """The message of a driver's error, in one line."""
    primary = error.diag.message_primary if isinstance(error, psycopg2.Error) else None
    return _without_values(error, first_line(primary or str(error)))


def remarks(error: BaseException) -> list[str]:
    """The server's detail, and its hint, each in one line."""
    if not isinstance(error, psycopg2.Error):
        return []
    found = _detail(error), error.diag.message_hint
    return ["; ".join(text.rstrip(".。").splitlines()) for text in found if text]


def _detail(error: psycopg2.Error) -> str | None:
    """The server's detail; one that shows a row has only the names of the key's columns."""
    detail = error.diag.message_detail
    if not detail or not (error.pgcode or "").startswith(_ROW_CLASSES):
        return _without_values(error, detail) if detail else None
    without, number = _KEY_VALUES.subn("=(…)", detail)
    return without if number else None


def _without_values(error: BaseException, text: str) -> str:
    if getattr(error, "pgcode", None) not in _VALUE_STATES:
        return text
    return _QUOTED_VALUE.sub("…", text)
