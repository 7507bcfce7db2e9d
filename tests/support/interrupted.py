"""Runs a command of the project, and does something at a point of the protocol.

    python interrupted.py ACTION WHEN OPERATION DATABASE [and ACTION WHEN OPERATION DATABASE]... COMMAND...

ACTION is a signal and whom it goes to (`SIGKILL:coordinator`, `SIGKILL:worker`, `SIGKILL:run` for both), or anything
else for a shell. WHEN is `before` or `after`, OPERATION an Operation of Participant's or another of its methods,
COMMAND `alembic ...` or `multidb ...`. To be run in a checkout, whose code is what runs.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path.cwd()))


def interrupting(
    method: Callable[..., Any], wanted: object, action: str, when: str, database: str
) -> Callable[..., Any]:
    """A method of Participant, with the action in front of it or behind it, once and in one database.

    Args:
        wanted: the first argument with which the method has to be called, or None for any.
    """
    coordinator = os.getpid()
    left = [action]

    def act() -> None:
        if not left:
            return
        left.clear()
        name, _, whom = action.partition(":")
        if name in signal.Signals.__members__:
            if whom in ("coordinator", "run"):
                os.kill(coordinator, signal.Signals[name])
            if whom in ("worker", "run"):
                os.kill(os.getpid(), signal.Signals[name])
        else:
            subprocess.run(action, shell=True, check=True, stdout=subprocess.DEVNULL)

    def interrupted(self: Any, *arguments: Any) -> Any:
        is_here = self.name == database and wanted in (None, arguments[0])
        if is_here and when == "before":
            act()
        result = method(self, *arguments)
        if is_here and when == "after":
            act()
        return result

    return interrupted


def main() -> None:
    """Patch, and run."""
    from multidb import cli
    from multidb.release.operation import Operation
    from multidb.release.participant import Participant

    arguments = ["and", *sys.argv[1:]]
    while arguments[0] == "and":
        _, action, when, operation, database, *arguments = arguments
        wanted = Operation.__members__.get(operation.upper())
        name = "perform" if wanted else operation
        method = getattr(Participant, name)
        setattr(Participant, name, interrupting(method, wanted, action, when, database))
    program, *arguments = arguments
    if program == "multidb":
        sys.exit(cli.main(arguments))
    from alembic.config import main as alembic

    alembic(arguments, prog="alembic")


if __name__ == "__main__":
    main()
