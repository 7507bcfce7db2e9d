"""Create the role, the databases and their extensions where they are missing.

On a server, only an administrator can create these. Each is looked up first, so that running the command again changes
nothing, and a database that the role itself can reach, with its extensions, needs no administrator.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from psycopg2.extensions import encrypt_password
from sqlalchemy import Connection, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from multidb.advice.codes import Code
from multidb.advice.known import NO_DATABASE
from multidb.config import urls
from multidb.config.configuration import ADMIN_VARIABLE, Database
from multidb.database import connections, journal
from multidb.database.probe import Probe, probing
from multidb.database.quoting import quoted
from multidb.database.refusal import ConnectionFailedError
from multidb.errors import MigrationError, explain, in_database
from multidb.output import Print

# invalid_catalog_name, and the two of a role that does not exist: invalid_authorization_specification, invalid_password
_MISSING = {NO_DATABASE, "28000", "28P01"}
# Another run was faster: duplicate_database, duplicate_object, unique_violation.
_ALREADY_EXISTS = {"42P04", "42710", "23505"}
_INSUFFICIENT_PRIVILEGE = "42501"
_IS_SUPERUSER = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"


class _NotAllowedError(Exception):
    """The administrator may not run a statement."""

    def __init__(self, statement: str, place: str) -> None:
        super().__init__(statement)
        self.statement, self.place = statement, place


def create(
    databases: Iterable[Database], admin: URL | None, print_line: Print, known: Sequence[Database], wait: float = 0
) -> bool:
    """Create what is missing, and return whether anything was.

    Args:
        admin: of a role that may create roles, databases and extensions; None where nothing should be missing.
        print_line: prints a line for each object created.
        known: all databases, whose journals tell whether an SQLite file that is missing has been there.
        wait: seconds to retry while one of these can't be reached.

    Raises:
        MigrationError: something is missing and `admin` is None or of another server, or may not create it, after
            all else has been created; or an SQLite file is missing that was there before.
    """
    created, left = False, []
    for database in sorted(databases, key=lambda each: each.is_sqlite):
        with in_database(database.name):
            problem = _problem(database)
            if problem is None:
                continue
            if database.is_sqlite:
                _check_new(database.name, [each for each in known if each.name != database.name], wait)
                print_line(f"{database.name}: created {_create_file(database)}")
                created = True
                continue
            if admin is None:
                raise MigrationError(Code.NOT_CREATED, f"{problem}: to create what is missing, set {ADMIN_VARIABLE}")
            _check_same_server(database, admin)
            try:
                for created_object in _create(database, admin):
                    created = True
                    print_line(f"{database.name}: created {created_object}")
            except _NotAllowedError as error:
                print_line(
                    f"{database.name}: {admin.username} may not: run `{error.statement}`{error.place} as a superuser"
                )
                left.append(database.name)
                continue
            # If nothing was missing, this raises what keeps the role out: a wrong password, no right to connect.
            connections.connect(database.url).close()
    if left:
        raise MigrationError(Code.NOT_CREATED, f"{', '.join(left)}: run what the lines above say, and then this again")
    return created


def _problem(database: Database) -> str | None:
    """What is missing, in the server's words, or which extension is."""
    try:
        with connections.connect(database.url) as connection:
            extensions = [] if database.is_sqlite else _missing_extensions(connection, database)
    except ConnectionFailedError as error:
        if error.refusal.sqlstate in _MISSING:
            return error.said
        raise
    return f"extension {extensions[0]} is missing" if extensions else None


def _check_new(name: str, others: Sequence[Database], wait: float) -> None:
    """Raise MigrationError if another database has been migrated together with an SQLite file that is missing now.

    The journal in that file may have the decision on prepared transactions: an empty one would lose it.
    """
    with probing(others, wait) as probes:
        for probe in probes:
            try:
                run = _run_with(name, probe)
            except MigrationError as error:
                raise MigrationError(
                    Code.FILE_LOST,
                    f"its file is missing, and whether there was one can't be found out: {explain(error)}",
                    name,
                ) from error
            if run is not None:
                raise MigrationError(
                    Code.FILE_LOST,
                    f"its file is missing, and the journal of {probe.database.name} has run {run}, which changed "
                    "both: mount its volume, or restore the file from a backup",
                )


