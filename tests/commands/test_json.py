"""`--json`: what programs read stays JSON, and says null where nothing is known."""

import json

from tests.support.project import Postgres, Project


def test_status_says_null_where_nothing_is_known(few: Project) -> None:
    few.variables["AUTH_DB_URL"] = "postgresql://neighbor@127.0.0.1:1/auth_db"
    result = few.multidb("status", "--json")
    assert result.code == 1
    first, second, *_ = json.loads(result.out)
    assert {key: first[key] for key in ("revision", "pending", "in_doubt", "last_run")} == dict.fromkeys(
        ("revision", "pending", "in_doubt", "last_run")
    )
    assert first["head"] == ["auth_0001"]
    assert (second["revision"], second["pending"], second["in_doubt"]) == (["user_0001"], 0, [])
    few.write("migrations/versions/user_db/user_0002_broken.py", "revision = (")
    assert json.loads(few.multidb("status", "--json").out)[1]["head"] is None


def test_a_revision_that_prints_leaves_json_and_scripts_as_they_are(few: Project, postgres: Postgres) -> None:
    few.variables |= postgres.scratch
    path = few.add_revision("auth_db", 2, 'print("migrating")', 'print("back")')
    path.write_text(path.read_text().replace("import sqlalchemy as sa", 'import sqlalchemy as sa\n\nprint("imported")'))
    few.done("upgrade", "heads")
    [drift] = json.loads(few.multidb("drift", "--json", "auth_db").out)
    assert drift["differences"] == []
    assert json.loads(few.multidb("log", "--json").out)[0]["state"] == "committed"
    assert few.multidb("verify").out == "the file of every applied revision is unchanged\n"
    script = few.done("upgrade", "auth_0001:auth_0002", "--sql")
    assert "migrating" not in script.out.replace("-- Running", "")
    assert "imported" not in script.out
    assert "migrating" in script.err
