"""`retire`: take a database out of the checkout: its entry, models, revisions and Kubernetes object.

No database is changed, and the retired one stays on its server. What is in doubt has to be resolved first: the journal
of the retired database may hold the decision on prepared transactions of others.
"""

import argparse
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from multidb.advice.codes import Code
from multidb.commands.support import manifests
from multidb.commands.support.command import Command
from multidb.commands.support.new_files import restored_on_failure
from multidb.config.entries import without_entry
from multidb.database.probe import probing
from multidb.errors import ExitCode, MigrationError, in_database
from multidb.planning.selection import known_names

_SHOWN = 10  # places that still name the database


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("database", metavar="DATABASE")


def run(command: Command) -> ExitCode:
    """Raise MigrationError if something is in doubt, or a database can't be asked; no file is changed then."""
    [name] = known_names([command.options.database], command.configuration.names)
    if len(command.configuration.names) == 1:
        raise MigrationError(Code.ENTRY, "it is the only database: databases.yaml has to list one", name)
    _check_not_in_doubt(command, name)
    root = command.file.parent
    models, manifest = _models(command, name), root / manifests.FILE
    schema = root / "schema" / f"{name}.sql"
    folder = Path(command.script.dir).resolve() / "versions" / name
    files = [command.file, *([manifest] if manifest.exists() else []), *([models] if models else []), schema]
    with restored_on_failure(files):
        text = command.file.read_text(encoding="utf-8")
        command.file.write_text(without_entry(text, name), encoding="utf-8")
        if manifest.exists():
            manifest.write_text(manifests.without_object(manifest.read_text(encoding="utf-8"), name), encoding="utf-8")
        for path in filter(None, (models, schema)):
            path.unlink(missing_ok=True)
        shutil.rmtree(folder)
    print(f"{name}: its entry, revisions and models are gone from the checkout; the database stays on its server")
    for place in _mentions(root, name):
        print(f"    still names it: {place}")
    return ExitCode.OK


def _check_not_in_doubt(command: Command, name: str) -> None:
    databases = command.configuration.databases(command.configuration.names)
    with probing(databases, command.settings.wait, busy_wait=command.settings.busy_wait) as probes:
        for probe in probes:
            with in_database(probe.database.name):
                for prepared in probe.result().in_doubt:
                    if name in (prepared.database, prepared.decider):
                        raise MigrationError(
                            Code.IN_DOUBT, f"{prepared.gid} is in doubt: `python -m multidb recover` first"
                        )


def _models(command: Command, name: str) -> Path | None:
    """The file of its models, unless another database has the same ones, or they are not a module of their own."""
    entries = command.configuration.entries
    module = entries[name].models
    if any(entry.models == module for other, entry in entries.items() if other != name):
        return None
    path = command.file.parent / Path(*module.split(".")).with_suffix(".py")
    return path if path.is_file() else None


def _mentions(root: Path, name: str) -> Iterator[str]:
    """The first places below `deploy` and `models` that still name the database."""
    pattern = re.compile(rf"\b({name}|{name.upper()}_\w+|{name.replace('_', '-')})\b")
    found = 0
    for path in sorted(each for part in ("deploy", "models") for each in (root / part).rglob("*") if each.is_file()):
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):  # bytecode, for example
            continue
        for number, line in enumerate(lines, 1):
            if pattern.search(line) and found < _SHOWN:
                found += 1
                yield f"{path.relative_to(root)}:{number}"
