"""Where a database's URL comes from, and that what was written is what is used."""

import os
import string
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import make_url

from multidb.config import reader, urls
from multidb.config.configuration import Configuration, Database, Scalar, revision_prefix
from multidb.errors import ConfigError
from tests.support.project import EXAMPLE

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True)
PASSWORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1)
SCHEMES = st.sampled_from(["postgresql", "postgres", "postgresql+psycopg2"])
# How fast examples come says more about the machine.
not_asked = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
quick = settings(max_examples=200, deadline=None, suppress_health_check=not_asked)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for key in list(os.environ):
        if key.endswith(("_URL", "_URL_FILE")):
            monkeypatch.delenv(key)
    return tmp_path


def _one(folder: Path, text: str, name: str = "auth_db") -> Database:
    (folder / "databases.yaml").write_text(text, encoding="utf-8")
    return reader.load(folder / "databases.yaml").databases([name])[0]


@quick
@given(SCHEMES, PASSWORDS, st.integers(1, 65535), st.sampled_from(["", "?sslmode=verify-full&sslrootcert=/a%20b"]))
def test_a_percent_encoded_password_and_the_options_come_through(
    folder: Path, scheme: str, password: str, port: int, options: str
) -> None:
    url = f"{scheme}://neighbor:{quote(password, safe='')}@db.example:{port}/auth{options}"
    database = _one(folder, yaml.safe_dump({"databases": {"auth_db": {"models": "models.auth", "url": url}}}))
    assert database.url.drivername == "postgresql+psycopg2"
    assert urls.secrets_of(database.url) == {"password": password}
    assert (database.url.host, database.url.port, database.url.database) == ("db.example", port, "auth")
    assert dict(database.url.query) == ({"sslmode": "verify-full", "sslrootcert": "/a b"} if options else {})


@quick
@given(PASSWORDS, st.sampled_from(["", "?password=", "?sslpassword="]))
def test_no_password_is_in_what_is_shown(folder: Path, password: str, option: str) -> None:
    encoded = quote(password, safe="")
    url = f"postgresql://u:{encoded}@h/d{option}{encoded if option else ''}"
    database = _one(folder, yaml.safe_dump({"databases": {"auth_db": {"models": "m", "url": url}}}))
    assert database.public_url.render_as_string(hide_password=False) == "postgresql+psycopg2://u@h/d"


@quick
@given(st.text(string.printable))
def test_any_text_is_a_url_or_one_line_of_error(text: str) -> None:
    try:
        urls.parse(text, "AUTH_DB_URL")
    except ConfigError as error:
        assert str(error).startswith("AUTH_DB_URL: ")
        assert "\n" not in str(error)


@quick
@given(st.text(), st.text(st.characters(exclude_characters="}"), min_size=1))
def test_a_variable_is_expanded_to_exactly_its_value(folder: Path, value: str, default: str) -> None:
    configuration = Configuration(folder, None, {}, {"GIVEN": value})
    scalar = Scalar("<${GIVEN:-x}><${MISSING:-" + default + "}>", 1)
    assert configuration.expanded(scalar) == f"<{value or 'x'}><{default}>"


@quick
@given(st.lists(NAMES, min_size=1, max_size=8, unique_by=revision_prefix))
def test_the_databases_come_in_the_files_order_each_on_the_server(folder: Path, names: list[str]) -> None:
    lines = ["server: postgresql://u:p@h:5/", "databases:", *(f"  {name!r}: {{models: m}}" for name in names)]
    (folder / "databases.yaml").write_text("\n".join(lines))
    configuration = reader.load(folder / "databases.yaml")
    assert configuration.names == names
    assert [each.url.database for each in configuration.databases(names)] == names


@quick
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_yaml_is_a_configuration_or_one_line_of_error(folder: Path, document: object) -> None:
    path = folder / "databases.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        reader.load(path)
    assert str(caught.value).startswith("databases.yaml")
    assert "\n" not in str(caught.value).replace(repr(document), "")


