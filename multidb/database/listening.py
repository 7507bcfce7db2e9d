"""Listen to the events of an engine, or of a connection, for a while."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, event


@contextmanager
def listening(target: Engine | Connection, listeners: Mapping[str, Callable[..., Any]]) -> Iterator[None]:
    """Call functions for events; for those of an engine, also of connections that a revision opens.

    Args:
        listeners: the functions, by the names of SQLAlchemy's events.
    """
    for name, function in listeners.items():
        event.listen(target, name, function)
    try:
        yield
    finally:
        for name, function in listeners.items():
            event.remove(target, name, function)
