"""An API server of Kubernetes: the one that KUBECONFIG names, or a private one of kube-apiserver and etcd."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from multidb.local.server import free_port
from tests.support.manifests import KUBECTL, Manifest
from tests.support.project import Result

TOKEN = "of-the-tests"


class NoServerError(Exception):
    """Why there is no API server here, in one line."""


@dataclass(frozen=True)
class ApiServer:
    """What kubectl asks, with these options of its."""

    options: tuple[str, ...] = ()

    def run(self, *arguments: str, manifests: Sequence[Manifest] = ()) -> Result:
        text = yaml.safe_dump_all(manifests)
        done = subprocess.run(
            [KUBECTL, *self.options, *arguments], input=text, capture_output=True, text=True, timeout=120, check=False
        )
        return Result(done.stdout, done.stderr, done.returncode)

    def done(self, *arguments: str, manifests: Sequence[Manifest] = ()) -> str:
        result = self.run(*arguments, manifests=manifests)
        assert result.code == 0, result
        return result.out

    def has(self, kind: str, name: str) -> bool:
        return self.done("get", kind, name, "--ignore-not-found", "--output=name") != ""

    def names(self, kind: str, namespace: str, selector: str) -> set[str]:
        """The objects of a namespace that a selector chooses."""
        found: dict[str, Any] = json.loads(
            self.done("get", kind, "--namespace", namespace, "--selector", selector, "--output=json")
        )
        return {each["metadata"]["name"] for each in found["items"]}


@contextmanager
def api_server(folder: Path) -> Iterator[ApiServer]:
    """The API server of this machine.

    Args:
        folder: for the data of a private one.
    """
    if os.environ.get("KUBECONFIG"):
        yield ApiServer()
        return
    missing = [name for name in ("kube-apiserver", "etcd") if shutil.which(name) is None]
    if missing:
        raise NoServerError(f"no API server: KUBECONFIG is not set, and not on the path: {', '.join(missing)}")
    with ExitStack() as stack:
        yield _started(folder, stack)


def _started(folder: Path, stack: ExitStack) -> ApiServer:
    etcd, peer, port = (free_port() for _ in range(3))
    key, tokens = folder / "accounts.key", folder / "tokens.csv"
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
    tokens.write_text(f'{TOKEN},tests,tests,"system:masters"\n')
    commands = {
        "etcd": [
            f"--data-dir={folder}/etcd", f"--listen-client-urls=http://127.0.0.1:{etcd}",
            f"--advertise-client-urls=http://127.0.0.1:{etcd}", f"--listen-peer-urls=http://127.0.0.1:{peer}",
        ],
        # Accounts of services are made by a controller, which does not run.
        "kube-apiserver": [
            f"--etcd-servers=http://127.0.0.1:{etcd}", "--bind-address=127.0.0.1", f"--secure-port={port}",
            f"--cert-dir={folder}/certificates", f"--token-auth-file={tokens}", "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.0.0.0/24", "--disable-admission-plugins=ServiceAccount",
            "--service-account-issuer=https://tests.example", f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
        ],
    }  # fmt: skip
    for program, arguments in commands.items():
        log = stack.enter_context((folder / f"{program}.log").open("w"))
        process = stack.enter_context(subprocess.Popen([program, *arguments], stdout=log, stderr=log))
        stack.callback(process.terminate)
    server = ApiServer((f"--server=https://127.0.0.1:{port}", "--insecure-skip-tls-verify", f"--token={TOKEN}"))
    until = time.monotonic() + 60
    while server.run("get", "--raw=/readyz").code:
        assert time.monotonic() < until, (folder / "kube-apiserver.log").read_text()
        time.sleep(0.5)
    return server
