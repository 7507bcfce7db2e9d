"""A command in a transaction of the caller's, which gives its connection: a test's fixture, for example.

The caller commits or rolls back. So nothing is locked, prepared, or recorded in the journal.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from alembic import context
from sqlalchemy import Connection, event

from multidb.advice.codes import Code
from multidb.config.configuration import Database
from multidb.database.connections import driver_of
from multidb.database.probe import ProbeResult
from multidb.errors import MigrationError
from multidb.planning import planner
from multidb.planning.environment import Environment
from multidb.planning.plan import Plan, runs_file
from multidb.planning.revision_files import load, place_of
from multidb.release.participant import Migrate, batch_mode_in

_COMMANDS = ("upgrade", "downgrade", "stamp", "current", "ensure_version")


def run(environment: Environment, connection: Connection, migrate: Migrate) -> None:
    """Run a command over a given connection, in the one database that the command names.

    Raises:
        MigrationError: the command can't run so; the caller's transaction is as it was. Or a revision failed.
    """
    database = _database(environment, connection)
    command = environment.request.command
    if command in ("current", "ensure_version"):
        with environment.working_on(database.name):
            environment.configure_migration(database, connection, dont_mutate=command == "current")
            context.run_migrations()
        return
    with environment.working_on(database.name):
        heads = environment.configure_reading(database, connection).get_current_heads()
    result = ProbeResult(database, recorded=tuple(heads))
    for plan in planner.plans(environment, [result], may_downgrade=True):
        _check_stages(plan)
        with environment.working_on(database.name), _kept_open(connection), batch_mode_in(database):
            load(step.revision for step in plan.steps if runs_file(step))
            for number in range(len(plan.stages)):
                migrate(database, connection, work=plan.work_of(number, heads), purge=plan.purges(number))


def _database(environment: Environment, connection: Connection) -> Database:
    """The database that the connection is for."""
    command = environment.request.command
    if command not in _COMMANDS:
        raise MigrationError(
            Code.CALLER, f"{command} takes no connection of the caller's: leave attributes['connection'] out"
        )
    if len(environment.selected) != 1:
        raise MigrationError(
            Code.CALLER,
            f"attributes['connection'] is for one database, and {command} addresses {len(environment.selected)}: "
            f"name the one, as in {environment.selected[0]}@head, or by cmd_opts=Namespace(x=['db=NAME'])",
        )
    [name] = environment.selected
    level = connection.get_execution_options().get("isolation_level")
    if level == "AUTOCOMMIT" or getattr(driver_of(connection), "autocommit", False) is True:
        text = "the connection is in autocommit, so that a failure would stay half-done: begin a transaction"
        raise MigrationError(Code.CALLER, text, name)
    return environment.configuration.database_at(name, connection.engine.url)


def _check_stages(plan: Plan) -> None:
    places = [place_of(step.revision.path) for stage in plan.stages if stage.nontransactional for step in stage.steps]
    if places:
        raise MigrationError(
            Code.CALLER,
            f"{', '.join(places)}: it runs outside a transaction, and the given connection is in the caller's: "
            "run the command without attributes['connection']",
            plan.database.name,
        )


@contextmanager
def _kept_open(connection: Connection) -> Iterator[None]:
    """Refuse a revision's commit or rollback of the caller's transaction."""

    def refuse(_connection: Connection) -> None:
        raise MigrationError(
            Code.ENDS_TRANSACTION, "a revision may not commit or roll back: the transaction is the caller's"
        )

    for ending in ("commit", "rollback"):
        event.listen(connection, ending, refuse)
    try:
        yield
    finally:
        for ending in ("commit", "rollback"):
            event.remove(connection, ending, refuse)
