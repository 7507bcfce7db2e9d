"""The statements of a revision outside a transaction that were completed: a failure leaves them as they are."""

import re
from collections.abc import Sequence

from sqlalchemy import Connection

from multidb.database.quoting import without_comments
from multidb.output import shortened

_MOST = 3  # statements that a message shows
_LONGEST = 80  # characters of one
_CHANGES_NOTHING = re.compile(
    r"\s*(SELECT|SHOW|SET|RESET|EXPLAIN|PRAGMA|LOCK|BEGIN|COMMIT|ROLLBACK|DISCARD)\b", re.IGNORECASE
)


class CompletedStatements:
    """Notes the statements of a connection that change something, once they are completed."""

    def __init__(self) -> None:
        self._statements: list[str] = []
        self._is_noting = True

    def stop(self) -> None:
        """Note no more: what follows is the run's own."""
        self._is_noting = False

    @property
    def statements(self) -> tuple[str, ...]:
        """The statements, each in one line."""
        return tuple(self._statements)

    def after_execute(self, _connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        """The listener for SQLAlchemy's `after_cursor_execute`."""
        if self._is_noting and not _CHANGES_NOTHING.match(without_comments(statement)):
            self._statements.append(" ".join(statement.split()))


def stays_text(completed: Sequence[str] | None, invalid: Sequence[str] = ()) -> str:
    """What of a revision outside a transaction stands after its failure, and the next step.

    Args:
        completed: its completed statements; None if they are not known.
        invalid: the indexes that it left invalid.
    """
    stands = "its completed statements are not rolled back"
    if completed is not None:
        shown = [f"`{shortened(each, _LONGEST)}`" for each in completed[:_MOST]]
        more = f" and {len(completed) - _MOST} more" if len(completed) > _MOST else ""
        stands = f"{', '.join(shown)}{more} stays" if shown else "no statement of it was completed"
    if invalid:
        stands += f"; the next run drops the invalid index {', '.join(invalid)}"
    return f"the revision ran outside a transaction, and {stands}: correct the cause and run again"
