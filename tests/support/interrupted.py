"""Runs a command of the project, and does something at a point of the protocol.

    python interrupted.py ACTION WHEN OPERATION DATABASE COMMAND...

ACTION is a signal and whom it goes to (`SIGKILL:coordinator`, `SIGKILL:worker`), or anything else for a shell. WHEN is
`before` or `after`, OPERATION a method of Participant, COMMAND `alembic ...` or `multidb ...`. To be run in a checkout,
whose code is what runs.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path.cwd()))


def interrupting(operation: Callable[..., Any], action: str, when: str, database: str) -> Callable[..., Any]:
    """The operation, with the action in front of it or behind it, once and in one database."""
    coordinator = os.getpid()
    left = [action]

    def act() -> None:
        if not left:
            return
        left.clear()
        name, _, whom = action.partition(":")
        if name in signal.Signals.__members__:
            os.kill(coordinator if whom == "coordinator" else os.getpid(), signal.Signals[name])
        else:
            subprocess.run(action, shell=True, check=True, stdout=subprocess.DEVNULL)

    def interrupted(self: Any, *arguments: Any) -> Any:
        if self.name == database and when == "before":
            act()
        result = operation(self, *arguments)
        if self.name == database and when == "after":
            act()
        return result

    return interrupted


def main() -> None:
    """Patch, and run."""
    from multidb import cli
    from multidb.release import participant

    action, when, operation, database, program, *arguments = sys.argv[1:]
    method = getattr(participant.Participant, operation)
    setattr(participant.Participant, operation, interrupting(method, action, when, database))
    if program == "multidb":
        sys.exit(cli.main(arguments))
    from alembic.config import main as alembic

    alembic(arguments, prog="alembic")


if __name__ == "__main__":
    main()
