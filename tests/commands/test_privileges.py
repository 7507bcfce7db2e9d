"""The least privileges of each command: what docs/privileges.md says, run as a role that has exactly these."""

import re
from collections.abc import Iterator

import pytest

from tests.support.pages import Page
from tests.support.project import Postgres, Project
from tests.support.runs import MORE

VERSIONS, JOURNAL = "SELECT ON alembic_version", "SELECT ON multidb_journal"
# Each command with its exit code, and what it needs in the database beside CONNECT.
READING = [
    ("alembic -x db=auth_db current", 0, [VERSIONS]),
    ("alembic -x db=auth_db check", 0, [VERSIONS]),
    ("alembic -x db=auth_db -x from=live revision --autogenerate -m x", 0, [VERSIONS]),
    ("multidb ready auth_db --timeout 1s", 0, [VERSIONS]),
    ("multidb drift auth_db", 0, [VERSIONS]),
    ("multidb plan auth_db", 0, [VERSIONS]),
    ("multidb adopt --dry-run auth_db", 0, [VERSIONS]),
    ("multidb status auth_db", 0, [VERSIONS, JOURNAL]),
    ("multidb log auth_db", 0, [JOURNAL]),
    ("multidb verify auth_db", 0, [JOURNAL]),
    ("alembic -x db=auth_db upgrade heads --sql", 0, []),
    ("multidb schema auth_db", 0, []),
    ("multidb config auth_db", 0, []),
]


@pytest.fixture
def project(few: Project, postgres: Postgres) -> Iterator[Project]:
    """A few databases at head, of which auth_db is reached as another role."""
    few.variables |= postgres.scratch
    postgres.as_admin(f"CREATE ROLE {role(few)} LOGIN PASSWORD 'x'")
    few.variables["AUTH_DB_URL"] = f"postgresql://{role(few)}:x@{few.variables['AUTH_DB_URL'].rpartition('@')[2]}"
    yield few
    postgres.as_admin(f"DROP OWNED BY {role(few)}", database(few))
    postgres.as_admin(f"DROP ROLE {role(few)}")


def database(project: Project) -> str:
    return project.variables["AUTH_DB_URL"].rpartition("/")[2]


def role(project: Project) -> str:
    return f"auditor_of_{database(project)}"


@pytest.mark.parametrize(("line", "code", "grants"), READING, ids=[line for line, _, _ in READING])
def test_a_role_that_may_only_read_runs(
    project: Project, postgres: Postgres, line: str, code: int, grants: list[str]
) -> None:
    program, *arguments = line.split()
    for grant in grants:
        lacking = project.python("-m", program, *arguments)
        assert lacking.code == 1, lacking
        assert f"`GRANT {grant} TO {role(project)}`" in lacking.out + lacking.err
        postgres.as_admin(f"GRANT {grant} TO {role(project)}", database(project))
    result = project.python("-m", program, *arguments)
    assert result.code == code, result


def test_a_role_without_connect_is_told(project: Project, postgres: Postgres) -> None:
    postgres.as_admin(f'REVOKE CONNECT ON DATABASE "{database(project)}" FROM PUBLIC')
    assert "grant the role CONNECT on the database" in project.alembic("upgrade", "heads").error


def test_a_plan_says_which_rows_it_could_not_count(project: Project, postgres: Postgres) -> None:
    project.add_revision("auth_db", 2, 'op.alter_column("users", "full_name", nullable=False)')
    postgres.as_admin(f"GRANT {VERSIONS} TO {role(project)}", database(project))
    shown = " ".join(project.multidb("plan", "auth_db").out.split())
    assert "were not counted: " in shown
    assert "(the role may not read the table)" in shown


def test_a_run_takes_a_member_of_the_owner(project: Project, postgres: Postgres) -> None:
    project.add_revision("auth_db", 2, MORE)
    refused = project.alembic("upgrade", "heads")
    assert f"GRANT {VERSIONS} TO {role(project)}" in refused.error
    postgres.as_admin(f"GRANT neighbor TO {role(project)}")
    project.edit("databases.yaml", "models.auth", "models.auth, role: neighbor")
    project.done("upgrade", "heads")
    assert project.multidb("rollback", "--yes").code == 0


def test_the_page_has_each_command_with_its_grants() -> None:
    rows = re.findall(
        r"^\| `([^`]*)`.*? \| (.*) \|$", Page.named("docs/privileges.md").section("Commands that read"), re.MULTILINE
    )
    shown = {name: re.findall(r"SELECT ON \w+", needs) for name, needs in rows}
    assert len(shown) == len(READING)
    for line, _, grants in READING:
        [name] = [name for name in shown if name in line or name in line.replace(" auth_db --dry-run", "")]
        assert shown[name] == grants, line
