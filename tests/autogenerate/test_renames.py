"""`revision --autogenerate`: what is dropped is named, and a rename is written as a rename."""

import os
import pty
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support import harder_versions
from tests.support.project import Project
from tests.support.written import CLEAN, last_revision, write_revision

HEAD = Path(harder_versions.__file__).read_text().partition("# Enums")[0]
FIRST = """
table("posts", Column("title", String(40), index=True), Column("code", Text, unique=True), Column("gone", Integer))
table("notes", Column("post", ForeignKey("posts.id")))
"""
SECOND = """
table("articles", Column("headline", String(60), index=True), Column("code", Text, unique=True))
table("notes", Column("post", ForeignKey("articles.id")))
"""
RENAMES = ["rename=auth_db.posts:articles", "rename=auth_db.posts.title:headline"]
WRITTEN = [
    "op.rename_table('posts', 'articles')",
    "op.execute('ALTER SEQUENCE posts_id_seq RENAME TO articles_id_seq')",
    "new_column_name='headline')",
    "op.execute('ALTER INDEX ix_posts_title RENAME TO ix_articles_headline')",
    "op.execute('ALTER TABLE articles RENAME CONSTRAINT posts_code_key TO articles_code_key')",
]


@pytest.fixture
def renaming(unwritten: Project) -> Project:
    """A checkout with posts, one of which has a title, and models that have articles instead."""
    write_revision(unwritten, HEAD + FIRST)
    unwritten.done("upgrade", "heads")
    unwritten.rows("auth_db", "INSERT INTO posts (title, code) VALUES ('kept', 'x')")
    unwritten.write("models/auth.py", HEAD + SECOND)
    return unwritten


def test_a_rename_that_an_option_says_is_written_as_a_rename_and_keeps_the_rows(renaming: Project) -> None:
    out = write_revision(renaming, HEAD + SECOND, *RENAMES).splitlines()
    assert out[1:3] == ["    table posts is renamed articles", "    column articles.title is renamed headline"]
    assert [line for line in out if line.startswith("drops")] == ["drops auth_db.articles.gone with its rows' values"]
    assert [part for part in WRITTEN if part not in last_revision(renaming)] == []
    renaming.done("upgrade", "heads")
    assert renaming.rows("auth_db", "SELECT headline FROM articles") == [("kept",)]
    assert renaming.done("check").out == CLEAN
    renaming.done("downgrade", "auth_db@-1")
    assert renaming.rows("auth_db", "SELECT title FROM posts") == [("kept",)]


def test_what_is_dropped_is_named_before_the_file_with_the_option_that_keeps_it(renaming: Project) -> None:
    out = write_revision(renaming, HEAD + SECOND)
    dropped = "drops auth_db.posts with its rows; if it is renamed: -x rename=auth_db.posts:articles\n"
    assert f"{dropped}Generating" in out
    assert "op.drop_table('posts')" in last_revision(renaming)


@pytest.mark.parametrize(("answer", "written"), [("y", "new_column_name='name')"), ("", "op.drop_column(")])
def test_a_terminal_asks_whether_a_column_is_renamed(renaming: Project, answer: str, written: str) -> None:
    renaming.write("models/auth.py", HEAD + FIRST.replace('"title"', '"name"'))
    shown = in_terminal(renaming, "revision --autogenerate", answer)
    assert "auth_db: column posts.title goes, and name comes. Is it renamed? [y/N] " in shown
    assert written in last_revision(renaming)


def in_terminal(project: Project, command: str, answer: str) -> str:
    """What Alembic shows on a terminal on which somebody types an answer."""
    shown, (main, theirs) = b"", pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "alembic", *command.split()],
        cwd=project.root,
        env=project.environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    os.write(main, f"{answer}\n".encode())
    with suppress(OSError):  # at the end of the process
        while chunk := os.read(main, 10_000):
            shown += chunk
    assert process.wait() == 0, shown
    os.close(main)
    return shown.decode()


@pytest.mark.parametrize(
    ("option", "error"),
    [
        ("auth_db.posts.title", "should be database.table.column:name or database.table:name"),
        ("nowhere_db.posts:articles", "with one of the databases auth_db"),
        ("auth_db.posts:essays", "auth_db: -x rename=auth_db.posts:essays: the models drop no posts, or add no essays"),
        ("auth_db.notes.post:x", "the models drop no notes.post, or add no x in its place"),
    ],
)
def test_a_rename_that_is_none_is_refused(renaming: Project, option: str, error: str) -> None:
    assert error in renaming.alembic("-x", f"rename={option}", "revision", "--autogenerate").error
    assert len(renaming.revisions("auth_db")) == 1


def test_a_rename_on_sqlite_keeps_the_rows(tmp_path: Path) -> None:
    project = Project.copied(tmp_path / "checkout", {}, ["investment_db"])
    project.done("upgrade", "heads")
    values = "'1', 'kept', 's', 'i', 'r', 0"
    columns = "investment_id, title, summary, impact, expected_return, min_amount"
    project.rows("investment_db", f"INSERT INTO investments ({columns}) VALUES ({values})")
    project.edit("models/investment.py", '"investments"', '"funds"')
    project.edit("models/investment.py", "    title:", "    headline:")
    options = ["rename=investment_db.investments:funds", "rename=investment_db.investments.title:headline"]
    out = project.done("-x", options[0], "-x", options[1], "revision", "--autogenerate").out
    assert "investment_0002: upgrade makes what the models say, downgrade leads back" in out
    project.done("upgrade", "heads")
    assert project.rows("investment_db", "SELECT headline FROM funds") == [("kept",)]
    assert project.done("check").out == CLEAN
    project.done("downgrade", "investment_db@-1")
    assert project.rows("investment_db", "SELECT title FROM investments") == [("kept",)]
