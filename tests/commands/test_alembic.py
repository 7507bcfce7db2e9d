"""What `alembic <command>` means in a project of ten databases."""

import re
import shutil
import sys

import pytest

from tests.support.project import NAMES, ON_POSTGRESQL, ROOT, Postgres, Project, at_once, query

HEADS = {name: [f"{name.removesuffix('_db')}_0001"] for name in NAMES}
BASE: dict[str, list[str]] = {name: [] for name in NAMES}


@pytest.mark.quick
@pytest.mark.parametrize("destination", ["heads", "head"])
def test_upgrade_brings_all_ten_to_head(project: Project, destination: str) -> None:
    result = project.done("upgrade", destination)
    assert project.versions() == HEADS
    assert sorted(re.findall(r"\[(\w+)\] Running upgrade", result.err)) == sorted(NAMES)


def test_one_after_the_other_goes_by_name_with_sqlite_last(project: Project) -> None:
    result = project.done("-x", "jobs=1", "upgrade", "heads")
    assert re.findall(r"\[(\w+)\] Running upgrade", result.err) == [*sorted(ON_POSTGRESQL), "investment_db"]


def test_upgrade_again_changes_nothing_and_says_so(migrated: Project) -> None:
    result = migrated.done("upgrade", "heads")
    assert result.err == "INFO  [multidb] nothing to do in 10 databases\n"


def test_every_log_line_of_a_migration_names_its_database(project: Project) -> None:
    result = project.done("upgrade", "heads")
    for line in result.err.splitlines()[1:-1]:
        assert re.match(rf"INFO  \[({'|'.join(NAMES)})\] ", line)
    assert result.err.splitlines()[-1] == "INFO  [multidb] committed in 10 databases"