def test_the_default_server_is_the_one_on_this_machine(folder: Path) -> None:
    text = (EXAMPLE / "databases.yaml").read_text()
    assert _one(folder, text).url == make_url("postgresql+psycopg2://neighbor:password@localhost:5432/auth_db")
    assert _one(folder, text, "investment_db").url == make_url(f"sqlite+pysqlite:///{folder}/investment.db")


def test_the_environment_overrides_any_entry(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "databases: {auth_db: {models: m, url: 'postgresql://h/one'}}"
    monkeypatch.setenv("AUTH_DB_URL", "postgres://h/two")
    assert _one(folder, text).url.database == "two"
    monkeypatch.setenv("AUTH_DB_URL", "")
    assert _one(folder, text).url.database == "one"
    (folder / "secret").write_text("postgresql://u:p@h/three\n")
    monkeypatch.setenv("AUTH_DB_URL_FILE", str(folder / "secret"))
    assert _one(folder, text).url.database == "three"


def test_a_server_url_keeps_its_options_for_each_database(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_SERVER_URL", "postgresql://u:p@h:6?sslmode=require")
    text = (EXAMPLE / "databases.yaml").read_text()
    assert _one(folder, text).url == make_url("postgresql+psycopg2://u:p@h:6/auth_db?sslmode=require")


def test_what_is_exported_comes_before_what_bin_up_left(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".local").mkdir()
    (folder / ".local/env").write_text("DATABASE_SERVER_URL=postgresql://u:p=q@local:1\n")
    text = "server: ${DATABASE_SERVER_URL}\ndatabases: {auth_db: {models: m}}"
    assert _one(folder, text).url.host == "local"
    assert _one(folder, text).url.password == "p=q"
    monkeypatch.setenv("DATABASE_SERVER_URL", "postgresql://exported")
    assert _one(folder, text).url.host == "exported"


@pytest.mark.parametrize(
    ("text", "said"),
    [("not a url", "should be|not a URL"), ("postgresql://h:5432\npostgresql://h:5433\n", "several lines")],
)
def test_a_mistake_in_a_secrets_file_names_that_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    (folder / "secret").write_text(text)
    monkeypatch.setenv("DATABASE_SERVER_URL_FILE", str(folder / "secret"))
    with pytest.raises(ConfigError, match=said) as failed:
        _one(folder, "server: ${DATABASE_SERVER_URL}\ndatabases: {auth_db: {models: models.auth}}\n")
    assert f"DATABASE_SERVER_URL_FILE: {folder}/secret" in str(failed.value)


def test_the_servers_url_may_come_from_a_file(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (folder / ".local").mkdir()
    (folder / ".local/env").write_text("DATABASE_SERVER_URL=postgresql://neighbor@private:5432\n")
    secret = tmp_path / "server-url"
    secret.write_text("postgresql://neighbor:pa%40ss@db.example:5432\n")
    monkeypatch.setenv("DATABASE_SERVER_URL_FILE", str(secret))
    (folder / "databases.yaml").write_text(
        "server: ${DATABASE_SERVER_URL:-postgresql://neighbor@localhost}\ndatabases: {auth_db: {models: models.auth}}\n"
    )
    [database] = reader.load(folder / "databases.yaml").databases(["auth_db"])
    assert (database.url.host, database.url.password) == ("db.example", "pa@ss")


def test_a_setting_may_be_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "lock_hold: ${HOLD:-0}\njobs: ${JOBS:-2}\ndatabases:\n  auth_db: {models: m, lock_timeout: '${HOLD:-1s}'}\n"
    (tmp_path / "databases.yaml").write_text(lines)
    assert reader.load(tmp_path / "databases.yaml").options == {"lock_hold": 0.0, "jobs": 2}
    monkeypatch.setenv("HOLD", "10s")
    read = reader.load(tmp_path / "databases.yaml")
    assert (read.options["lock_hold"], read.entries["auth_db"].options) == (10.0, {"lock_timeout": 10.0})
    monkeypatch.setenv("HOLD", "long")
    with pytest.raises(ConfigError, match=r"databases.yaml:4: lock_timeout \(HOLD\): 'long' should be a time"):
        reader.load(tmp_path / "databases.yaml")
