"""`alembic history`, `show current` and `edit current`: one listing of all addressed branches.

The databases are probed only where the listing shows their revisions: plain `history` needs no server.
"""

from contextlib import closing

from alembic import context

from multidb.commands.support.per_database import Failures
from multidb.database.probe import start_probes
from multidb.errors import is_command_line
from multidb.planning.alembic_internals import showing
from multidb.planning.environment import Environment


def run(environment: Environment) -> None:
    """Print the listing; then raise MigrationError if a database can't be read."""
    failures = Failures(environment)
    heads: list[str] = []
    names = failures.loadable(environment.selected)
    databases = environment.configuration.databases(names) if _shows_databases(environment) else []
    for probe in start_probes(databases, keeps_sessions=False):
        with closing(probe), failures.working_on(probe.database.name) as branch:
            heads += branch.standing(probe.result().heads)
    with showing(environment.script, environment.revisions.together(names)):
        environment.request.work(tuple(heads), context.get_context())
    failures.check("could not be read")


def _shows_databases(environment: Environment) -> bool:
    """Whether a listing shows the databases' revisions; without a command line, which has the options, any does."""
    if environment.request.command != "history" or not is_command_line(environment.config):
        return True
    return bool(environment.option("indicate_current")) or "current" in (environment.option("rev_range") or "")
