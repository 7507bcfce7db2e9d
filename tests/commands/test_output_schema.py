"""What programs read is as multidb/output.schema.json promises: each key is there, and no other is printed."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.support.project import ROOT, Postgres, Project
from tests.support.runs import interrupt

SCHEMA = json.loads((ROOT / "multidb/output.schema.json").read_text())


def closed(schema: Any) -> Any:
    """The same schema, in which an object has no keys but those that are described."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(value) for key, value in schema.items()}
    return found | {"unevaluatedProperties": False} if "properties" in schema else found


CLOSED = closed(SCHEMA)
# What others build on stays open there, and is closed where it is used.
CLOSED["$defs"]["difference"].pop("unevaluatedProperties")


def valid(text: str, name: str) -> Any:
    found = json.loads(text)
    jsonschema.validate(found, CLOSED | {"$ref": f"#/$defs/{name}"}, jsonschema.Draft202012Validator)
    return found


def altered(project: Project, statement: str) -> None:
    """Change auth_db by hand."""
    project.rows("auth_db", f"DO $$ BEGIN {statement}; END $$; SELECT 1")


@pytest.mark.parametrize("command", ["status", "log", "verify", "ready", "drift", "check"])
def test_a_command_prints_what_the_schema_promises(few: Project, postgres: Postgres, command: str) -> None:
    few.variables |= postgres.scratch
    few.done("downgrade", "auth_db@base")
    few.done("upgrade", "auth_db@head")
    assert len(valid(few.multidb(command, "--json").out, command)) >= 2
    path = next((few.root / "migrations/versions/auth_db").glob("*0001*.py"))
    path.write_text(path.read_text() + "# a comment\n")
    altered(few, "ALTER TABLE users DROP COLUMN email CASCADE")
    few.variables["USER_DB_URL"] = "postgresql://neighbor@127.0.0.1:1/user_db"
    names = ["auth_db"] if command in ("log", "verify") else ["auth_db", "user_db"]  # these need all journals
    failed = few.multidb("-x", "wait=0", command, "--json", *names)
    found = valid(failed.out, command)
    assert failed.code == {"log": 0, "verify": 2}.get(command, 1), failed
    if command in ("drift", "check"):
        assert found[0]["differences"]
        assert "Connection refused" in found[1]["error"]


def test_what_is_in_doubt_is_printed_as_the_schema_promises(pair: Project) -> None:
    how = ["SIGKILL:coordinator", "after", "commit", "user_db"]
    interrupt(pair, how, "alembic", "-x", "jobs=1", "upgrade", "heads")
    [auth, *_] = valid(pair.multidb("status", "--json").out, "status")
    assert auth["in_doubt"]
    assert valid(pair.multidb("log", "--json").out, "log")[0]["state"] == "partly committed"
    assert pair.multidb("recover").code == 0


def test_a_database_that_is_not_ready_says_what_it_waits_for(pair: Project) -> None:
    result = pair.multidb("ready", "--json", "--timeout", "1s")
    assert result.code == 1
    auth, _, content, _ = valid(result.out, "ready")
    assert (auth["ready"], content["ready"]) == (False, True)
    assert auth["obstacle"].startswith("auth_db is at auth_0001 and not at auth_0002")


def test_adopt_says_in_json_what_it_would_do(old: Project) -> None:
    result = old.multidb("adopt", "--dry-run", "--json")
    assert result.code == 0, result
    assert {each["state"] for each in valid(result.out, "adopt")} == {"adoptable"}
    altered(old, "ALTER TABLE users DROP COLUMN email CASCADE")
    result = old.multidb("adopt", "--dry-run", "--json", "auth_db")
    assert result.code == 1
    [auth] = valid(result.out, "adopt")
    assert auth["state"] == "refused"
    assert auth["reason"] in result.err
    assert auth["differences"][0]["option"].startswith("auth_db.users.")
    assert old.multidb("adopt", "--json").error == (
        "error: --json is for --dry-run: add that; -x report=FILE says what a run did"
    )


def report(project: Project, *command: str) -> Any:
    """Run a command, and read the file of its report."""
    path = project.root / "report.json"
    path.write_text("of an earlier run")
    result = project.alembic("-x", f"report={path}", *command)
    found = valid(path.read_text(), "report")
    assert found["exit_code"] == result.code
    return found


def test_the_report_of_a_run_says_what_it_did_in_each_database(pair: Project) -> None:
    found = report(pair, "-x", "release=7", "-x", "by=Ada", "upgrade", "heads")
    assert (found["result"], found["release"], found["actor"], found["error"]) == ("committed", "7", "Ada", None)
    assert found["guarantee"].startswith("two-phase commit of 2 databases")
    auth, _, content, _ = found["databases"]
    assert (auth["before"], auth["after"], auth["revisions"]) == (["auth_0001"], ["auth_0002"], 1)
    assert (auth["result"], content["result"]) == ("committed", "untouched")
    assert found["run"] == json.loads(pair.multidb("log", "--json").out)[0]["run"]
    found = report(pair, "upgrade", "heads")
    assert (found["result"], found["guarantee"], len(found["databases"])) == ("nothing to do", "", 4)


def test_the_report_of_a_run_that_failed_has_its_error(pair: Project) -> None:
    pair.add_revision("user_db", 3, "1 / 0")
    found = report(pair, "upgrade", "heads")
    assert (found["result"], found["databases"][0]["result"]) == ("failed", "rolled back")
    assert "user_0003_by_hand.py:13: ZeroDivisionError" in found["databases"][1]["reason"]
    assert found["error"].endswith("; no database was changed")
    pair.variables["USER_DB_URL"] = "postgresql://neighbor@127.0.0.1:1/user_db"
    found = report(pair, "upgrade", "heads")
    assert (found["result"], found["guarantee"], found["databases"]) == ("failed", "", [])


def test_a_report_that_can_not_be_written_is_refused_before_the_run(pair: Project, tmp_path: Path) -> None:
    error = pair.alembic("-x", f"report={tmp_path / 'no/report.json'}", "upgrade", "heads").error
    assert error.endswith("no/report.json: the file can't be written: No such file or directory")
    assert pair.versions()["auth_db"] == ["auth_0001"]


@pytest.mark.parametrize("command", [["current"], ["upgrade", "heads", "--sql"]])
def test_a_command_that_is_no_run_takes_no_report(pair: Project, command: list[str]) -> None:
    error = pair.alembic("-x", "report=report.json", *command).error
    assert error == "error: -x report= is for a run, and this command is none: leave it out"
