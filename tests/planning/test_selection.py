"""Which databases a command addresses, by its revisions and by `-x db=`."""

import pytest

from multidb.errors import MigrationError
from multidb.planning.selection import addressed, option

NAMES = ["auth_db", "user_db", "user_log_db"]
# What the files have: revisions, numbered and not, and the branch labels of two databases.
FILES = {
    "auth_db": ["auth_0001", "4f2c1a", "expand", "contract"],
    "user_db": ["user_0001", "4f2d00", "expand"],
    "user_log_db": ["user_log_0003"],
}


def owners(word: str) -> set[str]:
    exact = {name for name, words in FILES.items() if word in words}
    return exact or {name for name, words in FILES.items() if any(each.startswith(word) for each in words)}


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
        (["4f2c1a"], [], ["auth_db"]),
        (["4f2c"], [], ["auth_db"]),
        (["4f2c+1"], [], ["auth_db"]),
        (["4f2"], ["db=user_db"], ["user_db"]),
        (["contract@head"], [], ["auth_db"]),
        (["expand@head"], [], ["auth_db", "user_db"]),
        (["expand@+1"], ["db=user_db"], ["user_db"]),
    ],
)
def test_a_command_addresses(symbols: list[str], x_arguments: list[str], expected: list[str]) -> None:
    assert addressed(symbols, x_arguments, NAMES, owners) == expected


@pytest.mark.parametrize(
    ("symbols", "x_arguments", "message"),
    [
        (["user_db"], [], "user_db is a database: say user_db@head"),
        (["user_db@"], [], "'user_db@' names no revision"),
        (["usr_db@head"], [], "there is no database 'usr_db'; did you mean user_db?"),
        (["zzz@head"], [], "there is no database 'zzz', and no branch has such a label: there are auth_db"),
        (["ffff"], [], "no database has a revision 'ffff'"),
        (["4f2"], [], "4f2 is ambiguous: auth_db, user_db have it"),
        (["contract@head"], ["db=user_db"], "-x db= names user_db, but contract@head is of auth_db"),
        (["user_0009"], [], "user_db: Can't locate revision identified by 'user_0009'"),
        (["heads"], ["db=zzz"], "there is no database 'zzz': there are auth_db, user_db, user_log_db"),
        (["heads"], ["db="], "-x db= names no database"),
        (["heads"], ["dbs=auth_db"], "-x dbs= is not known; did you mean db?"),
        (["auth_db@head"], ["db=user_db"], "-x db= names user_db, but auth_db@head is of auth_db"),
    ],
)
def test_a_command_is_refused(symbols: list[str], x_arguments: list[str], message: str) -> None:
    with pytest.raises(MigrationError) as refused:
        addressed(symbols, x_arguments, NAMES, owners)
    assert str(refused.value).startswith(message)


def test_the_last_x_argument_of_a_name_counts() -> None:
    assert option(["jobs=1", "jobs=2"], "jobs") == "2"
    assert option(["jobs=1"], "wait") is None
