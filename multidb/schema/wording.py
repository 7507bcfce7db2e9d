"""Parts of sentences about differences."""

from collections.abc import Sequence

_LONGEST = 120  # characters of a definition in a sentence


def listed(words: Sequence[str]) -> str:
    """Words as an enumeration: `a, b and c`."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def shortened(text: str) -> str:
    """A text on one line, cut at 120 characters."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
