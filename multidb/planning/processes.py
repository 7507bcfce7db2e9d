"""Forked processes with a pipe each: the workers of a run, and a function mapped over databases.

A process is forked and not spawned: it continues from here with everything that is loaded, and a worker with its open
sessions. `ProcessPoolExecutor` can neither give each process sessions of its own nor cancel what one does.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from typing import Any, TypeVar

from multidb import signals
from multidb.advice.codes import Code
from multidb.errors import MigrationError, code_of, explain

Item = TypeVar("Item")
Result = TypeVar("Result")


class ForkedProcess:
    """A forked process that runs `target` with one end of a pipe; the other end of it is here.

    `siblings` are the ends here of the pipes to processes that were forked before.
    """

    def __init__(self, target: Callable[[Pipe], None], siblings: Iterable[Pipe], on_sigterm: signal.Handlers) -> None:
        context = multiprocessing.get_context("fork")
        self.pipe, theirs = context.Pipe()
        # A pipe end that a sibling has inherited stays open when this process dies, and its death would go unnoticed.
        inherited = [*siblings, self.pipe]
        self._process = context.Process(target=_run, args=(target, theirs, inherited, on_sigterm), daemon=True)
        with signals.blocked():
            self._process.start()
        theirs.close()

        self.join, self.kill = self._process.join, self._process.kill

    def ending(self) -> str:
        """How the process ended: `ended with code 1`, `was killed by SIGSEGV`; what sends SIGKILL, as a rule."""
        self._process.join()
        code = self._process.exitcode or 0
        if code == -signal.SIGKILL:
            return "was killed by SIGKILL: out of memory? See the kernel's log, or the limit of the container"
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"


def can_fork() -> bool:
    """Whether this process may be forked: with other threads, which a program that calls Alembic may have, it may not.

    A lock that another thread holds is never released in the forked process.
    """
    return threading.active_count() == 1


def map_in_processes(
    function: Callable[[Item], Result], items: Sequence[Item], jobs: int
) -> list[Result | MigrationError]:
    """Compute each result in a forked process of its own, `jobs` at a time; an exception here ends the processes.

    Where this process can't be forked, everything is computed in it.

    Args:
        function: it finds everything that is loaded here, and returns or raises what can be pickled.
        items: the most expensive first.

    Returns:
        For each item, in their order, the result, or why there is none.
    """
    if not can_fork():
        return [_result(function, item) for item in items]
    found: dict[int, Result | MigrationError] = {}
    left = list(enumerate(items))
    running: dict[Any, tuple[int, ForkedProcess]] = {}
    try:
        while left or running:
            while left and len(running) < jobs:
                number, item = left.pop(0)
                with signals.blocked():  # until the process is registered, and will be ended by what a signal raises
                    process = ForkedProcess(partial(_answer, function, item), running, signal.SIG_DFL)
                    running[process.pipe] = number, process
            for pipe in wait(list(running)):
                number, process = running.pop(pipe)
                found[number] = _received(process)
    finally:
        for pipe, (_, process) in running.items():
            process.kill()
            process.join()
            pipe.close()
    return [found[number] for number in range(len(items))]


def _run(target: Callable[[Pipe], None], pipe: Pipe, inherited: Iterable[Pipe], on_sigterm: signal.Handlers) -> None:
    # A terminal sends Ctrl-C to every process of the run; the parent decides what follows.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, on_sigterm)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals.SIGNALS)
    for each in inherited:
        each.close()
    target(pipe)


def _result(function: Callable[[Item], Result], item: Item) -> Result | MigrationError:
    try:
        return function(item)
    except Exception as error:
        return error if isinstance(error, MigrationError) else MigrationError(code_of(error), explain(error))


def _answer(function: Callable[[Item], Result], item: Item, pipe: Pipe) -> None:
    threading.Thread(target=_end_with_parent, args=(pipe,), daemon=True).start()
    pipe.send(_result(function, item))


def _end_with_parent(pipe: Pipe) -> None:
    with suppress(OSError):
        pipe.poll(None)  # until the parent closes its end
    os._exit(1)


def _received(process: ForkedProcess) -> Any:
    try:
        return process.pipe.recv()
    except EOFError:
        return MigrationError(Code.PROCESS_ENDED, f"its process {process.ending()}")
    finally:
        process.join()
        process.pipe.close()
