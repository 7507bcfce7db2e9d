"""The pipelines' jobs: they are valid, and their commands do what they should, as they are written."""

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from sqlalchemy.engine import make_url

from tests.support.project import EXAMPLE, NAMES, ROOT, Postgres, Project, Result

CI = ROOT / "deploy/ci"
# This is what runs these tests.
TEST_COMMAND = "bin/test -e lint,imports,types"


def commands(file: str) -> list[str]:
    """What a job runs, in order."""
    text = yaml.safe_load((CI / file).read_text())
    if file.startswith("github"):
        [job] = text["jobs"].values()
        return [step["run"] for step in job["steps"] if "run" in step]
    [job] = text.values()
    return list(job["script"])


@pytest.fixture
def repository(tmp_path: Path) -> Project:
    """A repository with one commit, which is this checkout with the example's branches and models."""
    root = tmp_path / "repository"
    left_out = shutil.ignore_patterns(".git", ".venv", ".tox", ".local", ".*_cache", ".hypothesis", "*.db*", "sql")
    shutil.copytree(ROOT, root, ignore=left_out)
    for part in ("models", "migrations/versions"):
        shutil.rmtree(root / part)
    shutil.copytree(EXAMPLE, root, dirs_exist_ok=True, ignore=left_out)
    made = Project(
        root, {f"GIT_{who}_{what}": "somebody" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    )
    made.lend_venv()
    for command in (["init", "--quiet", "-b", "main"], ["add", "--all"], ["commit", "--quiet", "-m", "as it is"]):
        assert made.run("git", *command).code == 0
    made.variables["BASE"] = made.run("git", "rev-parse", "HEAD").out.strip()
    return made


def commit(repository: Project) -> None:
    assert repository.run("git", "commit", "--quiet", "--all", "-m", "more").code == 0


def propose(repository: Project, upgrade: str, downgrade: str) -> None:
    """Commit two new revisions, as a pull request would."""
    repository.add_revision("auth_db", 2, upgrade, downgrade)
    repository.add_revision(
        "investment_db",
        2,
        'op.execute("CREATE VIEW titles AS SELECT title FROM investments")',
        'op.execute("DROP VIEW titles")',
    )
    assert repository.run("git", "add", "--all").code == 0
    commit(repository)


# What no model knows of, so that there is none to be written.
ADD, TAKE = 'op.execute("CREATE VIEW emails AS SELECT email FROM users")', 'op.execute("DROP VIEW emails")'


def run(repository: Project, file: str) -> list[tuple[str, Result]]:
    """Run a job's commands, as a runner does: until one fails."""
    done: list[tuple[str, Result]] = []
    for command in commands(file):
        if command != TEST_COMMAND:
            done.append((command, repository.run("bash", "-e", "-c", command)))
            if done[-1][1].code:
                break
    return done


@pytest.mark.parametrize("file", sorted(path.name for path in CI.glob("*.yml")))
def test_every_job_is_valid_by_the_published_schema(file: str) -> None:
    schema = ["vendor.github-workflows"] if "github" in file else ["vendor.gitlab-ci", "--data-transform", "gitlab-ci"]
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", *schema, str(CI / file)]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_projects_own_pipeline_has_every_version_that_the_readme_names() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    [(first, last)] = re.findall(r"!\[Python 3\.(\d+) to 3\.(\d+)\]", (ROOT / "README.md").read_text())
    pythons = jobs["test"]["strategy"]["matrix"]["python"]
    assert pythons == [f"3.{minor}" for minor in range(int(first), int(last) + 1)]
    tried = re.search(r"for candidate in python3 (.*);", (ROOT / "bin/venv").read_text())
    assert tried
    assert tried[1].split() == [f"python{version}" for version in reversed(pythons)]
    lanes = jobs["debian"]["strategy"]["matrix"]["release"]
    in_run = re.search(r"for release in (.*);", (ROOT / ".ci/run").read_text())
    assert in_run
    assert set(in_run[1].split()) < set(lanes)


def test_what_others_wrote_is_pinned_by_its_hash() -> None:
    used = re.findall(r"uses: (\S+)", "".join(path.read_text() for path in CI.glob("github*.yml")))
    assert len(used) >= 3
    for each in used:
        assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", each)


@pytest.mark.parametrize("kind", ["pull-request", "release"])
def test_both_platforms_do_the_same(kind: str) -> None:
    def essential(file: str) -> list[str]:
        lines = [line for command in commands(file) for line in command.splitlines()]
        return [line.partition(" # ")[0].replace('"$BASE"', "HEAD^1") for line in lines if not line.startswith(": ")]

    assert essential(f"github-{kind}.yml") == essential(f"gitlab-{kind}.yml")


def test_a_pull_request_shows_its_sql_and_goes_up_down_and_up(repository: Project) -> None:
    propose(repository, ADD, TAKE)
    done = run(repository, "gitlab-pull-request.yml")
    assert [result.code for _, result in done] == [0, 0], done
    new = repository.root / "new-sql"
    assert {path.name for path in new.iterdir()} == {"auth_db.sql", "investment_db.sql"}
    assert "CREATE VIEW emails" in (new / "auth_db.sql").read_text()
    assert "CREATE TABLE users" not in (new / "auth_db.sql").read_text()
    steps = re.findall(r"^== (.*)", done[-1][1].err, re.MULTILINE)
    assert [step.partition(" at ")[0] for step in steps] == [
        "empty databases: up", "empty databases: down", "empty databases: up again", "databases with rows, as they are",
        "databases with rows: plan",
        "databases with rows: up", "databases with rows: down", "databases with rows: up again",
    ]  # fmt: skip
    assert done[-1][1].out.count(": no drift") == len(NAMES)
    assert repository.run("git", "worktree", "list").out.count("\n") == 1


@pytest.mark.parametrize(
    ("upgrade", "downgrade", "step", "reason"),
    [
        ('op.execute("CREATE SEQUENCE numbers")', "pass", "empty databases: up again", '"numbers" already exists'),
        (
            'op.execute("ALTER TABLE users ADD nickname text")',
            'op.drop_column("users", "nickname")',
            "empty databases: up again",
            "auth_db: not like the models",
        ),
        (
            f'{ADD}; op.execute("SELECT 1 / (1000 - count(*)) FROM users")',
            TAKE,
            "databases with rows: up",
            "division by",
        ),
    ],
)
def test_a_pull_request_that_does_not_go_up_down_and_up_fails(
    repository: Project, upgrade: str, downgrade: str, step: str, reason: str
) -> None:
    propose(repository, upgrade, downgrade)
    command, result = run(repository, "github-pull-request.yml")[-1]
    assert "up-down-up" in command
    assert result.code == (2 if reason == "auth_db: not like the models" else 1)  # what the failed command exits with
    assert re.findall(r"^== (.*)", result.err, re.MULTILINE)[-1] == step
    assert reason in result.err.splitlines()[-1]


def test_a_pull_request_without_a_new_revision_passes_and_connects_to_no_named_database(repository: Project) -> None:
    somebodys = "postgresql://somebody@127.0.0.1:1"
    repository.variables |= {
        "DATABASE_SERVER_URL": somebodys,
        "AUTH_DB_URL": f"{somebodys}/auth",
        "AUTH_DB_URL_FILE": "",
    }
    repository.write("README.md", "shorter")
    commit(repository)
    done = run(repository, "github-pull-request.yml")
    assert codes(done) == [0, 0], done
    assert not list((repository.root / "new-sql").iterdir())


def test_a_pull_request_whose_schema_files_are_not_current_fails(repository: Project, postgres: Postgres) -> None:
    repository.variables |= postgres.scratch
    assert repository.multidb("schema", "--out", "schema").code == 0
    propose(repository, ADD, TAKE)
    assert run(repository, "github-pull-request.yml")[-1][1].code == 2
    assert repository.multidb("schema", "--out", "schema").code == 0
    commit(repository)
    _, result = run(repository, "github-pull-request.yml")[-1]
    assert result.code == 0, result
    assert "== schema: are its files current\n" in result.err


@pytest.fixture
def production(repository: Project, platform: Postgres, tmp_path: Path) -> Project:
    """What the release job sees: a server with the databases, and its name for the release."""
    server = make_url(platform.role_url)
    (tmp_path / "investment.db").touch()
    repository.variables |= {
        "DATABASE_SERVER_URL": f"postgresql://neighbor:{server.password}@{server.host}:{server.port}",
        "INVESTMENT_DB_URL": f"sqlite:///{tmp_path}/investment.db",
        "RELEASE": "release-2026.12",
    }
    return repository


def codes(done: Sequence[tuple[str, Result]]) -> list[int]:
    return [result.code for _, result in done]


def test_a_release_says_where_all_are_before_and_after(production: Project) -> None:
    done = run(production, "gitlab-release.yml")
    assert set(codes(done)) == {0}, done
    before, _, after = (result.out for _, result in done[-3:])
    assert before.count("<base>") == len(NAMES)
    assert after.count("release-2026.12 (upgrade heads)") == len(NAMES)
    assert set(codes(run(production, "gitlab-release.yml"))) == {0}  # and once more, with nothing to do


def test_a_release_that_fails_fails_the_job(production: Project) -> None:
    production.add_revision("auth_db", 2, "1 / 0")
    done = run(production, "github-release.yml")
    assert done[-1][1].code == 1
    assert "deploy/ci/release" in done[-1][0]
    assert "ZeroDivisionError" in done[-1][1].err


def test_a_release_with_a_scratch_server_is_planned_first(production: Project, platform: Postgres) -> None:
    production.variables |= platform.scratch
    done = run(production, "gitlab-release.yml")
    assert set(codes(done)) == {0}, done
    assert "plan.json: plan " in done[-2][1].err
    assert "  plan " in production.multidb("log", "auth_db").out
    production.add_revision("auth_db", 2, "1 / 0")
    done = run(production, "github-release.yml")
    assert "error fails (observed)" in done[-1][1].out
    assert done[-1][1].code == 2


@pytest.mark.parametrize("missing", ["DATABASE_SERVER_URL", "INVESTMENT_DB_URL"])
def test_a_release_without_its_secrets_does_not_begin(production: Project, missing: str) -> None:
    production.variables[missing] = ""
    done = run(production, "github-release.yml")
    assert len(done) == 1
    assert done[0][1].code != 0
    assert f"{missing}: is a secret of the environment" in done[0][1].err


def test_a_release_against_a_server_that_is_down_fails_before_it_begins(production: Project) -> None:
    production.variables["DATABASE_SERVER_URL"] = "postgresql://neighbor@127.0.0.1:1"
    done = run(production, "github-release.yml")
    assert "status" in done[-1][0]
    assert done[-1][1].code == 1
