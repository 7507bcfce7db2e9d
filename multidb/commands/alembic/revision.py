"""`alembic revision`: write the next revision of a branch, or with `--autogenerate` of each branch that changed.

Each file goes to its database's folder, on its branch, with the branch's next number. Alembic's own machinery writes
them, with one RevisionContext per database: with the command's one, every file would be rendered for the dialect of the
last database.
"""

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alembic.autogenerate import RevisionContext
from sqlalchemy.exc import SAWarning

from multidb.advice.codes import Code
from multidb.commands.support.new_files import removed_on_failure
from multidb.errors import ExitCode, MigrationError
from multidb.planning.branch_checks import check_label
from multidb.planning.branches import Branch
from multidb.planning.environment import Environment
from multidb.planning.selection import option
from multidb.replay.replay import Replays


class UnprovedError(MigrationError):
    """A file does not make what the models say, or does not lead back. It stays, as those of other databases do."""

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
            Code.UNKNOWN_DATABASE,
            "a new revision of which database? Add `-x db=NAME` in front of `revision`, or `--head NAME@head`: "
            + ", ".join(environment.configuration.names),
        )
    with environment.working_on(environment.selected[0]) as branch, removed_on_failure([branch.folder]):
        list(
            RevisionContext(
                environment.config, branch.directory, _placed(environment, branch, arguments)
            ).generate_scripts()
        )


def _autogenerate(environment: Environment, arguments: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        # What they say of Alembic's comparison and of reflection does not matter: every file is proved.
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", SAWarning)
        _write_for_models(environment, arguments)


def _write_for_models(environment: Environment, arguments: dict[str, Any]) -> None:
    # These import the models, which an empty revision does not need.
    from multidb.autogenerate import renames
    from multidb.autogenerate.comparison import compare
    from multidb.autogenerate.live import compared_with_live
    from multidb.autogenerate.models import ModelSchemas
    from multidb.autogenerate.writing import Written, rename, write

    placed = {}
    for name in environment.selected:
        with environment.working_on(name) as branch:
            placed[name] = _placed(environment, branch, arguments)
    print_line = environment.config.print_stdout
    is_live = _is_from_live(environment.x_arguments)
    given = renames.options(environment.x_arguments, environment.selected)
    with Replays(environment) as replays, ModelSchemas(environment.configuration) as models:
        changed = []
        for comparison in compare(environment, replays, models):
            name = comparison.database.name
            with environment.working_on(name):
                if is_live:
                    comparison = compared_with_live(environment, replays, comparison)
                own = [option for option in given if option.database == name]
                renamed = rename(environment, replays, comparison, own, _is_confirmed)
                if renamed.changes or renamed.renames:
                    changed.append(renamed)
        if not changed:
            print_line("Nothing to write: every branch makes what its models say.")
        names = [each.database.name for each in changed]
        if arguments["rev_id"] and len(changed) > 1:
            raise MigrationError(
                Code.OPTION,
                f"--rev-id {arguments['rev_id']} can't be the id of {len(changed)} revisions "
                f"({', '.join(names)}): leave it out, or name one database",
            )
        written: dict[str, Written] = {}
        with removed_on_failure([environment.branch(name).folder for name in names]):
            for comparison in changed:
                name = comparison.database.name
                with environment.working_on(name):
                    comparison.print(environment.config)
                    for line in comparison.drops():
                        print_line(line)
                    written[name] = write(environment, replays, comparison, placed[name])
                    print_line("\n".join(written[name].lines()))
    unproved = {name: each for name, each in written.items() if each.flaws}
    if unproved:
        files = ", ".join(each.path.name for each in unproved.values())
        raise UnprovedError(
            Code.NOT_PROVED,
            f"{', '.join(unproved)}: written, not proved, as the lines above say: correct {files} by hand",
        )


def _is_from_live(x_arguments: Sequence[str]) -> bool:
    """Whether `-x from=live` asks to compare with the live databases. MigrationError if it says something else."""
    asked = option(x_arguments, "from")
    if asked not in (None, "branch", "live"):
        raise MigrationError(Code.SETTING, f"-x from={asked} should be branch or live")
    return asked == "live"


def _is_confirmed(question: str) -> bool:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    return input(question).strip().lower() in ("y", "yes")


def _placed(environment: Environment, branch: Branch, arguments: dict[str, Any]) -> dict[str, Any]:
    """A revision's arguments with its id, its place in the branch, and its folder."""
    name, asked_path = branch.database, arguments["version_path"]
    if asked_path is not None and Path(asked_path).resolve() != branch.folder.resolve():
        raise MigrationError(Code.OPTION, "its revisions belong in its own folder: leave --version-path out", name)
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
        raise MigrationError(Code.OPTION, f"the branch has its first revision: use --head {name}@head", name)
    return placed
