"""Write a file in one step: a reader sees the former one, or the whole new one."""

import os
from pathlib import Path

from multidb.advice.codes import Code
from multidb.errors import MigrationError


def write_whole(path: Path, text: bytes, mode: int | None = None) -> None:
    """Write the text beside its place, and put it there whole.

    Args:
        mode: of the file; None for that of the process's umask.

    Raises:
        MigrationError: the file can't be written; the former one is as it was.
    """
    part = path.with_name(f".{path.name}-{os.getpid()}.part")  # two processes may write the same file
    try:
        part.write_bytes(text)
        if mode is not None:
            part.chmod(mode)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise MigrationError(Code.NOT_WRITTEN, f"{path} can't be written: {error.strerror}") from error
