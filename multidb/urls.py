"""The URLs of databases: read in every form that people paste, and shown without what is secret in them."""

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from multidb.errors import ConfigError, nearest

SECRET_OPTIONS = frozenset({"password", "sslpassword"})
DIALECTS = {
    "postgres": "postgresql+psycopg2",
    "postgresql": "postgresql+psycopg2",
    "postgresql+psycopg2": "postgresql+psycopg2",
    "sqlite": "sqlite+pysqlite",
    "sqlite+pysqlite": "sqlite+pysqlite",
}


def parse(text: str, where: str) -> URL:
    """A URL of one of the two dialects, with psycopg2 as PostgreSQL's driver whatever the form.

    SQLAlchemy 2.1 takes `postgresql://` for psycopg 3 and does not know `postgres://`; both are what people paste.

    Args:
        text: the URL.
        where: who gave it, for messages.

    Raises:
        ConfigError: it isn't one, or of another dialect.
    """
    try:
        url = make_url(text.strip())
    except (ArgumentError, ValueError) as error:
        raise ConfigError(
            f"{where}: not a URL: write postgresql://user:password@host:port/name, "
            "with special characters of the password percent-encoded"
        ) from error
    if url.host and "@" in url.host:
        raise ConfigError(f"{where}: the password has an @ in it: write it as %40")
    driver = DIALECTS.get(url.drivername)
    if driver is None:
        raise ConfigError(
            f"{where}: {url.drivername}:// is not supported: use postgresql:// or sqlite:///"
            + nearest(url.drivername, DIALECTS)
        )
    return url.set(drivername=driver)


def secrets_of(url: URL) -> dict[str, str]:
    """What nobody may see of a URL, by libpq's name for it."""
    found = {key: str(value) for key, value in url.query.items() if key in SECRET_OPTIONS}
    if url.password is not None:
        found["password"] = str(url.password)
    return found


def without_secrets(url: URL) -> URL:
    """A URL as it may be shown, and handed to whatever might print it."""
    shown = url.difference_update_query(sorted(SECRET_OPTIONS))
    return URL.create(url.drivername, url.username, None, url.host, url.port, url.database, shown.query)


def place(url: URL) -> tuple[object, ...]:
    """What makes two URLs the same database, whoever connects and however."""
    if url.get_backend_name() == "sqlite":
        return ("sqlite", url.database)
    return (url.host, url.port or 5432, url.database, url.query.get("host"), url.query.get("port"))
