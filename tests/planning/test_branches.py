"""A branch is what its folder holds: ids of any form, labels of its own, and whose is which is found in the files."""

import pytest

from tests.support.project import Project
from tests.support.runs import MORE

HASHES = {"964076d0c4ad": None, "3d2b1a0f9e8c": "964076d0c4ad", "d8f1e2c3b4a5": "3d2b1a0f9e8c"}


def write(project: Project, database: str, revision: str, down: object, labels: object = None) -> None:
    """A revision as Alembic's own template writes it."""
    project.write(
        f"migrations/versions/{database}/{revision}_x.py",
        f'"""x\n\nRevision ID: {revision}\nRevises: {down or ""}\n\n"""\n\n'
        "from alembic import op\nimport sqlalchemy as sa\n\n# revision identifiers, used by Alembic.\n"
        f"revision = {revision!r}\ndown_revision = {down!r}\nbranch_labels = {labels!r}\ndepends_on = None\n\n\n"
        "def upgrade():\n    pass\n\n\ndef downgrade():\n    pass\n",
    )


@pytest.fixture
def hashes(few: Project) -> Project:
    """A branch in place of auth_db's: a history from elsewhere, whose ids are hashes and which has no label."""
    for path in (few.root / "migrations/versions/auth_db").glob("*.py"):
        path.unlink()
    for revision, down in HASHES.items():
        write(few, "auth_db", revision, down)
    few.rows("auth_db", "DELETE FROM alembic_version")
    return few


@pytest.mark.parametrize(
    ("destination", "expected"),
    [
        ("heads", "d8f1e2c3b4a5"),
        ("auth_db@head", "d8f1e2c3b4a5"),
        ("auth_db@+1", "964076d0c4ad"),
        ("3d2b1a0f9e8c", "3d2b1a0f9e8c"),
        ("3d2b", "3d2b1a0f9e8c"),
        ("964076d0c4ad+1", "3d2b1a0f9e8c"),
    ],
)
def test_a_history_of_hashes_runs_as_it_is(hashes: Project, destination: str, expected: str) -> None:
    hashes.done("upgrade", destination)
    assert hashes.versions() == hashes.at(1) | {"auth_db": [expected]}
    hashes.done("downgrade", "auth_db@base")
    assert hashes.versions() == hashes.at(1) | {"auth_db": []}


def test_every_command_takes_ids_of_any_form(hashes: Project) -> None:
    hashes.done("stamp", "3d2b1a0f9e8c")
    assert "auth_db          3d2b1a0f9e8c, the head is d8f1e2c3b4a5" in hashes.done("current").out
    assert "3d2b1a0f9e8c -> d8f1e2c3b4a5 (auth_db) (head), x" in hashes.done("history").out
    assert "INSERT INTO alembic_version" in hashes.done("upgrade", "d8f1e2c3b4a5", "--sql").out
    hashes.done("upgrade", "heads")
    assert hashes.multidb("ready", "auth_db").code == 0
    assert hashes.multidb("status").out.splitlines()[1].split()[:4] == ["auth_db", *["d8f1e2c3b4a5"] * 2, "0"]
    assert hashes.multidb("verify").code == 0
    assert hashes.multidb("rollback", "--yes").code == 0
    assert hashes.versions()["auth_db"] == ["3d2b1a0f9e8c"]


@pytest.mark.parametrize("revision", ["2024.01.05", "with space", "ä_ß", "a,b", "100%2C", "_", "1"])
def test_an_id_may_have_any_character_that_alembic_takes(few: Project, revision: str) -> None:
    write(few, "auth_db", revision, "auth_0001")
    few.done("upgrade", revision)
    assert few.versions()["auth_db"] == [revision]
    assert few.multidb("ready", "auth_db").code == 0
    assert few.multidb("rollback", "--yes").code == 0
    assert few.versions() == few.at(1)
    few.done("upgrade", "heads")
    few.done("downgrade", "auth_db@-1")
    assert few.versions() == few.at(1)


def test_an_id_may_be_as_long_as_the_version_table_allows(few: Project) -> None:
    write(few, "auth_db", "a" * 40, "auth_0001")
    error = few.alembic("upgrade", "heads").reason
    assert "the id of a revision is longer than the version table can hold: give it a shorter one" in error
    few.rows("auth_db", "ALTER TABLE alembic_version ALTER version_num TYPE varchar(64)")
    few.done("upgrade", "heads")
    assert few.versions()["auth_db"] == ["a" * 40]


def test_a_new_revision_counts_on_after_a_history_of_hashes(hashes: Project) -> None:
    hashes.done("-x", "db=auth_db", "revision", "-m", "one")
    hashes.done("-x", "db=auth_db", "revision", "-m", "two")
    hashes.done("-x", "db=auth_db", "revision", "-m", "three", "--rev-id", "0a1b2c3d4e5f")
    assert [name for name in hashes.revisions("auth_db") if "_x" not in name] == [
        "0a1b2c3d4e5f_three.py",
        "auth_0004_one.py",
        "auth_0005_two.py",
    ]
    hashes.done("upgrade", "heads")
    assert hashes.versions()["auth_db"] == ["0a1b2c3d4e5f"]


