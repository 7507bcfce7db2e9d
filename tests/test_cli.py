"""`python -m multidb`, and its short form: what is there beside the commands."""

import tomllib
from pathlib import Path

from multidb import __version__
from tests.support.project import ROOT, Project


def test_the_version_names_what_decides_a_run(checkout: Project) -> None:
    out = checkout.multidb("--version").out
    assert out.startswith(f"neighbor-migrations {__version__} (alembic 1.")
    assert "sqlalchemy 2." in out
    assert "psycopg2-binary 2." in out
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == __version__


def test_the_short_form_works_in_any_folder(checkout: Project) -> None:
    checkout.lend_venv()
    short = checkout.root / "some/folder/multidb"  # .venv/bin is that of these tests
    script = (ROOT / "bin/venv").read_text().partition("<<'SCRIPT'\n")[2].partition("SCRIPT\n")[0]
    short.parent.mkdir(parents=True)
    short.write_text(script)
    short.chmod(0o755)
    for folder in (checkout.root, checkout.root / "models", Path("/")):
        result = checkout.run(short, "ready", "auth_db", cwd=folder)
        assert result.err.startswith("error: auth_db: "), result  # the one of the checkout, whose server is not there
