"""The README's lists, followed literally, and its claims about what exists."""

import re
import shutil
import sys
import textwrap
from pathlib import Path

import pytest

from multidb.config import reader
from tests.deploy.test_kubernetes import assert_says_the_same, rendered
from tests.local.test_local import clone
from tests.support.project import ROOT, Project

README = (ROOT / "README.md").read_text()
__all__ = ["clone"]


def _steps(heading: str) -> list[tuple[str, str, str]]:
    """What each code block of a section is: the text before it, its language, and its content."""
    section = README.split(f"## {heading}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"(.*?)^ *```(\w+)\n(.*?)^ *```$", section, re.DOTALL | re.MULTILINE)
    return [(text, language, textwrap.dedent(code)) for text, language, code in blocks]


@pytest.mark.parametrize("heading", ["Add a table", "Add a database"])
def test_the_list_can_be_followed_literally(clone: Project, heading: str) -> None:
    assert clone.run("bin/up").code == 0
    before = {path: path.read_text() for path in (clone.root / "migrations/versions").glob("*/*.py")}
    for text, language, code in _steps(heading):
        if language == "sh":
            for line in code.splitlines():
                result = clone.run("sh", "-c", line)
                assert result.code == 0, (line, result)
        else:
            file = re.findall(r"`(models/\w+\.py|(?:[\w/]+/)?databases\.yaml)`", text)[-1]
            path = clone.root / file
            existing = path.read_text() if path.exists() else ""
            indent = "  " if file == "databases.yaml" else ""
            path.write_text(existing + textwrap.indent(code, indent) if existing else code)
    assert clone.run(".venv/bin/alembic", "check").out == "No new upgrade operations detected.\n"
    after = {path: path.read_text() for path in (clone.root / "migrations/versions").glob("*/*.py")}
    assert len(after) == len(before) + 1
    assert before.items() <= after.items()
    written = [str(path) for path in after if path not in before]
    lint = clone.run(Path(sys.prefix) / "bin/ruff", "check", "--config", ROOT / "pyproject.toml", *written)
    assert lint.code == 0, lint.out
    if shutil.which("kubectl"):
        manifests = rendered(clone.root / "deploy/k8s/overlays/production")
        assert_says_the_same(manifests, reader.load(clone.root / "databases.yaml"))
    named = re.search(r"`(migrations/versions/\S+\.py)`", README.split(f"## {heading}\n")[1].split("\n## ")[0])
    assert named is None or (clone.root / named[1]).exists()


def test_it_names_the_two_commands() -> None:
    assert [line.split()[0] for line in _steps("Start")[0][2].splitlines()] == ["bin/up", "bin/test"]


def test_every_place_of_the_layout_is_there() -> None:
    places = re.findall(r"^\| `([^`<]+)", README.split("## Layout")[1], re.MULTILINE)
    assert len(places) > 8
    for place in places:
        assert (ROOT / place).exists(), place


def test_every_message_of_the_troubleshooting_is_one_that_is_said() -> None:
    """By the program, or by a driver or server that a test makes say it."""
    tests = ("test_errors.py", "database/test_sqlite.py", "database/test_locks.py", "release/test_two_phase.py")
    files = [*ROOT.glob("multidb/**/*.py"), *(ROOT / "tests" / name for name in tests)]
    said = _bare("".join(path.read_text() for path in files))
    rows = re.findall(r"^\| (`.*?) \|", README.split("## Troubleshooting")[1].split("## Layout")[0], re.MULTILINE)
    assert len(rows) > 15
    for message in re.findall(r"`([^`]+)`", "".join(rows)):
        for part in re.split(r"…|'0001'|\d", _bare(message)):
            assert part.strip() in said, message


def _bare(text: str) -> str:
    """The text without the names in quotation marks, which differ."""
    return re.sub(r'"[\w…]*"', "", text)
