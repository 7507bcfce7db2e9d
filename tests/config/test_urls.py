"""URLs of databases: which are the same place, and what is shown of them."""

import pytest

from multidb.config import urls
from multidb.errors import ConfigError


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_every_form_of_postgresql_means_psycopg2(scheme: str) -> None:
    assert urls.parse(f"{scheme}://u:p@h/d", "here").drivername == "postgresql+psycopg2"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("auth_db", "not a URL"),
        ("mysql://h/d", "mysql:// is not supported: use postgresql:// or sqlite:///"),
        ("postgersql://h/d", "is not supported: use postgresql:// or sqlite:///; did you mean postgresql?"),
        ("postgresql://u:p@ss@h/d", "the password has an @ in it: write it as %40"),
        ("sqlite:///x.db?mode=ro", "options are not supported for SQLite"),
    ],
)
def test_another_url_is_refused_without_its_password(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as refused:
        urls.parse(text, "AUTH_DB_URL")
    assert str(refused.value).startswith("AUTH_DB_URL: ")
    assert problem in str(refused.value)
    assert "p@ss" not in str(refused.value)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("postgresql://a:x@localhost/d", "postgresql://b:y@127.0.0.1:5432/d"),
        ("postgresql:///d", "postgresql://localhost/d"),
        ("postgresql://h/d", "postgres://h:5432/d?application_name=x"),
        ("postgresql://h/x?dbname=d", "postgresql://h/d"),
    ],
)
def test_two_urls_of_one_place_are_known_as_one(one: str, other: str) -> None:
    assert urls.place_of(urls.parse(one, "")) == urls.place_of(urls.parse(other, ""))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("postgresql://h/d", "postgresql://h/e"),
        ("postgresql://h/d", "postgresql://h:5433/d"),
        ("sqlite:///a.db", "sqlite:///b.db"),
        ("sqlite:///d", "postgresql://h/d"),
    ],
)
def test_two_places_are_two(one: str, other: str) -> None:
    assert urls.place_of(urls.parse(one, "")) != urls.place_of(urls.parse(other, ""))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u@h/d", "h:5432"),
        ("postgresql://u@h:5433/d", "h:5433"),
        ("postgresql://u@/d?host=a,b&port=5432,5433", "a:5432, b:5433"),
        ("postgresql://u@/d?host=a:5433&host=b", "a:5433, b:5432"),
        ("postgresql://u@/d?host=/run/postgresql", "/run/postgresql:5432"),
    ],
)
def test_a_message_names_all_hosts_of_a_server(url: str, shown: str) -> None:
    assert urls.server_text(urls.parse(url, "")) == shown


def test_a_shown_url_has_no_password_and_no_secret_option() -> None:
    url = urls.parse("postgresql://u:s3cret@h/d?sslpassword=s3cret&sslmode=require", "")
    assert str(urls.without_secrets(url)) == "postgresql+psycopg2://u@h/d?sslmode=require"
    assert urls.secrets_of(url) == {"password": "s3cret", "sslpassword": "s3cret"}
