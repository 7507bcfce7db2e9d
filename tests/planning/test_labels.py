"""A branch may have labels of its own, and heads that are meant to stay apart."""

import pytest

from tests.support.project import Project
from tests.support.runs import MORE


def fork(project: Project, database: str) -> None:
    """Two lines of a branch, as a history has them that expands in one and contracts in the other."""
    prefix = database.removesuffix("_db")
    for number, label in ((2, "expand"), (3, "contract")):
        table = MORE.replace("more", label)
        path = project.add_revision(database, number, table, f'op.drop_table("{label}")', down=f"{prefix}_0001")
        path.write_text(path.read_text().replace("branch_labels = None", f'branch_labels = ("{label}",)'))


@pytest.fixture
def forked(few: Project) -> Project:
    fork(few, "auth_db")
    return few


def test_each_head_is_addressed_by_its_label(forked: Project) -> None:
    forked.done("upgrade", "expand@head")
    assert forked.versions() == forked.at(1) | {"auth_db": ["auth_0002"]}
    forked.done("upgrade", "contract@+1")
    assert sorted(forked.versions()["auth_db"]) == ["auth_0002", "auth_0003"]
    assert forked.multidb("ready", "auth_db").code == 0
    forked.done("current", "--check-heads")
    forked.done("downgrade", "expand@-1")
    assert forked.versions()["auth_db"] == ["auth_0003"]


@pytest.mark.parametrize("destination", ["heads", "auth_db@heads"])
def test_heads_are_all_of_them_where_each_has_a_label_of_its_own(forked: Project, destination: str) -> None:
    forked.done("upgrade", destination)
    assert sorted(forked.versions()["auth_db"]) == ["auth_0002", "auth_0003"]
    assert forked.done("upgrade", "heads").err == "INFO  [multidb] nothing to do in 4 databases\n"


@pytest.mark.parametrize("destination", ["head", "auth_db@head", "+1"])
def test_one_head_has_to_be_named(forked: Project, destination: str) -> None:
    assert forked.alembic("upgrade", destination).error == (
        "error: auth_db: the branch has 2 heads, auth_0002, auth_0003: say expand@head or contract@head"
    )


def test_a_revision_that_is_no_head_is_not_ambiguous(few: Project) -> None:
    few.add_revision("auth_db", 2, MORE)
    few.add_revision("auth_db", 3, MORE, down="auth_0001")
    few.done("upgrade", "auth_0002")
    assert few.versions()["auth_db"] == ["auth_0002"]


def test_a_label_that_several_databases_have_addresses_them_all(forked: Project) -> None:
    fork(forked, "user_db")
    forked.done("upgrade", "expand@head")
    assert forked.versions() == forked.at(1) | {"auth_db": ["auth_0002"], "user_db": ["user_0002"]}
    forked.done("-x", "db=user_db", "upgrade", "contract@head")
    assert sorted(forked.versions()["user_db"]) == ["user_0002", "user_0003"]
    assert forked.versions()["auth_db"] == ["auth_0002"]
    assert "auth_0001 -> auth_0002 (auth_db) (head), by hand" in forked.done("history").out


def test_scripts_and_new_revisions_take_a_label(forked: Project) -> None:
    script = forked.done("upgrade", "auth_0001:expand@head", "--sql").out
    assert "CREATE TABLE expand" in script
    assert "CREATE TABLE contract" not in script
    forked.done("revision", "--head", "expand@head", "-m", "further")
    text = (forked.root / "migrations/versions/auth_db/auth_0004_further.py").read_text()
    assert 'down_revision = "auth_0002"' in text.replace("'", '"')
