"""`verify`: changed files of applied revisions, and those that were accepted."""

import json

import pytest

from tests.support.project import Project

FILE = "migrations/versions/auth_db/auth_0002_by_hand.py"


@pytest.fixture
def changed(pair: Project) -> Project:
    pair.done("upgrade", "heads")
    pair.edit(FILE, "by hand", "by another hand")
    return pair


def accept(project: Project, *revisions: str, why: str = "only a comment") -> str:
    options = [word for revision in revisions for word in ("--accept", revision)]
    result = project.multidb("-x", "by=Ada", "verify", *options, "--why", why)
    assert result.code == 0, result
    return result.out


def test_an_accepted_file_is_no_change_until_it_is_changed_again(changed: Project) -> None:
    before = changed.rows("auth_db", "SELECT id, attempt, state, revisions FROM multidb_journal ORDER BY id")
    first, last = accept(changed, "auth_0002").splitlines()
    assert first.startswith("auth_db: auth_0002: applied, and its file has changed since; accepted by Ada, 20")
    assert first.endswith("Z: only a comment")
    assert last == "the file of every other applied revision is unchanged"
    assert changed.rows("auth_db", "SELECT id, attempt, state, revisions FROM multidb_journal ORDER BY id") == before
    [auth, *others] = json.loads(changed.multidb("verify", "--json").out)
    assert (auth["problems"], auth["accepted"][0]["who"], auth["accepted"][0]["file"]) == ([], "Ada", FILE)
    assert [each["accepted"] for each in others] == [[], [], []]
    newest = json.loads(changed.multidb("log", "--json", "auth_db").out)[0]
    assert newest["state"] == "committed"
    changed.edit(FILE, "by another hand", "by a third hand")
    result = changed.multidb("verify", "--json")
    assert result.code == 2
    [auth, *_] = json.loads(result.out)
    assert (auth["problems"], auth["accepted"]) == (
        [{"revision": "auth_0002", "problem": "changed", "file": FILE}],
        [],
    )


def test_rollback_reverts_the_run_before_an_acceptance(changed: Project) -> None:
    accept(changed, "auth_0002")
    assert changed.multidb("rollback", "--yes").code == 0
    assert changed.versions()["auth_db"] == ["auth_0001"]
    changed.done("upgrade", "heads")
    assert changed.multidb("verify").out == "the file of every applied revision is unchanged\n"


def test_an_acceptance_is_of_the_file_that_ran_before(changed: Project) -> None:
    accept(changed, "auth_0002")
    changed.done("downgrade", "auth_db@-1")
    changed.edit(FILE, "by another hand", "by hand")
    changed.done("upgrade", "auth_db@head")  # with the file that ran first
    changed.edit(FILE, "by hand", "by another hand")
    assert changed.multidb("verify").code == 2


def test_a_file_on_sqlite_is_accepted(pair: Project) -> None:
    path = next((pair.root / "migrations/versions/investment_db").glob("*0001*.py"))
    path.write_text(path.read_text() + "# a comment\n")
    pair.done("downgrade", "investment_db@base")
    path.write_text(path.read_text() + "# another\n")
    pair.done("upgrade", "investment_db@head")
    path.write_text(path.read_text() + "# a third\n")
    assert "accepted by Ada" in accept(pair, "investment_0001")


TOGETHER = "--accept and --why go together: --accept auth_0003 --why 'a comment was corrected'"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--accept", "auth_0002"], TOGETHER),
        (["--why", "x"], TOGETHER),
        (["--accept", "auth_9", "--why", "x"],
         "--accept auth_9: no file of auth_db, user_db, content_db, investment_db has it"),
        (["--accept", "user_0002", "--accept", "auth_0002", "--why", "x"],
         "user_db: --accept user_0002: its file is not changed since it was applied"),
    ],
)  # fmt: skip
def test_what_can_not_be_accepted_is_named(changed: Project, options: list[str], error: str) -> None:
    assert changed.multidb("verify", *options).error == f"error: {error}"
    assert changed.multidb("verify").code == 2
