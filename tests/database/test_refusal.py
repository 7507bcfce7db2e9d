"""Why a connection failed is read as a fact, never from the text of a message."""

import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Thread

import psycopg2
import pytest

from multidb.config import urls
from multidb.config.urls import parse
from multidb.database.connections import connect_arguments
from multidb.database.refusal import Refusal, refusal
from tests.support.project import Postgres, query


@pytest.fixture
def crowded(another: Postgres) -> Iterator[str]:
    """The URL of a database that lets one session in, which is there already."""
    name = "crowded"
    another.clone("template_empty", name)
    another.as_admin(f"ALTER DATABASE {name} CONNECTION LIMIT 1")
    with ExitStack() as opened:
        held = psycopg2.connect(another.url(name))
        opened.callback(held.close)
        yield another.url(name)
    another.drop(name)


def why(url: str, **changes: object) -> Refusal:
    return refusal(connect_arguments(parse(url, "the test")) | changes)


def test_a_server_that_refuses_says_why(postgres: Postgres) -> None:
    url = postgres.url("template_empty")
    assert why(url, password="wrong") == Refusal("28P01", is_reachable=True)
    assert why(url, dbname="nowhere") == Refusal("3D000", is_reachable=True)
    assert not why(url, password="wrong").is_transient
    assert why(url, dbname="nowhere").is_transient


def test_a_server_without_room_is_busy(crowded: str) -> None:
    found = why(crowded)
    assert (found.sqlstate, found.is_busy, found.is_transient) == ("53300", True, True)


def test_a_server_that_does_not_answer_may_answer_later(postgres: Postgres) -> None:
    url = postgres.url("template_empty")
    assert why(url, port=1) == Refusal(None, is_reachable=False)
    assert why(url, host="no-such-host.invalid").is_transient
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert why(url, port=silent.getsockname()[1]).is_transient


def test_what_only_the_client_refuses_does_not_pass(postgres: Postgres) -> None:
    url = postgres.url("template_empty")
    assert why(url, sslmode="require") == Refusal(None, is_reachable=True)
    assert not why(url, sslmode="require").is_transient


def test_each_obstacle_has_its_next_step(postgres: Postgres, crowded: str) -> None:
    url = postgres.url("template_empty")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        found = {
            "28P01": why(url, password="wrong"),
            "3D000": why(url, dbname="nowhere"),
            "53300": why(crowded),
            "no password": why(url, password=""),
            "no certificate": why(url, sslmode="require"),
            "no host": why(url, host="no-such-host.invalid"),
            "no server": why(url, port=1),
            "no socket": why("postgresql://u@/d?host=/nowhere"),
            "no answer": why(url, port=silent.getsockname()[1]),
            "answers now": why(url),
        }
    steps = {name: each.next_step or "" for name, each in found.items()}
    assert [name for name, step in steps.items() if "firewall" in step] == ["no answer"]
    assert steps["28P01"].startswith("correct the user or the password")
    assert steps["3D000"] == "create it with `python -m multidb create`"
    assert steps["53300"].endswith("raise the limit of the database: `ALTER DATABASE … CONNECTION LIMIT`")
    assert "pgpass" in steps["no password"]
    assert "sslmode" in steps["no certificate"]
    assert steps["no host"] == "correct the host in the URL"
    assert steps["no server"].startswith("start the server, or correct host and port")
    assert steps["no socket"].startswith("start the server, or give a host")
    assert steps["answers now"].endswith("run again")
    assert {name for name, each in found.items() if each.is_busy} == {"53300", "answers now"}


def test_a_password_file_does_not_hide_the_reason(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "pgpass"
    file.write_text("*:*:*:*:wrong\n")
    file.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(file))
    assert why(postgres.url("template_empty"), password="").sqlstate == "28P01"


def test_what_nothing_proves_permanent_is_worth_a_retry() -> None:
    states = {
        "57P01": True,
        "08P01": True,
        "53200": True,
        "XX000": True,
        "28000": False,
        "42501": False,
        "22023": False,
    }
    assert {each: Refusal(each, is_reachable=True).is_transient for each in states} == states


def test_a_server_on_a_unix_socket_answers(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / ".s.PGSQL.5432"))
        listening.listen()

        def answer() -> None:
            for _ in range(2):
                connection, _ = listening.accept()
                with connection:
                    connection.recv(1024)
                    connection.sendall(b"N")

        thread = Thread(target=answer, daemon=True)
        thread.start()
        assert why(f"postgresql://u@/d?host={tmp_path}") == Refusal(None, is_reachable=True)
        thread.join(10)
    assert why(f"postgresql://u@/d?host={tmp_path / 'nowhere'}") == Refusal(None, is_reachable=False)


def test_of_several_hosts_the_first_is_asked(postgres: Postgres) -> None:
    assert why("postgresql://u@/d?host=127.0.0.1:1&host=127.0.0.1:2") == Refusal(None, is_reachable=False)
    host = urls.server_text(parse(postgres.url("template_empty"), "the test"))
    assert why(f"postgresql://u@/d?host={host}&host=127.0.0.1:1&sslmode=require").is_reachable


def test_a_connection_that_succeeds_now_is_worth_a_retry(postgres: Postgres) -> None:
    url = postgres.url("template_empty")
    assert why(url).is_transient
    assert query(url, "SELECT 1") == [(1,)]


def test_a_limit_of_the_role_is_not_the_databases_nor_the_servers(another: Postgres) -> None:
    another.as_admin("CREATE ROLE limited LOGIN PASSWORD 'x' CONNECTION LIMIT 0")
    url = another.url("template_empty").replace(another.url("").partition("//")[2].partition("@")[0], "limited:x")
    with pytest.raises(psycopg2.OperationalError, match="too many connections for role"):
        psycopg2.connect(url)
    found = why(url)
    another.as_admin("DROP ROLE limited")
    assert (found.sqlstate, found.is_busy) == ("53300", True)
    assert found.next_step == "run again later, or raise the limit of the role: `ALTER ROLE … CONNECTION LIMIT`"


def test_a_wrong_password_says_where_it_came_from(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.url("template_empty")
    in_url = why(url, password="wrong").next_step or ""
    assert in_url.startswith("correct the user or the password in the URL")
    url = re.sub(":[^:@]+@", "@", url)
    monkeypatch.setenv("PGPASSWORD", "wrong")
    assert "the password in PGPASSWORD" in (why(url).next_step or "")
    monkeypatch.delenv("PGPASSWORD")
    passwords = tmp_path / "passwords"
    passwords.write_text("*:*:*:*:wrong\n")
    passwords.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(passwords))
    assert "the password in the .pgpass file" in (why(url).next_step or "")
