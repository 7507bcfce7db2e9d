"""The manifests: they render, are valid, say the same as databases.yaml, and keep to the rules of a cluster."""

import copy
import json
import re
import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from sqlalchemy.engine import make_url

from multidb.config import reader, settings, urls
from multidb.config.configuration import Configuration, variable
from multidb.errors import ExitCode
from tests.deploy.test_compose import limits_with
from tests.support.manifests import (
    CHOICES,
    Manifest,
    action_after,
    containers,
    environment,
    of_kind,
    one,
    pods,
    rendered,
    templates,
)
from tests.support.project import ROOT

# The oldest that has native sidecars by default, and the newest that is known here.
VERSIONS = ["1.29", kubernetes_validate.latest_version()]
SCHEMAS = yaml.safe_load((Path(__file__).parent / "cloudnative_pg.yaml").read_text())
# CloudNativePG's own definitions, which know more than SCHEMAS; no package has them, so that few machines do.
CRDS = ROOT.parent / "shared/crds"


@cache
def schemas_of(kind: str) -> list[Any]:
    """The schemas of a `spec` of CloudNativePG's, in which an unknown field is a mistake."""
    found = [SCHEMAS[kind] | {"$defs": SCHEMAS["$defs"]}]
    if CRDS.is_dir():
        found.append(_definition(kind))
    return [_strict(each) for each in found]


def _definition(kind: str) -> Any:
    if kind == "ObjectStore":
        # The plugin's own definition is not at hand. Its `configuration` is what this was, but for a name:
        # https://cloudnative-pg.io/plugin-barman-cloud/docs/usage
        backup = _definition("Cluster")["properties"]["backup"]["properties"]
        configuration, retention = backup["barmanObjectStore"], backup["retentionPolicy"]
        del configuration["properties"]["serverName"]
        return {"properties": {"configuration": configuration, "retentionPolicy": retention}}
    definition = yaml.safe_load((CRDS / f"postgresql.cnpg.io_{kind.lower()}s.yaml").read_text())
    [version] = [each for each in definition["spec"]["versions"] if each["name"] == "v1"]
    return version["schema"]["openAPIV3Schema"]["properties"]["spec"]


def _strict(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _strict(value) for key, value in schema.items()}
    if "properties" in found and not found.get("x-kubernetes-preserve-unknown-fields"):
        found.setdefault("additionalProperties", False)
    return found


def is_operators(manifest: Manifest) -> bool:
    return "cnpg.io/" in manifest["apiVersion"]


def validate(manifest: Manifest) -> None:
    """Check a manifest against the schema of its kind."""
    if not is_operators(manifest):
        for version in VERSIONS:
            kubernetes_validate.validate(manifest, version, strict=True)
    else:
        for schema in schemas_of(manifest["kind"]):
            jsonschema.validate(manifest["spec"], schema)


def assert_says_the_same(manifests: list[Manifest], configuration: Configuration) -> None:
    """The databases of the manifests are those of databases.yaml, with their owners and extensions."""
    found = {
        each["spec"]["name"]: (
            each["spec"]["owner"],
            each["spec"]["cluster"]["name"],
            tuple(extension["name"] for extension in each["spec"].get("extensions", [])),
        )
        for each in of_kind(manifests, "Database")
    }
    cluster = one(manifests, "Cluster")
    server = make_url(one(manifests, "ConfigMap")["data"]["DATABASE_SERVER_URL"])
    role, host = str(server.username), cluster["metadata"]["name"]
    # The primary's name; in production, the name of all instances, too.
    assert urls.server_text(server) in (f"{host}-rw:5432", f"{host}-rw:5432, {host}-r:5432")
    assert ("," in urls.server_text(server)) == (server.query.get("target_session_attrs") == "read-write")
    elsewhere = {key: url for key, url in one(manifests, "ConfigMap")["data"].items() if key.endswith("_DB_URL")}
    wanted = {}
    for name, entry in configuration.entries.items():
        if elsewhere.get(variable(name), "postgresql:").startswith("postgresql:"):
            wanted[name] = (role, host, entry.extensions)
        else:
            del elsewhere[variable(name)]
    assert found == wanted
    assert {variable(name) for name in wanted} >= set(elsewhere)
    [managed] = cluster["spec"]["managed"]["roles"]
    assert managed["name"] == role


