"""What the tests work with: a checkout in a folder of its own, and the server that its databases are on."""

import fcntl
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import psycopg2
import yaml
from psycopg2.extensions import ISOLATION_LEVEL_AUTOCOMMIT
from sqlalchemy.engine import make_url

from multidb.advice.codes import Code
from multidb.commands.support.origin import ACTOR_VARIABLES, COMMIT_VARIABLES
from multidb.config import reader
from multidb.local.installations import installation_of
from multidb.local.server import Server, free_port
from tests.support import forkserver

ROOT = Path(__file__).parents[2]
NAMES = [
    "auth_db",
    "user_db",
    "location_db",
    "content_db",
    "request_db",
    "notification_db",
    "payment_db",
    "safety_db",
    "rating_db",
    "investment_db",
]
ON_POSTGRESQL = NAMES[:-1]
# By name, as they are locked: three to prepare, and the one on SQLite to decide.
FEW = ["auth_db", "user_db", "content_db", "investment_db"]
LEGACY = ROOT / "tests/legacy"
# A frozen copy of branches, models and what has to agree with them, for the tests of the engine: it stays as it is when
# the project's own get a revision, a table or a database.
EXAMPLE = ROOT / "tests/example"
ENGINE = ("alembic.ini", "migrations/env.py", "migrations/script.py.mako")
REST = ("bin", "deploy", "README.md", "constraints.txt", "constraints-report.txt")


@dataclass(frozen=True)
class Result:
    """What a command printed, and how it ended."""

    out: str
    err: str
    code: int

    @property
    def error(self) -> str:
        """The only line on stderr of a command that failed, without its code."""
        return self._line(1)

    @property
    def error_code(self) -> str:
        """The code at the end of that line, whatever the exit code."""
        return self._parts(self.code)[1]

    @property
    def reason(self) -> str:
        """The same of a run that failed, without the words that all were rolled back."""
        assert self.error.endswith("; no database was changed"), self
        return self.error.removesuffix("; no database was changed")

    @property
    def found(self) -> str:
        """The same of a command that found a difference."""
        return self._line(2)

    @property
    def retry(self) -> str:
        """The same of a command that may succeed later; nothing was changed."""
        return self._line(75)

    @property
    def partly(self) -> str:
        """The same of a run that may have changed some databases and not others."""
        return self._line(3)

    def _line(self, code: int) -> str:
        return self._parts(code)[0]

    def _parts(self, code: int) -> tuple[str, str]:
        assert self.code == code, self
        assert "Traceback" not in self.err + self.out, self
        lines = [line for line in self.err.splitlines() if not line.startswith("INFO")]
        assert len(lines) == 1, self
        match = re.fullmatch(r"(.*) \[(MDB\d{3})\]", lines[0])
        assert match, self
        return match[1], Code(match[2])


