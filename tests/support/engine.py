"""A container engine, Docker or Podman, and the image of deploy/Dockerfile that it builds."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.project import ROOT, Result

IMAGE = "localhost/neighbor-migrations:tested"
SYSTEM = "localhost/neighbor-migrations-system:tested"
# The release of Debian whose Python has the version of the image's.
RELEASE = "trixie"
STAND_INS = ROOT / "tests/support/images"
STORE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "neighbor-migrations/containers"


class NoEngineError(Exception):
    """Why no container engine can be used here, in one line."""


@dataclass(frozen=True)
class Engine:
    """Docker, whose service runs, or Podman with a store of its own."""

    command: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def found(cls, folder: Path) -> "Engine":
        """The engine of this machine, tried out.

        Args:
            folder: for the settings of Podman.
        """
        docker, podman = cls(("docker",)), cls._podman(folder)
        for engine, question in ((docker, ["info", "--format", "{{.ServerVersion}}"]), (podman, ["info"])):
            with suppress(FileNotFoundError):
                if engine.run(*question).code == 0:
                    return engine
        raise NoEngineError("no container engine: Docker's service is not there, and Podman is not installed")

    @classmethod
    def _podman(cls, folder: Path) -> "Engine":
        # Podman would set higher ones than its own, which a root without CAP_SYS_RESOURCE may not.
        limits = '["nofile=1024:1024", "nproc=4096:4096"]'
        # crun refuses cgroups of both versions side by side; runc takes them.
        runtime = 'runtime = "runc"\n' if shutil.which("runc") else ""
        (folder / "containers.conf").write_text(
            f'[containers]\ndefault_ulimits = {limits}\n[engine]\nevents_logger = "file"\n{runtime}'
            '[network]\nnetwork_backend = "netavark"\n'  # the other one gives containers no names
        )
        (folder / "storage.conf").write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{STORE}/store"\nrunroot = "{STORE}/run"\n'
        )
        (folder / "registries.conf").write_text('unqualified-search-registries = ["docker.io"]\n')
        variables = {
            "CONTAINERS_CONF": str(folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
            "CONTAINERS_REGISTRIES_CONF": str(folder / "registries.conf"),
        }
        return cls(("podman",), variables)

    @property
    def compose(self) -> "Engine":
        """Compose, with this engine."""
        if self.command[0] == "docker":
            return Engine(("docker", "compose"))
        return Engine((str(Path(sys.prefix) / "bin/podman-compose"),), self.variables)

    def run(self, *arguments: str, stdin: int | None = None, timeout: float = 600) -> Result:
        done = subprocess.run(
            [*self.command, *arguments],
            cwd=ROOT, env=os.environ | self.variables, stdin=stdin, capture_output=True, text=True,
            timeout=timeout, check=False,
        )  # fmt: skip
        return Result(done.stdout, done.stderr, done.returncode)

    def done(self, *arguments: str) -> str:
        """What a command prints that has to succeed."""
        result = self.run(*arguments)
        assert result.code == 0, result
        return result.out

    def build(self) -> None:
        """Build the image, on the base that the Dockerfile names."""
        [base] = set(re.findall(r"^FROM (\S+)", (ROOT / "deploy/Dockerfile").read_text(), re.MULTILINE))
        self.provide(f"docker.io/library/{base}", STAND_INS / "python")
        self._build(IMAGE, "--network=host", "--file=deploy/Dockerfile", "--build-arg=RELEASE=tested",
                    "--build-arg=COMMIT=0123abc", ".")  # fmt: skip

    def provide(self, name: str, stand_in: Path) -> None:
        """Have an image of a registry's, or else one under its name that is built from Debian's packages.

        Args:
            stand_in: the folder that the latter is built from, on the bare system of bin/lane.
        """
        if self.run("image", "inspect", name).code == 0 or self.run("pull", "--quiet", name).code == 0:
            return
        if self.run("image", "inspect", SYSTEM).code:
            self._import_system()
        folder = STORE / "stand-in"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(stand_in, folder)
        self._add_settings(folder)
        self._build(name, "--network=host", str(folder))

    def _build(self, name: str, *arguments: str) -> None:
        # Health checks are an extension of Docker's format.
        how = ["--format=docker"] if self.command[0] == "podman" else []
        self.done("build", *how, f"--tag={name}", *arguments)

    def _import_system(self) -> None:
        made = subprocess.run([ROOT / "bin/lane", "--system", RELEASE], capture_output=True, text=True, check=False)
        if made.returncode:
            raise NoEngineError(f"no registry can be reached, and {made.stderr.strip().splitlines()[-1]}")
        tar = ["tar", "-C", made.stdout.strip(), "--one-file-system", "-c", "."]
        with subprocess.Popen(tar, stdout=subprocess.PIPE) as packed:
            assert packed.stdout is not None
            imported = self.run("import", "-", SYSTEM, stdin=packed.stdout.fileno())
        assert imported.code == 0, imported

    def _add_settings(self, folder: Path) -> None:
        """Add to what an image is built from what leads pip and apt of this machine to their packages."""
        root = folder / "root"
        for file in (Path("/etc/pip.conf"), Path("/etc/ssl/certs/ca-certificates.crt")):
            (root / file.parent.relative_to("/")).mkdir(parents=True, exist_ok=True)
            if file.exists():
                shutil.copy(file, root / file.relative_to("/"))
        dump = subprocess.run(["apt-config", "dump", "Acquire"], capture_output=True, text=True, check=True).stdout
        lists = re.compile(r"::(IndexTargets|CompressionTypes|Changelogs)\b")
        lines = [line for line in dump.splitlines() if not lists.search(line)]
        (root / "etc/apt/apt.conf.d").mkdir(parents=True)
        (root / "etc/apt/apt.conf.d/90machine").write_text("\n".join(lines) + "\n")
        with (folder / "Dockerfile").open("a") as file_of_image:
            for key in ("PIP_INDEX_URL", "PIP_CERT"):
                if key in os.environ:
                    file_of_image.write(f"ENV {key}={os.environ[key]}\n")

    def health(self) -> list[str]:
        """The command of the image's health check."""
        kind, *command = json.loads(
            self.done("image", "inspect", "--format", "{{json .Config.Healthcheck.Test}}", IMAGE)
        )
        assert kind == "CMD"
        return [str(word) for word in command]
