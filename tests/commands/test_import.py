"""`import`: the history of another Alembic project moves into a branch, and runs."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.project import Postgres, Project

FOLDER = "migrations/versions/auth_db"
HEADER = '''"""{message}

Revision ID: {revision}
Revises: {down}
"""
from alembic import op
import sqlalchemy as sa

revision = '{revision}'
down_revision = {parent!r}
branch_labels = None
depends_on = None


def upgrade():
    {upgrade}


def downgrade():
    {downgrade}
'''
HISTORY = {
    "4f2c1a9b7d30": "op.execute(\"CREATE TYPE mood AS ENUM ('ok')\"); op.create_table('t', sa.Column('n', sa.Integer))",
    "user_0001": "op.execute(\"ALTER TYPE mood ADD VALUE 'sad'\")",
    "0002": "op.execute(\"ALTER TABLE t ADD m mood DEFAULT 'sad'\")",
    "c0ffee000003": "op.execute('CREATE INDEX CONCURRENTLY i ON t (n)')",
    "c0ffee000004": "with op.get_context().autocommit_block(): op.execute('CREATE INDEX CONCURRENTLY j ON t (m)')",
    "c0ffee000005": "op.execute('INSERT INTO t VALUES (1)'); op.get_bind().commit()",
}


def history(folder: Path, revisions: Mapping[str, str], downgrade: str = "pass") -> Path:
    """The files of another project, each revision after the one before it."""
    folder.mkdir(parents=True)
    parent = None
    for number, (revision, upgrade) in enumerate(revisions.items(), 1):
        text = HEADER.format(
            message=f"step {number}", revision=revision, down=parent or "", parent=parent, upgrade=upgrade,
            downgrade=downgrade,
        )  # fmt: skip
        (folder / f"{revision}_step_{number}.py").write_text(text)
        parent = revision
    return folder


@pytest.fixture
def moving(few: Project, postgres: Postgres) -> Project:
    """A checkout in which the branch of auth_db has no revision, and its database no table."""
    few.variables |= postgres.scratch
    few.rows("auth_db", "DROP SCHEMA public CASCADE; CREATE SCHEMA public; GRANT USAGE ON SCHEMA public TO PUBLIC")
    for path in (few.root / FOLDER).glob("*.py"):
        path.unlink()
    return few


def test_a_history_runs_as_it_is_but_for_what_is_said(moving: Project, tmp_path: Path) -> None:
    result = moving.multidb("import", "auth_db", str(history(tmp_path / "versions", HISTORY)))
    assert result.code == 0, result
    said = [line.partition(": ") for line in result.out.splitlines()]
    assert [place.rpartition("/")[2] for place, _, _ in said] == [
        "user_0001_step_2.py",
        "4f2c1a9b7d30_step_1.py",
        "c0ffee000004_step_5.py",
        "user_0001_step_2.py",
        "c0ffee000003_step_4.py",
        "c0ffee000005_step_6.py",
        "auth_db",
    ], result
    assert said[0][2] == "user_0001 is auth_user_0001 now, which replaces it: user_db has that"
    assert said[1][2] == "the first revision has the branch label auth_db now"
    assert all("it has outside_transaction = True now: " in text for _, _, text in said[2:6])
    assert said[6][2] == "6 revisions imported, the head is c0ffee000005"
    moving.done("upgrade", "heads")
    assert moving.rows("auth_db", "SELECT * FROM t") == [(1, "sad")]
    assert "no drift" in moving.multidb("drift", "auth_db").out
    first = (moving.root / FOLDER / "4f2c1a9b7d30_step_1.py").read_text()
    original = (tmp_path / "versions/4f2c1a9b7d30_step_1.py").read_text()
    assert first == original.replace("branch_labels = None", 'branch_labels = ("auth_db",)')
    second = (moving.root / FOLDER / "user_0001_step_2.py").read_text()
    assert 'revision = "auth_user_0001"\n' in second
    assert 'replaces = ("user_0001",)\n' in second
    assert "Revision ID: auth_user_0001\nRevises: 4f2c1a9b7d30\n" in second
    assert 'down_revision = "auth_user_0001"\n' in (moving.root / FOLDER / "0002_step_3.py").read_text()


def test_a_database_of_the_other_project_goes_on_from_its_own_revision(moving: Project, tmp_path: Path) -> None:
    moving.rows("auth_db", "CREATE TYPE mood AS ENUM ('ok', 'sad'); CREATE TABLE t (n int)")
    moving.rows("auth_db", "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
    moving.rows("auth_db", "INSERT INTO alembic_version VALUES ('user_0001')")
    moving.multidb("import", "auth_db", str(history(tmp_path / "versions", HISTORY)))
    assert "no drift" in moving.multidb("drift", "auth_db").out
    moving.done("upgrade", "heads")
    assert moving.versions()["auth_db"] == ["c0ffee000005"]
    assert moving.rows("auth_db", "SELECT * FROM t") == [(1, "sad")]


def test_a_history_of_an_sqlite_file(moving: Project, tmp_path: Path) -> None:
    for path in (moving.root / "migrations/versions/investment_db").glob("*.py"):
        path.unlink()
    revisions = {
        "0001": "op.create_table('t', sa.Column('n', sa.Integer), sa.CheckConstraint('n > 0'))",
        "0002": "with op.batch_alter_table('t') as batch:\n        batch.alter_column('n', type_=sa.BigInteger)",
    }
    result = moving.multidb("import", "investment_db", str(history(tmp_path / "versions", revisions)))
    assert result.out.splitlines()[-1] == "investment_db: 2 revisions imported, the head is 0002"
    moving.rows("investment_db", "DROP TABLE alembic_version")
    moving.done("upgrade", "investment_db@head")
    [(sql,)] = moving.rows("investment_db", "SELECT sql FROM sqlite_master WHERE name = 't'")
    assert "CHECK (n > 0)" in sql


def test_files_in_folders_and_what_they_read_are_copied(moving: Project, tmp_path: Path) -> None:
    read = "import pathlib; op.execute((pathlib.Path(__file__).parent / 'sql/make.sql').read_text())"
    folder = history(tmp_path / "versions/2026", {"0001": read}).parent
    (folder / "sql").mkdir()
    (folder / "sql/make.sql").write_text("CREATE TABLE made ()")
    (folder / "__init__.py").write_text("")
    assert moving.multidb("import", "auth_db", str(folder)).code == 0
    moving.done("upgrade", "auth_db@head")
    assert moving.rows("auth_db", "SELECT to_regclass('made')::text") == [("made",)]


def test_the_settings_of_env_py_that_databases_yaml_needs_are_named(moving: Project, tmp_path: Path) -> None:
    folder = history(tmp_path / "versions", {"0001": "pass"})
    env_py = tmp_path / "env.py"
    env_py.write_text('context.configure(\n    version_table="alembic_version_auth",\n)\n')
    result = moving.multidb("import", "auth_db", str(folder.parent))  # the project's own folder, as people type it
    assert f"{env_py}:2: version_table: " in result.out, result


@pytest.mark.parametrize(
    ("revisions", "reason"),
    [
        ({"0001": "pass", "0002": "op.drop_table('none')"}, 'table "none" does not exist'),
        ({"0001": "import nowhere"}, "No module named 'nowhere'"),
        ({"0001": "pass\nimport nowhere"}, "No module named 'nowhere'"),
    ],
)
def test_of_a_history_that_does_not_run_nothing_is_kept(
    moving: Project, tmp_path: Path, revisions: dict[str, str], reason: str
) -> None:
    error = moving.multidb("import", "auth_db", str(history(tmp_path / "versions", revisions))).error
    assert reason in error
    assert f"{FOLDER}/" in error
    assert list((moving.root / FOLDER).iterdir()) == []


def test_what_is_no_history_is_an_error(few: Project, tmp_path: Path) -> None:
    folder = history(tmp_path / "versions", {"0001": "pass"})
    error = "error: auth_db: migrations/versions/auth_db has revisions already: delete them first"
    assert few.multidb("import", "auth_db", str(folder)).error == error
    assert "there is no database 'none'" in few.multidb("import", "none", str(folder)).error
    assert "has no revision files" in few.multidb("import", "auth_db", str(tmp_path / "nowhere")).error
