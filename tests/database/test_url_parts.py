"""What a URL leaves to libpq's variables, to a service file or to a variable of its own: real connections."""

from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from tests.support.project import Postgres, Project

ODD = "p@s/s:%41 #?&=ö"


def of(project: Project, name: str = "auth_db") -> dict[str, str]:
    """The parts of a database's URL, by libpq's names for them."""
    url = make_url(project.variables[f"{name.upper()}_URL"])
    parts = {"host": url.host, "port": url.port, "user": url.username, "password": url.password, "dbname": url.database}
    return {key: str(value) for key, value in parts.items()}


def reaches(project: Project, url: str) -> bool:
    project.variables["AUTH_DB_URL"] = url
    result = project.alembic("current")
    assert result.code == 0, result
    return "auth_0001" in result.out


def test_a_service_of_libpqs_file_is_a_database(few: Project) -> None:
    lines = [f"{key}={value}" for key, value in of(few).items()]
    few.variables["PGSERVICEFILE"] = str(few.write("services", "\n".join(["[auth]", *lines])))
    assert reaches(few, "postgresql:///?service=auth")
    few.add_revision("auth_db", 2, 'op.execute("CREATE TABLE more ()")')
    assert "on the service auth: one database" in few.done("upgrade", "heads").err
    few.variables["USER_DB_URL"] = "postgresql:///?service=auth"
    error = few.alembic("upgrade", "heads").error
    assert "auth_db and user_db have the same URL" in error


def test_whether_two_entries_are_one_database_is_asked_of_the_servers(few: Project) -> None:
    lines = [f"{key}={value}" for key, value in of(few).items()]
    few.variables["PGSERVICEFILE"] = str(few.write("services", "\n".join(["[auth]", *lines])))
    few.variables["USER_DB_URL"] = "postgresql:///?service=auth"
    few.add_revision("user_db", 2, "pass")
    assert "lead to the same database" in few.alembic("upgrade", "heads").error


def test_an_address_and_a_database_of_the_environment(few: Project) -> None:
    parts = of(few)
    few.variables["PGDATABASE"] = parts["dbname"]
    assert reaches(
        few, f"postgresql://{parts['user']}:{parts['password']}@no-such-host:{parts['port']}/?hostaddr=127.0.0.1"
    )


def test_a_database_given_as_an_option_wins(few: Project) -> None:
    parts = of(few)
    address = f"{parts['user']}:{parts['password']}@{parts['host']}:{parts['port']}"
    assert reaches(few, f"postgresql://{address}/nowhere?dbname={parts['dbname']}")


def test_a_password_in_a_file(few: Project) -> None:
    parts = of(few)
    url = f"postgresql://{parts['user']}@{parts['host']}:{parts['port']}/{parts['dbname']}"
    few.variables["PGPASSWORD_FILE"] = str(few.write("secret", f"{parts['password']}\n"))
    assert reaches(few, url)
    few.variables["PGPASSWORD"] = "x"
    assert "PGPASSWORD and PGPASSWORD_FILE are both set: unset one" in few.alembic("current").error


def test_a_password_that_ends_with_a_line_break_is_told(few: Project) -> None:
    parts = of(few)
    few.variables["AUTH_DB_URL"] = f"postgresql://{parts['user']}@{parts['host']}:{parts['port']}/{parts['dbname']}"
    few.variables["PGPASSWORD"] = f"{parts['password']}\n"
    error = few.alembic("current").error
    assert "PGPASSWORD ends with a line break, as a secret that was made with echo does" in error
    assert parts["password"] not in error


@pytest.mark.parametrize("in_file", [False, True])
def test_a_password_that_a_variable_puts_into_a_url_is_escaped(few: Project, postgres: Postgres, in_file: bool) -> None:
    parts = of(few)
    postgres.as_admin(f"CREATE ROLE odd LOGIN PASSWORD '{ODD}' IN ROLE neighbor")
    try:
        del few.variables["AUTH_DB_URL"]
        url = f"postgresql://odd:${{ODD:-none}}@{parts['host']}:{parts['port']}/{parts['dbname']}"
        few.edit("databases.yaml", "models.auth", f'models.auth, url: "{url}"')
        if in_file:
            few.variables["ODD_FILE"] = str(few.write("odd", ODD))
        else:
            few.variables["ODD"] = ODD
        assert "auth_0001" in few.done("current").out
    finally:
        postgres.as_admin("DROP ROLE odd")


def test_variables_are_replaced_in_every_value(few: Project) -> None:
    few.edit(
        "databases.yaml",
        "models.auth",
        '"models.${MODULE}", ignore: ["${IGNORED}", "${NOT_SET:-}"], version_table: "${TABLE:-alembic_version}", '
        'policy: {bar: "${BAR:-error}"}',
    )
    few.variables |= {"MODULE": "auth", "IGNORED": "audit_*"}
    shown = few.multidb("config", "auth_db").out
    assert ["models", "models.auth"] in [line.split()[:2] for line in shown.splitlines()]
    assert "audit_*" in shown
    few.variables["TABLE"] = ""
    few.variables["BAR"] = "loud"
    assert "bar: 'loud' should be one of" in few.alembic("current").error


def test_another_file_and_where_a_run_goes(few: Project, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    text = (few.root / "databases.yaml").read_text()
    (other / "stage.yaml").write_text(text)
    few.variables["INVESTMENT_DB_URL"] = f"sqlite:///{few.root}/investment.db"
    for name in ("auth_db", "investment_db"):
        few.add_revision(name, 2, "pass")
    parts = of(few)
    (few.root / "databases.yaml").write_text("not: used\n")
    result = few.done("-x", f"file={other / 'stage.yaml'}", "upgrade", "heads")
    assert (
        f" on {parts['host']}:{parts['port']} and SQLite: two-phase commit of 2 databases" in result.err.splitlines()[0]
    )
    assert few.multidb("-x", f"file={other / 'stage.yaml'}", "status").code == 0
    error = few.alembic("-x", "file=nowhere.yaml", "upgrade", "heads").error
    assert error.endswith("nowhere.yaml is not there: it lists the databases, see docs/configuration.md")
