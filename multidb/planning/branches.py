"""A branch: one database's view of the script directory, its own folder and nothing of the others.

Alembic works on whatever its ScriptDirectory's revision map holds. With the map of one branch, `heads`, `+1`,
`base` and "is it up to date" mean the right thing in each database, with no special case.
"""

import re
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

from alembic.script import ScriptDirectory
from alembic.script.revision import Revision, RevisionMap

from multidb.config.configuration import revision_prefix
from multidb.errors import MigrationError, in_database, reason_of

NUMBER_WIDTH = 4
LONGEST_ID = 32


class Branch:
    """The revisions of one database, whose name is the branch's label and its folder's name.

    Raises:
        MigrationError: a file can't be imported, two files have one id, or a revision isn't this branch's.
    """

    def __init__(self, script: ScriptDirectory, database: str) -> None:
        self.database = database
        self.folder = versions_folder(script) / database
        self.directory = _directory(script, [self.folder])
        with in_database(database):
            self.revision_map = _load(self.directory)
        self._check()

    @property
    def heads(self) -> tuple[str, ...]:
        return self.revision_map.heads

    @property
    def head(self) -> str | None:
        """The one head, or None while the folder is empty. Several raise MigrationError."""
        self.check_one_head()
        return self.heads[0] if self.heads else None

    def check_one_head(self) -> None:
        """Raise MigrationError if the branch has several heads: its newest revision is ambiguous."""
        if len(self.heads) > 1:
            raise MigrationError(
                f"the branch has {len(self.heads)} heads, {', '.join(sorted(self.heads))}: "
                f"join them first with `alembic merge {self.database}@heads`",
                self.database,
            )

    def knows(self, revision: str) -> bool:
        return any(script.revision == revision for script in self._revisions())

    def ancestors(self, revisions: Iterable[str]) -> set[str]:
        """These revisions and all below them."""
        found = tuple(revisions)
        return {each.revision for each in self.revision_map.iterate_revisions(found, "base")} if found else set()

    def check_known(self, heads: Iterable[str]) -> None:
        """Raise MigrationError if a revision in the database's `alembic_version` is none of the branch."""
        for head in heads:
            if not self.knows(head):
                raise MigrationError(
                    f"alembic_version holds {head!r}, which is no revision of this branch: a newer checkout migrated "
                    f"the database, or another project did: then run `python -m multidb adopt {self.database}`",
                    self.database,
                )

    def next_id(self) -> str:
        """The id of a revision to be added: `auth_0002` after `auth_0001`."""
        prefix = revision_prefix(self.database)
        numbers = [int(script.revision.removeprefix(f"{prefix}_")) for script in self._revisions()]
        return f"{prefix}_{max(numbers, default=0) + 1:0{NUMBER_WIDTH}}"

    def _revisions(self) -> list[Revision]:
        return list(self.revision_map.iterate_revisions("heads", "base"))

    def _check(self) -> None:
        for script in self._revisions():
            check_id(script.revision, self.database)
            for label in script.branch_labels - {self.database}:
                check_label(label, self.database, self.folder.parent)
            if script.is_base and self.database not in script.branch_labels:
                raise MigrationError(
                    f"{script.revision} is the branch's first revision, or should follow one: "
                    f'give it `branch_labels = ("{self.database}",)`, or a down_revision',
                    self.database,
                )


def check_id(revision: str, database: str) -> None:
    """Raise MigrationError if an id is not like `auth_0002`, or is longer than `alembic_version` can hold."""
    prefix = revision_prefix(database)
    if not re.fullmatch(rf"{prefix}_\d{{{NUMBER_WIDTH},}}", revision):
        raise MigrationError(f"the revision id {revision!r} should be like {prefix}_{2:0{NUMBER_WIDTH}}", database)
    if len(revision) > LONGEST_ID:
        raise MigrationError(
            f"the revision id {revision!r} is longer than the {LONGEST_ID} characters of alembic_version: "
            "give the database a shorter name",
            database,
        )


