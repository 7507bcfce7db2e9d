"""Listen to the events of an engine for a while."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event


@contextmanager
def listening(engine: Engine, listeners: Mapping[str, Callable[..., Any]]) -> Iterator[None]:
    """Call functions for events of an engine, also of connections that a revision opens.

    Args:
        listeners: the functions, by the names of SQLAlchemy's events.
    """
    for name, function in listeners.items():
        event.listen(engine, name, function)
    try:
        yield
    finally:
        for name, function in listeners.items():
            event.remove(engine, name, function)
