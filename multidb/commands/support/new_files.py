"""Files that a command adds to folders: all of them, or none."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def removed_on_failure(folders: Sequence[Path]) -> Iterator[None]:
    """Leave no file behind in these folders when one of several can't be written, or a signal ends the command."""
    before = {path for folder in folders for path in _files(folder)}
    try:
        yield
    except BaseException:
        for folder in folders:
            for path in set(_files(folder)) - before:
                path.unlink()
        raise


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