def check_label(label: str, database: str, versions: Path) -> None:
    """Raise MigrationError if a label is a database's name, which only that database's first revision has."""
    if (versions / label).is_dir():
        raise MigrationError(f"the branch label {label} names a database: take another, or none", database)


def versions_folder(script: ScriptDirectory) -> Path:
    return Path(script.dir) / "versions"


def check_folders(script: ScriptDirectory, names: Iterable[str]) -> None:
    """Raise MigrationError unless each database has a folder, and each folder a database.

    Alembic alone would skip what is missing in silence.
    """
    known = set(names)
    folder = versions_folder(script)
    folders = {path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "__"))}
    for name in sorted(known - folders):
        raise MigrationError(
            f"{name} has no folder for its revisions: `mkdir -p migrations/versions/{name}` "
            "(the first `alembic revision --autogenerate` fills it)"
        )
    _check_no_strays(folder, known)
    for name in sorted(folders - known):
        raise MigrationError(
            f"migrations/versions/{name} belongs to no database: add {name} to databases.yaml, or remove it"
        )


def _check_no_strays(versions: Path, names: Iterable[str]) -> None:
    """Refuse revision files that no run would apply, though `alembic heads` would list them."""
    stray = next(versions.glob("*.py"), None)
    for name in names:
        stray = stray or next((versions / name).glob("[!_.]*/**/*.py"), None)
    if stray is not None:
        place = stray.relative_to(versions)
        raise MigrationError(
            f"migrations/versions/{place}: a revision's file belongs in migrations/versions/<database>/ itself"
        )


def together(script: ScriptDirectory, names: Iterable[str]) -> RevisionMap:
    """The revisions of several databases in one map."""
    folder = versions_folder(script)
    with in_database("migrations/versions"):  # a sys.exit() in a file would end the command as a success
        return _load(_directory(script, [folder / name for name in names]))


def _directory(script: ScriptDirectory, folders: Sequence[Path]) -> ScriptDirectory:
    """The same script directory with these folders only."""
    return ScriptDirectory(
        script.dir,
        file_template=script.file_template,
        truncate_slug_length=script.truncate_slug_length,
        version_locations=folders,
        output_encoding=script.output_encoding,
        timezone=script.timezone,
        hooks=script.hooks,
        messaging_opts=script.messaging_opts,
    )


def _load(directory: ScriptDirectory) -> RevisionMap:
    """Import the revision files, which Alembic leaves until the map is first used."""
    with warnings.catch_warnings():
        # Alembic warns of two files with one id, and then applies one of them in silence.
        warnings.filterwarnings("error", message=r"Revision \S+ is present more than once")
        warnings.filterwarnings("error", message=r"Revision .* referenced from .* is not present")
        try:
            _ = directory.revision_map.heads
        except UserWarning as warning:
            raise MigrationError(_duplicate(str(warning), directory) or str(warning)) from warning
        except KeyError as error:
            raise MigrationError(
                f"{error} is depended on, but is no revision of this branch: "
                "a revision can't depend on another database's"
            ) from error
        except Exception as error:
            raise MigrationError(reason_of(error)) from error
    return directory.revision_map


def _duplicate(warning: str, directory: ScriptDirectory) -> str | None:
    """Name the two files with one id; Alembic's warning has only the id."""
    match = re.match(r"Revision (\S+) is present more than once", warning)
    if not match:
        return None
    declared = re.compile(rf"^revision\b.*=\s*['\"]{re.escape(match[1])}['\"]", re.MULTILINE)
    files = sorted(
        f"migrations/versions/{path.parent.name}/{path.name}"
        for folder in directory.version_locations
        for path in Path(folder).glob("*.py")
        if declared.search(path.read_text(encoding="utf-8"))
    )
    return f"{' and '.join(files)} have the same id, {match[1]}: give the later one the next number"
