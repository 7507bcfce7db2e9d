"""What the pods run, by their own variables and arguments, against a server that is like the operator's.

How a Job fails, what its pod then says, and what comes after.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme
from sqlalchemy.engine import make_url

from multidb.local.installations import newest_installation
from tests.support.manifests import Manifest, action_after, containers, environment, one
from tests.support.project import NAMES, Postgres, Project, Result
from tests.support.runs import MORE, interrupt


@contextmanager
def with_certificate(postgres: Postgres, hosts: Iterable[str], folder: Path) -> Iterator[Path]:
    """Let a server prove that it is these hosts, as the operator's do. Yields where the authority's certificate is."""
    authority = trustme.CA()
    issued = authority.issue_cert(*hosts)
    data = Path(postgres.as_admin("SHOW data_directory")[0][0])
    owner = data.stat()
    for name, blob in {"server.crt": issued.cert_chain_pems[0], "server.key": issued.private_key_pem}.items():
        blob.write_to_path(str(data / name))
        (data / name).chmod(0o600)
        shutil.chown(data / name, owner.st_uid, owner.st_gid)
    authority.cert_pem.write_to_path(str(folder / "ca.crt"))
    postgres.as_admin("ALTER SYSTEM SET ssl = on")
    postgres.as_admin("SELECT pg_reload_conf()")
    try:
        yield folder
    finally:
        postgres.as_admin("ALTER SYSTEM RESET ssl")
        postgres.as_admin("SELECT pg_reload_conf()")


@pytest.fixture
def cluster(platform: Postgres, tmp_path: Path) -> Iterator[Mapping[str, str]]:
    """A server that is like the cluster: its name, its certificate, its databases. Yields what stands for what."""
    port = make_url(platform.admin_url).port
    hosts = ("neighbor-db-rw", "neighbor-db-r")
    with with_certificate(platform, hosts, tmp_path) as folder:
        addresses = {f"{host}:5432": f"{host}:{port}" for host in hosts}
        addresses["target_session_attrs"] = "hostaddr=127.0.0.1,127.0.0.1&target_session_attrs"  # no DNS here
        yield addresses | {"/etc/neighbor-db": str(folder), "/var/lib/neighbor": str(tmp_path)}


@pytest.fixture
def sidecar(production: list[Manifest]) -> Iterator[str]:
    """The scratch server of the drift pod, by its own command, as another user. Yields its address."""
    container = containers(production)["scratch"]
    # Not in tmp_path, whose parent each new session of pytest closes to other users.
    binaries, folder = newest_installation().binaries, Path(tempfile.mkdtemp(prefix="neighbor-scratch-"))
    here = {"/usr/lib/postgresql/17/bin": str(binaries), "/scratch": str(folder)}
    command, probe = container["command"], container["startupProbe"]["exec"]["command"]
    for there, instead in here.items():
        assert there in " ".join(command)
        command, probe = ([word.replace(there, instead) for word in words] for words in (command, probe))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = {"PATH": "/usr/bin:/bin", "PGPORT": str(port)}
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
        command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--bounding-set=-all", *command]
    with subprocess.Popen(command, env=variables, cwd=folder) as server:
        until = time.monotonic() + 30
        while subprocess.run(probe, env=variables, capture_output=True, check=False).returncode:
            assert server.poll() is None and time.monotonic() < until
            time.sleep(0.1)
        yield f"127.0.0.1:{port}"
        server.terminate()
        assert server.wait(30) == 0
    shutil.rmtree(folder)


class Pods:
    """Runs what a container does, in a checkout in the place of the image.

    Args:
        project: the checkout.
        manifests: with the containers.
        password: of the role.
        instead: what stands for names and folders of the cluster.
    """

    def __init__(self, project: Project, manifests: list[Manifest], password: str, instead: Mapping[str, str]) -> None:
        self.project, self._manifests, self._password = project, manifests, password
        self.instead = dict(instead)

    def run(self, name: str, *arguments: str, **variables: str) -> Result:
        self._set_up(name, variables)
        arguments = arguments or tuple(containers(self._manifests)[name].get("args", []))
        return self.project.run("deploy/docker-entrypoint.sh", *arguments)

    def killed(self, name: str, *how: str) -> Result:
        """Its migration, with a signal at a point: see interrupted.py."""
        self._set_up(name, {})
        return interrupt(self.project, how, "alembic", "-x", "jobs=1", "upgrade", "heads")

    def message(self, name: str, **variables: str) -> str:
        """The termination message of a container that fails: with FallbackToLogsOnError, the end of its log.

        https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/
        """
        container = containers(self._manifests)[name]
        assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
        self._set_up(name, variables)
        command = ["deploy/docker-entrypoint.sh", *container.get("args", [])]
        log = self.project.run("sh", "-c", 'exec "$@" 2>&1', "sh", *command).out
        return "".join(log.splitlines(keepends=True)[-80:])[-2048:]

    def _set_up(self, name: str, variables: Mapping[str, str]) -> None:
        declared = environment(self._manifests, name)
        for here, there in self.instead.items():
            declared = {key: value.replace(here, there) for key, value in declared.items()}
        path = f"{self.project.root}/.venv/bin:/usr/bin:/bin"
        self.project.variables = declared | {"PGPASSWORD": self._password, "PATH": path} | dict(variables)


@pytest.fixture
def pods(production: list[Manifest], platform: Postgres, cluster: Mapping[str, str], tmp_path: Path) -> Pods:
    project = Project.copied(tmp_path / "image", {})
    project.lend_venv()
    return Pods(project, production, platform.password, cluster)


@pytest.mark.slow
def test_a_release_migrates_and_then_its_services_start(pods: Pods, production: list[Manifest], tmp_path: Path) -> None:
    assert "auth_db is at <base>" in pods.run("check", "true", MIGRATE_CHECK_WAIT="0").error
    migrated = pods.run("migrate")
    assert migrated.code == 0, migrated
    assert "two-phase commit" in migrated.err
    assert pods.run("check", "echo", "started").out == "started\n"
    runs = pods.run("check", "python", "-m", "multidb", "log", "auth_db").out
    assert f"  {environment(production, 'migrate')['MIGRATE_RELEASE']}  `upgrade heads`" in runs

    trustme.CA().cert_pem.write_to_path(str(tmp_path / "strange.crt"))
    strange = pods.run("check", "true", PGSSLROOTCERT=str(tmp_path / "strange.crt"), MIGRATE_WAIT="0")
    assert "certificate verify failed" in strange.error


@pytest.mark.slow
def test_a_job_that_fails_says_why_is_not_retried_and_the_next_release_goes_on(
    pods: Pods, production: list[Manifest]
) -> None:
    assert pods.run("migrate").code == 0
    pods.project.add_revision("user_db", 2, MORE)
    bad = pods.project.add_revision("auth_db", 2, 'op.execute("ALTER TABLE nobody ADD x int")')
    failed = pods.run("migrate", MIGRATE_RELEASE="2026-12-01")
    assert action_after(one(production, "Job")["spec"], "migrate", failed.code) == "FailJob"
    message = pods.message("migrate", MIGRATE_RELEASE="2026-12-01").splitlines()
    assert f"{failed.error} [{failed.error_code}]" in message
    assert failed.reason == (
        'error: auth_db: migrations/versions/auth_db/auth_0002_by_hand.py:13: relation "nobody" does not exist'
    )
    waiting = pods.run("check", "echo", "started", MIGRATE_CHECK_WAIT="0")
    assert "auth_db is at auth_0001" in waiting.error

    bad.write_text(bad.read_text().replace("ALTER TABLE nobody ADD x int", "ALTER TABLE users ADD x int"))
    assert pods.run("migrate", MIGRATE_RELEASE="2026-12-02").code == 0
    runs = pods.run("check", "python", "-m", "multidb", "log").out
    assert runs.index("2026-12-02") < runs.index("2026-12-01")


@pytest.mark.slow
def test_a_pod_that_is_killed_in_the_commit_is_followed_by_one_that_resolves(
    pods: Pods, production: list[Manifest], platform: Postgres
) -> None:
    assert pods.run("migrate", "python", "-m", "multidb", "create", "--files", MIGRATE="skip").code == 0
    killed = pods.killed("migrate", "SIGKILL:coordinator", "after", "commit", "investment_db")
    assert killed.code == -9
    assert platform.as_admin("SELECT count(*) FROM pg_prepared_xacts") == [(9,)]
    assert action_after(one(production, "Job")["spec"], "migrate", 128 + 9) == "Count"
    again = pods.run("migrate")
    assert again.code == 0, again
    assert again.err.count("as investment_db had decided") == 9
    assert platform.as_admin("SELECT count(*) FROM pg_prepared_xacts") == [(0,)]


@pytest.mark.slow
def test_drift_fails_its_job_and_the_pod_says_what_differs(
    pods: Pods, production: list[Manifest], platform: Postgres, sidecar: str
) -> None:
    pods.instead["127.0.0.1:5432"] = sidecar
    assert pods.run("migrate").code == 0
    drift = pods.run("drift")
    assert (drift.code, drift.out.count(": no drift")) == (0, len(NAMES)), drift
    platform.as_admin("ALTER TABLE users ADD nickname text", "auth_db")
    drift = pods.run("drift")
    job = one(production, "CronJob")["spec"]["jobTemplate"]["spec"]
    assert (drift.code, action_after(job, "drift", drift.code)) == (2, "FailJob")
    message = pods.message("drift")
    assert "auth_db          auth_0001: 1 difference\n" in message
    assert "nickname" in message
