"""`plan` finds what a revision would do to a live database with rows, and nothing in what does no harm."""

import json
import os
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from tests.rehearsal.revisions import DANGEROUS, HARMLESS, ROWS, TABLES, Labelled
from tests.support.project import ROOT, Postgres, Project

SCHEMA = json.loads((ROOT / "multidb/output.schema.json").read_text())


@pytest.fixture(scope="module")
def live(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A checkout with one database, whose tables have rows."""
    name = f"planned_{os.getpid()}"
    postgres.clone("head_auth_db", name)
    variables = postgres.scratch | {"AUTH_DB_URL": postgres.url(name)}
    project = Project.copied(tmp_path_factory.mktemp("planned") / "checkout", variables, ["auth_db"])
    project.add_revision("auth_db", 2, f"op.execute({TABLES!r})")
    project.done("upgrade", "heads")
    project.rows("auth_db", ROWS)
    yield project
    postgres.drop(name)


def _findings(project: Project, labelled: Labelled) -> list[dict[str, Any]]:
    path = project.add_revision("auth_db", 3, labelled.upgrade)
    if labelled.outside:
        path.write_text(f"outside_transaction = True\n{path.read_text()}")
    try:
        result = project.multidb("plan", "--json")
    finally:
        path.unlink()
    printed = json.loads(result.out)
    jsonschema.validate(printed, SCHEMA | {"$ref": "#/$defs/plan"})
    [plan] = printed["databases"]
    assert plan["error"] is None, plan
    counting = [each for each in plan["findings"] if each["severity"] in ("warning", "error")]
    assert result.code == (2 if counting else 0), result
    found: list[dict[str, Any]] = plan["findings"]
    return found


def _by_severity(findings: list[dict[str, Any]], *severities: str) -> set[str]:
    return {each["rule"] for each in findings if each["severity"] in severities}


@pytest.mark.parametrize("what", DANGEROUS)
def test_what_would_hurt_is_found_at_its_line(live: Project, what: str) -> None:
    labelled = DANGEROUS[what]
    findings = _findings(live, labelled)
    assert _by_severity(findings, "warning", "error") == labelled.rules, findings
    assert _by_severity(findings, "note") >= labelled.notes, findings
    for each in findings:
        assert each["revision"] == "auth_0003"
        assert each["file"].endswith("auth_0003_by_hand.py"), each


@pytest.mark.parametrize("what", HARMLESS)
def test_what_does_no_harm_raises_nothing(live: Project, what: str) -> None:
    findings = _findings(live, HARMLESS[what])
    assert _by_severity(findings, "warning", "error") == set(), findings
    assert _by_severity(findings, "note") >= HARMLESS[what].notes, findings
