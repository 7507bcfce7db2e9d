"""Which databases a command addresses, by its revisions and by `-x db=`."""

import pytest

from multidb.errors import MigrationError
from multidb.planning.selection import addressed, option, owner_of

NAMES = ["auth_db", "user_db", "user_log_db"]


@pytest.mark.parametrize(
    ("symbols", "x_arguments", "expected"),
    [
        (["heads"], [], NAMES),
        ([], [], NAMES),
        (["+1"], [], NAMES),
        (["base"], ["db=user_db"], ["user_db"]),
        (["heads"], ["db=user_db, auth_db"], ["auth_db", "user_db"]),
        (["heads"], ["db=user_db", "db=auth_db"], ["auth_db", "user_db"]),
        (["user_db@head"], [], ["user_db"]),
        (["user_db@-1"], [], ["user_db"]),
        (["auth_0001@head"], [], ["auth_db"]),
        (["user_log_0003"], [], ["user_log_db"]),
        (["user_0001+2"], [], ["user_db"]),
        (["user_0"], ["db=user_db"], ["user_db"]),
        (["user_db@head", "auth_0001"], [], ["auth_db", "user_db"]),
    ],
)
def test_a_command_addresses(symbols: list[str], x_arguments: list[str], expected: list[str]) -> None:
    assert addressed(symbols, x_arguments, NAMES) == expected


@pytest.mark.parametrize(
    ("symbols", "x_arguments", "message"),
    [
        (["user_db"], [], "user_db is a database: say user_db@head"),
        (["user_db@"], [], "'user_db@' names no revision"),
        (["usr_db@head"], [], "there is no database 'usr_db'; did you mean user_db?"),
        (["4f2c1a"], [], "no database has a revision '4f2c1a'"),
        (["heads"], ["db=zzz"], "there is no database 'zzz': there are auth_db, user_db, user_log_db"),
        (["heads"], ["db="], "-x db= names no database"),
        (["heads"], ["dbs=auth_db"], "-x dbs= is not known; did you mean db?"),
        (["auth_db@head"], ["db=user_db"], "-x db= names user_db, but auth_db@head is of auth_db"),
    ],
)
def test_a_command_is_refused(symbols: list[str], x_arguments: list[str], message: str) -> None:
    with pytest.raises(MigrationError) as refused:
        addressed(symbols, x_arguments, NAMES)
    assert str(refused.value).startswith(message)


def test_the_prefix_of_a_revision_is_no_longer_name_that_begins_with_it() -> None:
    assert owner_of("user_log_0001", NAMES) == "user_log_db"
    assert owner_of("user_0001", NAMES) == "user_db"
    assert owner_of("user_x_0001", NAMES) is None


def test_the_last_x_argument_of_a_name_counts() -> None:
    assert option(["jobs=1", "jobs=2"], "jobs") == "2"
    assert option(["jobs=1"], "wait") is None
