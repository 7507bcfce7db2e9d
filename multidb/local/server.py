"""A private PostgreSQL server in a folder of its own.

It listens on a free port of 127.0.0.1 and asks for passwords that only this folder holds. PostgreSQL refuses to run
as root, so root starts it as the user `postgres`.
"""

import fcntl
import hashlib
import os
import pwd
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy.engine import URL, make_url

from multidb.advice.codes import Code
from multidb.config.configuration import ADMIN_VARIABLE, SERVER_VARIABLE
from multidb.errors import MigrationError
from multidb.local.installations import Installation, installation_of, newest_installation

ROLE = "neighbor"
# A two-phase commit needs slots for prepared transactions, and PostgreSQL's default is none.
SETTINGS = {"max_prepared_transactions": "64", "unix_socket_directories": "''", "listen_addresses": "'127.0.0.1'"}


class Server:
    """The private server of a checkout; its folder is `.local` there, and its settings are added to SETTINGS.

    A new server is of `installation`, or else of the newest one with PostGIS.
    """

    def __init__(
        self, folder: Path, settings: dict[str, str] | None = None, installation: Installation | None = None
    ) -> None:
        self.folder = folder.absolute()
        self.installation = installation
        self.env = self.folder / "env"
        self.settings = SETTINGS | (settings or {})

    @property
    def home(self) -> Path:
        """The server's own directory, which may be a link to where its user can reach it."""
        return (self.folder / "postgres").resolve()

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def log(self) -> Path:
        return self.home / "log"

    @property
    def user(self) -> pwd.struct_passwd | None:
        """The user that runs the server; None for the current user."""
        if os.geteuid() != 0:
            return None
        try:
            return pwd.getpwnam("postgres")
        except KeyError as error:
            raise MigrationError(
                Code.ROOT,
                "PostgreSQL doesn't run as root, and there is no user postgres to run it as: "
                "create one, or run this as another user",
            ) from error

    def start(self) -> None:
        """Create the server if it does not exist, and start it if it does not run.

        Without a PostgreSQL with PostGIS, or if the server does not start, MigrationError is raised; it names the log.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._locked():
            if not self.is_made:
                self._make(self.installation or newest_installation())
            if not self.is_running():
                self._run()

    def stop(self) -> bool:
        """Stop the server. Returns whether it ran."""
        if not self.is_running():
            return False
        self._control("stop", "-m", "fast", "-w")
        return True

    def remove(self) -> None:
        """Stop the server, and remove its files."""
        if self.folder.exists():
            with self._locked():
                with suppress(MigrationError):  # of a version that is gone, which no pg_ctl can stop
                    self.stop()
                shutil.rmtree(self.home, ignore_errors=True)
            shutil.rmtree(self.folder)

    @property
    def is_made(self) -> bool:
        return (self.data / "PG_VERSION").exists()

    @property
    def major(self) -> int:
        """The major version of a server that is made."""
        return int((self.data / "PG_VERSION").read_text(encoding="utf-8"))

    def is_running(self) -> bool:
        return self.is_made and self._control("status", check=False).returncode == 0

    @property
    def variables(self) -> dict[str, str]:
        """The variables that name the server."""
        return dict(line.split("=", 1) for line in self.env.read_text(encoding="utf-8").splitlines())

    def _make(self, installation: Installation) -> None:
        self._make_home()
        port = free_port()
        self._write_variables(port, secrets.token_urlsafe(16), secrets.token_urlsafe(16))
        password_file = self.home / "password"
        password_file.write_text(make_url(self.variables[ADMIN_VARIABLE]).password or "", encoding="utf-8")
        self._own(password_file)
        # Under another name until it is complete: the remains of a killed process are no server.
        part = self.home / "data.part"
        shutil.rmtree(part, ignore_errors=True)
        options = ["--username=postgres", f"--pwfile={password_file}", "--auth=scram-sha-256"]
        try:
            self._execute([installation.binaries / "initdb", "-D", part, "--no-locale", "--encoding=UTF8", *options])
        finally:
            password_file.unlink()
        with (part / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.writelines(f"{key} = {value}\n" for key, value in self.settings.items())
        part.rename(self.data)

    def _make_home(self) -> None:
        """Create the server's own directory, where its user can reach it.

        The user can't enter a checkout below a directory such as /root. The files then go to the user's home, with a
        link in their place.
        """
        if self.user and not _may_enter(self.folder, self.user):
            name = hashlib.sha256(str(self.folder).encode()).hexdigest()[:12]
            elsewhere = Path(self.user.pw_dir) / "neighbor-migrations" / name
            elsewhere.mkdir(parents=True, exist_ok=True)
            self._own(elsewhere.parent)
            self._own(elsewhere)
            link = self.folder / "postgres"
            link.unlink(missing_ok=True)
            link.symlink_to(elsewhere)
            if self.is_made:  # of a checkout at this path that is gone, and its passwords with it
                with suppress(MigrationError):
                    self.stop()
                shutil.rmtree(self.data)
        else:
            self.home.mkdir(exist_ok=True)
            self._own(self.home)
        self.home.chmod(0o700)

    def _run(self) -> None:
        url = make_url(self.variables[SERVER_VARIABLE])
        admin = make_url(self.variables[ADMIN_VARIABLE])
        port = free_port(url.port)
        self._write_variables(port, url.password or "", admin.password or "")
        self._control("start", "-w", "-l", str(self.log), "-o", f"-p {port}")

    def _write_variables(self, port: int, password: str, admin_password: str) -> None:
        url = URL.create("postgresql", ROLE, password, "127.0.0.1", port)
        admin = url.set(username="postgres", password=admin_password, database="postgres")
        lines = {SERVER_VARIABLE: url, ADMIN_VARIABLE: admin}
        part = self.env.with_suffix(".part")
        part.touch(mode=0o600)
        texts = [f"{key}={value.render_as_string(hide_password=False)}\n" for key, value in lines.items()]
        part.write_text("".join(texts), encoding="utf-8")
        part.replace(self.env)

    def _control(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        program = installation_of(self.major).binaries / "pg_ctl"
        return self._execute([program, "-D", self.data, *arguments], check=check)

    def _execute(self, command: Sequence[str | Path], *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a program of PostgreSQL as the server's user."""
        # Its output goes to a file: the server that pg_ctl leaves behind would keep a pipe open.
        output = self.home / "output"
        with output.open("w+", encoding="utf-8") as file:
            done: subprocess.CompletedProcess[str] = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                cwd="/",
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
                **_identity(self.user),
            )
            file.seek(0)
            said = file.read().split("\n")
        if check and done.returncode:
            starting = _last_words(self.log) if "start" in command else None
            reason = starting or next((line for line in reversed(said) if line.strip()), "no output")
            raise MigrationError(
                Code.SERVER_FAILED, f"PostgreSQL: {Path(command[0]).name} failed: {reason}: see {self.log}"
            )
        return done

    def _own(self, path: Path) -> None:
        if self.user:
            os.chown(path, self.user.pw_uid, self.user.pw_gid)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the checkout's lock: two `bin/up` at once would create two servers."""
        with (self.folder / "lock").open("w", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _identity(user: pwd.struct_passwd | None) -> dict[str, Any]:
    """Arguments for subprocess.run to run a program as a user."""
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}


def _may_enter(folder: Path, user: pwd.struct_passwd) -> bool:
    enter = ["/bin/sh", "-c", 'cd "$1"', "sh", str(folder)]
    return subprocess.run(enter, cwd="/", capture_output=True, check=False, **_identity(user)).returncode == 0


def free_port(wanted: int | None = None) -> int:
    """The wanted port if it is free, else another one."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted or 0))
        except OSError:
            return free_port()
        return int(probe.getsockname()[1])


def _last_words(log: Path) -> str | None:
    """The reason in the server's log for its stop."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    return next((line.partition("FATAL:")[2].strip() for line in reversed(lines) if "FATAL:" in line), None)
