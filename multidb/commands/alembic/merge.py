"""`alembic merge`: join two heads of one branch, in a file that goes to the branch's folder."""

from collections.abc import Sequence
from typing import Any

from alembic.script import Script

from multidb.advice.codes import Code
from multidb.errors import MigrationError, reported
from multidb.planning.alembic_internals import replace_generate_revision
from multidb.planning.environment import Environment


def run(environment: Environment) -> None:
    """Let the command, which writes its file after env.py, write the file on the branch of its revisions."""
    config, names_databases = environment.config, environment.names_databases
    asked_id = environment.option("rev_id")

    def generate_revision(_random_id: str, message: str | None, head: Any, **options: Any) -> Script | None:
        heads = [head] if isinstance(head, str) else list(head)
        with reported(config):
            name = _one_database(environment, heads, names_databases)
            with environment.working_on(name) as branch:
                merged = [each.revision for each in branch.directory.get_revisions(heads)]
                if len(set(merged)) < 2:
                    raise MigrationError(Code.MERGE, f"{', '.join(merged)} is one revision: there is nothing to merge")
                new_id = asked_id or environment.revisions.next_id(name)
                environment.revisions.check_new(new_id, name)
                return branch.directory.generate_revision(
                    new_id, message or f"merge {' and '.join(sorted(merged))}", head=heads, **options
                )

    replace_generate_revision(environment.script, generate_revision)


def _one_database(environment: Environment, heads: Sequence[str], names_databases: bool) -> str:
    names = environment.configuration.names
    meant = set().union(*map(environment.databases_of, heads))
    if not meant and names_databases:
        meant = set(environment.selected)
    if len(meant) == 1:
        return str(meant.pop())
    if meant:
        raise MigrationError(
            Code.MERGE,
            f"{', '.join(sorted(meant))}: revisions of different databases can't be merged; each branch is its own",
        )
    raise MigrationError(Code.MERGE, f"merge in which database? Say `alembic merge NAME@heads`: {', '.join(names)}")
