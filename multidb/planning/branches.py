"""A branch: one database's view of the script directory, its own folder and nothing of the others.

Alembic works on whatever its ScriptDirectory's revision map holds. With the map of one branch, `heads`, `+1`,
`base` and "is it up to date" mean the right thing in each database, with no special case.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import count

from alembic.script import ScriptDirectory
from alembic.script.revision import Revision, RevisionError, RevisionMap

from multidb.advice.codes import Code
from multidb.config.configuration import revision_prefix
from multidb.errors import MigrationError, in_database, joined, reason_of
from multidb.output import revisions_text
from multidb.planning import branch_checks
from multidb.planning.revision_files import RevisionFile, RevisionScript, read_folder, versions_folder

NUMBER_WIDTH = 4
LONGEST_ID = 32
_RELATIVE = re.compile(r"[+-]\d+")


class Branch:
    """The revisions of one database, whose name is the branch's label and its folder's name.

    Raises:
        MigrationError: files contradict each other, or refer to what is not of this branch; names all of them.
    """

    def __init__(self, script: ScriptDirectory, database: str, files: Sequence[RevisionFile]) -> None:
        self.database = database
        self.folder = versions_folder(script) / database
        self.files = {file.revision: file for file in files}
        self._script = script
        with in_database(database):
            branch_checks.check_unique(files)
            found = list(branch_checks.invalid_ids(files))
            problems = list(branch_checks.problems(self.files, self.heads, database, self.folder.parent))
            if problems:
                found.append(MigrationError(Code.BRANCH, "; ".join(problems)))
            if found:
                raise joined(found)

    @cached_property
    def heads(self) -> tuple[str, ...]:
        parents = {parent for file in self.files.values() for parent in file.parents}
        return tuple(revision for revision in self.files if revision not in parents)

    @cached_property
    def directory(self) -> ScriptDirectory:
        """The same script directory with the branch's folder only."""
        directory = ScriptDirectory(
            self._script.dir,
            file_template=self._script.file_template,
            truncate_slug_length=self._script.truncate_slug_length,
            version_locations=[self.folder],
            output_encoding=self._script.output_encoding,
            timezone=self._script.timezone,
            hooks=self._script.hooks,
            messaging_opts=self._script.messaging_opts,
        )
        directory.revision_map = _map_of(self._scripts())
        return directory

    @property
    def revision_map(self) -> RevisionMap:
        return self.directory.revision_map

    @property
    def head(self) -> str | None:
        """The one head, or None while the folder is empty. Several raise MigrationError."""
        self.check_destination("head")
        return self.heads[0] if self.heads else None

    def check_destination(self, symbol: str) -> None:
        """Raise MigrationError if the branch has several heads, and the symbol does not say which of them is meant.

        `heads` means all of them where each has a label of its own, as in a branch that is to have several; without
        labels, two people have each added a revision.
        """
        if len(self.heads) < 2:
            return
        label, _, revision = symbol.rpartition("@")
        if label not in ("", self.database):
            found = [head for head in self.heads if label in self._labels(head) or label in self.ancestors([head])]
        else:
            found = list(self.heads)
        apart = [sorted(self._labels(head).difference(*map(self._labels, set(found) - {head}))) for head in found]
        means_one = revision == "head" or _RELATIVE.fullmatch(revision)
        if len(found) < 2 or not (means_one or revision == "heads") or (revision == "heads" and all(apart)):
            return
        them = f"the branch has {len(found)} heads, {', '.join(sorted(found))}: "
        if all(apart):
            raise MigrationError(
                Code.SEVERAL_HEADS, f"{them}say {' or '.join(f'{each[0]}@head' for each in apart)}", self.database
            )
        raise MigrationError(
            Code.SEVERAL_HEADS, f"{them}join them first with `alembic merge {self.database}@heads`", self.database
        )

    def knows(self, revision: str) -> bool:
        return revision in self.files

    def ancestors(self, revisions: Iterable[str]) -> set[str]:
        """These revisions and all below them."""
        found = tuple(revisions)
        return {each.revision for each in self.revision_map.iterate_revisions(found, "base")} if found else set()

    @cached_property
    def replacements(self) -> dict[str, RevisionFile]:
        """By the id of each former file, the file that `replaces` it."""
        return {revision: file for file in self.files.values() for revision in file.replaces}

    def standing(self, recorded: Iterable[str]) -> tuple[str, ...]:
        """The revisions at which a database is, by the rows of its `alembic_version`.

        A row may have the id of a former file. Of the ids that a file replaces, only the last has the file's schema.

        Raises:
            MigrationError: a row has no revision of the branch.
        """
        return tuple(dict.fromkeys(map(self._standing, recorded)))

    def known(self, recorded: Iterable[str]) -> tuple[str, ...]:
        """The same, without the rows that have no revision of the branch."""
        return self.standing(revision for revision in recorded if self.stands_for(revision))

    def stands_for(self, recorded: str) -> bool:
        """Whether the branch has a revision for a row of `alembic_version`."""
        replacement = self.replacements.get(recorded)
        return self.knows(recorded) or (replacement is not None and replacement.replaces[-1] == recorded)

    def _standing(self, recorded: str) -> str:
        if self.knows(recorded):
            return recorded
        replacement = self.replacements.get(recorded)
        if replacement is None:
            raise self._unknown(recorded)
        if not self.stands_for(recorded):
            raise MigrationError(
                Code.UNKNOWN_REVISION,
                f"alembic_version holds {recorded!r}, which {replacement.place} replaces, but only after "
                f"{replacement.replaces[-1]!r}: upgrade the database to that with the former files, or run "
                f"`python -m multidb adopt {self.database}`, which finds the revision by the schema",
                self.database,
            )
        return replacement.revision

    def _unknown(self, recorded: str) -> MigrationError:
        """The failure of a row of `alembic_version` that is none of the branch's, nor ever was by its files."""
        number, newest = self.number_of(recorded), max((self.number_of(each) or 0 for each in self.files), default=0)
        if number is not None and number > newest > 0:
            head = revisions_text(self.heads)
            text = f"it is at {recorded}, newer than {head}, which is what these files know: use a newer checkout"
            return MigrationError(Code.NEWER, text, self.database)
        search = f"`git log --all -- '*{recorded}*'`"
        if number is not None:
            text = f"alembic_version holds {recorded!r}, which no file has: was the file renamed, or deleted? {search}"
        else:
            text = (
                f"alembic_version holds {recorded!r}, which is no revision of this branch: if another project migrated "
                f"the database, run `python -m multidb adopt {self.database}`; if a file was renamed, {search} finds it"
            )
        return MigrationError(Code.UNKNOWN_REVISION, text, self.database)

    def check_at_head(self, recorded: Iterable[str]) -> None:
        """Raise MigrationError if the database's `alembic_version` holds anything but the head of the branch."""
        heads = self.standing(recorded)
        if set(heads) != set(self.heads):
            self.check_destination("heads")  # which `alembic upgrade` would check next
            place = f"at {revisions_text(heads)}, not at its head {revisions_text(self.heads)}"
            symbol = "heads" if len(self.heads) > 1 else "head"
            raise MigrationError(
                Code.NOT_AT_HEAD, f"{place}: run `alembic upgrade {self.database}@{symbol}` first", self.database
            )

    def number_of(self, revision: str) -> int | None:
        """The number of an id such as `auth_0002`; None of one that is not like it."""
        match = re.fullmatch(rf"{revision_prefix(self.database)}_(\d+)", revision)
        return int(match[1]) if match else None

    def _labels(self, revision: str) -> set[str]:
        script = self.revision_map.get_revision(revision)
        assert script is not None
        return script.branch_labels

    def _scripts(self) -> Iterator[RevisionScript]:
        # The label makes `auth_db@head` the branch's; a history from elsewhere does not have it.
        has_label = any(self.database in file.branch_labels for file in self.files.values())
        for file in self.files.values():
            added = () if has_label or file.parents else (self.database,)
            yield RevisionScript(file, (*file.branch_labels, *added))


