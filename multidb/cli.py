"""`python -m multidb`: what Alembic has no command for."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory

from multidb import logs
from multidb.commands import history, ready, states
from multidb.commands import rollback as undoing
from multidb.config import configuration as config
from multidb.config import settings
from multidb.config.configuration import Configuration, Database
from multidb.config.settings import Settings
from multidb.database import provision
from multidb.errors import MigrationError, exit_for
from multidb.planning.environment import FILE, Environment, without_env_py
from multidb.planning.selection import known_names
from multidb.signals import Stop


class Command:
    """A command's options, and what follows from them."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.file: Path = options.file.resolve()
        self.configuration: Configuration = config.load(self.file)
        settings.check_keys(options.x, settings.OF_A_RUN)
        self.settings: Settings = settings.of_a_run(self.configuration.options, options.x)

    @property
    def databases(self) -> list[Database]:
        """Those that the command names, or all."""
        names = known_names(self.options.databases, self.configuration.names) or self.configuration.names
        return self.configuration.databases(names)

    @property
    def alembic(self) -> Config:
        """Alembic's own configuration, beside databases.yaml."""
        found = Config(str(self.file.parent / "alembic.ini"), cmd_opts=self.options)
        found.attributes[FILE] = self.file
        return found

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Log as alembic.ini says, and let a signal end what is inside as Ctrl-C does."""
        logs.configure(self.alembic)
        stop = Stop()
        with stop.listening(), stop.interruptible():
            yield

    @contextmanager
    def environment(self) -> Iterator[Environment]:
        """What a command of Alembic's has, for one of ours, which can be interrupted."""
        with self.interruptible(), without_env_py(self.alembic, self.script) as environment:
            yield environment

    @property
    def script(self) -> ScriptDirectory:
        return ScriptDirectory.from_config(self.alembic)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: the command line without the program's name; None takes the process's own.

    Returns:
        The exit code.

    Raises:
        SystemExit: the command failed; its message is one line, and the exit code 1, or 3 where it says so.
    """
    options = _parser().parse_args(arguments)
    run: Callable[[Command], int] = options.command
    try:
        status = run(Command(options))
        if sys.stdout is not None:  # it may have been closed
            sys.stdout.flush()
    except BrokenPipeError:  # who reads has seen enough: https://docs.python.org/3/library/signal.html#note-on-sigpipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (Exception, KeyboardInterrupt) as error:
        if options.raiseerr:
            raise
        raise exit_for(error) from error
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m multidb", description="Commands for all databases together.")
    parser.add_argument("-f", "--file", type=Path, default=Path("databases.yaml"), help="default: databases.yaml")
    parser.add_argument("-x", action="append", default=[], metavar="KEY=VALUE", help="a setting, as alembic takes it")
    parser.add_argument("--raiseerr", action="store_true", help="show an error's traceback")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: Callable[[Command], int], summary: str, description: str = "") -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=summary, description=description or summary)
        command.set_defaults(command=run)
        if name != "rollback":
            command.add_argument("databases", nargs="*", metavar="DATABASE", help="default: all")
        return command

    add("create", _create, "create missing roles, databases and extensions",
        "Create the roles, databases and extensions that are missing, and nothing that is there. "
        f"The administrator's URL is read from {provision.ADMIN_VARIABLE}, or from the file that "
        f"{provision.ADMIN_VARIABLE}_FILE names: on a command line everybody could see its password.")  # fmt: skip
    add("status", _status, "where every database is; exit 0 at head, 2 work pending, 3 in doubt, 1 error").add_argument(
        "--json", action="store_true", help="for programs"
    )
    add(
        "recover",
        _recover,
        "finish what an interrupted run left in doubt; exit 0 nothing is left, 3 something, 1 error",
    )
    waiting = add(
        "ready", _ready, "wait until the databases are at the head of these files, so that a service may start"
    )
    waiting.add_argument("--timeout", default="5min", help="how long to wait for whoever migrates them; default: 5min")
    waiting.add_argument("--newer", action="store_true", help="revisions that came after these files will do, too")
    add("log", _log, "the runs, newest first").add_argument("--json", action="store_true", help="for programs")
    add("verify", _verify, "applied revisions whose file has changed or is gone; exit 1 if there are any")
    adopt = add(
        "adopt",
        _adopt,
        "take over live databases that were made some other way",
        "Find the revision that each live database equals, and record it, in one release. Where there are differences, "
        "print them, and change nothing.",
    )
    adopt.add_argument("--dry-run", action="store_true", help="only say what would be done")
    adopt.add_argument(
        "--reconcile", action="store_true", help="mend differences that are harmless, keep what is extra"
    )
    adopt.add_argument(
        "--risky", action="append", default=[], metavar="NAME", help="with --reconcile: mend this difference, too"
    )
    drift = add(
        "drift",
        _drift,
        "in what live databases are not what their recorded revisions say; exit 0 in nothing, 2 drift, 1 error",
    )
    drift.add_argument("--json", action="store_true", help="for programs")
    rollback = add("rollback", _rollback, "take every database that the last run changed back to where it was")
    rollback.add_argument("--to", metavar="RELEASE", help="take back all that came after this release")
    rollback.add_argument("--yes", action="store_true", help="don't ask")
    return parser


def _create(command: Command) -> int:
    admin = command.configuration.url_variable(provision.ADMIN_VARIABLE)
    provision.create(command.databases, admin, print)
    return 0


def _status(command: Command) -> int:
    as_json = command.options.json
    return states.status(command.configuration, command.script, command.databases, as_json=as_json, say=print)


def _recover(command: Command) -> int:
    logs.configure(command.alembic)
    return states.recover(command.configuration, command.databases, command.settings, print)


def _ready(command: Command) -> int:
    options = command.options
    timeout = settings.value("wait", options.timeout, "--timeout")
    with command.interruptible():
        ready.wait_until_ready(
            command.script, command.databases, wait=command.settings.wait, timeout=timeout, newer=options.newer
        )
    return 0


def _log(command: Command) -> int:
    history.log(command.databases, as_json=command.options.json, say=print)
    return 0


def _verify(command: Command) -> int:
    return history.verify(command.script, command.databases, print)


def _rollback(command: Command) -> int:
    options = command.options
    undoing.rollback(
        command.configuration, command.alembic, to=options.to, yes=options.yes, x_arguments=options.x, say=print
    )
    return 0


def _drift(command: Command) -> int:
    from multidb.commands.drift import drift

    with command.environment() as environment:
        return drift(environment, command.databases, as_json=command.options.json, say=print)


def _adopt(command: Command) -> int:
    from multidb.commands import adopt as takeover

    options = command.options
    if options.risky and not options.reconcile:
        raise MigrationError("--risky is for --reconcile: add that, too")
    with command.environment() as environment:
        cases = takeover.examine(
            environment,
            command.databases,
            dry_run=options.dry_run,
            reconcile=options.reconcile,
            risky=options.risky,
            say=print,
        )
    if cases and not options.dry_run:
        takeover.record(command.alembic, cases, options.x)
    return 0