@pytest.mark.quick
def test_a_failure_in_one_database_rolls_all_back(project: Project) -> None:
    project.add_revision("rating_db", 2, 'op.execute("SELECT 1/0")')
    result = project.alembic("upgrade", "heads")
    assert "rating_db: migrations/versions/rating_db/rating_0002_by_hand.py:13: division by zero" in result.error
    assert project.versions() == BASE
    for name in ON_POSTGRESQL:
        assert project.rows(name, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")[0][0] <= 1


def test_nothing_is_committed_until_all_have_migrated(project: Project) -> None:
    """The last database looks at the first one, over a connection of its own, before its migration ends."""
    other = project.variables["AUTH_DB_URL"]
    project.add_revision(
        "rating_db",
        2,
        f"import psycopg2; c = psycopg2.connect({other!r}).cursor(); "
        "c.execute(\"SELECT to_regclass('users')\"); found = c.fetchone()[0]; "
        "assert found is None, found",
    )
    project.done("upgrade", "heads")
    assert project.rows("auth_db", "SELECT to_regclass('users')") == [("users",)]


def test_a_commit_that_would_fail_is_found_before_any_commit(project: Project) -> None:
    project.add_revision(
        "rating_db",
        2,
        'op.execute("CREATE TABLE a (id int PRIMARY KEY)"); '
        'op.execute("CREATE TABLE b (id int REFERENCES a DEFERRABLE INITIALLY DEFERRED)"); '
        'op.execute("INSERT INTO b VALUES (7)")',
    )
    result = project.alembic("upgrade", "heads")
    assert result.error.startswith("error: rating_db: insert or update on table")
    assert project.versions() == BASE


@pytest.mark.parametrize("destination", ["heads", "head", "auth_db@heads", "+1"])
def test_a_branch_with_two_heads_is_refused(migrated: Project, destination: str) -> None:
    migrated.add_revision("auth_db", 2, "pass")
    migrated.add_revision("auth_db", 3, "pass", down="auth_0001")
    result = migrated.alembic("upgrade", destination)
    assert result.error == (
        "error: auth_db: the branch has 2 heads, auth_0002, auth_0003: "
        "join them first with `alembic merge auth_db@heads`"
    )
    assert migrated.versions() == HEADS


@pytest.mark.parametrize(
    ("arguments", "moved"),
    [
        (["upgrade", "auth_db@head"], ["auth_db"]),
        (["upgrade", "auth_0001"], ["auth_db"]),
        (["upgrade", "auth_db@+1"], ["auth_db"]),
        (["-x", "db=auth_db,user_db", "upgrade", "heads"], ["auth_db", "user_db"]),
        (["-x", "db=auth_db", "-x", "db=user_db", "upgrade", "heads"], ["auth_db", "user_db"]),
        (["-x", "db=auth_db,user_db", "upgrade", "auth_0001"], ["auth_db"]),
    ],
)
def test_a_command_for_some_databases_touches_no_other(
    project: Project, arguments: list[str], moved: list[str]
) -> None:
    for name in set(ON_POSTGRESQL) - set(moved):
        project.variables[f"{name.upper()}_URL"] = f"postgresql://neighbor:x@127.0.0.1:1/{name}"
    project.done(*arguments)
    for name in moved:
        assert project.rows(name, "SELECT version_num FROM alembic_version") == [tuple(HEADS[name])]
    assert (project.root / "investment.db").read_bytes() == b""


def test_a_command_for_one_database_needs_no_url_of_the_others(project: Project) -> None:
    project.edit("databases.yaml", "{models: models.user}", "{models: models.user, url: '${NOT_SET}'}")
    del project.variables["USER_DB_URL"]
    project.done("upgrade", "auth_db@head")
    assert "${NOT_SET} is not set" in project.alembic("upgrade", "heads").error


def test_plus_one_and_minus_one_move_each_database_by_one(migrated: Project) -> None:
    migrated.add_revision("auth_db", 2, "pass")
    migrated.add_revision("auth_db", 3, "pass")
    migrated.done("upgrade", "+1")
    assert migrated.versions() == HEADS | {"auth_db": ["auth_0002"]}
    migrated.done("downgrade", "-1")
    assert migrated.versions() == BASE | {"auth_db": ["auth_0001"]}
    migrated.done("upgrade", "+1")
    assert migrated.versions() == HEADS | {"auth_db": ["auth_0002"]}


def test_a_relative_step_is_an_error_only_when_no_database_could_move(migrated: Project) -> None:
    result = migrated.alembic("upgrade", "+1")
    assert result.error.startswith("error: +1 can move nothing: auth_db, user_db")
    migrated.done("downgrade", "payment_db@-1")
    assert migrated.alembic("downgrade", "payment_db@-1").error == (
        "error: payment_db@-1 can move nothing: payment_db is already at the end"
    )
    result = migrated.done("upgrade", "+1")
    assert re.findall(r"\[(\w+)\] Running", result.err) == ["payment_db"]


def test_fewer_steps_than_asked_is_an_error_and_nothing_moves(migrated: Project) -> None:
    migrated.add_revision("auth_db", 2, "pass")
    migrated.add_revision("auth_db", 3, "pass")
    migrated.add_revision("user_db", 2, "pass")
    result = migrated.alembic("upgrade", "+2")
    assert result.error == "error: user_db: +2 asks for 2 steps, 1 left; no database was moved"
    assert migrated.alembic("downgrade", "-2").error.startswith("error: auth_db: -2 asks for 2 steps, 1 left")
    assert migrated.versions() == HEADS


def test_downgrade_base_leaves_the_version_table_alone(migrated: Project) -> None:
    migrated.done("downgrade", "base")
    assert migrated.versions() == BASE
    for name in ON_POSTGRESQL:
        assert migrated.has_version_table(name)
    assert migrated.rows("investment_db", "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name") == [
        ("alembic_version",),
        ("multidb_journal",),
    ]


def test_downgrade_of_one_database_by_label(migrated: Project) -> None:
    migrated.done("downgrade", "payment_db@base")
    assert migrated.versions() == HEADS | {"payment_db": []}


def test_stamp_heads_records_without_migrating(project: Project) -> None:
    project.done("stamp", "heads")
    assert project.versions() == HEADS
    assert project.rows("auth_db", "SELECT to_regclass('users')") == [(None,)]
    project.done("stamp", "base")
    assert project.versions() == BASE


def test_stamp_of_several_databases_in_one_command(project: Project) -> None:
    project.done("stamp", "user_db@head", "payment_db@head")
    assert project.versions() == BASE | {"user_db": ["user_0001"], "payment_db": ["payment_0001"]}


@pytest.mark.parametrize("revisions", [["heads", "user_db@head"], ["user_0001", "user_db@head"]])
def test_stamp_of_several_revisions_of_one_database_is_refused(project: Project, revisions: list[str]) -> None:
    error = project.alembic("stamp", *revisions).error
    assert "each must name a database of its own" in error
    assert project.versions() == BASE


def test_stamp_purge_forgets_what_another_project_recorded(migrated: Project) -> None:
    migrated.rows("auth_db", "UPDATE alembic_version SET version_num = '0001'")
    migrated.done("stamp", "--purge", "auth_db@head")
    assert migrated.versions() == HEADS


def test_current_prints_a_line_per_database(migrated: Project) -> None:
    migrated.add_revision("auth_db", 2, "pass")
    migrated.done("downgrade", "user_db@base")
    lines = migrated.done("current").out.splitlines()
    assert [line.split()[0] for line in lines] == NAMES
    assert lines[0] == "auth_db          auth_0001, the head is auth_0002"
    assert lines[1] == "user_db          <base>, the head is user_0001"
    assert lines[2] == "location_db      location_0001 (head)"


def test_current_verbose_shows_where_each_database_is_but_no_password(
    migrated: Project,
) -> None:
    migrated.variables["AUTH_DB_URL"] += "?sslpassword=geheim2"
    result = migrated.done("current", "-v")
    url = migrated.variables["AUTH_DB_URL"]
    assert f"neighbor@127.0.0.1:{url.rpartition(':')[2].partition('?')[0]}" in result.out
    assert result.out.count("Rev: ") == 10
    assert url.split(":")[2].partition("@")[0] not in result.out
    assert "geheim2" not in result.out


def test_current_check_heads_fails_and_still_prints_all(migrated: Project) -> None:
    migrated.done("current", "--check-heads")
    migrated.done("downgrade", "user_db@base")
    result = migrated.alembic("current", "--check-heads")
    assert result.found == "error: user_db: not at head, as the lines above say"
    assert len(result.out.splitlines()) == 10


def test_current_goes_on_past_a_database_that_cannot_be_reached(migrated: Project) -> None:
    migrated.variables["USER_DB_URL"] = "postgresql://neighbor:s3cret@127.0.0.1:1/user_db"
    migrated.rows("payment_db", "UPDATE alembic_version SET version_num = '0001'")
    result = migrated.alembic("current")
    lines = result.out.splitlines()
    assert [line.split()[0] for line in lines] == NAMES
    assert "Connection refused" in lines[1]
    assert "alembic_version holds '0001', which is no revision of this branch" in lines[6]
    assert result.error.startswith("error: user_db, payment_db:")
    assert "s3cret" not in result.out + result.err


@pytest.mark.parametrize("command", ["current", "check", "history -i", "show current", "current -v"])
def test_reading_commands_create_nothing(project: Project, command: str) -> None:
    project.alembic(*command.split())
    for name in ON_POSTGRESQL:
        assert not project.has_version_table(name)
    assert (project.root / "investment.db").read_bytes() == b""


@pytest.mark.parametrize("command", ["history", "heads", "branches", "show auth_0001", "upgrade heads --sql"])
def test_commands_that_only_read_files_need_no_server(checkout: Project, command: str) -> None:
    assert checkout.done(*command.split()).out or command in ("branches", "upgrade heads --sql")


def test_heads_prints_ten(checkout: Project) -> None:
    lines = checkout.done("heads").out.splitlines()
    assert sorted(lines) == sorted(f"{HEADS[name][0]} ({name}) (head)" for name in NAMES)


def test_history_shows_all_ten_branches_and_which_revision_is_current(migrated: Project) -> None:
    migrated.add_revision("auth_db", 2, "pass")
    assert len(migrated.done("history").out.splitlines()) == 11
    lines = migrated.done("history", "-i").out.splitlines()
    assert sum("(current)" in line for line in lines) == 10
    assert "auth_0001 -> auth_0002 (auth_db) (head), by hand" in lines
    assert migrated.done("-x", "db=auth_db", "history").out.count("auth_00") == 3
    assert migrated.done("history", "-r", "auth_0001:auth_0002").out.count("\n") == 2


def test_history_with_current_goes_on_past_a_database_that_cannot_be_reached(migrated: Project) -> None:
    migrated.variables["USER_DB_URL"] = "postgresql://neighbor:s3cret@127.0.0.1:1/user_db"
    result = migrated.alembic("history", "-i")
    assert result.out.count("(current)") == 9
    assert result.error == "error: user_db: could not be read, as the lines above say"


def test_history_of_a_revision_that_exits_when_it_is_imported_fails(migrated: Project) -> None:
    path = migrated.add_revision("auth_db", 2, "pass\nraise SystemExit(0)")
    path.write_text(path.read_text().replace('revision = "auth_0002"', 'revision = "auth_" + "0002"'))
    result = migrated.alembic("history")
    assert "auth_0002_by_hand.py:14: sys.exit() was called" in result.out
    assert result.error == "error: auth_db: could not be read, as the lines above say"


def test_show_and_branches(migrated: Project) -> None:
    migrated.add_revision("auth_db", 2, "pass")
    migrated.add_revision("auth_db", 3, "pass", down="auth_0001")
    assert "Parent: <base>" in migrated.done("show", "auth_0001").out
    assert migrated.done("show", "current").out.count("Rev: ") == 10
    assert "auth_0001 (auth_db) (branchpoint)" in migrated.done("branches").out


def test_upgrade_imports_no_models_and_no_geoalchemy2(project: Project) -> None:
    probe = (
        "import sys; from alembic.config import main; main(argv=['upgrade', 'heads']); "
        "print([name for name in sys.modules if name.split('.')[0] in ('models', 'geoalchemy2')])"
    )
    assert project.run(sys.executable, "-c", probe).out.splitlines()[-1] == "[]"


def test_alembic_runs_from_another_directory(project: Project) -> None:
    result = project.run(
        sys.executable, "-m", "alembic", "-c", "checkout/alembic.ini", "upgrade", "heads", cwd=project.root.parent
    )
    assert result.code == 0, result
    assert project.versions() == HEADS


def test_quiet_prints_errors_all_the_same(project: Project) -> None:
    result = project.alembic("-q", "upgrade", "nobody_db@head")
    assert result.error.startswith("error: there is no database 'nobody_db'")


def test_investment_db_runs_on_postgresql_when_its_url_says_so(migrated: Project, spare: str) -> None:
    migrated.variables["INVESTMENT_DB_URL"] = migrated.variables["AUTH_DB_URL"].rpartition("/")[0] + f"/{spare}"
    migrated.done("upgrade", "heads")
    assert migrated.versions() == HEADS
    migrated.done("check")
    migrated.done("downgrade", "investment_db@base")
    tables = migrated.rows("investment_db", "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    assert tables == [("alembic_version",), ("multidb_journal",)]


def test_up_down_and_up_again_leaves_nothing_of_its_own_behind(project: Project, postgres: Postgres) -> None:
    before = {name: _objects(project, name) for name in ON_POSTGRESQL}
    project.done("upgrade", "heads")
    project.done("downgrade", "base")
    for name in ON_POSTGRESQL:
        left = {each for each in _objects(project, name) - before[name] if not each.startswith("multidb_journal")}
        assert left == {"alembic_version", "alembic_version_pkc"}, name
    project.done("upgrade", "heads")
    assert project.versions() == HEADS
    project.variables |= postgres.scratch
    project.done("check")


def test_downgrade_leaves_the_extension_alone(migrated: Project) -> None:
    migrated.done("downgrade", "base")
    assert migrated.rows("location_db", "SELECT 1 FROM pg_extension WHERE extname = 'postgis'") == [(1,)]


def test_of_two_runs_at_once_the_second_finds_nothing_to_do(project: Project) -> None:
    results = at_once(*[lambda: project.done("upgrade", "heads")] * 2)
    assert sorted(result.err.count("Running upgrade") for result in results) == [0, 10]
    assert project.versions() == HEADS


def _objects(project: Project, name: str) -> set[str]:
    """The tables, indexes, sequences and types of a database."""
    url = project.variables[f"{name.upper()}_URL"]
    relations = query(url, "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace")
    types = query(url, "SELECT typname FROM pg_type WHERE typnamespace = 'public'::regnamespace AND typtype = 'e'")
    return {row[0] for row in relations + types}


def test_a_database_with_a_search_path_of_its_own_beside_others(few: Project) -> None:
    name = few.variables["USER_DB_URL"].rpartition("/")[2]
    few.rows("user_db", "DROP TABLE alembic_version, multidb_journal; CREATE SCHEMA app")
    few.rows("user_db", f"ALTER DATABASE {name} SET search_path = app")
    few.add_revision("auth_db", 2, "pass")
    few.done("-x", "jobs=1", "upgrade", "heads")
    assert few.rows("user_db", "SELECT version_num FROM app.alembic_version") == [("user_0001",)]
    assert few.rows("user_db", "SELECT count(*) FROM app.multidb_journal") == [(1,)]


def test_a_quiet_run_says_only_what_failed(few: Project) -> None:
    few.add_revision("auth_db", 2, "pass")
    done = few.done("-q", "upgrade", "heads")
    assert (done.out, done.err) == ("", "")
    few.add_revision("auth_db", 3, "1 / 0")
    failed = few.alembic("-q", "upgrade", "heads")
    assert (failed.out, failed.err.count("\n")) == ("", 1)
    assert "ZeroDivisionError" in failed.reason


def test_a_folder_that_alembics_configuration_cannot_name_is_refused_in_one_line(few: Project) -> None:
    folder = few.root.rename(few.root.with_name("100%sure"))
    few.root = folder
    assert few.multidb("status").error.endswith("Alembic can't be in a folder with a % in its name: rename that")
    shutil.copytree(ROOT / "bin", folder / "bin")
    made = few.run("bin/venv", "constraints.txt")
    assert (made.code, made.err.count("\n")) == (1, 1)
    assert "has a %, which Alembic's configuration can't have: rename that folder" in made.err
