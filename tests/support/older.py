"""What an older checkout, from before the columns `two_phase` and `details`, does with a journal.

Its statements are copied: a shallow clone and an archive of the repository have no history to check it out from.
"""

from tests.support.project import Project

COLUMNS = (
    "id, attempt, run, state, release, command, before, after, revisions, participants, who, host, started_at, "
    "seconds, versions"
)
CREATE = """CREATE TABLE IF NOT EXISTS multidb_journal (
    id INTEGER PRIMARY KEY,
    attempt TEXT NOT NULL UNIQUE, -- of the run: one more for each retry and each stage
    run TEXT NOT NULL,
    state TEXT NOT NULL,
    release TEXT,
    command TEXT NOT NULL,
    before TEXT NOT NULL, -- revisions, comma-separated; empty at base
    after TEXT,
    revisions TEXT, -- JSON: the applied ones in order, each with the SHA-256 of its file
    participants TEXT NOT NULL, -- JSON: the databases of the attempt
    who TEXT NOT NULL,
    host TEXT NOT NULL,
    started_at TEXT NOT NULL, -- ISO 8601, UTC: both dialects store and sort it alike
    seconds DOUBLE PRECISION,
    versions TEXT NOT NULL -- JSON
)"""
RUN = "20261101-120000-0a0b0c"
ATTEMPT = f"{RUN}.1"
PARTICIPANTS = '["auth_db", "user_db"]'
DECIDER = "user_db"
_INSERT = """INSERT INTO multidb_journal
    (id, attempt, run, state, release, command, before, revisions, participants, who, host, started_at, versions)
    VALUES ((SELECT coalesce(max(id), 0) + 1 FROM multidb_journal), '{attempt}', '{run}', 'begun', NULL,
    'upgrade heads', '{before}', '[{{"revision": "{after}", "sha256": "00", "upgrade": true}}]', '{participants}',
    'ann', 'laptop', '2099-01-01T00:00:00.000+00:00', '{{"python": "3.11.2"}}')"""
_UPDATE = """UPDATE multidb_journal SET state = 'committed', after = '{after}', seconds = 0.1
    WHERE attempt = '{attempt}'"""


def make_older(project: Project) -> None:
    """Give every journal the form in which an older checkout creates it, with the rows that it has."""
    for name in project.names:
        project.rows(name, "ALTER TABLE multidb_journal RENAME TO newer")
        if f"{name.upper()}_URL" in project.variables:
            project.rows(name, "ALTER TABLE newer DROP CONSTRAINT multidb_journal_pkey")
            project.rows(name, "ALTER TABLE newer DROP CONSTRAINT multidb_journal_attempt_key")
        project.rows(name, CREATE)
        project.rows(name, f"INSERT INTO multidb_journal SELECT {COLUMNS} FROM newer")
        project.rows(name, "DROP TABLE newer")


def columns(project: Project, database: str) -> list[str]:
    """The names of a journal's columns, in their order."""
    if f"{database.upper()}_URL" in project.variables:
        of_table = "attrelid = to_regclass('multidb_journal') AND attnum > 0 ORDER BY attnum"
        return [name for (name,) in project.rows(database, f"SELECT attname FROM pg_attribute WHERE {of_table}")]
    return [name for (name,) in project.rows(database, "SELECT name FROM pragma_table_info('multidb_journal')")]


def leave_in_doubt(project: Project, *, decided: bool) -> str:
    """Leave auth_db prepared by an upgrade of auth_db and user_db, as a run that was killed. Returns the gid."""
    gid = f"multidb:{ATTEMPT}:{DECIDER}:auth_db"
    begun = {name: _filled(_INSERT, name) for name in ("auth_db", "user_db")}
    work = {name: _work(name) for name in ("auth_db", "user_db")}
    project.rows("user_db", begun["user_db"])
    project.rows(
        "auth_db",
        f"BEGIN; {work['auth_db']}; {begun['auth_db']}; {_filled(_UPDATE, 'auth_db')}; PREPARE TRANSACTION '{gid}'",
    )
    if decided:
        project.rows("user_db", f"BEGIN; {work['user_db']}; {_filled(_UPDATE, 'user_db')}; COMMIT")
    return gid


def recover(project: Project, gid: str) -> None:
    """Resolve a prepared transaction as an older checkout does: by what the decider's journal says, under its lock."""
    _, attempt, decider, database = gid.split(":")
    lock = f"SELECT pg_try_advisory_lock({int.from_bytes(b'multidb', 'big')})"
    read = f"SELECT state FROM multidb_journal WHERE attempt = '{attempt}'"
    assert project.rows(decider, lock) == [(True,)]
    [(state,)] = project.rows(decider, read)
    project.rows(database, f"{'COMMIT' if state == 'committed' else 'ROLLBACK'} PREPARED '{gid}'")


def _filled(statement: str, database: str) -> str:
    prefix = database.removesuffix("_db")
    return statement.format(
        attempt=ATTEMPT, run=RUN, participants=PARTICIPANTS, before=f"{prefix}_0001", after=f"{prefix}_0002"
    )


def _work(database: str) -> str:
    return f"CREATE TABLE more (x int); UPDATE alembic_version SET version_num = '{database.removesuffix('_db')}_0002'"