@dataclass
class Project:
    """A copy of the checkout, with the example's branches and models. Commands run in it as a user would type them."""

    root: Path
    variables: dict[str, str] = field(default_factory=dict)
    names: Sequence[str] = tuple(NAMES)

    @classmethod
    def copied(cls, root: Path, variables: Mapping[str, str], names: Sequence[str] = NAMES) -> "Project":
        """A new one, in which the engine is a link to the working tree's: see `complete`."""
        root.mkdir(parents=True)
        for part in ("databases.yaml", "migrations", "models"):
            _copy(EXAMPLE / part, root / part)
        for part in ENGINE:
            _copy(ROOT / part, root / part)
        (root / "multidb").symlink_to(ROOT / "multidb")
        project = cls(root, dict(variables), names)
        for name in set(NAMES) - set(names):
            shutil.rmtree(root / "migrations/versions" / name)
        if "investment_db" in names:
            (root / "investment.db").touch()  # as `create` does
        kept = [line for line in (root / "databases.yaml").read_text().splitlines() if not project._leaves_out(line)]
        project.write("databases.yaml", "\n".join(kept) + "\n")
        return project

    @classmethod
    def real(cls, root: Path, variables: Mapping[str, str]) -> "Project":
        """One with the branches and models of the working tree in place of the example's."""
        project = cls.copied(root, variables)
        for part in ("models", "migrations/versions"):
            shutil.rmtree(root / part)
            _copy(ROOT / part, root / part)
        _copy(ROOT / "databases.yaml", root / "databases.yaml")
        project.names = reader.load(root / "databases.yaml").names
        return project

    def complete(self) -> None:
        """Give it all that a checkout has, for what is run by its path or as another user."""
        (self.root / "multidb").unlink()
        for part in ("multidb", *REST):
            _copy(ROOT / part, self.root / part)
        _copy(EXAMPLE / "deploy", self.root / "deploy")
        manifest = self.root / "deploy/k8s/base/migrations.yaml"
        lines = manifest.read_text().splitlines(keepends=True)
        manifest.write_text("".join(line for line in lines if not _is_url_of_another(line)))

    def _leaves_out(self, line: str) -> bool:
        name = line.strip().partition(":")[0]
        return name in NAMES and name not in self.names

    @property
    def environment(self) -> dict[str, str]:
        """The process's variables without any of ours, and with those of this checkout."""
        ours = ("DATABASE_", "NEIGHBOR_", *ACTOR_VARIABLES, *COMMIT_VARIABLES)
        kept = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
        return kept | {"LC_ALL": "C.UTF-8"} | self.variables

    def run(self, *command: str | Path, cwd: Path | None = None, stdin: str | None = None) -> Result:
        done = subprocess.run(
            command,
            cwd=cwd or self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            input=stdin,
            timeout=120,
        )
        return Result(done.stdout, done.stderr, done.returncode)

    def python(self, *arguments: str | Path) -> Result:
        """Run a module, or a file, in a fork of a Python that has imported the libraries already."""
        environment = self.environment
        if any(name.startswith("PYTHON") for name in self.variables):  # which Python reads as it starts
            return self.run(sys.executable, *arguments)
        done = forkserver.run([str(each) for each in arguments], str(self.root), environment, None, timeout=120)
        return Result(done.stdout, done.stderr, done.returncode)

    def lend_venv(self) -> None:
        """Make it complete, with a .venv: the one that the tests run in, so that nothing is installed again."""
        if (self.root / "multidb").is_symlink():
            self.complete()
        venv = self.root / ".venv"
        venv.mkdir()
        for part in ("bin", "lib", "pyvenv.cfg"):
            (venv / part).symlink_to(Path(sys.prefix) / part)
        for name in ("constraints.txt", "constraints-report.txt"):
            shutil.copy(ROOT / name, venv / f"installed-{name}")

    def alembic(self, *arguments: str) -> Result:
        return self.python("-m", "alembic", *arguments)

    def done(self, *arguments: str) -> Result:
        """Run an Alembic command that has to succeed."""
        result = self.alembic(*arguments)
        assert result.code == 0, result
        return result

    def multidb(self, *arguments: str) -> Result:
        return self.python("-m", "multidb", *arguments)

    def _own(self, file: str) -> None:
        """Copy the engine before a file of it is written: the link leads to the working tree's."""
        if Path(file).parts[0] == "multidb" and (self.root / "multidb").is_symlink():
            self.complete()

    def edit(self, file: str, old: str, new: str) -> None:
        self._own(file)
        path = self.root / file
        text = path.read_text()
        assert old in text, (file, old)
        self.write(file, text.replace(old, new, 1))

    def write(self, file: str, text: str) -> Path:
        self._own(file)
        path = self.root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        # Python would take the compiled file for current: it compares the size, and the time in whole seconds.
        for compiled in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
            compiled.unlink()
        return path

    def add_revision(self, database: str, number: int, upgrade: str, downgrade: str = "pass", down: str = "") -> Path:
        """Write a revision by hand, as a person would, after the one before it."""
        prefix = database.removesuffix("_db")
        return self.write(
            f"migrations/versions/{database}/{prefix}_{number:04}_by_hand.py",
            f'"""by hand"""\n\nimport sqlalchemy as sa\nfrom alembic import op\n\n'
            f'revision = "{prefix}_{number:04}"\ndown_revision = "{down or f"{prefix}_{number - 1:04}"}"\n'
            f"branch_labels = None\ndepends_on = None\n\n\n"
            f"def upgrade():\n    {upgrade}\n\n\ndef downgrade():\n    {downgrade}\n",
        )

    def revisions(self, database: str) -> list[str]:
        return sorted(path.name for path in (self.root / "migrations" / "versions" / database).glob("*.py"))

    def rows(self, database: str, sql: str) -> list[tuple[Any, ...]]:
        """Ask, or change, a database directly."""
        if f"{database.upper()}_URL" not in self.variables:
            with closing(sqlite3.connect(self._file(database))) as connection, connection:
                return list(connection.execute(sql))
        return query(self.variables[f"{database.upper()}_URL"], sql)

    def _file(self, database: str) -> Path:
        """The file of a database on SQLite, as databases.yaml names it."""
        url = yaml.safe_load((self.root / "databases.yaml").read_text())["databases"][database]["url"]
        return self.root / str(make_url(url).database)

    def versions(self) -> dict[str, list[str]]:
        """What each database's `alembic_version` holds; nothing for one without the table."""
        found = {}
        for name in self.names:
            try:
                found[name] = [row[0] for row in self.rows(name, "SELECT version_num FROM alembic_version")]
            except (psycopg2.errors.UndefinedTable, sqlite3.OperationalError):
                found[name] = []
        return found

    def at(self, number: int) -> dict[str, list[str]]:
        """What `versions` finds where every database is at so many revisions."""
        return {name: [f"{name.removesuffix('_db')}_{number:04}"] if number else [] for name in self.names}

    def has_version_table(self, database: str) -> bool:
        return self.rows(database, "SELECT to_regclass('alembic_version')") != [(None,)]


