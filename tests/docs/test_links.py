"""No link or anchor in a Markdown file is broken, and the README is short."""

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.support.pages import LANGUAGES, Page, anchor
from tests.support.project import ROOT

_LINK = re.compile(r"(?<!!)\[(?:[^\[\]]|\[[^\]]*\]|`[^`]*`)*\]\(([^()\s]*(?:\([^()]*\)[^()\s]*)*)\)")


def _pages() -> list[Path]:
    """The Markdown files that belong to the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode:  # an archive without its history
        return sorted(path for path in ROOT.rglob("*.md") if not path.relative_to(ROOT).parts[0].startswith("."))
    return sorted(path for path in map(ROOT.joinpath, listed.stdout.splitlines()) if path.exists())


@cache
def _page(path: Path) -> Page:
    return Page(path)


@pytest.mark.parametrize("path", _pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(path: Path) -> None:
    for link in _LINK.findall(_page(path).prose):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, name = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), f"{path.relative_to(ROOT)}: {link}: no such file"
        assert target.is_relative_to(ROOT), f"{path.relative_to(ROOT)}: {link}: outside the repository"
        if name:
            assert name in _page(target).anchors, f"{path.relative_to(ROOT)}: {link}: no such heading"


@pytest.mark.parametrize(
    ("heading", "expected"),
    [
        ("When a release fails", "when-a-release-fails"),
        ("`python -m multidb`", "python--m-multidb"),
        ("Exit code 3: done in part", "exit-code-3-done-in-part"),
        ("heads, branches, show", "heads-branches-show"),
        ("two_phase", "two_phase"),
        ("--sql", "--sql"),
        ("databases.yaml", "databasesyaml"),
        ("A [link](there.md) & more", "a-link--more"),
    ],
)
def test_anchors_are_those_of_github(heading: str, expected: str) -> None:
    assert anchor(heading) == expected


def test_every_page_is_linked_from_the_readme() -> None:
    linked = set(_LINK.findall(_page(ROOT / "README.md").prose))
    for path in (ROOT / "docs").rglob("*.md"):
        assert path.relative_to(ROOT).as_posix() in linked, path.name


def test_every_page_begins_with_who_needs_it() -> None:
    for path in (ROOT / "docs").rglob("*.md"):
        title, empty, first = LANGUAGES.sub("", path.read_text(encoding="utf-8")).splitlines()[:3]
        assert title.startswith("# "), path.name
        assert not empty
        assert first.startswith("本页面向" if path.parent.name == "zh-CN" else "For "), path.name


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150
