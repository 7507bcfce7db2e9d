"""`log`: which files a run had, for whom it ran, and how it ended."""

import json
import subprocess

import pytest

from tests.support.project import Project


def committed(project: Project) -> str:
    """Make the checkout a repository with one commit, whose id is returned."""
    git = ["git", "-C", str(project.root), "-c", "user.name=me", "-c", "user.email=me@example"]
    for command in (["init", "--quiet"], ["add", "databases.yaml", "migrations"], ["commit", "--quiet", "-m", "all"]):
        subprocess.run([*git, *command], check=True)
    return subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()


def test_the_log_has_the_commit_the_role_and_who_asked_for_a_run(pair: Project) -> None:
    commit = committed(pair)
    pair.done("-x", "by=Ada Lovelace", "upgrade", "auth_db@head")
    [run, *_] = json.loads(pair.multidb("log", "--json").out)
    assert (run["commit"], run["actor"]) == (commit, "Ada Lovelace")
    line = pair.multidb("log").out.splitlines()[2]
    assert line.endswith(f" as neighbor, commit {commit[:12]}, for Ada Lovelace"), line
    pair.add_revision("user_db", 3, "1 / 0")
    pair.edit("databases.yaml", "databases:", "# a change\ndatabases:")
    assert pair.alembic("-x", "by=Ada", "upgrade", "user_db@head").reason
    line = pair.multidb("log").out.splitlines()[2]
    assert f"commit {commit[:12]}-dirty, for Ada: user_db: migrations/versions/user_db/user_0003" in line


@pytest.mark.parametrize(
    ("variables", "commit", "actor"),
    [
        ({"GITHUB_ACTOR": "ada", "GITHUB_SHA": "a" * 40}, "a" * 40, "ada"),
        ({"GITLAB_USER_LOGIN": "ada", "CI_COMMIT_SHA": "b" * 40}, "b" * 40, "ada"),
        ({"GIT_COMMIT": "unknown"}, None, None),  # an image that was built without its commit
    ],
)
def test_a_pipelines_variables_say_what_git_does_not(
    pair: Project, variables: dict[str, str], commit: str | None, actor: str | None
) -> None:
    pair.variables |= variables
    pair.done("upgrade", "auth_db@head")
    [run, *_] = json.loads(pair.multidb("log", "--json").out)
    assert (run["commit"], run["actor"]) == (commit, actor)


def test_a_person_of_no_name_is_refused(pair: Project) -> None:
    assert pair.alembic("-x", "by=", "upgrade", "heads").error == (
        "error: -x by=: '' should be a name of printable characters, at most 100"
    )
