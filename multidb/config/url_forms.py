"""What other tools write as a URL of a database, and what to write here instead; never with a password."""

import re
from urllib.parse import parse_qsl

import psycopg2
from psycopg2.extensions import make_dsn

from multidb.errors import nearest

_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_HOST = r"(?:\[[^\]]*\]|[^:/?@\[\]]*)"
_WRITE = "write postgresql://user:***@host:port/name"
_SEARCH_PATH = "write ?options=-csearch_path%3DNAME, or `ALTER ROLE … SET search_path`"
# Options that libpq does not have, with what to write in their place.
_FOREIGN_OPTIONS = {
    **dict.fromkeys(("schema", "currentSchema", "search_path"), _SEARCH_PATH),
    "pgbouncer": "leave it out, and use the server's own port, not the pool's",
    "user": "write the user in front of the host",
    "ssl": "write ?sslmode=require",
    "sslaccept": "write ?sslmode=require, or ?sslmode=verify-full",
}


def problem_of(text: str) -> str | None:
    """What is wrong with a text that SQLAlchemy can't parse as a URL, or would take for another one."""
    if text[:1] in "\"'" and text:
        return "the value has quotation marks, which docker's --env-file keeps: leave them out"
    if text.startswith("jdbc:"):
        return f"jdbc: is for Java: {_corrected(text.removeprefix('jdbc:'))}"
    if re.match(r"\s*\w+\s*=", text):
        return f"a connection string of keys and values: {_WRITE}"
    authority = re.match(r"[\w+.]+://([^?#]*)", text)
    if authority is None or text.startswith("sqlite"):
        return None
    if authority[1].count("@") > 1:
        return "the password has an @ in it: write it as %40"
    address = authority[1].rpartition("@")[2].partition("/")[0]
    if "," in address:
        pairs = [each.rpartition(":") if ":" in each else (each, "", "5432") for each in address.split(",")]
        hosts, ports = ",".join(pair[0] for pair in pairs), ",".join(pair[2] for pair in pairs)
        return f"several hosts: write postgresql://user:***@/name?host={hosts}&port={ports}"
    if re.fullmatch(rf"{_HOST}:.*\D.*", address):  # which may be a piece of a password, and is not repeated
        return f"the port is no number: {_WRITE}, with special characters of the password percent-encoded"
    return None


def problem_of_options(query: str) -> str | None:
    """Which option of a URL libpq does not know, or does not take the value of; None if it takes all.

    Args:
        query: what follows the ?.
    """
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key in _FOREIGN_OPTIONS:
            return f"?{key}= is no option of libpq: {_FOREIGN_OPTIONS[key]}"
        if not _is_known(key):
            return f"?{key}= is no option of libpq: leave it out{nearest(key, _COMMON)}"
        if key == "sslmode" and value not in _SSL_MODES:
            return f"sslmode={value}: should be one of {', '.join(_SSL_MODES)}{nearest(value, _SSL_MODES)}"
    return None


_COMMON = (
    "application_name", "channel_binding", "connect_timeout", "dbname", "gssencmode", "host", "hostaddr", "keepalives",
    "options", "passfile", "password", "port", "service", "sslcert", "sslcrl", "sslkey", "sslmode", "sslpassword",
    "sslrootcert", "target_session_attrs", "tcp_user_timeout",
)  # fmt: skip


def _is_known(key: str) -> bool:
    try:
        make_dsn(**{key: "x"})
    except psycopg2.ProgrammingError:
        return False
    return True


def _corrected(text: str) -> str:
    """A URL of Java as it is written here."""
    address, _, query = text.partition("?")
    user = dict(parse_qsl(query)).get("user", "user")
    place = address.partition("://")[2]
    return f"write postgresql://{user}:***@{place.rpartition('@')[2]}"
