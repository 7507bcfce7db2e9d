"""What a revision's file declares is read from its text, as an import would give it."""

import subprocess
import sys
from pathlib import Path

import pytest

from multidb.errors import MigrationError
from multidb.planning import revision_files
from multidb.planning.revision_files import RevisionFile, RevisionScript, read_folder

PLAIN = {
    "this project's": 'revision = "a"\ndown_revision = None\nbranch_labels = None\ndepends_on = None\n',
    "Alembic's template": (
        '"""x\n\nRevision ID: a\nRevises: b\n\n"""\nfrom typing import Sequence, Union\n\nfrom alembic import op\n\n'
        "# revision identifiers, used by Alembic.\nrevision: str = 'a'\n"
        "down_revision: Union[str, Sequence[str], None] = 'b'\n"
        "branch_labels: Union[str, Sequence[str], None] = None\n"
        "depends_on: Union[str, Sequence[str], None] = None\n\n\n"
        "def upgrade() -> None:\n    pass\n"
    ),
    "a merge": 'revision = "c"\ndown_revision = ("a", "b")\nbranch_labels = ("x", "y")\ndepends_on = ["d"]\n',
    "a tuple over several lines": 'revision = "c"\ndown_revision = (\n    "a",\n    "b",\n)\n',
    "one in parentheses": 'revision = "c"\ndown_revision = ("a",)\n',
    "no spaces": "revision='c'\ndown_revision='a'\n",
    "lines that end with CR LF": 'revision = "c"\r\ndown_revision = "a"\r\n',
    "a byte order mark": '\ufeffrevision = "c"\ndown_revision = "a"\n',
    "a comment behind a value": 'revision = "c"  # the third\ndown_revision = "a"\n',
    "statements in between": 'import logging\nrevision = "c"\nLOG = logging.getLogger("x")\ndown_revision = "a"\n',
    "a function before": 'def f():\n    pass\n\n\nrevision = "c"\ndown_revision = "a"\n',
    "no end of the last line": 'revision = "c"\ndown_revision = "a"',
    "outside a transaction": 'revision = "c"\ndown_revision = "a"\noutside_transaction = True\n',
    "the words in a comment, a text and a statement": (
        '"""A revision that depends_on nothing."""\nrevision = "c"\ndown_revision = "a"\n\n\n'
        'def upgrade():\n    # this revision has branch_labels\n    op.execute("SELECT revision FROM t")\n'
    ),
}
NOT_PLAIN = {
    "a computed id": 'revision = "c" + "d"\ndown_revision = "a"\n',
    "an id from elsewhere": 'import os\nrevision = os.path.join("c", "d").replace("/", "")\ndown_revision = "a"\n',
    "a second assignment": 'revision = "c"\ndown_revision = "a"\nrevision = "d"\n',
    "an indented second assignment": 'revision = "c"\ndown_revision = "a"\nif True:\n    revision = "d"\n',
    "a second value in a loop": 'revision = "c"\ndown_revision = "a"\nfor revision in "xyz":\n    pass\n',
    "two on a line": 'revision, down_revision = "c", "a"\n',
    "a chain": 'revision = old = "c"\ndown_revision = "a"\n',
    "a condition": 'revision = "c" if 1 else "d"\ndown_revision = "a"\n',
    "a continued line": 'revision = "c" \\\n    "d"\ndown_revision = "a"\n',
    "an escape": 'revision = "\\x63"\ndown_revision = "a"\n',
    "an import of a name": (
        'revision = "c"\ndown_revision = "a"\nfrom os import name as depends_on\ndepends_on = None\n'
    ),
    "globals": 'revision = "c"\ndown_revision = "a"\nglobals()["revision"] = "d"\n',
    "a statement behind a semicolon": 'revision = "c"; down_revision = "a"\n',
    "the lines in a docstring": (
        '"""\nrevision = "x"\ndown_revision = "y"\n"""\nif True:\n    revision, down_revision = "c", "a"\n'
    ),
    "another encoding": "# coding: latin-1\nrevision = 'c'\ndown_revision = 'a'\n",
}


def read(folder: Path, text: str) -> RevisionFile:
    (folder / "auth_db").mkdir()
    (folder / "auth_db/one.py").write_text(text, encoding="utf-8", newline="")
    [file] = read_folder(folder / "auth_db", "auth_db")
    return file


def imported(path: str) -> RevisionFile:
    [found] = revision_files._imported([path], "auth_db")
    assert isinstance(found, RevisionFile), found
    return found


@pytest.mark.parametrize("kind", PLAIN)
def test_a_file_with_plain_values_is_not_imported(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(revision_files, "_imported", None)
        file = read(tmp_path, PLAIN[kind])
    assert file == imported(file.path)


@pytest.mark.parametrize("kind", NOT_PLAIN)
def test_any_other_file_says_what_its_import_says(tmp_path: Path, kind: str) -> None:
    file = read(tmp_path, NOT_PLAIN[kind])
    assert file == imported(file.path)
    assert revision_files._read(file.path) is None


def test_an_import_that_gives_another_id_than_the_text_is_refused(tmp_path: Path) -> None:
    file = read(tmp_path, 'import helper\n\nrevision = "c"\ndown_revision = "a"\nhelper.change(__name__)\n')
    assert file.revision == "c"
    (tmp_path / "auth_db/one.py").write_text('revision = "d"\ndown_revision = "a"\n')
    with pytest.raises(MigrationError, match="revision is 'd' when the file is imported, and 'c' in its text"):
        _ = RevisionScript(file, ()).module.imported


def test_files_that_cannot_be_read_are_all_named(tmp_path: Path) -> None:
    folder = tmp_path / "migrations/versions/auth_db"
    folder.mkdir(parents=True)
    (folder / "a.py").write_text("import nowhere\n\nrevision = str(1)\ndown_revision = None\n")
    (folder / "b.py").write_text("revision = (\n")
    (folder / "no_id.py").write_text("x = 1\n")
    (folder / "d.py").write_text("import sys\n\nsys.exit()\n")
    (folder / "e.py").write_text("import os\n\nrevision = 7\ndown_revision = None\n")
    with pytest.raises(MigrationError) as refused:
        read_folder(folder, "auth_db")
    for problem in (
        "a.py:1: ModuleNotFoundError: No module named 'nowhere'",
        "b.py:1: '(' was never closed",
        "no_id.py: Could not determine revision id",
        "d.py:3: sys.exit() was called",
        "e.py: TypeError: ",
    ):
        assert problem in str(refused.value)


def test_what_a_file_prints_when_it_is_read_is_not_shown(tmp_path: Path) -> None:
    folder = tmp_path / "migrations/versions/auth_db"
    folder.mkdir(parents=True)
    text = 'import sys\nprint("out")\nprint("err", file=sys.stderr)\nrevision = str("c")\ndown_revision = None\n'
    (folder / "c.py").write_text(text)
    reads = (
        "import sys; from pathlib import Path; from multidb.planning.revision_files import read_folder; "
        "[file] = read_folder(Path(sys.argv[1]), 'auth_db'); print(file.revision)"
    )
    # A process of its own: another test's thread, where one is left, would keep this one from being forked.
    done = subprocess.run([sys.executable, "-c", reads, folder], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("c\n", "")
