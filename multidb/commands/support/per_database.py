"""Run a reading command in one database after another: a database that fails does not stop the others."""

from collections.abc import Iterator
from contextlib import contextmanager

from multidb.errors import reason_of
from multidb.output import NAME_WIDTH
from multidb.planning.branches import Branch
from multidb.planning.environment import Environment


@contextmanager
def line_on_failure(environment: Environment, name: str, failed: list[str]) -> Iterator[Branch]:
    """Work on a database; if that fails, print why in one line, add the name to `failed`, and go on."""
    try:
        with environment.working_on(name) as branch:
            yield branch
    except Exception as error:
        if environment.option("raiseerr"):
            raise
        failed.append(name)
        environment.config.print_stdout(f"{name:{NAME_WIDTH}} FAILED: {reason_of(error)}")