def _run_with(name: str, probe: Probe) -> str | None:
    """A run that a database knows to have changed another one, too."""
    with in_database(probe.database.name):
        try:
            result = probe.result()
        except ConnectionFailedError as error:
            if error.refusal.sqlstate != NO_DATABASE:
                raise
            return None  # a database that is missing, too, has no journal
        with connections.around(probe.database.url, lambda: probe.connection) as connection:
            found = [row.run for row in journal.rows(connection, probe.database) if name in row.participants]
    found += [prepared.attempt for prepared in result.in_doubt if prepared.decider == name]
    return found[-1] if found else None


def _create_file(database: Database) -> str:
    """Create an empty SQLite file. MigrationError if its folder is missing: a volume may not be mounted."""
    path = Path(database.url.database or "")
    try:
        path.touch(exist_ok=False)
    except FileExistsError:  # another process was faster
        pass
    except OSError as error:
        raise MigrationError(Code.FILE_NOT_OPENED, f"{path} can't be created: {error.strerror}") from error
    return str(path)


def _check_same_server(database: Database, admin: URL) -> None:
    """Send an administrator's password to no other server than its own."""
    if urls.server_of(database.url) != urls.server_of(admin):
        raise MigrationError(
            Code.NOT_CREATED,
            f"is on {urls.server_text(database.url)}, the administrator's URL on {urls.server_text(admin)}: "
            "create each server's databases by itself",
        )


def _create(database: Database, admin: URL) -> Iterable[str]:
    name, owner = database.url.database, database.role or database.url.username
    if name is None:
        raise MigrationError(
            Code.NOT_CREATED, "a service of libpq's names it: create it by hand, or write its name into the URL"
        )
    with _as_admin(admin) as connection:
        yield from _create_roles(connection, database)
        if not _exists(connection, "pg_database WHERE datname", str(name)):
            owned = f" OWNER {quoted(owner)}" if owner else ""
            if owned and not connection.exec_driver_sql(_IS_SUPERUSER).scalar():
                # An administrator who is no superuser may give a database only to a role that it is a member of.
                _run(connection, f"GRANT {quoted(owner or '')} TO CURRENT_USER")
            if _run(connection, f"CREATE DATABASE {quoted(str(name))}{owned} TEMPLATE template0 ENCODING 'UTF8'"):
                yield f"database {name}"
    with _as_admin(admin.set(database=name)) as connection:
        for extension in _missing_extensions(connection, database):
            if _run(connection, f"CREATE EXTENSION IF NOT EXISTS {quoted(extension)}", place=f" in {name}"):
                yield f"extension {extension}"


def _create_roles(connection: Connection, database: Database) -> Iterable[str]:
    """Create the role that logs in, and the one that its sessions have."""
    login, role = database.url.username, database.role
    if login and not _exists(connection, "pg_roles WHERE rolname", login):
        password = urls.secrets_of(database.url).get("password")
        if _run(connection, f"CREATE ROLE {quoted(login)} LOGIN", _hashed(connection, password, login)):
            yield f"role {login}"
    if role and not _exists(connection, "pg_roles WHERE rolname", role):
        if _run(connection, f"CREATE ROLE {quoted(role)}"):
            yield f"role {role}"
        if login:
            _run(connection, f"GRANT {quoted(role)} TO {quoted(login)}")


def _as_admin(url: URL) -> Connection:
    return connections.connect(url).execution_options(isolation_level="AUTOCOMMIT")


def _exists(connection: Connection, where: str, value: str) -> bool:
    # `where` is one of the texts above and no input.
    found = connection.execute(text(f"SELECT 1 FROM {where} = :value"), {"value": value})  # noqa: S608
    return found.scalar() is not None


def _missing_extensions(connection: Connection, database: Database) -> list[str]:
    existing = set(connection.exec_driver_sql("SELECT extname FROM pg_extension").scalars())
    return [extension for extension in database.extensions if extension not in existing]


def _run(connection: Connection, statement: str, secret: str = "", place: str = "") -> bool:
    """Run a CREATE; False if another run was faster. _NotAllowedError names it without its secret end.

    Args:
        place: where it has to be run, if that matters, for the message.
    """
    try:
        connection.exec_driver_sql(statement + secret)
    except DBAPIError as error:
        state = getattr(error.orig, "pgcode", None)
        if state in _ALREADY_EXISTS:
            return False
        if state == _INSUFFICIENT_PRIVILEGE:
            raise _NotAllowedError(statement, place) from error
        raise
    return True


def _hashed(connection: Connection, password: str | None, role: str) -> str:
    """A PASSWORD clause that shows no more than a hash to the server's log."""
    if password is None:
        return ""
    driver = connection.connection.driver_connection
    return f" PASSWORD '{encrypt_password(password, role, scope=driver, algorithm='scram-sha-256')}'"
