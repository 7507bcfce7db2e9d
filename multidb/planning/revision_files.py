"""Revision files, read without importing them.

An import runs a file, and a file that registers a compiler, patches a library or sets up logging changes the revisions
of every database that the same process migrates. Which files do so can't be decided. So Alembic's graph is made from
the text of the files, and a module is imported only by the process that runs it. A file whose ids are not written as
plain values is imported, too, by a process that ends after it.
"""

import ast
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

from alembic.script import Script, ScriptDirectory

from multidb.advice.codes import Code
from multidb.errors import MigrationError, in_database, joined, reason_of
from multidb.planning import alembic_internals

Result = TypeVar("Result")
OUTSIDE_TRANSACTION = "outside_transaction"
_NAMES = ("revision", "down_revision", "branch_labels", "depends_on", OUTSIDE_TRANSACTION, "replaces")
_BYTES = {name: name.encode() for name in _NAMES}
# Assignments of a plain value at the beginning of a line, which are all that the line has.
_ASSIGNMENTS = {
    name: text + rb"[ \t]*(?::[^\n=]+)?=[ \t]*"
    rb"""(None|True|False|"[^"\\\n]*"|'[^'\\\n]*'|[(\[][^()\[\]#\\]*[)\]])[ \t]*(?:#[^\n]*)?\r?(?:\n|\Z)"""
    for name, text in _BYTES.items()
}
_USUAL = re.compile(b"".join(list(_ASSIGNMENTS.values())[:4]))  # as Alembic's template writes them
_LONGEST = 1 << 16  # bytes of a file that is read without an import
_COMMENT = b"# revision identifiers"  # of Alembic's template
# Whatever else may give one of the names a value.
_BOUND = (
    rb"\b(?:%(names)s)\b(?=[ \t]*(?:,|:?=(?!=)|:[^\n=]+=(?!=)))"
    rb"|\b(?:as|def|class|for|global|del)[ \t]+(?:%(names)s)\b"
    rb"|\bimport\b[^\n]*\b(?:%(names)s)\b"
    rb"""|["'](?:%(names)s)["']""" % {b"names": "|".join(_NAMES).encode()}
)
_OTHER_CODING = rb"(?i)\n?[^\n]*(?:\n[^\n]*)?coding[:=](?![ \t]*utf-?8)"
_DOCSTRING = r'\s*"""([^\\]*?)"""'


class RevisionFile(NamedTuple):
    """What Alembic's graph, and the plan of a run, need to know of a file."""

    path: str
    revision: str
    down_revision: str | tuple[str, ...] | None
    branch_labels: tuple[str, ...]
    depends_on: str | tuple[str, ...] | None
    outside_transaction: object  # as it is written; whether it is a truth value is checked where it matters
    # The ids of former files that this one stands for, in their order: a database at the last of them is at this one.
    replaces: tuple[str, ...]

    @property
    def parents(self) -> tuple[str, ...]:
        return _as_tuple(self.down_revision)

    @property
    def dependencies(self) -> tuple[str, ...]:
        return _as_tuple(self.depends_on)

    @property
    def place(self) -> str:
        """The file as messages name it: `migrations/versions/auth_db/auth_0001_initial.py`."""
        return place_of(self.path)

    def docstring(self) -> str:
        text = Path(self.path).read_text(encoding="utf-8-sig", errors="replace")
        match = re.match(_DOCSTRING, text)
        if match:
            return match[1]
        try:
            return ast.get_docstring(ast.parse(text), clean=False) or ""
        except (SyntaxError, ValueError):  # which the run of the file reports
            return ""


class RevisionScript(Script):
    """Alembic's record of a revision file, whose module is imported when one of its functions is called."""

    def __init__(self, file: RevisionFile, labels: tuple[str, ...]) -> None:
        super().__init__(_Module(file, labels), file.revision, file.path)
        self._docstring = file.docstring

    @property
    def longdoc(self) -> str:
        return self._docstring().strip()


