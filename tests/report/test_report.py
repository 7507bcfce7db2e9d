"""The page of `report --html`, and the picture of `report --format mermaid`."""

import re
import sys
from pathlib import Path

import pytest

from tests.support.project import Postgres, Project
from tests.support.reported import reported


@pytest.fixture
def page(few: Project, postgres: Postgres) -> str:
    with reported(few, postgres) as path:
        return path.read_text()


def test_the_page_says_everything_and_has_no_password(page: str, postgres: Postgres) -> None:
    assert "auth_0001" in page and "auth_0002" in page
    assert "column user_profiles.drifted is not in user_0001" in page
    assert "report of the night" in page and "AccessShareLock" in page
    assert re.search(r"1</strong> drifted", page)
    assert "<td>2026.12</td>" in page
    assert "no_such_column" in page
    assert '<h4 class="added">+ logins (added)</h4>' in page
    assert '<li class="added">+ <code>phone</code> text (added)</li>' in page
    assert '<li class="changed">~ <code>email</code> text NOT NULL (changed)</li>' in page
    assert '<li class="added">+ <code>user_id</code> refers to users (added)</li>' in page
    assert postgres.password not in page and "s3cret" not in page


def test_a_table_called_script_is_text(page: str) -> None:
    assert "alert(1)" in page
    assert "<script>alert" not in page
    assert "dropped" in re.findall(r'<h4 class="(\w+)">[^<]*&lt;script&gt;', page)
    assert page.count("<script>") == 1  # the page's own


def test_the_page_loads_nothing(page: str) -> None:
    assert "default-src &#39;none&#39;" in page
    assert not re.findall(r"(?:src|href)=\"(?!#)", page)
    assert " style=" not in page and "http" not in page.replace("http-equiv", "")


def test_the_ten_databases_take_less_than_a_megabyte(migrated: Project) -> None:
    page = migrated.root / "report.html"
    assert migrated.multidb("report", "--html", str(page)).code == 0
    text = page.read_text()
    for name in migrated.names:
        assert f'id="tables-{name}"' in text
    assert page.stat().st_size < 1_000_000
    assert re.search(r"<strong>10</strong> at head", text)


def test_without_graphviz_the_page_has_lists_and_says_what_to_install(
    few: Project, postgres: Postgres, tmp_path: Path
) -> None:
    few.variables |= postgres.scratch | {"PATH": str(tmp_path)}
    page = few.root / "report.html"
    assert few.multidb("report", "--html", str(page), "auth_db").code == 0
    text = page.read_text()
    assert "<code>graphviz</code>" in text
    assert 'class="picture"' not in text
    assert "<details open>\n<summary>1 table of auth_db as a list" in text


def test_a_database_that_is_down_has_its_error_and_the_others_their_rows(few: Project, postgres: Postgres) -> None:
    few.variables |= postgres.scratch | {"AUTH_DB_URL": "postgresql://neighbor:s3cret@127.0.0.1:1/auth_db"}
    page = few.root / "report.html"
    assert few.multidb("report", "--html", str(page)).code == 0
    text = page.read_text()
    assert re.search(r"1</strong> with an error", text) and re.search(r"3</strong> at head", text)
    assert "127.0.0.1:1" in text and "s3cret" not in text


def test_a_report_that_can_not_be_written_leaves_the_former_one(few: Project, postgres: Postgres) -> None:
    few.variables |= postgres.scratch
    missing = few.multidb("report", "--html", "no/such/report.html", "auth_db")
    assert "there is no directory no/such: create it first" in missing.error
    folder = few.root / "folder.html"
    folder.mkdir()
    assert "folder.html can't be written: " in few.multidb("report", "--html", "folder.html", "auth_db").error
    assert not list(few.root.glob("*.part"))


def test_mermaid_text_has_the_tables_and_what_is_pending(few: Project, postgres: Postgres) -> None:
    few.variables |= postgres.scratch
    few.add_revision(
        "auth_db", 2, 'op.execute("CREATE TABLE logins (id bigint PRIMARY KEY, user_id uuid REFERENCES users)")'
    )
    done = few.multidb("report", "--format", "mermaid", "auth_db")
    assert done.code == 0, done.err
    assert done.out.startswith("erDiagram\n")
    assert '["users"] {' in done.out and '["logins (added)"] {' in done.out
    assert "uuid user_id PK" in done.out
    assert ' : "user_id (added)"' in done.out
    assert "name it" in few.multidb("report", "--format", "mermaid").error


def test_foreign_keys_of_sqlite_are_arrows(few: Project, postgres: Postgres) -> None:
    few.variables |= postgres.scratch
    few.add_revision(
        "investment_db",
        2,
        "op.execute('CREATE TABLE a (id INTEGER PRIMARY KEY)')\n"
        "    op.execute('CREATE TABLE b (id INTEGER PRIMARY KEY, a_id INTEGER REFERENCES a (id))')",
    )
    done = few.multidb("report", "--format", "mermaid", "investment_db")
    assert '"a_id (added)"' in done.out, done.out


def test_a_run_imports_nothing_of_what_only_shows(few: Project) -> None:
    few.add_revision("auth_db", 2, "pass")
    result = few.run(sys.executable, "-X", "importtime", "-m", "alembic", "upgrade", "heads")
    imported = {line.rpartition("|")[2].strip() for line in result.err.splitlines() if line.startswith("import time:")}
    assert "multidb.commands.alembic.migrate" in imported
    extras = {"multidb.report", "rich", "prometheus_client", "shtab"}
    assert not {each for each in imported if any(each == extra or each.startswith(f"{extra}.") for extra in extras)}
