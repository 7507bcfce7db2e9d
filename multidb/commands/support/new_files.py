"""Files that a command adds or changes: all of them, or none."""

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
            for path in sorted(folder.rglob("*"), reverse=True):
                if path.is_dir() and not any(path.iterdir()):
                    path.rmdir()
        raise


@contextmanager
def restored_on_failure(files: Sequence[Path]) -> Iterator[None]:
    """Give files their content back when the block fails, or a signal ends the command; those that were missing go."""
    before = {path: path.read_bytes() if path.exists() else None for path in files}
    try:
        yield
    except BaseException:
        for path, content in before.items():
            if content is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(content)
        raise


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
