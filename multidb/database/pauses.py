"""Pauses between polls: random, so that processes that wait together don't poll in step, and growing for the server."""

import random
from collections.abc import Iterator

_GROWTH = 1.5


def pauses(first: float, longest: float) -> Iterator[float]:
    """Seconds to sleep before each poll: from `first` on longer, up to `longest`; each up to a half more or less."""
    pause = first
    while True:
        yield pause * random.uniform(0.5, 1.5)  # noqa: S311 - no secret
        pause = min(pause * _GROWTH, longest)
