"""`config`: print what is in force for each database, and where each value comes from; without secrets.

Nothing is connected to. With `--check`, only what is wrong is printed. Exit code 1: a database's URL can't be resolved.
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from typing import Any

from multidb.commands.support.command import Command, add_databases, add_json
from multidb.config import settings
from multidb.config.configuration import Configuration, Database
from multidb.errors import ConfigError, ExitCode, failure_as_json, said_of
from multidb.output import columns, count_of
from multidb.planning.selection import known_names

Value = Mapping[str, Any]
_OF_DATABASE = ("lock_timeout", "statement_timeout")


def configure(parser: argparse.ArgumentParser) -> None:
    add_databases(parser)
    add_json(parser)
    parser.add_argument("--check", action="store_true", help="print only what is wrong")


def run(command: Command) -> ExitCode:
    configuration = command.configuration
    names = known_names(command.options.databases, configuration.names) or configuration.names
    found: dict[str, list[Value]] = {}
    errors: dict[str, ConfigError] = {}
    for name in names:
        try:
            [database] = configuration.databases([name])
            found[name] = list(_of_database(command, configuration, database))
        except ConfigError as error:
            errors[name] = error
    if command.options.json:
        databases = [
            {"database": name, "values": found.get(name), **failure_as_json(errors.get(name))} for name in names
        ]
        whole = {"file": str(configuration.path), "settings": list(_of_run(command)), "databases": databases}
        print(json.dumps(whole, indent=2))
    else:
        if not command.options.check:
            _print("a run", _of_run(command))
            for name, values in found.items():
                _print(name, values)
        for name, failure in errors.items():
            print(f"{name}: FAILED: {said_of(failure)}")
        if command.options.check and not errors:
            print(f"{count_of(len(names), 'database')}: nothing is wrong")
    return ExitCode.FAILED if errors else ExitCode.OK


def _print(title: str, values: Iterator[Value] | list[Value]) -> None:
    print(title)
    print(columns([("   ", each["name"], _text(each["value"]), each["from"]) for each in values]))


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "-"
    return "-" if value in (None, {}) else json.dumps(value) if isinstance(value, (bool, dict)) else str(value)


def _of_run(command: Command) -> Iterator[Value]:
    """The settings of a run; times are in seconds."""
    given = command.settings.given or {}
    for key in settings.OF_ALL:
        origin = "-x" if key in given else command.configuration.origin("", key)
        yield {"name": key, "value": getattr(command.settings, key), "from": origin}


def _of_database(command: Command, configuration: Configuration, database: Database) -> Iterator[Value]:
    table = database.version_table
    values = {
        "url": database.public_url.render_as_string(),
        "role": database.role,
        "models": database.models,
        "extensions": database.extensions,
        "ignore": database.ignored,
        "version_table": table.name,
        "version_table_schema": table.schema,
        "naming_convention": dict(database.naming_convention),
        "protected": bool(database.options.get("protected")),
    }
    for key, value in values.items():
        yield {"name": key, "value": value, "from": configuration.origin(database.name, key)}
    given = command.settings.given or {}
    origin = configuration.origin(database.name, "two_phase")
    two_phase = "off" if database.options.get("two_phase") == "off" else command.settings.two_phase
    yield {"name": "two_phase", "value": two_phase, "from": "-x" if "two_phase" in given else origin}
    limits = command.settings.limits(database.options)
    for key in _OF_DATABASE:
        origin = "-x" if key in given else configuration.origin(database.name, key)
        yield {"name": key, "value": getattr(limits, key), "from": origin}
