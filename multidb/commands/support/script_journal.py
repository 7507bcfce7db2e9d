"""The journal's row that a script of `--sql` writes: a run of its own, whose id and times the database makes."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from alembic.runtime.migration import MigrationContext

from multidb.config.configuration import Database
from multidb.database import journal
from multidb.database.quoting import literal
from multidb.planning.plan import Step, Work, files_of

# The client's role and address are the script's who and host; what took its time began with the transaction.
_ON_POSTGRESQL = """DO $journal$
BEGIN
    IF to_regclass('{name}') IS NULL THEN
        {create};
    END IF;
    {add}
    INSERT INTO {name} (id, attempt, run, {columns}, who, host, started_at, seconds, two_phase, details)
    SELECT (SELECT coalesce(max(id), 0) + 1 FROM {name}), run || '.0', run, {values},
        session_user, coalesce(host(inet_client_addr()), 'local'),
        to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"+00:00"'),
        round(extract(epoch FROM clock_timestamp() - now())::numeric, 3), false,
        json_build_object('script', true, 'commit', {commit}, 'actor', {actor}, 'clock', CASE
            WHEN has_function_privilege('pg_control_system()', 'EXECUTE')
            THEN (SELECT system_identifier::text FROM pg_control_system()) END)
    FROM (SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYYMMDD-HH24MISS-')
        || substr(md5(random()::text || pg_backend_pid()), 1, 6) AS run) AS made;
END $journal$"""
_ADD = """IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = '{name}'::regclass AND attname = '{column}') THEN
        ALTER TABLE {name} ADD COLUMN {column} {type};
    END IF;"""
# Without the columns that a table of an older checkout lacks, which SQLite can't ask for in a script.
_ON_SQLITE = """INSERT INTO {name} (id, attempt, run, {columns}, who, host, started_at)
    SELECT (SELECT coalesce(max(id), 0) + 1 FROM {name}), run || '.0', run, {values}, 'script', 'sqlite3',
        strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')
    FROM (SELECT strftime('%Y%m%d-%H%M%S-', 'now') || lower(hex(randomblob(3))) AS run)"""


@dataclass
class ScriptJournal:
    """Follows the steps of a script, and describes them where a transaction of the script ends."""

    database: Database
    command: str
    release: str | None
    origin: Mapping[str, str | None]  # the commit of the files, and the person who wrote the script
    _steps: list[Step] = field(default_factory=list)  # that are yet to be written
    _applied: list[Step] = field(default_factory=list)  # of the transaction
    _before: tuple[str, ...] = ()
    _heads: tuple[str, ...] = ()

    def following(self, work: Work) -> Work:
        """Alembic's work, whose steps are followed."""

        def steps(heads: tuple[str, ...], context: MigrationContext) -> list[Step]:
            self._before = self._heads = heads
            self._steps = list(work(heads, context))
            return list(self._steps)

        return steps

    def note(self, heads: Iterable[str], **_: object) -> None:
        """A step is written: `on_version_apply` of `configure`."""
        self._heads = tuple(heads)
        self._applied.append(self._steps.pop(0))

    def statements(self) -> Sequence[str]:
        """The statements that record the steps since the last call; none where there was no step."""
        if not self._applied:
            return ()
        revisions = [journal.applied(revision, path, upgrade=up) for revision, path, up in files_of(self._applied)]
        row: dict[str, Any] = {
            "state": journal.COMMITTED,
            "release": self.release,
            "command": self.command,
            "before": journal.joined(self._before),
            "after": journal.joined(self._heads),
            "participants": json.dumps([self.database.name]),
            "versions": journal.versions(),
            **journal.applying(revisions),
        }
        self._before, self._applied = self._heads, []
        names = {"name": journal.NAME, "columns": ", ".join(row), "values": ", ".join(map(_value, row.values()))}
        if self.database.is_sqlite:
            return journal.CREATE, _ON_SQLITE.format(**names)
        add = "\n    ".join(
            _ADD.format(name=journal.NAME, column=each, type=type_) for each, type_ in journal.ADDED.items()
        )
        origin = {key: f"{_value(value)}::text" for key, value in self.origin.items()}
        return (_ON_POSTGRESQL.format(create=journal.CREATE, add=add, **names, **origin),)


def _value(value: str | None) -> str:
    return "NULL" if value is None else literal(value)
