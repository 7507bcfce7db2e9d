"""`alembic revision`: write the next revision of a branch, or with `--autogenerate` of each branch that changed.

Each file goes to its database's folder, on its branch, with the branch's next number. Alembic's own machinery writes
them, with one RevisionContext per database: with the command's one, every file would be rendered for the dialect of the
last database.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic.autogenerate import RevisionContext

from multidb.errors import ExitCode, MigrationError
from multidb.planning.branches import Branch, check_label
from multidb.planning.environment import Environment


class UnwrittenError(MigrationError):
    """A database differs from its models in what autogenerate can't write. The files of others are written."""

    exit_code = ExitCode.FOUND


def run(environment: Environment) -> None:
    """Write the files, or none: a database that can't be compared raises MigrationError."""
    command = environment.request.revision_context
    assert command is not None
    # Alembic would write this one after env.py, wherever it thinks best.
    command.generated_revisions.clear()
    if command.command_args["autogenerate"]:
        _autogenerate(environment, command.command_args)
    else:
        _write_empty(environment, command.command_args)


def _write_empty(environment: Environment, arguments: dict[str, Any]) -> None:
    if len(environment.selected) != 1:
        raise MigrationError(
            "a new revision of which database? Add `-x db=NAME` in front of `revision`, or `--head NAME@head`: "
            + ", ".join(environment.configuration.names)
        )
    with environment.working_on(environment.selected[0]) as branch, _removed_on_failure([branch.folder]):
        list(
            RevisionContext(
                environment.config, branch.directory, _placed(environment, branch, arguments)
            ).generate_scripts()
        )


def _autogenerate(environment: Environment, arguments: dict[str, Any]) -> None:
    # These import the models, which an empty revision does not need.
    from multidb.autogenerate.comparison import Comparison, compare
    from multidb.autogenerate.models import ModelSchemas

    differing: list[Comparison] = []
    with ModelSchemas(environment.configuration) as models:
        for database in environment.databases:
            with environment.working_on(database.name) as branch:
                comparison = compare(environment, models, database, _placed(environment, branch, arguments))
                if comparison.differences:
                    differing.append(comparison)
                    comparison.print(environment.config)
    changed = [each for each in differing if each.is_writable]
    if not differing:
        environment.config.print_stdout("Nothing to write: every database is like its models.")
    if arguments["rev_id"] and len(changed) > 1:
        raise MigrationError(
            f"--rev-id {arguments['rev_id']} can't be the id of {len(changed)} revisions "
            f"({', '.join(each.database.name for each in changed)}): leave it out, or name one database"
        )
    with _removed_on_failure([environment.branch(each.database.name).folder for each in changed]):
        for comparison in changed:
            with environment.working_on(comparison.database.name):
                comparison.write()
    left = [each.database.name for each in differing if not each.is_writable]
    if left:
        raise UnwrittenError(
            f"{', '.join(left)}: Alembic has no operation for these differences: write the revision by hand, "
            f"`alembic -x db={left[0]} revision`"
        )


def _placed(environment: Environment, branch: Branch, arguments: dict[str, Any]) -> dict[str, Any]:
    """A revision's arguments with its id, its place in the branch, and its folder."""
    name, asked_path = branch.database, arguments["version_path"]
    if asked_path is not None and Path(asked_path).resolve() != branch.folder.resolve():
        raise MigrationError("its revisions belong in its own folder: leave --version-path out", name)
    if arguments["branch_label"]:
        check_label(arguments["branch_label"], name, branch.folder.parent)
    new_id = arguments["rev_id"] or environment.revisions.next_id(name)
    environment.revisions.check_new(new_id, name)
    placed = arguments | {"rev_id": new_id, "version_path": str(branch.folder)}
    if not branch.heads:
        placed["head"], placed["branch_label"] = "base", name
    elif arguments["head"] in (None, "head", f"{name}@head"):
        placed["head"] = branch.head
    elif not branch.directory.get_revisions(arguments["head"]):
        raise MigrationError(f"the branch has its first revision: use --head {name}@head", name)
    return placed


@contextmanager
def _removed_on_failure(folders: Sequence[Path]) -> Iterator[None]:
    """Leave no revision behind when one of several can't be written."""
    before = {path for folder in folders for path in folder.glob("*.py")}
    try:
        yield
    except BaseException:
        for folder in folders:
            for path in set(folder.glob("*.py")) - before:
                path.unlink()
        raise
