"""`completion`, in the real shells: what a TAB offers."""

import os
import pty
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.project import Project
from tests.support.shells import TAB_IN_BASH

# A line before the TAB, and what it becomes.
LINES = [
    ("alembic upg", "alembic upgrade"),
    ("alembic upgrade user_db@h", "alembic upgrade user_db@head"),
    ("alembic upgrade content_0", "alembic upgrade content_0001"),
    ("alembic -x db=use", "alembic -x db=user_db"),
    ("alembic -x db=auth_db,use", "alembic -x db=auth_db,user_db"),
    ("alembic -x lock_t", "alembic -x lock_timeout="),
    ("alembic -x db=auth_db upg", "alembic -x db=auth_db upgrade"),
    ("alembic -x db=auth_db upgrade --s", "alembic -x db=auth_db upgrade --sql"),
    ("multidb dri", "multidb drift"),
    ("multidb drift use", "multidb drift user_db"),
    ("multidb -x jobs=1 status --j", "multidb -x jobs=1 status --json"),
]
TAB = "\t"


@pytest.fixture
def scripts(checkout: Project, tmp_path: Path) -> Path:
    """The folder with what is printed for each shell."""
    for shell in ("bash", "zsh", "fish"):
        (tmp_path / shell).write_text(checkout.multidb("completion", shell).out)
    return tmp_path


@pytest.fixture
def needs() -> Iterator[None]:
    missing = [shell for shell in ("bash", "zsh", "fish") if shutil.which(shell) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}; bin/test installs them")
    yield


@pytest.mark.usefixtures("needs")
def test_a_tab_completes_databases_revisions_and_keys_in_bash(scripts: Path) -> None:
    found = [(line, _said("bash", "-c", f". {scripts}/bash\n{TAB_IN_BASH}", "bash", line)) for line, _ in LINES]
    assert found == LINES


@pytest.mark.usefixtures("needs")
def test_a_tab_completes_databases_revisions_and_keys_in_fish(scripts: Path) -> None:
    for line, expected in LINES:
        offered = _said("fish", "-c", f'source {scripts}/fish; complete -C "$argv[1]"', line).splitlines()
        assert [f"{line.rpartition(' ')[0]} {each.partition(TAB)[0]}" for each in offered] == [expected]


@pytest.mark.usefixtures("needs")
def test_a_tab_completes_databases_revisions_and_keys_in_zsh(scripts: Path) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ |= {"TERM": "dumb", "PS1": "$ "}
        os.execlp("zsh", "zsh", "-f", "-i")
    _read(terminal, "$ ")
    # ^O prints the line as it is, and ^U empties it for the next one.
    _type(terminal, "autoload -Uz compinit; compinit -u -D; unsetopt list_beep zle_bracketed_paste; stty -echo\n")
    _type(terminal, 'show() { print -r "<$BUFFER>" }; zle -N show; bindkey "^O" show; bindkey "^U" kill-buffer\n')
    _type(terminal, f'eval "$(<{scripts}/zsh)"; echo ready\n')
    _read(terminal, "ready\r\n")
    for line, expected in LINES:
        _type(terminal, f"{line}\t\x0f")
        assert _read(terminal, ">").rpartition("<")[2].partition(">")[0].rstrip() == expected
        _type(terminal, "\x15")
    _type(terminal, "exit\n")
    os.close(terminal)
    os.waitpid(pid, 0)


@pytest.mark.usefixtures("needs")
def test_no_python_is_started_when_the_key_is_pressed(scripts: Path, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("bash", "ls", "sed", "tr"):
        (programs / name).symlink_to(shutil.which(name) or "")
    command = f"PATH={programs}; . {scripts}/bash\n{TAB_IN_BASH}"
    assert _said("bash", "-c", command, "bash", "alembic upgrade user_db@h") == "alembic upgrade user_db@head"


def test_without_the_library_the_command_says_what_to_install(checkout: Project) -> None:
    checkout.write("shtab.py", "raise ImportError('not here')\n")
    assert checkout.multidb("completion", "bash").error == "error: shtab is not installed: `pip install shtab`"


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _type(terminal: int, text: str) -> None:
    os.write(terminal, text.encode())


def _read(terminal: int, until: str) -> str:
    """What the terminal shows until a text is there, for at most ten seconds."""
    shown, end = "", time.monotonic() + 10
    while until not in shown and time.monotonic() < end:
        if select.select([terminal], [], [], 0.1)[0]:
            shown += os.read(terminal, 65536).decode(errors="replace")
    return shown
