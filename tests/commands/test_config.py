"""`config`: what is in force, and where each value comes from."""

import json

import jsonschema

from tests.commands.test_output_schema import CLOSED
from tests.support.project import Project


def test_each_value_is_shown_with_its_origin(checkout: Project) -> None:
    checkout.edit("databases.yaml", "databases:", "role: ${OWNER:-neighbor}\nlock_timeout: ${LIMIT}\n\ndatabases:")
    checkout.edit("databases.yaml", "models.auth}", "models.auth, lock_timeout: 2s, protected: true}")
    checkout.variables |= {"LIMIT": "7s", "AUTH_DB_URL": "postgresql://neighbor:s3cret@nowhere/auth_db"}
    result = checkout.multidb("-x", "jobs=2", "config", "auth_db", "user_db", "investment_db")
    assert (result.code, result.err) == (0, ""), result
    lines = [line.split() for line in result.out.splitlines()]
    assert ["jobs", "2", "-x"] in lines
    assert ["lock_timeout", "7.0", "databases.yaml:5", "(LIMIT)"] in lines
    assert ["two_phase", "auto", "default"] in lines
    auth = lines[lines.index(["auth_db"]) : lines.index(["user_db"])]
    assert auth[1][0] == "url"
    assert auth[1][2] == "AUTH_DB_URL"
    assert ["role", "neighbor", "databases.yaml:4"] in auth
    assert ["protected", "true", "databases.yaml:8"] in auth
    assert ["lock_timeout", "2.0", "databases.yaml:8"] in auth
    assert "s3cret" not in result.out


def test_a_check_says_what_is_wrong_with_all_databases(checkout: Project) -> None:
    assert checkout.multidb("config", "--check").out == "10 databases: nothing is wrong\n"
    checkout.variables |= {"AUTH_DB_URL": "auth", "USER_DB_URL": "mysql://x/y"}
    result = checkout.multidb("config", "--check")
    assert result.code == 1
    assert [line.partition(": FAILED: ")[0] for line in result.out.splitlines()] == ["auth_db", "user_db"]


def test_programs_read_the_same(checkout: Project) -> None:
    checkout.variables["USER_DB_URL"] = "mysql://x/y"
    result = checkout.multidb("config", "--json")
    assert result.code == 1
    found = json.loads(result.out)
    jsonschema.validate(found, CLOSED | {"$ref": "#/$defs/config"}, jsonschema.Draft202012Validator)
    by_name = {each["database"]: each for each in found["databases"]}
    assert by_name["user_db"]["values"] is None
    assert "mysql:// is not supported" in by_name["user_db"]["error"]
    assert {each["name"] for each in by_name["auth_db"]["values"]} >= {"url", "role", "protected", "ignore"}


def test_a_database_that_cannot_be_prepared_is_shown(few: Project) -> None:
    few.edit("databases.yaml", "models.auth", "models.auth, two_phase: off")
    for name, value in (("auth_db", "off"), ("user_db", "auto")):
        lines = [line.split() for line in few.multidb("config", name).out.splitlines()]
        assert [line[1] for line in lines if line[0] == "two_phase"] == ["auto", value]