class _Module(ModuleType):
    """Stands for a revision's module, and imports it when something that is not in the header is asked for."""

    def __init__(self, file: RevisionFile, labels: tuple[str, ...]) -> None:
        super().__init__(file.revision)
        self._file, self.__file__ = file, file.path
        self.revision, self.down_revision, self.branch_labels = file.revision, file.down_revision, labels
        self.depends_on, self.outside_transaction = file.depends_on, file.outside_transaction
        self.replaces = file.replaces

    def upgrade(self, **options: Any) -> None:
        self.imported.upgrade(**options)

    def downgrade(self, **options: Any) -> None:
        self.imported.downgrade(**options)

    @cached_property
    def imported(self) -> ModuleType:
        """The module itself. MigrationError if it contradicts the text of its file."""
        script = alembic_internals.script_of(self._file.path)
        imported = _file_of(script)
        for name, value, read in zip(imported._fields, imported, self._file, strict=True):
            if value != read:
                raise MigrationError(
                    Code.COMPUTED_ID,
                    f"{self._file.place}: {name} is {value!r} when the file is imported, and {read!r} in its text: "
                    "assign it once, as a plain value",
                )
        return script.module

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.imported, name)


def versions_folder(script: ScriptDirectory) -> Path:
    return Path(script.dir) / "versions"


def read_folder(folder: Path, database: str) -> list[RevisionFile]:
    """The revision files of a database, in the order of their names.

    Raises:
        MigrationError: files can't be imported, or have no valid ids; names all of them.
    """
    found: dict[str, RevisionFile | MigrationError | None] = {path: _read(path) for path in _paths(folder)}
    left = [path for path, file in found.items() if file is None]
    if left:
        found |= zip(left, _imported(left, database), strict=True)
    problems = [file for file in found.values() if isinstance(file, MigrationError)]
    if problems:
        problem = joined(problems)
        problem.database = database
        raise problem
    return [file for file in found.values() if isinstance(file, RevisionFile)]


def load(scripts: Iterable[Script]) -> None:
    """Import revision files in this process. MigrationError names all that can't be imported."""
    problems = []
    for script in scripts:
        try:
            with in_database(""):
                _ = script.module.imported
        except MigrationError as error:
            problems.append(_with_place(script.path, error))
    if problems:
        raise joined(problems)


def without(function: str, texts: Mapping[str, bytes]) -> list[str]:
    """The files, given by their paths with their texts, that do not define a function of a revision."""
    defined = re.compile(rf"^(?:def[ \t]+{function}\b|{function}[ \t]*[:=])".encode(), re.MULTILINE)
    left = [path for path, text in texts.items() if not defined.search(text)]
    if not left:
        return []

    def lacks(path: str) -> bool:
        try:
            return not hasattr(alembic_internals.script_of(path).module, function)
        except (Exception, SystemExit):  # reported when the revision is to run
            return False

    found = _apart(lacks, left)
    return (
        []
        if isinstance(found, MigrationError)
        else [path for path, is_lacking in zip(left, found, strict=True) if is_lacking]
    )


def place_of(path: str | Path) -> str:
    """A revision file as messages name it."""
    return f"migrations/versions/{Path(path).parent.name}/{Path(path).name}"


def _paths(folder: Path) -> list[str]:
    """The files that Alembic takes for revisions; of one with several names, the file itself."""
    found: dict[str, None] = {}
    with os.scandir(os.path.realpath(folder)) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name.endswith(".py") and not entry.name.startswith((".#", "__init__")):
                found[os.path.realpath(entry.path) if entry.is_symlink() else entry.path] = None
    return list(found)


def _read(path: str) -> RevisionFile | None:
    """A file as its text declares it, or None if it does not assign each name once, as a plain value."""
    try:
        file = os.open(path, os.O_RDONLY)
        try:
            text = b"\n" + os.read(file, _LONGEST).removeprefix(b"\xef\xbb\xbf")
        finally:
            os.close(file)
    except OSError:
        return None  # the import says why
    if len(text) > _LONGEST:
        return None
    try:
        values = _plain_values(text)
        return None if values is None else _normalised(path, values)
    except (ValueError, SyntaxError, TypeError):
        return None


def _plain_values(text: bytes) -> dict[str, Any] | None:
    """What a text assigns to each name, or None if that is not all; SyntaxError or ValueError if one is no literal."""
    start = text.find(b"\nrevision") + 1
    usual = _USUAL.match(text, start)
    if usual:
        found = dict(zip(_NAMES, usual.groups(), strict=False))
        for name in _NAMES[4:]:
            if _BYTES[name] in text and (match := _line(text, name)):
                found[name] = match[1]
    else:
        lines = {name: _line(text, name) for name in _NAMES}
        found = {name: match[1] for name, match in lines.items() if match}
        start = max((match.start() for match in lines.values() if match), default=0)
    if "revision" not in found or "down_revision" not in found:
        return None
    if (text.count(b'"""', 0, start) + text.count(b"'''", 0, start)) % 2 or not _is_all(text, found):
        return None
    return {name: _value(literal.decode()) for name, literal in found.items()}


