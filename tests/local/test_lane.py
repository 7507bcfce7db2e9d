"""`bin/test --on`: the README's commands on a fresh machine, whose bare system is a stand-in with a few programs."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.project import ROOT

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="takes root, to make namespaces: run bin/test as root")

DEBOOTSTRAP = """#!/bin/sh
for word; do case $word in */lanes/*.part) target=$word ;; esac; done
mkdir -p "$target/etc/apt/apt.conf.d" "$target/etc/profile.d" "$target/etc/ssl/certs"
for each in dev proc root sys tmp usr/bin; do mkdir -p "$target/$each"; done
ln -s usr/bin "$target/bin"
for program in sh env cat ls sleep touch; do
    cp -L "$(command -v "$program")" "$target/usr/bin"
    ldd "$(command -v "$program")" | grep -o '/[^ ]*' | xargs -I FILE cp -L --parents FILE "$target"
done
echo 'PATH=/usr/bin; for file in /etc/profile.d/*.sh; do . "$file"; done' >"$target/etc/profile"
"""
UP = 'touch /etc/changed; sleep 7654 & echo "up: $HOME, $PIP_INDEX_URL, ${DATABASE_SERVER_URL-no variable}"'
TEST = """if [ "${1-}" = --on ]; then shift; exec bin/lane "$@"; fi
echo "test: $#: $1, $2; $(echo *); $(cat new.txt)"
exit 7
"""


class Machine:
    """A checkout with stand-ins for `bin/up`, `bin/test` and debootstrap."""

    def __init__(self, folder: Path) -> None:
        self.checkout, self.programs, self.cache = folder / "a checkout", folder / "programs", folder / "a cache"
        self.programs.mkdir()
        (self.checkout / "bin").mkdir(parents=True)
        shutil.copy(ROOT / "bin/lane", self.checkout / "bin")
        self.script(self.checkout / "bin/up", UP)
        self.script(self.checkout / "bin/test", TEST)
        self.script(self.programs / "debootstrap", DEBOOTSTRAP)

    def script(self, path: Path, text: str) -> None:
        path.write_text(text if text.startswith("#!") else f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        variables = {
            "HOME": str(self.cache),
            "XDG_CACHE_HOME": str(self.cache),
            "PATH": f"{self.programs}:{os.environ['PATH']}:/usr/sbin",
            "PIP_INDEX_URL": "https://packages.example/the index's",
            "DATABASE_SERVER_URL": "postgresql://elsewhere",
        } | {f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        return subprocess.run(
            command, cwd=self.checkout, env=variables, capture_output=True, text=True, timeout=60, check=False
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@as_root
def test_a_fresh_machine_has_the_checkout_as_it_is_and_is_gone_at_the_end(machine: Machine) -> None:
    (machine.checkout / "README.md").touch()
    for command in ("git init --quiet", "git add --all", "git commit --quiet -m x"):
        assert machine.run(*command.split()).returncode == 0
    (machine.checkout / "README.md").unlink()
    (machine.checkout / "new.txt").write_text("not committed")
    for _ in range(2):
        done = machine.run("bin/test", "--on", "trixie", "two words", "x")
        assert done.returncode == 7, done
        assert done.stdout.splitlines()[-2:] == [
            "up: /root, https://packages.example/the index's, no variable",
            "test: 2: two words, x; bin new.txt; not committed",
        ]
    assert done.stdout.count("\n") == 2, "the bare system is made once"
    lanes = machine.cache / "neighbor-migrations/lanes"
    assert not (lanes / "trixie/etc/changed").exists()
    assert not list((lanes / "machine").iterdir())
    assert not [each for each in Path("/proc").glob("[1-9]*/cmdline") if _read(each) == b"sleep\x007654\0"]


@as_root
def test_the_bare_system_alone_is_made_once_and_named(machine: Machine) -> None:
    folder = f"{machine.cache}/neighbor-migrations/lanes/trixie"
    for _ in range(2):
        made = machine.run("bin/lane", "--system", "trixie")
        assert (made.returncode, made.stdout) == (0, f"{folder}\n"), made
    assert made.stderr == ""
    assert Path(folder, "usr/bin/sh").exists()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # of a process that has ended
        return b""


@as_root
def test_the_error_of_a_failed_bare_system_is_that_of_debootstrap(machine: Machine) -> None:
    machine.script(machine.programs / "debootstrap", "echo 'E: No such release'; exit 1")
    done = machine.run("bin/test", "--on", "nowhere")
    assert done.returncode == 1
    assert re.fullmatch(
        r"error: no Debian nowhere could be made: E: No such release: see .*/lanes/nowhere\.log \[MDB807\]\n",
        done.stderr,
    )


def test_another_user_is_told_that_it_takes_root(machine: Machine) -> None:
    machine.script(machine.programs / "id", "echo 1000")
    machine.script(machine.programs / "sudo", "exit 1")
    done = machine.run("bin/test", "--on", "trixie")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: a bare Debian takes root")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["tests/test_errors.py"], ["-k"]])
def test_without_a_release_none_is_guessed(machine: Machine, arguments: list[str]) -> None:
    done = machine.run("bin/test", "--on", *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: `--on` takes the name of a Debian release, such as trixie [MDB807]\n"
