"""What `plan` finds in labelled revisions, and what a linter of their SQL finds: `python -m bench.detection SQUAWK`.

The revisions are those of tests/rehearsal/revisions.py, on tables of 20,000 rows, of 100 rows, and without rows. The
linter is squawk (https://squawkhq.com), the path of whose program is the argument; it sees the SQL that `--sql` writes.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from multidb.local.server import Server
from tests.rehearsal.revisions import DANGEROUS, HARMLESS, ROWS, TABLES, Labelled
from tests.support.project import Postgres, Project

# About the form of a migration, not about what it does to a database.
STYLE = (
    "prefer-robust-stmts,prefer-bigint-over-int,prefer-bigint-over-smallint,prefer-identity,prefer-text-field,"
    "prefer-timestamp-tz,require-lock-timeout,require-statement-timeout,ban-char-field,transaction-nesting"
)


def main() -> None:
    """Judge each revision by both, and print the figures and what each misses."""
    squawk = sys.argv[1]
    with tempfile.TemporaryDirectory(prefix="neighbor-bench-") as folder:
        Path(folder).chmod(0o755)
        postgres = Postgres.started(Path(folder) / "server", {"fsync": "off"})
        try:
            project = _project(Path(folder) / "checkout", postgres)
            dangerous = {what: _judged(project, squawk, each) for what, each in DANGEROUS.items()}
            harmless = {what: _judged(project, squawk, each) for what, each in HARMLESS.items()}
        finally:
            Server(Path(folder) / "server").remove()
    print("| judged by | dangerous revisions found | harmless revisions flagged |\n| --- | --- | --- |")
    for place, name in enumerate(("plan", "squawk")):
        found, flagged = (sum(each[place] for each in judged.values()) for judged in (dangerous, harmless))
        print(f"| {name} | {found} of {len(dangerous)} | {flagged} of {len(harmless)} |")
    for place, name in enumerate(("plan", "squawk")):
        _print(f"{name} misses", {what: not each[place] for what, each in dangerous.items()})
        _print(f"{name} flags", {what: each[place] for what, each in harmless.items()})


def _project(root: Path, postgres: Postgres) -> Project:
    postgres.clone("head_auth_db", "detection")
    project = Project.copied(root, postgres.scratch | {"AUTH_DB_URL": postgres.url("detection")}, ["auth_db"])
    project.add_revision("auth_db", 2, f"op.execute({TABLES!r})")
    project.done("upgrade", "heads")
    project.rows("auth_db", ROWS)
    return project


def _judged(project: Project, squawk: str, labelled: Labelled) -> tuple[bool, bool]:
    """Whether `plan` and squawk find something."""
    path = project.add_revision("auth_db", 3, labelled.upgrade)
    if labelled.outside:
        path.write_text(f"outside_transaction = True\n{path.read_text()}")
    planned = project.multidb("plan", "auth_db").code == 2
    script = project.alembic("upgrade", "auth_0002:auth_0003", "--sql").out
    path.unlink()
    return planned, _is_flagged(squawk, script, outside=labelled.outside)


def _is_flagged(squawk: str, script: str, *, outside: bool) -> bool:
    own = script.partition("-- Running upgrade auth_0002 -> auth_0003")[2].partition("UPDATE alembic_version")[0]
    done = subprocess.run(
        [squawk, "--reporter=json", f"--exclude={STYLE}", "--stdin-filepath=x.sql"],
        input=own if outside else f"BEGIN;\n{own}\nCOMMIT;\n", capture_output=True, text=True, check=False,
    )  # fmt: skip
    return bool(json.loads(done.stdout or "[]"))


def _print(title: str, chosen: Mapping[str, bool]) -> None:
    names = [what for what, is_chosen in chosen.items() if is_chosen]
    print(f"\n{title}: {'; '.join(names) or 'none'}")


if __name__ == "__main__":
    main()
