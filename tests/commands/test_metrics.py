"""`metrics`: what Prometheus' own parser reads, and the alert rules over it."""

import re
import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.support.project import ROOT, Postgres, Project
from tests.support.runs import MORE, interrupt

RULES = ROOT / "deploy/k8s/components/alerts/rules.yaml"
Samples = dict[tuple[str, ...], float]


def metrics(project: Project, *arguments: str) -> Samples:
    result = project.multidb("metrics", *arguments)
    assert result.code == 0, result
    return parsed(result.out)


def parsed(text: str) -> Samples:
    """The value of each sample, by its name without the prefix and the values of its labels."""
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(each.name.removeprefix("multidb_"), *each.labels.values()): each.value for each in samples}


def test_each_database_has_its_revision_and_its_last_run(few: Project) -> None:
    few.add_revision("auth_db", 2, MORE)
    before = metrics(few)
    assert before["up", "auth_db"] == 1
    assert before["revision_info", "auth_db", "auth_0002", "auth_0001"] == 1
    assert before["pending_revisions", "auth_db"] == 1
    assert before["pending_revisions", "investment_db"] == 0
    assert before["in_doubt", "auth_db"] == 0
    few.done("upgrade", "heads")
    after = metrics(few)
    assert after["pending_revisions", "auth_db"] == 0
    assert after["last_run_result", "auth_db", "committed"] == 1
    assert after["last_run_end_timestamp_seconds", "auth_db"] == pytest.approx(datetime.now(UTC).timestamp(), abs=60)
    assert 0 < after["last_run_duration_seconds", "auth_db"] < 60


def test_a_run_that_failed_and_one_in_doubt(few: Project) -> None:
    few.add_revision("auth_db", 2, "1 / 0")
    assert few.alembic("upgrade", "heads").reason
    assert metrics(few)["last_run_result", "auth_db", "failed"] == 1
    few.add_revision("auth_db", 2, MORE)
    few.add_revision("user_db", 2, MORE)
    how = ["SIGKILL:run", "before", "commit", "user_db"]
    assert interrupt(few, how, "alembic", "-x", "jobs=1", "upgrade", "heads").code == -signal.SIGKILL
    found = metrics(few)
    assert found["in_doubt", "auth_db"] == 1
    assert found["in_doubt_since_timestamp_seconds", "auth_db"] == pytest.approx(datetime.now(UTC).timestamp(), abs=60)
    assert few.multidb("recover").code == 0


def test_a_database_that_cannot_be_read_is_down(few: Project) -> None:
    few.variables["AUTH_DB_URL"] = "postgresql://localhost:1/nowhere"
    found = metrics(few)
    assert (found["up", "auth_db"], found["up", "user_db"]) == (0, 1)
    assert ("pending_revisions", "auth_db") not in found


def test_drift_is_compared_where_it_is_asked_for(few: Project, postgres: Postgres) -> None:
    few.variables |= postgres.scratch
    few.rows("auth_db", "ALTER TABLE users ADD by_hand int")
    assert ("drift_differences", "auth_db") not in metrics(few)
    found = metrics(few, "--drift", "auth_db", "user_db")
    assert (found["drift_differences", "auth_db"], found["drift_differences", "user_db"]) == (1, 0)


def test_the_file_of_the_collector_is_replaced_in_one_step(few: Project, tmp_path: Path) -> None:
    file = tmp_path / "multidb.prom"
    assert few.multidb("metrics", "--out", str(file)).out == ""
    assert parsed(file.read_text())["up", "auth_db"] == 1
    assert file.stat().st_mode & 0o777 == 0o644
    assert [each.name for each in tmp_path.glob("*multidb*")] == ["multidb.prom"]
    error = few.multidb("metrics", "--out", "/nowhere/multidb.prom").error
    assert error == "error: /nowhere/multidb.prom can't be written: No such file or directory"


def test_without_the_library_the_command_says_what_to_install(few: Project) -> None:
    few.write("prometheus_client.py", "raise ImportError('not here')\n")
    error = few.multidb("metrics").error
    assert error == "error: prometheus-client is not installed: `pip install prometheus-client`"


def test_the_alert_rules_name_metrics_that_there_are(few: Project, postgres: Postgres) -> None:
    few.variables |= postgres.scratch
    printed = {name for name, *_ in metrics(few, "--drift", "auth_db")}
    rules = [rule for group in yaml.safe_load(RULES.read_text())["spec"]["groups"] for rule in group["rules"]]
    assert {rule["alert"] for rule in rules} >= {
        "DatabaseInDoubt",
        "MigrationFailed",
        "DatabaseDrifted",
        "DatabaseBehind",
    }
    for rule in rules:
        [name] = re.findall(r"multidb_(\w+)", rule["expr"])
        assert name in printed, rule["alert"]
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
