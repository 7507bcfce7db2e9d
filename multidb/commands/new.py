"""`new`: add a database to the checkout: entry, models, folder, first revision, and its Kubernetes object.

No server is changed: `create` makes the database. Where its models are there already, the first revision makes their
tables, in a scratch database first; else it is empty, and the models are yet to be written.
"""

import argparse
import shutil
from argparse import Namespace
from pathlib import Path

from alembic import command as alembic_command

from multidb.advice.codes import Code
from multidb.commands.support import manifests
from multidb.commands.support.command import Command
from multidb.commands.support.new_files import restored_on_failure
from multidb.config import reader
from multidb.config.configuration import revision_prefix
from multidb.config.entries import with_entry
from multidb.errors import ExitCode, MigrationError

_MODELS = '''"""{name}: its tables."""

from sqlalchemy.orm import DeclarativeBase

from multidb.naming import metadata


class Base(DeclarativeBase):
    metadata = metadata()
'''
_IGNORED = ".gitignore"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("database", metavar="DATABASE", help="its name, such as pet_db")
    parser.add_argument("--sqlite", action="store_true", help="on SQLite, in a file beside databases.yaml")


def run(command: Command) -> ExitCode:
    """Raise MigrationError if the database can't be added; every file is as it was then."""
    name, root = command.options.database, command.file.parent
    if name in command.configuration.names:
        raise MigrationError(
            Code.ENTRY, f"databases.yaml:{command.configuration.entries[name].line} has it already", name
        )
    prefix = revision_prefix(name)
    models, manifest, ignored = root / "models" / f"{prefix}.py", root / manifests.FILE, root / _IGNORED
    folder = Path(command.script.dir).resolve() / "versions" / name
    if folder.exists():
        raise MigrationError(
            Code.ENTRY, f"migrations/versions/{name} is there already: delete it, or take another name"
        )
    has_models, has_manifest = models.exists(), manifest.exists() and not command.options.sqlite
    with restored_on_failure([command.file, models, manifest, ignored]):
        file = f"{prefix}.db"
        url = f', url: "sqlite:///{file}"' if command.options.sqlite else ""
        text = command.file.read_text(encoding="utf-8")
        command.file.write_text(with_entry(text, name, f"models: models.{prefix}{url}"), encoding="utf-8")
        reader.load(command.file)  # its name may be none
        if not has_models:
            models.write_text(_MODELS.format(name=name), encoding="utf-8")
        if has_manifest:
            manifest.write_text(manifests.with_object(manifest.read_text(encoding="utf-8"), name), encoding="utf-8")
        if command.options.sqlite and ignored.exists():
            ignored.write_text(f"{ignored.read_text(encoding='utf-8')}/{file}*\n", encoding="utf-8")
        folder.mkdir()
        try:
            _write_revision(command, name, from_models=has_models)
        except BaseException:
            shutil.rmtree(folder)
            raise
    print(f"databases.yaml: {name}")
    if not has_models:
        print(f"models/{prefix}.py: write its tables there, then `alembic -x db={name} revision --autogenerate`")
    if has_manifest:
        print(f"{manifests.FILE}: its object")
    print(f"next: `python -m multidb create {name}`, then `alembic -x db={name} upgrade heads`")
    return ExitCode.OK


def _write_revision(command: Command, name: str, *, from_models: bool) -> None:
    """Write the first revision by env.py, which raises SystemExit if that fails."""
    config = command.alembic
    others = [each for each in command.options.x if each.partition("=")[0] != "db"]
    config.cmd_opts = Namespace(**vars(command.options) | {"x": [*others, f"db={name}"]})
    alembic_command.revision(config, message="initial", autogenerate=from_models)
