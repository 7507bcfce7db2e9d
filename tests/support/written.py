"""Revisions that autogenerate writes in a checkout with one database, auth_db."""

from tests.support.project import Project

NOTHING = "Nothing to write: every branch makes what its models say.\n"
CLEAN = "No new upgrade operations detected.\n"


def write_revision(project: Project, models: str, *options: str) -> str:
    """Write the models, and the revision for them; give what the command printed, which ends with the proof."""
    project.write("models/auth.py", models)
    result = project.done(*(word for option in options for word in ("-x", option)), "revision", "--autogenerate")
    assert result.out.splitlines()[-1].endswith(": upgrade makes what the models say, downgrade leads back"), result
    assert not result.err, result
    return result.out


def last_revision(project: Project) -> str:
    """The text of the file that was written last."""
    return (project.root / "migrations/versions/auth_db" / project.revisions("auth_db")[-1]).read_text()