_numbers = count()
_kept: dict[str, psycopg2.extensions.connection] = {}


@dataclass(frozen=True)
class Postgres:
    """The server of a test run."""

    folder: Path
    role_url: str
    admin_url: str

    @classmethod
    def started(cls, folder: Path, settings: Mapping[str, str]) -> "Postgres":
        """Start it, if no other worker has, with its templates."""
        server = Server(folder, dict(settings))
        server.start()
        with (folder / "templates-lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            postgres = cls(folder, *server.variables.values())
            if not (folder / "investment.db").exists():
                postgres._make_templates()
        return cls(folder, *server.variables.values())  # it may have another port after its restart

    def twin(self, folder: Path, settings: Mapping[str, str]) -> "Postgres":
        """Start a copy of this server, as it was when its templates were made.

        Args:
            folder: where the copy is to be.
            settings: lines of postgresql.conf that differ.
        """
        server = Server(folder)
        server._make_home()
        subprocess.run(["cp", "-a", self._seed, server.data], check=True)
        with (server.data / "postgresql.conf").open("a") as file:
            file.writelines(f"{key} = {value}\n" for key, value in settings.items())
        server._write_variables(free_port(), self.password, make_url(self.admin_url).password or "")
        server.start()
        shutil.copy(self.folder / "investment.db", folder)
        return Postgres(folder, *server.variables.values())

    def standby(self, folder: Path) -> "Postgres":
        """Start a standby of this server in a folder that its user can reach."""
        server, own = Server(folder), Server(self.folder)
        server._make_home()
        program = installation_of(int((own.data / "PG_VERSION").read_text())).binaries / "pg_basebackup"
        server._execute([program, "-D", server.data, "-d", self.admin_url, "-R", "-c", "fast", "-X", "stream"])
        server._write_variables(free_port(), self.password, make_url(self.admin_url).password or "")
        server.start()
        return Postgres(folder, *server.variables.values())

    def promote(self) -> None:
        """Start a standby that was stopped as a server of its own, with what it had received."""
        (Server(self.folder).data / "standby.signal").unlink()
        self.start()

    @property
    def major(self) -> int:
        return Server(self.folder).major

    @property
    def _seed(self) -> Path:
        return Server(self.folder).home / "seed"

    def url(self, database: str, *, admin: bool = False) -> str:
        url = make_url(self.admin_url if admin else self.role_url).set(database=database)
        return url.render_as_string(hide_password=False)

    @property
    def password(self) -> str:
        return make_url(self.role_url).password or ""

    def stop(self, mode: str = "immediate") -> None:
        """Stop the server; `immediate` is as if its machine had lost its power."""
        Server(self.folder)._control("stop", "-m", mode, "-w")

    def start(self) -> None:
        Server(self.folder).start()

    def set(self, **settings: str) -> None:
        """Change settings that take a restart, by one."""
        for key, value in settings.items():
            self.as_admin(f"ALTER SYSTEM SET {key} = '{value}'")
        self.stop("fast")
        self.start()

    def restart(self, *settings: str) -> None:
        """Let it run, with these settings as they were at first; it is stopped only if that is needed."""
        self.start()
        changed = [key for key in settings if self._is_changed(key)]
        for key in changed:
            self.as_admin(f"ALTER SYSTEM RESET {key}")
        if changed:
            self.stop("fast")
            self.start()

    def _is_changed(self, key: str) -> bool:
        found = self.as_admin(f"SELECT sourcefile LIKE '%postgresql.auto.conf' FROM pg_settings WHERE name = '{key}'")
        return found == [(True,)]

    @property
    def scratch(self) -> dict[str, str]:
        """The variable that lets branches be replayed on this server."""
        return {"SCRATCH_SERVER_URL": self.admin_url}

    def empty_template(self, name: str) -> str:
        return "template_postgis" if name == "location_db" else "template_empty"

    def empty_like(self, name: str, database: str) -> str:
        """The URL of an empty database, after it got the extensions that a database of that name has."""
        if name == "location_db":
            self.as_admin("CREATE EXTENSION postgis", database)
        return self.url(database)

    def clone(self, template: str, name: str) -> None:
        self._manage(f'CREATE DATABASE "{name}" TEMPLATE "{template}" OWNER neighbor STRATEGY file_copy')

    def drop(self, name: str) -> None:
        self._manage(f'DROP DATABASE "{name}" WITH (FORCE)')

    def _manage(self, sql: str) -> None:
        """Run it on a connection that is kept: a new one takes longer than the statement."""
        try:
            self._execute(sql)
        except (psycopg2.OperationalError, psycopg2.InterfaceError):
            if not _kept[self.admin_url].closed:
                raise
            self._execute(sql)  # the server was stopped in between, which only a statement finds out

    def _execute(self, sql: str) -> None:
        kept = _kept.get(self.admin_url)
        if kept is None or kept.closed:
            kept = _kept[self.admin_url] = psycopg2.connect(self.admin_url)
            kept.autocommit = True
        with kept.cursor() as cursor:
            cursor.execute(sql)

    def as_admin(self, sql: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        return query(self.url(database, admin=True), sql)

    def _make_templates(self) -> None:
        from tests.support import rows

        password = self.password.replace("'", "''")
        self.as_admin(f"CREATE ROLE neighbor LOGIN PASSWORD '{password}'")
        for template in ("template_empty", "template_postgis"):
            self.as_admin(f"CREATE DATABASE {template} OWNER neighbor TEMPLATE template0")
        self.as_admin("CREATE EXTENSION postgis", "template_postgis")
        urls = {}
        for name in ON_POSTGRESQL:
            self.clone(self.empty_template(name), f"head_{name}")
            urls[f"{name.upper()}_URL"] = self.url(f"head_{name}")
        Project.copied(self.folder / "checkout", urls).done("upgrade", "heads")
        for name in ON_POSTGRESQL:
            self.clone(self.empty_template(name), f"legacy_{name}")
            query(self.url(f"legacy_{name}"), (LEGACY / f"{name}.sql").read_text())
            rows.fill(self.url(f"legacy_{name}"))
        # At rest, its files are a server that can be copied.
        self.stop("fast")
        subprocess.run(["cp", "-a", Server(self.folder).data, self._seed], check=True)
        self.start()
        # The last to be made: it tells the other workers that all is there.
        shutil.move(self.folder / "checkout" / "investment.db", self.folder / "investment.db")


def _is_url_of_another(line: str) -> bool:
    """Whether a line of a manifest is the URL of a database that the example does not have."""
    found = re.match(r"\s+(\w+_DB)_URL:", line)
    return found is not None and found[1].lower() not in NAMES


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)  # with the bytecode, which is not made again then
    else:
        shutil.copy(source, target)


def unique() -> str:
    """A prefix for the names of databases that no other test has."""
    return f"t{os.getpid()}_{next(_numbers)}"


def at_once(*actions: Callable[[], Result]) -> list[Result]:
    """Do several things at the same moment."""
    with ThreadPoolExecutor(len(actions)) as pool:
        return [each.result() for each in [pool.submit(action) for action in actions]]


def query(url: str, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Run SQL by itself, with no transaction around it."""
    connection = psycopg2.connect(url)
    try:
        connection.set_isolation_level(ISOLATION_LEVEL_AUTOCOMMIT)
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters or None)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()