def test_every_overlay_is_valid(manifests: list[Manifest]) -> None:
    ours = [each for each in manifests if not is_operators(each)]
    assert len(ours) > 5
    for manifest in ours:
        validate(manifest)


def test_every_overlay_is_valid_for_the_operator(manifests: list[Manifest]) -> None:
    operators = [each for each in manifests if is_operators(each)]
    assert len(operators) > 9
    for manifest in operators:
        validate(manifest)


@pytest.mark.parametrize(
    ("kind", "place", "changes"),
    [
        ("Cluster", "postgresql", {"parametres": {}}),
        ("Database", None, {"owner": None}),
        ("ObjectStore", "configuration", {"destinationPath": None}),
        ("Job", None, {"backofLimit": 1}),
    ],
)
def test_a_mistake_would_be_found(
    production: list[Manifest], kind: str, place: str | None, changes: Mapping[str, Any]
) -> None:
    manifest = copy.deepcopy(of_kind(production, kind)[0])
    spec = manifest["spec"][place] if place else manifest["spec"]
    spec.update(changes)
    with pytest.raises((jsonschema.ValidationError, kubernetes_validate.ValidationError)):
        validate(manifest)


def test_it_says_the_same_as_databases_yaml(manifests: list[Manifest]) -> None:
    assert_says_the_same(manifests, reader.load(ROOT / "databases.yaml"))


@pytest.mark.parametrize(
    "line",
    [
        "  eleventh_db: {models: models.eleventh}\n",
        '  eleventh_db: {models: models.eleventh, url: "sqlite:///eleventh.db"}\n',
    ],
)
def test_an_eleventh_database_without_a_manifest_is_found(
    production: list[Manifest], tmp_path: Path, line: str
) -> None:
    path = tmp_path / "databases.yaml"
    path.write_text((ROOT / "databases.yaml").read_text() + line)
    with pytest.raises(AssertionError):
        assert_says_the_same(production, reader.load(path))


def test_so_is_an_extension(production: list[Manifest], tmp_path: Path) -> None:
    path = tmp_path / "databases.yaml"
    text = (ROOT / "databases.yaml").read_text()
    path.write_text(text.replace("{models: models.auth}", "{models: models.auth, extensions: [citext]}"))
    with pytest.raises(AssertionError):
        assert_says_the_same(production, reader.load(path))


def test_the_role_is_managed_and_no_superuser(manifests: list[Manifest]) -> None:
    cluster = one(manifests, "Cluster")["spec"]
    [role] = cluster["managed"]["roles"]
    assert (role["name"], role["ensure"], role["login"]) == ("neighbor", "present", True)
    assert not any(role[right] for right in ("superuser", "createdb", "createrole", "replication", "bypassrls"))
    assert role["passwordSecret"] == {"name": "neighbor-role"}
    assert cluster["enableSuperuserAccess"] is False


def test_the_server_can_commit_in_two_phases_and_lose_a_node(production: list[Manifest]) -> None:
    cluster = one(production, "Cluster")["spec"]
    databases = reader.load(ROOT / "databases.yaml").names
    assert int(cluster["postgresql"]["parameters"]["max_prepared_transactions"]) >= len(databases)
    assert cluster["instances"] == 3
    assert cluster["postgresql"]["synchronous"]["number"] == 1
    assert cluster["plugins"][0]["parameters"]["barmanObjectName"] == one(production, "ObjectStore")["metadata"]["name"]
    assert one(production, "ScheduledBackup")["spec"]["cluster"]["name"] == "neighbor-db"


def test_what_migrates_refuses_to_degrade_and_limits_locks(production: list[Manifest]) -> None:
    for name in ("migrate", "console"):  # a release, and commands that a person types
        assert limits_with(environment(production, name)) == ("required", 10.0)
    assert limits_with({}) == ("auto", 0.0)