def _line(text: bytes, name: str) -> re.Match[bytes] | None:
    start = text.find(b"\n" + _BYTES[name]) + 1
    return re.compile(_ASSIGNMENTS[name]).match(text, start) if start else None


def _value(literal: str) -> Any:
    """The value of a literal; the usual ones without a parser, which takes longer than all the rest."""
    if literal[0] in "\"'":
        return literal[1:-1]
    return None if literal == "None" else ast.literal_eval(literal)


def _is_all(text: bytes, found: Mapping[str, bytes]) -> bool:
    """Whether the names get these values, and no others elsewhere in the file."""
    if b"import *" in text or (b"coding" in text and re.match(_OTHER_CODING, text)):
        return False
    if text.count(b"revision") == 2 + text.count(_COMMENT):  # one is in `down_revision`
        for name in _NAMES[2:]:
            if text.count(_BYTES[name]) != (name in found):
                break
        else:
            return True
    return len(re.findall(_BOUND, text)) == len(found)


def _normalised(path: str, values: dict[str, Any]) -> RevisionFile:
    """A file with its values as Alembic takes them. TypeError if one is not a text, nor several."""
    revision, labels = values["revision"], _as_tuple(values.get("branch_labels"))
    parents, dependencies = _as_tuple(values["down_revision"]), _as_tuple(values.get("depends_on"))
    replaces = _as_tuple(values.get("replaces"))
    for each in (revision, *labels, *parents, *dependencies, *replaces):
        if not isinstance(each, str):
            raise TypeError(f"{each!r} should be a text")
    outside = values.get(OUTSIDE_TRANSACTION, False)
    if not isinstance(outside, (bool, str, int, type(None))):
        outside = repr(outside)
    return RevisionFile(path, revision, _as_scalar(parents), labels, _as_scalar(dependencies), outside, replaces)


def _imported(paths: Sequence[str], database: str) -> list[RevisionFile | MigrationError]:
    """What each file declares when it is imported, or why it can't be."""
    found = _apart(lambda path: _import(path, database), paths)
    if isinstance(found, MigrationError):
        return [_with_place(path, found) for path in paths]
    return found


def _apart(function: Callable[[str], Result], paths: Sequence[str]) -> list[Result] | MigrationError:
    """Call a function for each path in a process that ends, and prints nothing; MigrationError if it does not live."""
    here = os.getpid()

    def call(paths: Sequence[str]) -> list[Result]:
        if os.getpid() != here:  # where nothing can be forked, it is this one
            _discard_output()
        return [function(path) for path in paths]

    from multidb.planning.processes import map_in_processes  # which most commands don't need

    [found] = map_in_processes(call, [paths], 1)
    return found


_ERRORS_OF_FILES = (Code.REVISION_RAISED, Code.ALEMBIC, Code.UNEXPECTED)


def _import(path: str, database: str) -> RevisionFile | MigrationError:
    try:
        with in_database(database):
            return _file_of(alembic_internals.script_of(path))
    except MigrationError as error:
        return _with_place(path, error)


def _with_place(path: str, error: MigrationError) -> MigrationError:
    """The failure to import a file, without the database, and with the file's place."""
    reason = reason_of(error)
    # What no other row tells is an error of the file: of its Python, of its ids, or of reading it.
    code = Code.NOT_IMPORTED if error.code in _ERRORS_OF_FILES else error.code
    return MigrationError(code, reason if place_of(path) in reason else f"{place_of(path)}: {reason}")


def _file_of(script: Script) -> RevisionFile:
    return _normalised(script.path, {**vars(script.module), "revision": script.revision})


def _discard_output() -> None:
    """Discard what files print when they are imported: the process that runs them prints it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    sys.stdout = sys.stderr = os.fdopen(nowhere, "w")


def _as_tuple(value: Any) -> tuple[Any, ...]:
    """One or several as a tuple, as Alembic reads them."""
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


def _as_scalar(values: tuple[str, ...]) -> str | tuple[str, ...] | None:
    return values if len(values) > 1 else values[0] if values else None
