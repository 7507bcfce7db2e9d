"""Run a reading command in one database after another: a database that fails does not stop the others."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from multidb.advice.codes import Code
from multidb.errors import ExitCode, MigrationError, exit_code_of, said_of
from multidb.output import NAME_WIDTH
from multidb.planning.branches import Branch
from multidb.planning.environment import Environment


class Failures:
    """The databases that failed so far, each with the exit code of its failure."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._codes: dict[str, ExitCode] = {}

    def loadable(self, names: Iterable[str]) -> list[str]:
        """The databases whose branch can be loaded; for each of the others, a line says why it can't be."""
        found = []
        for name in names:
            try:
                self._environment.branch(name)
            except Exception as error:
                self.note(name, error)
            else:
                found.append(name)
        return found

    @contextmanager
    def working_on(self, name: str) -> Iterator[Branch]:
        """Work on a database whose branch can be loaded; if that fails, print why in one line, and go on."""
        try:
            with self._environment.working_on(name) as branch:
                yield branch
        except Exception as error:
            self.note(name, error)

    def note(self, name: str, error: Exception) -> None:
        """Print in one line why a database failed; with `--raiseerr`, raise the error."""
        if self._environment.option("raiseerr"):
            raise error
        self._codes[name] = exit_code_of(error)
        self._environment.config.print_stdout(f"{name:{NAME_WIDTH}} FAILED: {said_of(error)}")

    def check(self, text: str) -> None:
        """Raise MigrationError if a database failed, with the most severe exit code."""
        if self._codes:
            error = MigrationError(Code.SEE_ABOVE, f"{', '.join(self._codes)}: {text}, as the lines above say")
            error.exit_code = ExitCode.most_severe(self._codes.values())
            raise error
