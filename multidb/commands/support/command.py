"""A command of `python -m multidb` with its options, and what follows from them."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory

from multidb import logs
from multidb.advice.codes import Code
from multidb.config import reader, settings
from multidb.config.configuration import Configuration, Database
from multidb.config.settings import Settings
from multidb.errors import ConfigError
from multidb.planning.branches import Revisions
from multidb.planning.environment import FILE, Environment, without_env_py
from multidb.planning.selection import known_names, option
from multidb.signals import Interruption


def add_databases(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("databases", nargs="*", metavar="DATABASE", help="default: all")


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


class Command:
    """A command's options, and what follows from them."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.file: Path = Path(option(options.x, "file") or options.file).resolve()
        self.configuration: Configuration = reader.load(self.file)
        settings.check_keys(options.x, ("file", *settings.OF_A_RUN, *getattr(options, "own_keys", ())))
        self.settings: Settings = settings.of_a_run(self.configuration.options, options.x)

    @property
    def databases(self) -> list[Database]:
        """The databases that the command names, or all."""
        names = known_names(self.options.databases, self.configuration.names) or self.configuration.names
        return self.configuration.databases(names)

    @property
    def alembic(self) -> Config:
        """Alembic's own configuration, beside databases.yaml."""
        folder = self.options.file.resolve().parent
        if "%" in str(folder):
            raise ConfigError(
                Code.PROJECT_FOLDER, f"{folder}: Alembic can't be in a folder with a % in its name: rename that"
            )
        config = Config(str(folder / "alembic.ini"), cmd_opts=self.options)
        config.attributes[FILE] = self.file
        return config

    @cached_property
    def script(self) -> ScriptDirectory:
        return ScriptDirectory.from_config(self.alembic)

    @cached_property
    def revisions(self) -> Revisions:
        """The revision files of the databases that the command names."""
        return Revisions(self.script, [database.name for database in self.databases])

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Log as alembic.ini says, and let a signal end the block as Ctrl-C does."""
        logs.configure(self.alembic)
        interruption = Interruption()
        with interruption.handling(), interruption.interruptible():
            yield

    @contextmanager
    def environment(self) -> Iterator[Environment]:
        """The environment of a command that reads databases; it can be interrupted."""
        with self.interruptible(), without_env_py(self.alembic, self.script) as environment:
            yield environment
