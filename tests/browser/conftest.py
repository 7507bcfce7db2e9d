"""Chromium, and a page about databases with something of everything."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import _project
from tests.support.project import FEW, Postgres
from tests.support.reported import reported

if TYPE_CHECKING:  # is installed for these tests alone
    from playwright.sync_api import Browser, Page

Open = Callable[..., "Page"]
SECTIONS = ("databases", "sessions", "runs", "revisions", "tables")


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    """The Chromium of the system."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium")
    assert program, "there is no chromium: `bin/test -e browser` installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def file(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The page."""
    folder = tmp_path_factory.mktemp("reported")
    templates = {name: f"head_{name}" for name in FEW[:-1]}
    with contextmanager(_project)(folder, postgres, templates) as project:
        shutil.copy(postgres.folder / "investment.db", project.root / "investment.db")
        with reported(project, postgres) as path:
            yield path


@pytest.fixture
def opened(browser: "Browser", file: Path) -> Iterator[Open]:
    """Opens the page without a network; at the end, nothing was requested, and the console is empty."""
    contexts, said, requested = [], [], []

    def opened(**options: Any) -> "Page":
        context = browser.new_context(**{"offline": True, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(dialog.message))
        page.on("request", lambda request: requested.append(request.url))
        page.goto(file.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert said == []
    assert requested == [file.as_uri()] * len(contexts)
