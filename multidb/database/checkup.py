"""What tends to be wrong before a first run, asked of each database: nothing is locked and nothing is written."""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from multidb.config import urls
from multidb.config.configuration import Database
from multidb.database.probe import POOLED, Probe, ProbeResult
from multidb.database.quoting import quoted
from multidb.errors import reason_of, said_of

_OLDEST = 150000  # PostgreSQL 15, as server_version_num
_SKEW = 5.0  # seconds by which two clocks may differ
_QUERY = """
    SELECT current_setting('server_version'), current_setting('server_version_num')::int,
           (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), current_user::text, session_user::text,
           pg_get_userbyid(d.datdba)::text, pg_has_role(d.datdba, 'USAGE'), current_schema()::text,
           has_schema_privilege(current_schema(), 'CREATE'), current_setting('max_prepared_transactions')::int,
           (SELECT min(free) FROM (VALUES
               (current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
                - (SELECT count(*)::int FROM pg_stat_activity WHERE backend_type = 'client backend')),
               ((SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = session_user)
                - (SELECT count(*)::int FROM pg_stat_activity WHERE usename = session_user))
           ) AS limits (free)),
           nullif(d.datconnlimit, -1), extract(epoch FROM clock_timestamp())::float,
           ARRAY(SELECT name::text FROM pg_available_extensions WHERE name = ANY (%(extensions)s)),
           ARRAY(SELECT extname::text FROM pg_extension WHERE extname = ANY (%(extensions)s))
    FROM pg_database d WHERE d.datname = current_database()
"""


@dataclass(frozen=True)
class Check:
    """One line: what was looked at, what was found, and what to type; None if it is fine."""

    subject: str
    found: str
    advice: str | None = None


@dataclass(frozen=True)
class Needs:
    """What a run of all databases needs of one server, besides what it has."""

    slots: int  # for prepared transactions
    connections: int  # of one login, at the same time


def checks_of(probe: Probe, needs: Needs) -> list[Check]:
    """What there is to say of a database; of one that can't be reached, why."""
    try:
        result = probe.result()
        return list(_of_sqlite(probe.database) if probe.database.is_sqlite else _of_postgresql(probe, result, needs))
    except Exception as error:  # whatever the cause, the other databases are looked at
        return [Check("reachable", "no", said_of(error))]


def _of_sqlite(database: Database) -> Iterator[Check]:
    path = Path(database.url.database or "")
    yield Check("reachable", str(path))
    for subject, place in (("file", path), ("folder", path.parent)):
        if os.access(place, os.W_OK):
            yield Check(subject, "writable")
        else:
            yield Check(subject, "not writable", f"chmod u+w {place}")


def _of_postgresql(probe: Probe, result: ProbeResult, needs: Needs) -> Iterator[Check]:
    database = probe.database
    with probe.connection.cursor() as cursor:
        cursor.execute(_QUERY, {"extensions": list(database.extensions)})
        row = cursor.fetchone()
    (
        version, number, has_tls, role, login, owner, is_owner, schema, may_create, slots, free, limit, server_time,
        available, there,
    ) = row  # fmt: skip
    name = quoted(database.url.database or "")
    yield Check("reachable", urls.server_text(database.url), POOLED if result.is_pooled else None)
    yield Check("server", f"PostgreSQL {version}", "use PostgreSQL 15 or newer" if number < _OLDEST else None)
    yield _tls(database, has_tls=bool(has_tls))
    yield Check("role", role if role == login else f"{role}, by the login {login}")
    yield Check("writable", "no" if result.read_only else "yes", _read_only(result))
    yield Check(
        "owner of the database", owner, None if is_owner else f"as a superuser: ALTER DATABASE {name} OWNER TO {role}"
    )
    if result.owner is not None:
        yield Check("owner of the tables", result.owner, f"write `role: {result.owner}` in databases.yaml")
    grant = f"as {owner}: GRANT CREATE ON SCHEMA {schema or 'public'} TO {role}"
    yield Check("schema", f"{schema or 'none'} of search_path", None if may_create else grant)
    yield from _extensions(database, available, there)
    short = f"ALTER SYSTEM SET max_prepared_transactions = 64, then restart the server: a run needs {needs.slots}"
    yield Check("slots for prepared transactions", f"{result.free_slots} of {slots} free",
                short if result.free_slots < needs.slots else None)  # fmt: skip
    yield _connections(free, limit, needs)
    skew = abs(server_time - time.time())
    yield Check("clock", f"differs by {skew:.0f} s", "synchronise the clocks (NTP)" if skew > _SKEW else None)


def _tls(database: Database, *, has_tls: bool) -> Check:
    is_local = urls.server_of(database.url)[0] == "localhost" or str(database.url.query.get("host", "")).startswith("/")
    advice = None if has_tls or is_local else "write ?sslmode=verify-full in the URL"
    return Check("TLS", "on" if has_tls else "off, and the server is this machine" if is_local else "off", advice)


def _read_only(result: ProbeResult) -> str | None:
    try:
        result.check_writable()
    except Exception as error:  # which says why
        return reason_of(error)
    return None


def _extensions(database: Database, available: Sequence[str], there: Sequence[str]) -> Iterator[Check]:
    for extension in database.extensions:
        if extension in there:
            yield Check(f"extension {extension}", "there")
        elif extension in available:
            yield Check(f"extension {extension}", "available", "python -m multidb create")
        else:
            package = "postgresql-NN-postgis-3" if extension.startswith("postgis") else f"the package of {extension}"
            yield Check(f"extension {extension}", "not on the server", f"install it there (Debian: {package})")


def _connections(free: int, limit: int | None, needs: Needs) -> Check:
    wanted = f"a run needs {needs.connections}: raise the limit of the role or the server, or close others"
    if limit is not None and limit < 1:
        return Check("connections", f"the database allows {limit}", "raise CONNECTION LIMIT of the database")
    return Check("connections", f"{free} free", wanted if free < needs.connections else None)
