"""A revision that can't be loaded or can't run is told in one line, with all others of its kind, and stops no other."""

from pathlib import Path

import pytest

from tests.support.project import Postgres, Project
from tests.support.runs import MORE

BROKEN = "import nowhere\n\nrevision = nowhere.ID\ndown_revision = 'user_0001'\n"
REASON = "migrations/versions/user_db/user_0002_broken.py:1: ModuleNotFoundError: No module named 'nowhere'"
BLOCK = "with op.get_context().autocommit_block(): pass"


@pytest.fixture
def broken(few: Project) -> Project:
    """A branch with a file whose id only its import says, which fails."""
    few.write("migrations/versions/user_db/user_0002_broken.py", BROKEN)
    return few


@pytest.mark.parametrize("command_line", ["current", "check", "history -i", "show current"])
def test_a_command_shows_the_other_databases(broken: Project, postgres: Postgres, command_line: str) -> None:
    broken.variables |= postgres.scratch  # `check` would leave a private server behind
    result = broken.alembic(*command_line.split())
    assert f"user_db          FAILED: {REASON}" in result.out
    assert result.error.startswith("error: user_db: could not be ")
    for name in ("auth", "content", "investment"):
        assert f"{name}_0001" in result.out or command_line == "check"


@pytest.mark.parametrize("command_line", ["status", "verify", "drift"])
def test_a_command_of_our_own_shows_the_other_databases(broken: Project, postgres: Postgres, command_line: str) -> None:
    broken.variables |= postgres.scratch
    result = broken.multidb(command_line)
    assert result.code == 1
    assert REASON in result.out
    assert result.err == ""
    assert "auth_db" in result.out or command_line == "verify"


def test_history_lists_a_file_that_python_cannot_parse(few: Project) -> None:
    path = few.add_revision("auth_db", 2, "(")
    path.write_text(path.read_text().partition("\n\n")[2])  # without its docstring
    assert "auth_0001 -> auth_0002 (auth_db) (head)" in few.done("history").out
    assert "'(' was never closed" in few.alembic("upgrade", "heads").error


def test_verify_reports_the_other_databases(broken: Project) -> None:
    [file] = (broken.root / "migrations/versions/auth_db").glob("*.py")
    file.write_text(file.read_text() + "# changed\n")
    lines = broken.multidb("verify").out.splitlines()
    assert lines[0].startswith(
        "auth_db: auth_0001: applied, and its file has changed since: migrations/versions/auth_db/"
    )
    assert lines[1] == f"user_db: FAILED: {REASON} [MDB401]"


def test_a_database_is_adopted_beside_a_branch_that_cannot_be_loaded(old: Project) -> None:
    old.write("migrations/versions/user_db/user_0002_broken.py", BROKEN)
    result = old.multidb("adopt", "auth_db")
    assert result.code == 0, result
    assert f"user_db: {REASON}; whether these databases are user_db's is therefore unknown" in result.out
    assert old.versions()["auth_db"] == ["auth_0001"]


def test_adopt_shows_the_other_databases(old: Project) -> None:
    old.write("migrations/versions/user_db/user_0002_broken.py", BROKEN)
    result = old.multidb("adopt", "--dry-run")
    assert result.error == f"error: user_db: {REASON}"
    assert f"user_db          FAILED: {REASON}" in result.out
    assert "auth_db          equals auth_0001" in result.out


def test_files_that_must_be_changed_are_all_named_at_once(few: Project) -> None:
    few.add_revision("auth_db", 2, BLOCK)
    few.add_revision("auth_db", 3, MORE)
    few.add_revision("auth_db", 4, BLOCK)
    few.add_revision("content_db", 2, BLOCK)
    error = few.alembic("upgrade", "heads").error
    folder = "migrations/versions/auth_db"
    assert (
        f"auth_db: {folder}/auth_0002_by_hand.py:13, {folder}/auth_0004_by_hand.py:13: autocommit_block() would"
        in error
    )
    assert "content_db: migrations/versions/content_db/content_0002_by_hand.py:13: autocommit_block() would" in error
    assert few.versions() == few.at(1)


