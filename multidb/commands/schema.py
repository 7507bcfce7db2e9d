"""`schema`: print what the revisions of databases make, as SQL; `--out` writes a file for each, to be reviewed.

The branch is replayed in a scratch database: no database has to be up. Exit code 0: it is printed, or the files are
current; 2: with `--check`, a file is not; 1: a branch can't be replayed, and no file is written.
"""

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path

from multidb.advice.codes import Code
from multidb.commands.support.command import Command, add_databases
from multidb.errors import ExitCode, MigrationError, joined
from multidb.output import revisions_text
from multidb.planning.environment import Environment
from multidb.replay import baseline
from multidb.replay.replay import ReplayRequest, Replays


def configure(parser: argparse.ArgumentParser) -> None:
    add_databases(parser)
    parser.add_argument("--out", type=Path, metavar="DIRECTORY", help="write a file for each database there")
    parser.add_argument("--check", action="store_true", help="with --out: only say which files are not current")


def run(command: Command) -> ExitCode:
    options = command.options
    if options.check and options.out is None:
        raise MigrationError(Code.OPTION, "--check is for --out: name the directory of the files")
    with command.environment() as environment, Replays(environment) as replays:
        made = _made(command, environment, replays)
    if options.out is None:
        print("\n".join(made.values()), end="")
        return ExitCode.OK
    if not options.check:
        _write(options.out, made)
        return ExitCode.OK
    problems = list(_problems(options.out, made, command))
    for problem in problems:
        print(problem)
    if problems:
        print(f"`python -m multidb schema --out {options.out}` writes them")
    return ExitCode.FOUND if problems else ExitCode.OK


def _write(directory: Path, made: Mapping[str, str]) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in made.items():
            _file(directory, name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise MigrationError(Code.NOT_WRITTEN, f"{directory} can't be written: {error.strerror}") from error


def _made(command: Command, environment: Environment, replays: Replays) -> dict[str, str]:
    """The SQL of each database at the heads of its branch."""
    requests: dict[str, ReplayRequest] = {}
    for database in command.databases:
        heads = tuple(sorted(environment.branch(database.name).heads))
        requests[database.name] = replays.request_to_keep(database, heads)
    found = replays.run(list(requests.values()))
    failures = [each for each in found.values() if isinstance(each, MigrationError)]
    if failures:
        raise joined(failures)
    return {
        name: f"-- {name} at {revisions_text(request.positions[0])}: what its revisions make\n\n{_sql(request)}"
        for name, request in requests.items()
    }


def _sql(request: ReplayRequest) -> str:
    if request.database.is_sqlite:
        assert request.kept is not None
        statements = baseline.sqlite_statements(request.kept, request.database, rows=False)
        return "\n\n".join(f"{statement};" for statement in statements) + "\n"
    return baseline.postgresql_schema(request.url, request.database)


def _problems(directory: Path, made: Mapping[str, str], command: Command) -> Iterator[str]:
    for name, text in made.items():
        path = _file(directory, name)
        if not path.is_file():
            yield f"{name}: {path} is missing"
        elif path.read_text(encoding="utf-8") != text:
            yield f"{name}: {path} is not what the revisions make"
    for path in sorted(directory.glob("*.sql")):
        if path.stem not in command.configuration.names:
            yield f"{path}: there is no database {path.stem}: delete the file"


def _file(directory: Path, database: str) -> Path:
    return directory / f"{database}.sql"