def test_branches_are_replayed_on_the_clusters_version(production: list[Manifest]) -> None:
    compose = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())
    images = [
        one(production, "Cluster")["spec"]["imageName"],
        containers(production)["scratch"]["image"],
        compose["services"]["postgres"]["image"],
    ]
    assert len({re.search(r"postgis:(\d+)-", image)[1] for image in images}) == 1  # type: ignore[index]


def test_no_manifest_holds_a_secret(manifests: list[Manifest]) -> None:
    assert not of_kind(manifests, "Secret")
    for name, container in containers(manifests).items():
        for entry in container.get("env", []):
            if "PASSWORD" in entry["name"]:
                assert set(entry["valueFrom"]) == {"secretKeyRef"}, name
    assert not re.search(r"://[^\s:/@]+:[^\s@]+@", json.dumps(manifests))


def test_every_pod_keeps_to_the_restricted_standard(manifests: list[Manifest]) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted, and what is beyond it."""
    [namespace] = of_kind(manifests, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert len(pods(manifests)) >= 2
    for pod in pods(manifests):
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        allowed = {"secret", "emptyDir", "persistentVolumeClaim", "configMap", "name"}
        assert {key for volume in pod["volumes"] for key in volume} <= allowed
    for name, container in containers(manifests).items():
        assert (
            container["securityContext"].items()
            >= {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }.items()
        ), name
        assert container["securityContext"].get("runAsUser", 10001) > 0
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        assert container["resources"]["limits"]["memory"]


def test_every_volume_that_is_mounted_is_there(manifests: list[Manifest]) -> None:
    claims = {each["metadata"]["name"] for each in of_kind(manifests, "PersistentVolumeClaim")}
    for pod in pods(manifests):
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        for container in (*pod.get("initContainers", []), *pod["containers"]):
            assert {mount["name"] for mount in container.get("volumeMounts", [])} <= set(volumes)
        needed = {
            each["persistentVolumeClaim"]["claimName"] for each in volumes.values() if "persistentVolumeClaim" in each
        }
        assert needed <= claims


def test_the_release_is_one_line_of_an_overlay(k8s: Path) -> None:
    folder = k8s / "overlays/next-release"
    shutil.copytree(k8s / "overlays/production", folder)
    text = (folder / "release.yaml").read_text()
    (folder / "release.yaml").write_text(re.sub(r"release: \S+\n$", "release: 2026-12-01-rc1\n", text))
    manifests = rendered(folder)
    assert one(manifests, "Job")["metadata"]["name"] == "migrate-2026-12-01-rc1"
    assert environment(manifests, "migrate")["MIGRATE_RELEASE"] == "2026-12-01-rc1"
    images = {name: container["image"] for name, container in containers(manifests).items()}
    assert {image.rpartition(":")[2] for name, image in images.items() if name != "scratch"} == {"2026-12-01-rc1"}
    assert images["scratch"] == one(manifests, "Cluster")["spec"]["imageName"]
    assert one(manifests, "ConfigMap")["metadata"]["name"] == "migrations"  # the line itself is not deployed
    assert "unreleased" not in json.dumps(manifests)


def test_argo_cd_does_one_after_the_other(k8s: Path) -> None:
    some = ["investment-on-postgresql", "argo-cd", "helm-hooks"]
    manifests = rendered(k8s / f"overlays/choice-{CHOICES.index(some)}")
    waves: dict[str, set[int]] = {}
    for each in manifests:
        notes = each["metadata"].get("annotations", {})
        waves.setdefault(each["kind"], set()).add(int(notes.get("argocd.argoproj.io/sync-wave", 0)))
    assert all(len(found) == 1 for found in waves.values()), waves
    wave = {kind: found.pop() for kind, found in waves.items()}
    assert wave["Namespace"] == wave["NetworkPolicy"] == wave["ObjectStore"] < wave["Cluster"] < wave["Database"]
    assert wave["Database"] < wave["ConfigMap"] == wave["Job"] < wave["Deployment"]
    notes = one(manifests, "Job")["metadata"]["annotations"]
    assert notes["argocd.argoproj.io/hook"] == "Sync"
    assert notes["helm.sh/hook"] == "post-install,post-upgrade"  # neither component takes the other's away


def test_without_a_sqlite_file_there_is_no_volume_and_no_affinity(k8s: Path) -> None:
    manifests = rendered(k8s / f"overlays/choice-{CHOICES.index(['investment-on-postgresql'])}")
    assert not of_kind(manifests, "PersistentVolumeClaim")
    assert "investment-volume" not in json.dumps(manifests)
    assert not any("affinity" in pod for pod in pods(manifests))


def test_before_a_takeover_nothing_migrates_and_a_person_can_work(k8s: Path) -> None:
    manifests = rendered(k8s / f"overlays/choice-{CHOICES.index(['before-takeover'])}")
    assert set(templates(manifests)) == {"drift", "console"}
    assert one(manifests, "CronJob")["spec"]["suspend"] is True


def test_the_console_has_what_the_nightly_drift_has(production: list[Manifest]) -> None:
    drift, console = (copy.deepcopy(templates(production)[name]["spec"]) for name in ("drift", "console"))
    assert console.pop("terminationGracePeriodSeconds") == 1
    assert drift.pop("restartPolicy") == "Never"
    for pod in (drift, console):
        for key in ("name", "args", "terminationMessagePolicy"):
            pod["containers"][0].pop(key, None)
    assert console == drift


def test_who_mounts_the_file_runs_where_it_is(production: list[Manifest]) -> None:
    for template in templates(production).values():
        mounts = any("persistentVolumeClaim" in volume for volume in template["spec"]["volumes"])
        assert mounts == ("affinity" in template["spec"])
        if mounts:
            affinity = template["spec"]["affinity"]["podAffinity"]
            [term] = affinity["requiredDuringSchedulingIgnoredDuringExecution"]
            assert term["labelSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()


def test_drift_fails_visibly_and_is_not_tried_again(production: list[Manifest]) -> None:
    job = one(production, "CronJob")["spec"]["jobTemplate"]["spec"]
    assert job["podFailurePolicy"]["rules"][0] == {
        "action": "FailJob",
        "onExitCodes": {"containerName": "drift", "operator": "In", "values": [2]},
    }
    assert containers(production)["drift"]["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_the_migration_is_tried_again_only_where_that_may_help(manifests: list[Manifest]) -> None:
    for each in of_kind(manifests, "Job"):
        job = each["spec"]
        assert job["template"]["spec"]["restartPolicy"] == "Never"  # which the policy requires
        [container] = job["template"]["spec"]["containers"]
        found = {code: action_after(job, container["name"], code) for code in (ExitCode.RETRY, 137, 143, 1, 2, 3, 127)}
        again, never = dict.fromkeys((75, 137, 143), "Count"), dict.fromkeys((1, 2, 3, 127), "FailJob")
        assert found == again | never
        assert action_after(job, container["name"], 1, "DisruptionTarget") == "Ignore"
        wait = next(variable["value"] for variable in container["env"] if variable["name"] == "MIGRATE_WAIT")
        assert 600 <= settings.value("wait", wait, "MIGRATE_WAIT") < job["activeDeadlineSeconds"]


def test_only_what_has_to_reaches_the_server(production: list[Manifest]) -> None:
    policies = {each["metadata"]["name"]: each["spec"] for each in of_kind(production, "NetworkPolicy")}
    [clients, *_] = policies["neighbor-db"]["ingress"]
    label = clients["from"][0]["podSelector"]["matchLabels"]
    assert set(templates(production)) == {"migrate-2026-11-23", "drift", "console", "auth"}
    for template in templates(production).values():
        assert template["metadata"]["labels"].items() >= label.items()
    assert "ingress" not in policies["migrations"]
    chosen = policies["migrations"]["podSelector"]["matchExpressions"][0]["values"]
    assert {"migrate", "drift", "console"} == set(chosen)
