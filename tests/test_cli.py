"""`python -m multidb`, and its short form: what is there beside the commands."""

import tomllib
from pathlib import Path

import pytest

from multidb import __version__
from multidb.advice.codes import Code
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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["statsu"], "error: there is no command 'statsu'; did you mean status?"),
        (["zzz"], "error: there is no command 'zzz': there are adopt, check, completion, "),
        ([], "error: the following arguments are required: COMMAND"),
        (["status", "--jsno"], "error: unrecognized arguments: --jsno: `python -m multidb status --help` shows"),
        (["report"], "error: one of the arguments --html --format is required: `python -m multidb report --help`"),
    ],
)
def test_a_usage_error_is_one_line_and_not_the_exit_code_of_something_found(
    checkout: Project, arguments: list[str], message: str
) -> None:
    result = checkout.multidb(*arguments)
    assert result.error.startswith(message)
    assert result.error_code == Code.USAGE