def test_branches_that_cannot_be_loaded_are_all_named_at_once(broken: Project) -> None:
    broken.write("migrations/versions/auth_db/x.py", BROKEN)
    error = broken.alembic("upgrade", "heads").error
    assert (
        error
        == f"error: auth_db: migrations/versions/auth_db/x.py:1: {REASON.partition('py:1: ')[2]}; user_db: {REASON}"
    )


@pytest.fixture
def one_way(few: Project) -> Project:
    """Two databases that have gone to revisions which can't be taken back."""
    for name in ("auth_db", "user_db"):
        without_downgrade(few.add_revision(name, 2, MORE))
    few.add_revision("content_db", 2, MORE, 'op.drop_table("more")')
    few.done("upgrade", "heads")
    return few


def without_downgrade(file: Path) -> None:
    file.write_text(file.read_text().partition("\n\n\ndef downgrade")[0] + "\n")


@pytest.mark.parametrize("command_line", ["rollback --yes", "downgrade base", "downgrade -1"])
def test_a_revision_without_downgrade_is_named_before_anything_is_done(one_way: Project, command_line: str) -> None:
    arguments = command_line.split()
    result = one_way.multidb(*arguments) if arguments[0] == "rollback" else one_way.alembic(*arguments)
    assert result.error == (
        "error: auth_db: migrations/versions/auth_db/auth_0002_by_hand.py: there is no downgrade(): write one; "
        "user_db: migrations/versions/user_db/user_0002_by_hand.py: there is no downgrade(): write one"
    )
    assert result.out == ""
    assert one_way.versions()["content_db"] == ["content_0002"]


def test_a_downgrade_that_is_no_function_of_the_file_itself_counts(one_way: Project) -> None:
    for name in ("auth", "user"):
        path = one_way.root / f"migrations/versions/{name}_db/{name}_0002_by_hand.py"
        names = "__import__('contextlib').nullcontext" if name == "auth" else "nothing"
        path.write_text(path.read_text() + f"\n\nfor name in ['downgrade']:\n    globals()[name] = {names}\n")
    error = one_way.multidb("rollback", "--yes").error
    assert "auth_0002" not in error
    assert "NameError: name 'nothing' is not defined" in error


def emptied(project: Project) -> Project:
    for path in (project.root / "migrations/versions/auth_db").glob("*.py"):
        path.unlink()
    project.rows("auth_db", "DELETE FROM alembic_version")
    return project


def test_an_empty_folder_is_not_ready_and_not_at_head(few: Project) -> None:
    emptied(few)
    assert few.multidb("ready", "auth_db").error == (
        "error: auth_db: migrations/versions/auth_db has no revisions: see whether its files are there"
    )
    result = few.alembic("current", "--check-heads")
    assert "auth_db          <base> (no revisions yet)" in result.out
    assert result.found == "error: auth_db: not at head, as the lines above say"
    result = few.multidb("status")
    assert result.code == 2
    assert result.out.splitlines()[1].split()[:5] == ["auth_db", "<base>", "no", "revisions", "0"]


def test_an_empty_folder_below_a_recorded_revision_is_not_called_newer(few: Project) -> None:
    emptied(few)
    few.rows("auth_db", "INSERT INTO alembic_version VALUES ('auth_0001')")
    assert "migrations/versions/auth_db has no revisions" in few.multidb("ready", "--newer", "auth_db").error


def test_upgrade_says_which_folders_are_empty(few: Project) -> None:
    emptied(few)
    warning = (
        "WARNI [multidb] migrations/versions/auth_db: no revisions to upgrade to; see whether the files are there\n"
    )
    assert few.done("upgrade", "heads").err == f"{warning}INFO  [multidb] nothing to do in 4 databases\n"
    few.add_revision("user_db", 2, MORE)
    assert few.done("upgrade", "heads").err.startswith(warning)
    assert few.versions() == few.at(1) | {"auth_db": [], "user_db": ["user_0002"]}
