"""`alembic current`: a line per database with its name, its revision, and whether that is the head."""

from contextlib import closing

from alembic.util import DatabaseNotAtHead

from multidb.advice.codes import Code
from multidb.commands.support.per_database import Failures
from multidb.database import connections
from multidb.database.probe import Probe, start_probes
from multidb.errors import ExitCode, MigrationError
from multidb.output import NAME_WIDTH, revisions_text
from multidb.planning.alembic_internals import captured_output
from multidb.planning.branches import Branch
from multidb.planning.environment import Environment


class NotAtHeadError(MigrationError):
    """`--check-heads`: a database is not at its head."""

    exit_code = ExitCode.FOUND


def run(environment: Environment) -> None:
    """Raise MigrationError if a database can't be read, and with `--check-heads` NotAtHeadError."""
    failures = Failures(environment)
    behind: list[str] = []
    databases = environment.configuration.databases(failures.loadable(environment.selected))
    for probe in start_probes(databases, keeps_sessions=False):
        name = probe.database.name
        with closing(probe), failures.working_on(name) as branch:
            result = probe.result()
            heads = branch.standing(result.heads)
            details, is_satisfied = _details(environment, probe, heads)
            in_doubt = ", in doubt: see `python -m multidb status`" if result.in_doubt else ""
            environment.config.print_stdout(f"{name:{NAME_WIDTH}} {_position(branch, heads)}{in_doubt}")
            for line in details:
                environment.config.print_stdout(f"    {line}".rstrip())
            if not is_satisfied or (environment.option("check_heads") and not branch.files):
                behind.append(name)
    failures.check("could not be read")
    if behind:
        raise NotAtHeadError(Code.NOT_AT_HEAD, f"{', '.join(behind)}: not at head, as the lines above say")


def _position(branch: Branch, heads: tuple[str, ...]) -> str:
    """Where a database is: `auth_0001 (head)`, or `auth_0001, the head is auth_0002`."""
    if set(heads) == set(branch.heads):
        return f"{revisions_text(heads)} ({'head' if heads else 'no revisions yet'})"
    return f"{revisions_text(heads)}, the head is {', '.join(branch.heads)}"


def _details(environment: Environment, probe: Probe, heads: tuple[str, ...]) -> tuple[list[str], bool]:
    """The lines that `current` itself prints beyond the revision (`-v`), and whether `--check-heads` is satisfied."""
    try:
        with (
            captured_output(environment.config) as captured,
            connections.connect(probe.database.url) as connection,
        ):
            environment.request.work(heads, environment.configure_reading(probe.result().database, connection))
    except DatabaseNotAtHead:
        return [], False
    lines = captured.getvalue().splitlines()
    brief = [script.cmd_format(verbose=False) for script in environment.script.get_revisions(heads)]
    return ([] if lines == brief else lines), True
