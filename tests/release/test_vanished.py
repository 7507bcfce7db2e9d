"""The machine of a run vanishes: no packet tells the server, and the locks are free within a minute."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from tests.support.project import Postgres, Project, query
from tests.support.runs import begun, until

# Reserved for tests of networks, so that no machine has an address there: https://www.rfc-editor.org/rfc/rfc2544
HERE, THERE = (f"198.18.{os.getpid() % 256}.{number}" for number in (1, 2))


@dataclass(frozen=True)
class Machine:
    """A network namespace whose one link leads here: a machine that can vanish."""

    name: str

    def command(self, *command: str) -> list[str]:
        """A command line that runs on that machine."""
        return ["nsenter", f"--net=/run/netns/{self.name}", *command]

    def vanish(self) -> None:
        """Cut the link: packets are lost, and no connection is closed."""
        _ip("link", "set", f"{self.name}-here", "down")


@pytest.fixture
def machine() -> Iterator[Machine]:
    made = Machine(f"mdb{os.getpid()}")
    here, there = f"{made.name}-here", f"{made.name}-there"
    if shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip("a machine that vanishes is a network namespace: that takes root, and ip of iproute2")
    try:
        _ip("netns", "add", made.name)
    except subprocess.CalledProcessError:
        pytest.skip("this machine allows no network namespaces")
    try:
        _ip("link", "add", here, "type", "veth", "peer", "name", there, "netns", made.name)
        _ip("addr", "add", f"{HERE}/30", "dev", here)
        _ip("link", "set", here, "up")
        _ip("-n", made.name, "addr", "add", f"{THERE}/30", "dev", there)
        _ip("-n", made.name, "link", "set", there, "up")
        yield made
    finally:
        with suppress(subprocess.CalledProcessError):
            _ip("link", "del", here)
        _ip("netns", "del", made.name)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture
def reachable(fragile: Project, another: Postgres) -> Iterator[Project]:
    """A checkout whose server is also reached from that machine, by its URLs."""
    rules = Path(another.as_admin("SHOW hba_file")[0][0])
    before = rules.read_text()
    rules.write_text(f"{before}\nhost all all {THERE}/32 scram-sha-256\n")
    another.set(listen_addresses="*")
    direct = dict(fragile.variables)
    for key, url in direct.items():
        fragile.variables[key] = make_url(url).set(host=HERE).render_as_string(hide_password=False)
    yield fragile
    fragile.variables.update(direct)
    rules.write_text(before)
    another.restart("listen_addresses")


@pytest.mark.slow  # 35 s: what the server needs to notice
def test_the_machine_of_a_run_vanishes(
    machine: Machine, reachable: Project, another: Postgres, record_property: Callable[[str, object], None]
) -> None:
    reachable.add_revision("auth_db", 2, 'op.add_column("users", sa.Column("more", sa.Integer))')
    reachable.add_revision("user_db", 2, 'op.execute("SELECT pg_sleep(600)")')
    held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
    process = begun(reachable, *machine.command(sys.executable, "-m", "alembic", "upgrade", "heads"), group=True)
    try:
        until(process, "Running upgrade user_0001")
        sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND state = 'active'"
        idle = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'"
        while another.as_admin(f"SELECT ({sleeping} AND pid <> pg_backend_pid()) + ({idle})") != [(2,)]:
            assert process.poll() is None
            time.sleep(0.1)
        assert another.as_admin(held) == [(2,)]
        machine.vanish()
        at = time.monotonic()
        while another.as_admin(held) != [(0,)]:
            assert time.monotonic() - at < 60
            time.sleep(0.2)
        record_property("seconds until the locks of a vanished machine were free", round(time.monotonic() - at, 1))
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # also the workers, which wait for the server
        process.communicate()
    assert query(another.url(make_url(reachable.variables["AUTH_DB_URL"]).database or ""), "SELECT * FROM users") == []