class Revisions:
    """The revision files of several databases, and to which database each belongs: to that of its folder."""

    def __init__(self, script: ScriptDirectory, names: Iterable[str]) -> None:
        self._script = script
        self._files: dict[str, list[RevisionFile] | MigrationError] = {}
        self._branches: dict[str, Branch] = {}
        for name in names:
            try:
                self._files[name] = read_folder(versions_folder(script) / name, name)
            except MigrationError as error:  # raised where the branch is needed
                self._files[name] = error

    def check_unique(self) -> None:
        """Raise MigrationError if two files have one id, in whichever folders."""
        branch_checks.check_unique([file for files in self._readable.values() for file in files])

    def branch(self, name: str) -> Branch:
        """The branch of a database. MigrationError if it can't be loaded."""
        if name not in self._branches:
            files = self._files[name]
            if isinstance(files, MigrationError):
                raise files
            self._branches[name] = Branch(self._script, name, files)
        return self._branches[name]

    def without(self, path: str, name: str) -> "Revisions":
        """The same without one file of a database."""
        left = Revisions(self._script, ())
        left._files = dict(self._files)
        files = left._files[name]
        if not isinstance(files, MigrationError):
            left._files[name] = [file for file in files if file.path != path]
        return left

    def next_id(self, name: str) -> str:
        """The id of a revision to be added: `auth_0002` after `auth_0001`, and after a single `4f2c1a`."""
        branch, prefix = self.branch(name), revision_prefix(name)
        numbers = [branch.number_of(revision) or 0 for revision in branch.files]
        candidates = (f"{prefix}_{number:0{NUMBER_WIDTH}}" for number in count(max([len(numbers), *numbers]) + 1))
        return next(candidate for candidate in candidates if self.owner_of(candidate) is None)

    def check_new(self, revision: str, name: str) -> None:
        """Raise MigrationError if a new revision of a database can't have an id."""
        try:
            Revision.verify_rev_id(revision)
        except RevisionError as error:
            raise MigrationError(Code.INVALID_ID, str(error), name) from error
        if len(revision) > LONGEST_ID:
            raise MigrationError(
                Code.INVALID_ID,
                f"the revision id {revision!r} is longer than the {LONGEST_ID} characters of alembic_version: "
                "give the database a shorter name, or the revision a shorter id with --rev-id",
                name,
            )
        owner = self.owner_of(revision)
        if owner is not None:
            raise MigrationError(Code.INVALID_ID, f"there is a revision {revision}, of {owner}: take another id", name)

    def owner_of(self, revision: str) -> str | None:
        """The database that has a revision, or None."""
        found = (name for name, files in self._readable.items() if any(file.revision == revision for file in files))
        return next(found, None)

    def owners(self, word: str) -> set[str]:
        """The databases that have a revision or a label of this name, else those with an id that begins like it."""
        files = [(name, file) for name, files in self._readable.items() for file in files]
        exact = {name for name, file in files if word == file.revision or word in file.branch_labels}
        return exact or {name for name, file in files if word and file.revision.startswith(word)}

    def together(self, names: Sequence[str]) -> RevisionMap:
        """The revisions of several databases in one map, without labels that several of them have."""
        branches = [self.branch(name) for name in names]
        labels = [label for branch in branches for file in branch.files.values() for label in file.branch_labels]
        scripts = []
        for branch in branches:
            for script in branch._scripts():
                own = tuple(label for label in script.branch_labels if labels.count(label) < 2)
                scripts.append(RevisionScript(branch.files[script.revision], own))
        return _map_of(scripts)

    @property
    def _readable(self) -> dict[str, list[RevisionFile]]:
        return {name: files for name, files in self._files.items() if not isinstance(files, MigrationError)}


def _map_of(scripts: Iterable[RevisionScript]) -> RevisionMap:
    """Alembic's map of revisions. MigrationError if they make no graph, for example because of a cycle."""
    found = RevisionMap(lambda: scripts)
    try:
        _ = found.heads
    except Exception as error:
        raise MigrationError(Code.BRANCH, reason_of(error)) from error
    return found
