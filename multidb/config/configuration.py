"""databases.yaml and the environment variables that override it, as records.

Every mistake is reported with its line or its variable. No message repeats a URL that can't be parsed: it may hold a
password that was not escaped.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy.engine import URL

from multidb.advice.codes import Code
from multidb.config import settings, urls
from multidb.config.policy import Policy, PolicyEntry
from multidb.errors import ConfigError, nearest

# The URL of the server of every database that has no URL of its own.
SERVER_VARIABLE = "DATABASE_SERVER_URL"
# An administrator's URL, for what only an administrator can create.
ADMIN_VARIABLE = "DATABASE_ADMIN_URL"
# The URL of the server for scratch databases; overrides `scratch` in the file.
SCRATCH_VARIABLE = "SCRATCH_SERVER_URL"
_PASSWORD_COMMAND = "PASSWORD_COMMAND"  # noqa: S105 - the end of a variable's name
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
_PASSWORD = re.compile(r"[\w+.]+://[^/?#:@]*:([^@]*)@")  # of a URL
# PostgreSQL's limit; two names fit into the 200 bytes of a prepared transaction's name.
LONGEST_NAME = 63


@dataclass(frozen=True)
class VersionTable:
    """Where a database records its revisions: Alembic's `version_table` and `version_table_schema`."""

    name: str = "alembic_version"
    schema: str | None = None  # None for the one that is found in the catalogs: see database/places.py
    is_found: bool = False  # whether the schema was found there, rather than named in the file


DEFAULT_VERSION_TABLE = VersionTable()


@dataclass(frozen=True)
class Database:
    """An entry of databases.yaml, with its URL resolved."""

    name: str
    url: URL
    models: str
    extensions: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    version_table: VersionTable = DEFAULT_VERSION_TABLE
    naming_convention: Mapping[str, str] = field(default_factory=dict)  # of the revisions, as SQLAlchemy takes it
    role: str | None = None  # that its sessions have from their start; None for that of the login

    @property
    def is_sqlite(self) -> bool:
        return urls.is_sqlite(self.url)

    @property
    def can_prepare(self) -> bool:
        """Whether its transactions may be prepared: `two_phase: off` in its entry says that they can't be."""
        return not self.is_sqlite and self.options.get("two_phase") != "off"

    @property
    def public_url(self) -> URL:
        return urls.without_secrets(self.url)


@dataclass(frozen=True)
class Scalar:
    text: str
    line: int


@dataclass(frozen=True)
class Entry:
    """An entry of databases.yaml as it was written."""

    name: str
    line: int
    models: str
    url: Scalar | None
    extensions: tuple[str, ...]
    options: Mapping[str, Any]
    ignored: tuple[str, ...]
    version_table: VersionTable = DEFAULT_VERSION_TABLE
    naming_convention: Mapping[str, str] = field(default_factory=dict)
    policy: PolicyEntry = field(default_factory=PolicyEntry)
    role: Scalar | None = None


