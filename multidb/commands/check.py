"""`check`: compare live databases with their models, as `alembic check` does, for programs, too.

Exit code 0: there is no difference; 2: there is; 1: a database can't be compared.
"""

import argparse
import json
from collections.abc import Mapping
from typing import Any

from multidb.commands.alembic.check import compared, text_of
from multidb.commands.support.command import Command, add_databases, add_json
from multidb.errors import ExitCode, exit_code_of, failure_as_json, said_of
from multidb.output import NAME_WIDTH
from multidb.schema.difference import Difference


def configure(parser: argparse.ArgumentParser) -> None:
    add_databases(parser)
    add_json(parser)


def run(command: Command) -> ExitCode:
    with command.environment() as environment:
        found = compared(environment, [database.name for database in command.databases])
    if command.options.json:
        print(json.dumps(_as_json(found), indent=2))
    else:
        for name, differing in found.items():
            if isinstance(differing, Exception):
                print(f"{name:{NAME_WIDTH}} FAILED: {said_of(differing)}")
            elif differing:
                print(text_of(name, differing))
            else:
                print(f"{name:{NAME_WIDTH}} is like its models")
    return ExitCode.most_severe(map(_code, found.values()))


def _code(differing: list[Difference] | Exception) -> ExitCode:
    if isinstance(differing, Exception):
        return exit_code_of(differing)
    return ExitCode.FOUND if differing else ExitCode.OK


def _as_json(found: Mapping[str, list[Difference] | Exception]) -> list[dict[str, Any]]:
    return [
        {"database": name, "differences": [], **failure_as_json(differing)}
        if isinstance(differing, Exception)
        else {"database": name, "differences": [each.as_json() for each in differing], **failure_as_json(None)}
        for name, differing in found.items()
    ]