def test_an_id_with_anothers_prefix_is_of_the_folder_that_has_it(few: Project) -> None:
    write(few, "auth_db", "user_0007", "auth_0001")
    few.done("upgrade", "user_0007")
    assert few.versions() == few.at(1) | {"auth_db": ["user_0007"]}
    write(few, "auth_db", "user_0002", "user_0007")
    few.done("-x", "db=user_db", "revision", "-m", "next")
    assert "user_0003_next.py" in few.revisions("user_db")


def test_an_id_that_another_database_has_is_not_written(few: Project) -> None:
    write(few, "user_db", "4f2c1a", "user_0001")
    error = few.alembic("-x", "db=auth_db", "revision", "-m", "x", "--rev-id", "4f2c1a").error
    assert error == "error: auth_db: there is a revision 4f2c1a, of user_db: take another id"


@pytest.mark.parametrize(
    "command_line",
    ["upgrade heads", "upgrade content_db@head", "current", "history", "check", "stamp heads", "downgrade -1",
     "-x db=auth_db revision -m x", "merge auth_db@heads", "upgrade heads --sql", "ensure_version"],
)  # fmt: skip
def test_one_id_in_two_folders_is_an_error_that_names_both_files(few: Project, command_line: str) -> None:
    for name in ("auth_db", "user_db"):
        write(few, name, "4f2c1a", f"{name.removesuffix('_db')}_0001")
    assert few.alembic(*command_line.split()).error == (
        "error: migrations/versions/auth_db/4f2c1a_x.py and migrations/versions/user_db/4f2c1a_x.py have the same id, "
        "4f2c1a: give the later one the next number: `python -m multidb renumber FILE`"
    )


def test_all_files_of_a_branch_that_must_be_changed_are_named_at_once(few: Project) -> None:
    write(few, "auth_db", "aaaa", "nowhere")
    write(few, "auth_db", "b-b", "auth_0001")
    write(few, "auth_db", "cccc", "auth_0001", ("user_db",))
    error = few.alembic("upgrade", "heads").error
    for problem in (
        "auth_db/aaaa_x.py: its down_revision 'nowhere' is no revision of this branch",
        "auth_db/b-b_x.py: Character(s) '-' not allowed in revision identifier 'b-b'",
        "auth_db/cccc_x.py: the branch label user_db names a database",
    ):
        assert problem in error


def test_a_cycle_is_one_line(few: Project) -> None:
    write(few, "auth_db", "aaaa", "bbbb")
    write(few, "auth_db", "bbbb", "aaaa")
    for command_line in ("upgrade auth_db@head", "upgrade heads", "current"):
        result = few.alembic(*command_line.split())
        folder = "migrations/versions/auth_db"
        said = f"{folder}/aaaa_x.py, {folder}/bbbb_x.py: they follow each other in a circle"
        assert said in result.error + result.out


def test_a_branch_that_cannot_be_loaded_does_not_stop_a_command_for_another(few: Project) -> None:
    few.write("migrations/versions/user_db/broken.py", "import nowhere\nrevision = str(1)\ndown_revision = None\n")
    few.add_revision("auth_db", 2, MORE)
    few.done("upgrade", "auth_db@head")
    assert few.versions() == few.at(1) | {"auth_db": ["auth_0002"]}
    error = few.alembic("upgrade", "heads").error
    assert error.startswith("error: user_db: migrations/versions/user_db/broken.py:1: ModuleNotFoundError: No module")


def test_a_file_with_two_names_is_one_revision(few: Project) -> None:
    path = few.add_revision("auth_db", 2, "pass")
    path.with_name("a_link.py").symlink_to(path.name)
    few.done("upgrade", "heads")
    assert few.versions()["auth_db"] == ["auth_0002"]


def test_a_hash_that_a_newer_checkout_recorded_is_newer(few: Project) -> None:
    write(few, "auth_db", "4f2c1a", "auth_0001")
    few.done("upgrade", "heads")
    (few.root / "migrations/versions/auth_db/4f2c1a_x.py").unlink()
    assert "it is at 4f2c1a, newer than auth_0001, the head of these files" in few.multidb("ready", "auth_db").error
    assert few.multidb("ready", "auth_db", "--newer").code == 0
    error = few.multidb("adopt", "auth_db").error
    assert error.startswith("error: auth_db: alembic_version holds 4f2c1a, where run ")
    assert error.endswith(" left it: use the checkout that has that revision")


def test_an_entry_is_renamed_without_a_new_id(few: Project) -> None:
    few.edit("databases.yaml", "  user_db: ", "  member_db: ")
    few.variables["MEMBER_DB_URL"] = few.variables.pop("USER_DB_URL")
    versions = few.root / "migrations/versions"
    [file] = versions.glob("user_db/*.py")
    file.write_text(file.read_text().replace('("user_db",)', '("member_db",)'))
    (versions / "user_db").rename(versions / "member_db")
    assert few.multidb("status", "member_db").out.splitlines()[1].split()[:4] == ["member_db", *["user_0001"] * 2, "0"]
    few.done("-x", "db=member_db", "revision", "-m", "next")
    few.done("upgrade", "member_db@head")
    assert few.rows("member_db", "SELECT version_num FROM alembic_version") == [("member_0002",)]