@dataclass(frozen=True)
class Configuration:
    """databases.yaml: the databases, and on demand their URLs."""

    path: Path
    server: Scalar | None
    entries: Mapping[str, Entry]
    variables: Mapping[str, str]
    options: Mapping[str, Any] = field(default_factory=dict)
    scratch: Scalar | None = None
    ignored: tuple[str, ...] = ()
    policy: PolicyEntry = field(default_factory=PolicyEntry)  # of all databases
    role: Scalar | None = None  # of all databases on PostgreSQL
    protected: bool = False  # of all databases
    # Each key as it is written, with its line; by the entry's name, which is empty at the top.
    written: Mapping[tuple[str, str], Scalar] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        return list(self.entries)

    def databases(self, names: Iterable[str]) -> list[Database]:
        """The named databases, in the file's order, with their URLs.

        Only these need a URL that can be resolved: a pod that migrates one database has no secrets of the others. A
        database whose URL can't be resolved is therefore not compared with the others for equal URLs.

        Raises:
            ConfigError: a URL is missing or can't be parsed, or two databases have the same one.
        """
        wanted = set(names)
        found: list[Database] = []
        owners: dict[tuple[object, ...], str] = {}
        for entry in self.entries.values():
            try:
                url = self._url(entry)
            except ConfigError:
                if entry.name in wanted:
                    raise
                continue
            place = urls.place_of(url)
            other = owners.setdefault(place, entry.name)
            if other != entry.name:
                raise ConfigError(
                    Code.SAME_DATABASE,
                    f"{other} and {entry.name} have the same URL, {urls.without_secrets(url)}: "
                    f"give each its own in {self.path.name} or in {variable(other)} and {variable(entry.name)}",
                )
            if entry.name in wanted:
                found.append(self.database_at(entry.name, url))
        return found

    def database_at(self, name: str, url: URL) -> Database:
        """A database of the file at any URL. ConfigError if it can't be there."""
        entry = self.entries[name]
        if urls.is_sqlite(url) and entry.version_table.schema:
            raise ConfigError(
                Code.CONFIGURATION_VALUE,
                f"{self.path.name}:{entry.line}: version_table_schema: {name} is on SQLite, which has no schemas: "
                "leave it out",
            )
        ignored = (*self.ignored, *entry.ignored)
        own = {"protected": self.protected, **entry.options}
        options = entry.extensions, own, ignored, entry.version_table, entry.naming_convention
        return Database(name, url, entry.models, *options, None if urls.is_sqlite(url) else self._role(entry))

    def policy_of(self, name: str, rules: Collection[str]) -> Policy:
        """The policy of a database's plans.

        Args:
            rules: the ids of the rules that there are.

        Raises:
            ConfigError: a rule is none of them.
        """
        policy = Policy()
        for entry in (self.policy, self.entries[name].policy):
            for rule, line in entry.lines.items():
                if rule not in rules:
                    raise ConfigError(
                        Code.CONFIGURATION_VALUE,
                        f"{self.path.name}:{line}: {rule} is no rule of plan{nearest(rule, rules)}",
                    )
            policy = policy.overridden(entry)
        return policy

    def origin(self, name: str, key: str) -> str:
        """Where a value comes from: its line and the variables in it, or that it is the default.

        Args:
            name: the database's; empty for a setting of a run.
            key: as the file has it.
        """
        former = {"ignore": "drift"}.get(key, key)  # as older files have it
        places = [(name, key), (name, former), ("", key), ("", former)]
        found = next((self.written[place] for place in places if place in self.written), None)
        if key == "url" and name:
            override = self._override(variable(name))
            if override:
                return override[1]
            found = self.written.get((name, key)) or self.server
        if found is None:
            return "default"
        overrides = [self._override(each) for each, _ in _VARIABLE.findall(found.text)]
        sources = [override[1] for override in overrides if override]
        made_of = f" ({', '.join(sources)})" if sources else ""
        return f"{self.path.name}:{found.line}{made_of}"

    def resolvable(self) -> list[Database]:
        """The databases whose URLs can be resolved by this process; it may have no secrets of the others."""
        found: list[Database] = []
        for name in self.names:
            with suppress(ConfigError):
                found += self.databases([name])
        return found

    def is_on_sqlite(self, name: str) -> bool:
        """Whether a database is on SQLite, as far as its URL can be resolved."""
        try:
            return urls.is_sqlite(self._url(self.entries[name]))
        except ConfigError:  # a variable that this process was not given
            written = self.entries[name].url
            return written is not None and written.text.startswith("sqlite")

    def _role(self, entry: Entry) -> str | None:
        written = entry.role or self.role
        return self.expanded(written) if written else None

    def _url(self, entry: Entry) -> URL:
        """The URL of a database, with what its sessions need beside that."""
        url = self._written_url(entry)
        if urls.is_sqlite(url):
            if entry.role:
                where = f"{self.path.name}:{entry.role.line}: role"
                raise ConfigError(
                    Code.CONFIGURATION_VALUE, f"{where}: {entry.name} is on SQLite, which has no roles: leave it out"
                )
            return url
        command = self._override(f"{entry.name.upper()}_{_PASSWORD_COMMAND}") or self._override(
            f"DATABASE_{_PASSWORD_COMMAND}"
        )
        if command:
            url = url.update_query_dict({urls.PASSWORD_COMMAND: command[0]})
        role = self._role(entry)
        return urls.with_role(url, role) if role else url

    def _written_url(self, entry: Entry) -> URL:
        override = self._override(variable(entry.name))
        if override:
            return self._parsed(*override)
        if entry.url:
            return self._parsed(self._expanded_url(entry.url), self._where(entry.url, entry.name))
        if self.server is None:
            raise ConfigError(
                Code.URL,
                f"{self.path.name}:{entry.line}: {entry.name} has no url and the file has no server: "
                f"give one of them, or set {variable(entry.name)}",
            )
        return self._parsed(self._expanded_url(self.server), self._where(self.server, "server"), database=entry.name)

    @property
    def scratch_url(self) -> URL | None:
        """The URL of an existing database on the server for scratch databases; None if no server is named."""
        found = self._override(SCRATCH_VARIABLE)
        if found is None and self.scratch is not None:
            found = self._expanded_url(self.scratch), self._where(self.scratch, "scratch")
        if found is None:
            return None
        text, where = found
        url = urls.parse(text, where)
        if urls.is_sqlite(url):
            raise ConfigError(
                Code.URL, f"{where}: should be a postgresql:// URL: SQLite needs no server to replay a branch"
            )
        return self._with_password(url if url.database else url.set(database="postgres"))

    def url_variable(self, key: str) -> URL | None:
        """The URL in an environment variable, or in the file that its `_FILE` names; None if neither is set."""
        found = self._override(key)
        return self._parsed(*found) if found else None

    def setting(self, key: str, written: Scalar) -> Any:
        """A setting as it is written in the file, with its variables replaced. ConfigError if it has no such value."""
        return settings.value(key, self.expanded(written), self._where(written, key))

    def _override(self, key: str) -> tuple[str, str] | None:
        """The value of an environment variable, or of the file that its `_FILE` names, and its origin for messages."""
        text, file = self.variables.get(key), self.variables.get(f"{key}_FILE")
        if text and file:
            raise ConfigError(Code.VARIABLE, f"{key} and {key}_FILE are both set: unset one")
        if file:
            try:
                text = Path(file).read_text(encoding="utf-8-sig").strip("\r\n")
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
                raise ConfigError(Code.VARIABLE, f"{key}_FILE: {file} can't be read: {reason}") from error
            if not text.strip():
                raise ConfigError(Code.VARIABLE, f"{key}_FILE: {file} is empty: it should hold the value of {key}")
            if "\n" in text:
                raise ConfigError(
                    Code.VARIABLE, f"{key}_FILE: {file} has several lines: it should hold the value of {key} alone"
                )
            return text, f"{key}_FILE: {file}"
        return (text, key) if text else None

    def _where(self, value: Scalar, what: str) -> str:
        """The origin of a value, for messages: its line, and the variables in it."""
        overrides = [self._override(name) for name, _ in _VARIABLE.findall(value.text)]
        sources = [override[1] for override in overrides if override]
        made_of = f" ({', '.join(sources)})" if sources else ""
        return f"{self.path.name}:{value.line}: {what}{made_of}"

    def expanded(self, value: Scalar) -> str:
        """The value with `${VAR}` and `${VAR:-default}` replaced; VAR_FILE names a file that holds VAR.

        Raises:
            ConfigError: a variable is not set, and there is no default.
        """
        return _VARIABLE.sub(lambda match: self._replaced(match, value.line), value.text)

    def _expanded_url(self, value: Scalar) -> str:
        """A URL as `expanded` gives it, with a password that is percent-encoded where a variable holds it."""
        masked = _VARIABLE.sub(lambda match: "x" * len(match[0]), value.text)
        userinfo = _PASSWORD.match(masked)
        start, end = userinfo.span(1) if userinfo else (0, 0)

        def replaced(match: re.Match[str]) -> str:
            found = self._replaced(match, value.line)
            is_password = start <= match.start() and match.end() <= end and self._override(match[1])
            return quote(found, safe="") if is_password else found

        return _VARIABLE.sub(replaced, value.text)

    def _replaced(self, match: re.Match[str], line: int) -> str:
        override = self._override(match[1])
        found = override[0] if override else match[2]
        if found is None:
            unset = f"{self.path.name}:{line}: ${{{match[1]}}} is not set"
            raise ConfigError(Code.VARIABLE_NOT_SET, f"{unset}: set it, or write ${{{match[1]}:-default}}")
        return str(found)

    def _parsed(self, text: str, where: str, database: str | None = None) -> URL:
        url = urls.parse(text, where)
        if database is not None:
            if urls.is_sqlite(url) or url.database:
                raise ConfigError(
                    Code.URL, f"{where}: should be a postgresql:// URL without a database: end it with the port"
                )
            url = url.set(database=database)
        if not url.database and not urls.is_sqlite(url):
            has_service = "service" in url.query or "PGSERVICE" in self.variables  # which names the database
            named = self.variables.get("PGDATABASE")
            if has_service or named:
                return self._with_password(url if has_service else url.set(database=named))
        if not url.database or url.database == ":memory:":
            raise ConfigError(Code.URL, f"{where}: the URL names no database: end it with /NAME, or a path for SQLite")
        if urls.is_sqlite(url):
            # Relative to the file, and not to the folder in which the command was typed.
            return url.set(database=str((self.path.parent / url.database).resolve()))
        return self._with_password(url)

    def _with_password(self, url: URL) -> URL:
        """The URL with the password of PGPASSWORD_FILE, which libpq does not know, where it has none of its own."""
        if urls.secrets_of(url).get("password"):
            return url
        found = self._override("PGPASSWORD")
        if found and found[0].endswith(("\r", "\n")):
            raise ConfigError(
                Code.VARIABLE,
                "PGPASSWORD ends with a line break, as a secret that was made with echo does: leave it out (printf)",
            )
        return url.set(password=found[0]) if found and "PGPASSWORD_FILE" in self.variables else url


def variable(name: str) -> str:
    """The environment variable that overrides a database's URL: `AUTH_DB_URL` for auth_db."""
    return f"{name.upper()}_URL"


def revision_prefix(name: str) -> str:
    """The prefix of a database's revision ids: `auth` for auth_db."""
    return name.removesuffix("_db")
