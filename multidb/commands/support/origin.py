"""Where a run comes from: the commit of the files that it runs, and the person behind a pipeline's user."""

import os
import re
import subprocess
from pathlib import Path

# GitHub, GitLab, Azure Pipelines, CircleCI, Buildkite, Jenkins. Of a job that was started again: who did that.
ACTOR_VARIABLES = (
    "GITHUB_TRIGGERING_ACTOR", "GITHUB_ACTOR", "GITLAB_USER_LOGIN", "BUILD_REQUESTEDFOR", "CIRCLE_USERNAME",
    "BUILDKITE_BUILD_CREATOR", "BUILD_USER_ID",
)  # fmt: skip
# The first is Jenkins', and the image's own. An image has no .git.
COMMIT_VARIABLES = (
    "GIT_COMMIT", "GITHUB_SHA", "CI_COMMIT_SHA", "BUILD_SOURCEVERSION", "CIRCLE_SHA1", "BUILDKITE_COMMIT",
)  # fmt: skip
_COMMIT = re.compile(r"[0-9a-f]{7,64}(-dirty)?")
_LONGEST = 100  # characters of an actor
_DESCRIBE = ("--no-optional-locks", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
_PATIENCE = 5.0  # seconds


def origin(root: Path, by: str | None) -> dict[str, str | None]:
    """What the journal's details have of it.

    Args:
        root: of the checkout.
        by: the person, as `-x by=` names one; otherwise the variable of a pipeline does.

    Returns:
        `commit`: of git, with `-dirty` where files differ from it; `actor`: the person. Each None if it is not known.
    """
    return {"commit": _git_commit(root) or _variable_commit(), "actor": by or _actor()}


def _git_commit(root: Path) -> str | None:
    try:
        command = ["git", "-C", str(root), *_DESCRIBE]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_PATIENCE)  # noqa: S603 - ours
    except (OSError, subprocess.SubprocessError):  # no git, no repository, or one of another user
        return None
    return done.stdout.strip() or None


def _variable_commit() -> str | None:
    found = (os.environ.get(name, "") for name in COMMIT_VARIABLES)
    return next((commit for commit in found if _COMMIT.fullmatch(commit)), None)


def _actor() -> str | None:
    found = (" ".join(os.environ.get(name, "").split())[:_LONGEST] for name in ACTOR_VARIABLES)
    return next(filter(None, found), None)
