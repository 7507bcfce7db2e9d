"""What is wrong in the files of a branch: Alembic alone would refuse it late, or skip it in silence."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from alembic.script import ScriptDirectory
from alembic.script.revision import Revision, RevisionError

from multidb.advice.codes import Code
from multidb.errors import MigrationError
from multidb.planning.revision_files import RevisionFile, versions_folder


def check_label(label: str, database: str, versions: Path) -> None:
    """Raise MigrationError if a label is a database's name, which only that database's first revision has."""
    if (versions / label).is_dir():
        raise MigrationError(Code.BRANCH, f"the branch label {label} names a database: take another, or none", database)


def check_folders(script: ScriptDirectory, names: Iterable[str]) -> None:
    """Raise MigrationError unless each database has a folder, and each folder a database.

    Alembic alone would skip what is missing in silence.
    """
    known = set(names)
    folder = versions_folder(script)
    folders = {path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "__"))}
    for name in sorted(known - folders):
        raise MigrationError(
            Code.FOLDERS,
            f"{name} has no folder for its revisions: `mkdir -p migrations/versions/{name}` "
            "(the first `alembic revision --autogenerate` fills it)",
        )
    _check_no_strays(folder, known)
    for name in sorted(folders - known):
        raise MigrationError(
            Code.FOLDERS,
            f"migrations/versions/{name} belongs to no database: add {name} to databases.yaml, or remove it",
        )


def _check_no_strays(versions: Path, names: Iterable[str]) -> None:
    """Refuse revision files that no run would apply, though `alembic heads` would list them."""
    stray = next(versions.glob("*.py"), None)
    for name in names:
        stray = stray or next((versions / name).glob("[!_.]*/**/*.py"), None)
    if stray is not None:
        place = stray.relative_to(versions)
        raise MigrationError(
            Code.MISPLACED_FILE,
            f"migrations/versions/{place}: a revision's file belongs in migrations/versions/<database>/ itself",
        )


def check_unique(files: Sequence[RevisionFile]) -> None:
    """Raise MigrationError if two files have one id: of two in a folder, Alembic would apply one in silence."""
    if len({file.revision for file in files}) == len(files):
        return
    places: dict[str, list[str]] = {}
    for file in files:
        places.setdefault(file.revision, []).append(file.place)
    twice = [
        f"{' and '.join(sorted(found))} have the same id, {revision}: give the later one the next number: "
        "`python -m multidb renumber FILE`"
        for revision, found in places.items()
        if len(found) > 1
    ]
    raise MigrationError(Code.DUPLICATE_ID, "; ".join(twice))


def invalid_ids(files: Iterable[RevisionFile]) -> Iterator[MigrationError]:
    """The failures of ids that Alembic does not take, or that `alembic_version` would show as nothing."""
    for file in files:
        if file.revision.replace("_", "").isalnum():
            continue
        try:
            Revision.verify_rev_id(file.revision)
        except RevisionError as error:
            yield MigrationError(Code.INVALID_ID, f"{file.place}: {error}")
        if not file.revision:
            yield MigrationError(Code.INVALID_ID, f"{file.place}: its revision is an empty text")


def problems(files: Mapping[str, RevisionFile], heads: Sequence[str], database: str, versions: Path) -> Iterator[str]:
    """What Alembic would refuse, or skip in silence, in the files of a branch."""
    labels = {label for file in files.values() for label in file.branch_labels}
    bases = [file for file in files.values() if not file.parents]
    for file in files.values():
        if not _is_usual(file, files):
            yield from (f"{file.place}: {problem}" for problem in _problems_of(file, files, labels))
            for label in file.branch_labels:
                if label != database and (versions / label).is_dir():
                    yield f"{file.place}: the branch label {label} names a database: take another, or none"
    if len(bases) > 1:
        for file in bases:
            if database not in file.branch_labels:
                yield (
                    f"{file.place}: {file.revision} is the branch's first revision, or should follow one: "
                    f'give it `branch_labels = ("{database}",)`, or a down_revision'
                )
    yield from _problems_of_replacements(files)
    circle = files.keys() - _reached(files, heads)
    if circle:
        yield f"{', '.join(files[revision].place for revision in sorted(circle))}: they follow each other in a circle"


def _problems_of_replacements(files: Mapping[str, RevisionFile]) -> Iterator[str]:
    """Ids that stand for two revisions."""
    replacing: dict[str, RevisionFile] = {}
    for file in files.values():
        for revision in file.replaces:
            if revision in files:
                yield f"{file.place}: it replaces {revision!r}, which {files[revision].place} is: delete one"
            other = replacing.setdefault(revision, file)
            if other is not file:
                yield f"{file.place}: it replaces {revision!r}, as {other.place} does: only one can"


def _is_usual(file: RevisionFile, files: Mapping[str, RevisionFile]) -> bool:
    """Whether a file only follows another one of its branch; asked first, because all files are checked every time."""
    down = file.down_revision
    is_child = isinstance(down, str) and down in files and file.depends_on is None
    return is_child and not file.branch_labels


def _problems_of(file: RevisionFile, files: Mapping[str, RevisionFile], labels: set[str]) -> Iterator[str]:
    for parent in file.parents:
        if parent not in files:
            yield f"its down_revision {parent!r} is no revision of this branch"
    for dependency in file.dependencies:
        if dependency not in files and dependency not in labels:
            yield (
                f"{dependency!r} is depended on, but is no revision of this branch: "
                "a revision can't depend on another database's"
            )


def _reached(files: Mapping[str, RevisionFile], heads: Iterable[str]) -> set[str]:
    """The revisions that lead to a head."""
    found: set[str] = set()
    left = list(heads)
    while left:
        revision = left.pop()
        if revision in files and revision not in found:
            found.add(revision)
            left += files[revision].parents
    return found
