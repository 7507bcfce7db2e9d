"""Database URLs: parsed in every common form, and shown without their secrets."""

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from multidb.advice.codes import Code
from multidb.config import url_forms
from multidb.errors import ConfigError, nearest

SECRET_OPTIONS = frozenset({"password", "sslpassword"})
_LOOPBACK = frozenset({None, "localhost", "127.0.0.1", "::1"})
# Of a URL, beside libpq's options: the command that prints the password of each connection.
PASSWORD_COMMAND = "multidb_password_command"  # noqa: S105 - no password
DIALECTS = {
    "postgres": "postgresql+psycopg2",
    "postgresql": "postgresql+psycopg2",
    "postgresql+psycopg2": "postgresql+psycopg2",
    "sqlite": "sqlite+pysqlite",
    "sqlite+pysqlite": "sqlite+pysqlite",
}


def parse(text: str, where: str) -> URL:
    """Parse a URL of one of the two dialects; PostgreSQL's driver is always psycopg2.

    SQLAlchemy 2.1 takes `postgresql://` for psycopg 3 and does not know `postgres://`; both are common. A text that is
    no such URL raises ConfigError, which names its origin, `where`.
    """
    text = text.strip()
    problem = url_forms.problem_of(text)
    if problem:
        raise ConfigError(Code.URL, f"{where}: {problem}")
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        # Not chained: SQLAlchemy's message may repeat a piece of the password.
        raise ConfigError(
            Code.URL,
            f"{where}: not a URL: write postgresql://user:***@host:port/name, "
            "with special characters of the password percent-encoded",
        ) from None
    driver = DIALECTS.get(url.drivername)
    if driver is None and url.drivername.partition("+")[0] in ("postgres", "postgresql"):
        raise ConfigError(
            Code.URL, f"{where}: {url.drivername}:// names another driver: write postgresql://, for psycopg2"
        )
    if driver is None:
        raise ConfigError(
            Code.URL,
            f"{where}: {url.drivername}:// is not supported: use postgresql:// or sqlite:///"
            + nearest(url.drivername, DIALECTS),
        )
    if driver.startswith("sqlite") and url.query:
        raise ConfigError(Code.URL, f"{where}: options are not supported for SQLite: leave out what follows the ?")
    problem = url_forms.problem_of_options(text.partition("?")[2]) if not driver.startswith("sqlite") else None
    if problem:
        raise ConfigError(Code.URL, f"{where}: {problem}")
    url = url.set(drivername=driver)
    # libpq lets the option win over the name in the path.
    database = url.query.get("dbname")
    return url.difference_update_query(["dbname"]).set(database=str(database)) if database else url


def is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def secrets_of(url: URL) -> dict[str, str]:
    """The secrets of a URL, by libpq's names for them."""
    found = {key: str(value) for key, value in url.query.items() if key in SECRET_OPTIONS}
    if url.password is not None:
        found["password"] = str(url.password)
    return found


def with_role(url: URL, role: str) -> URL:
    """The URL of sessions that have a role from their start, to which RESET ROLE returns.

    Spaces and backslashes are escaped: https://www.postgresql.org/docs/current/libpq-connect.html, `options`.
    """
    escaped = role.replace("\\", "\\\\").replace(" ", "\\ ")
    given = url.query.get("options")
    return url.update_query_dict({"options": f"{given} -c role={escaped}" if given else f"-c role={escaped}"})


def without_secrets(url: URL) -> URL:
    """The URL without its secrets, for output and for code that may print it."""
    shown = url.difference_update_query([*sorted(SECRET_OPTIONS), PASSWORD_COMMAND])
    return URL.create(url.drivername, url.username, None, url.host, url.port, url.database, shown.query)


def server_of(url: URL) -> tuple[object, ...]:
    """The identity of a PostgreSQL server, as far as a URL tells."""
    if "service" in url.query:
        return ("service", str(url.query["service"]))
    hosts, ports = _address_of(url)
    return ("localhost" if hosts in _LOOPBACK else hosts, str(ports))


def server_text(url: URL) -> str:
    """A PostgreSQL server as messages name it: `host:port`, several of them, or the service of a file of libpq's."""
    if "service" in url.query:
        return f"the service {url.query['service']}"
    given, port = _address_of(url)
    hosts, ports = _each(given or "localhost"), _each(port)
    ports = ports if len(ports) == len(hosts) else ports[:1] * len(hosts)
    # SQLAlchemy's own form has the port in the host: `?host=a:5432&host=b:5432`.
    named = (host if host.count(":") == 1 else f"{host}:{port}" for host, port in zip(hosts, ports, strict=True))
    return ", ".join(named)


def _address_of(url: URL) -> tuple[str | tuple[str, ...] | None, str | tuple[str, ...]]:
    """Host and port of a URL, or several, as they are written."""
    hosts = url.query.get("hostaddr") or url.query.get("host") or url.host
    return hosts, url.query.get("port", str(url.port or 5432))


def _each(value: str | tuple[str, ...]) -> list[str]:
    """The values of an option that is repeated, or whose values have commas between them."""
    return [each for text in ((value,) if isinstance(value, str) else value) for each in text.split(",")]


def place_of(url: URL) -> tuple[object, ...]:
    """The identity of a database, as far as a URL tells; the role does not matter."""
    if is_sqlite(url):
        return ("sqlite", url.database)
    return (*server_of(url), url.database)
