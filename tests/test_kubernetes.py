"""The manifests: they render, are valid, say the same as databases.yaml, and do what they should when they are run."""

import copy
import itertools
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import trustme
import yaml
from sqlalchemy.engine import make_url

from multidb import config
from tests.project import NAMES, ROOT, Postgres, Project, Result

Manifest = dict[str, Any]
K8S = ROOT / "deploy/k8s"
OVERLAYS = ["development", "staging", "production"]
# What somebody may add to an overlay.
EXTRA = ["argo-cd", "helm-hooks", "investment-on-postgresql"]
CHOICES = [list(some) for number in range(len(EXTRA) + 1) for some in itertools.combinations(EXTRA, number)]
# The oldest that has native sidecars by default, and the newest that is known here.
VERSIONS = ["1.29", kubernetes_validate.latest_version()]
CRDS = ROOT.parent / "shared/crds"
OURS = "postgresql.cnpg.io/v1"

pytestmark = pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl, which renders them, is not there")


@cache
def rendered(folder: Path) -> list[Manifest]:
    """What `kubectl kustomize` makes of a folder."""
    done = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


@pytest.fixture(scope="module")
def k8s(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the folder, with overlays of every choice of components."""
    folder = tmp_path_factory.mktemp("k8s") / "k8s"
    shutil.copytree(K8S, folder)
    for number, choice in enumerate(CHOICES):
        shutil.copytree(folder / "overlays/production", folder / f"overlays/choice-{number}")
        path = folder / f"overlays/choice-{number}/kustomization.yaml"
        overlay = yaml.safe_load(path.read_text())
        overlay["components"] += [f"../../components/{name}" for name in choice]
        path.write_text(yaml.safe_dump(overlay))
    return folder


@pytest.fixture(params=[*OVERLAYS, *(f"choice-{number}" for number in range(len(CHOICES)))])
def manifests(request: pytest.FixtureRequest, k8s: Path) -> list[Manifest]:
    """All that an overlay renders."""
    return rendered(k8s / "overlays" / request.param)


@pytest.fixture
def production(k8s: Path) -> list[Manifest]:
    return rendered(k8s / "overlays/production")


def of_kind(manifests: Iterable[Manifest], kind: str) -> list[Manifest]:
    return [each for each in manifests if each["kind"] == kind]


def one(manifests: Iterable[Manifest], kind: str) -> Manifest:
    [found] = of_kind(manifests, kind)
    return found


def pods(manifests: Iterable[Manifest]) -> Iterator[Manifest]:
    """The specifications of all pods that we declare."""
    for each in manifests:
        spec = each.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if isinstance(spec.get("template"), dict):
            yield spec["template"]["spec"]


def containers(manifests: Iterable[Manifest]) -> dict[str, Manifest]:
    return {
        each["name"]: each for pod in pods(manifests) for each in (*pod.get("initContainers", []), *pod["containers"])
    }


@cache
def schema_of(kind: str) -> Any:
    """The schema of a kind of CloudNativePG's, in which an unknown field is a mistake."""
    if not CRDS.is_dir():
        pytest.skip(f"CloudNativePG's definitions are not at {CRDS}")
    plural = f"{kind.lower()}s"
    definition = yaml.safe_load((CRDS / f"postgresql.cnpg.io_{plural}.yaml").read_text())
    [version] = [each for each in definition["spec"]["versions"] if each["name"] == "v1"]
    return _strict(version["schema"]["openAPIV3Schema"])


def _strict(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _strict(value) for key, value in schema.items()}
    if "properties" in found and not found.get("x-kubernetes-preserve-unknown-fields"):
        found.setdefault("additionalProperties", False)
    return found


def validate(manifest: Manifest) -> None:
    """Check a manifest against the schema of its kind."""
    group, kind = manifest["apiVersion"].partition("/")[0], manifest["kind"]
    if group == "postgresql.cnpg.io":
        schema = schema_of(kind)
        jsonschema.validate(manifest | {"metadata": {}}, schema)
    elif group == "barmancloud.cnpg.io":
        # The plugin's own definition is not at hand; it says that `configuration` is what this was:
        # https://cloudnative-pg.io/plugin-barman-cloud/docs/usage
        cluster = schema_of("Cluster")["properties"]["spec"]["properties"]["backup"]["properties"]
        assert set(manifest["spec"]) <= {"configuration", "retentionPolicy", "instanceSidecarConfiguration"}
        jsonschema.validate(manifest["spec"]["configuration"], cluster["barmanObjectStore"])
        jsonschema.validate(manifest["spec"]["retentionPolicy"], cluster["retentionPolicy"])
    else:
        for version in VERSIONS:
            kubernetes_validate.validate(manifest, version, strict=True)


def assert_says_the_same(manifests: list[Manifest], configuration: config.Configuration) -> None:
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
    server = one(manifests, "ConfigMap")["data"]["DATABASE_SERVER_URL"]
    role, host = re.fullmatch(r"postgresql://(\w+)@([\w-]+)-rw:5432", server).groups()  # type: ignore[union-attr]
    assert host == cluster["metadata"]["name"]
    elsewhere = {key: url for key, url in one(manifests, "ConfigMap")["data"].items() if key.endswith("_DB_URL")}
    wanted = {}
    for name, entry in configuration.entries.items():
        if elsewhere.get(config.variable(name), "postgresql:").startswith("postgresql:"):
            wanted[name] = (role, host, entry.extensions)
        else:
            del elsewhere[config.variable(name)]
    assert found == wanted
    assert {config.variable(name) for name in wanted} >= set(elsewhere)
    [managed] = cluster["spec"]["managed"]["roles"]
    assert managed["name"] == role


def test_every_overlay_is_valid(manifests: list[Manifest]) -> None:
    assert len(manifests) > 15
    for manifest in manifests:
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
    assert_says_the_same(manifests, config.load(ROOT / "databases.yaml"))


@pytest.mark.parametrize(
    "line",
    [
        "  pet_db: {models: models.pet}\n",
        '  pet_db: {models: models.pet, url: "sqlite:///pet.db"}\n',
    ],
)
def test_an_eleventh_database_without_a_manifest_is_found(
    production: list[Manifest], tmp_path: Path, line: str
) -> None:
    path = tmp_path / "databases.yaml"
    path.write_text((ROOT / "databases.yaml").read_text() + line)
    with pytest.raises(AssertionError):
        assert_says_the_same(production, config.load(path))


def test_so_is_an_extension(production: list[Manifest], tmp_path: Path) -> None:
    path = tmp_path / "databases.yaml"
    text = (ROOT / "databases.yaml").read_text()
    path.write_text(text.replace("{models: models.auth}", "{models: models.auth, extensions: [citext]}"))
    with pytest.raises(AssertionError):
        assert_says_the_same(production, config.load(path))


def test_the_role_is_managed_and_no_superuser(manifests: list[Manifest]) -> None:
    cluster = one(manifests, "Cluster")["spec"]
    [role] = cluster["managed"]["roles"]
    assert (role["name"], role["ensure"], role["login"]) == ("neighbor", "present", True)
    assert not any(role[right] for right in ("superuser", "createdb", "createrole", "replication", "bypassrls"))
    assert role["passwordSecret"] == {"name": "neighbor-role"}
    assert cluster["enableSuperuserAccess"] is False


def test_the_server_can_commit_in_two_phases_and_lose_a_node(production: list[Manifest]) -> None:
    cluster = one(production, "Cluster")["spec"]
    assert int(cluster["postgresql"]["parameters"]["max_prepared_transactions"]) >= len(NAMES)
    assert cluster["instances"] == 3
    assert cluster["postgresql"]["synchronous"]["number"] == 1
    assert cluster["plugins"][0]["parameters"]["barmanObjectName"] == one(production, "ObjectStore")["metadata"]["name"]
    assert one(production, "ScheduledBackup")["spec"]["cluster"]["name"] == "neighbor-db"


def test_no_manifest_holds_a_secret(manifests: list[Manifest]) -> None:
    assert not of_kind(manifests, "Secret")
    for name, container in containers(manifests).items():
        for variable in container.get("env", []):
            if "PASSWORD" in variable["name"]:
                assert set(variable["valueFrom"]) == {"secretKeyRef"}, name
    assert not re.search(r"://[^\s:/@]+:[^\s@]+@", json.dumps(manifests))


def test_every_pod_keeps_to_the_restricted_standard(manifests: list[Manifest]) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted, and what is beyond it."""
    [namespace] = of_kind(manifests, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    found = list(pods(manifests))
    assert len(found) == 3
    for pod in found:
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
    assert images["scratch"].startswith("postgis/postgis:")
    assert not of_kind(manifests, "Release")
    assert "unreleased" not in json.dumps(manifests)


def test_argo_cd_and_helm_migrate_before_the_services(k8s: Path) -> None:
    argo = rendered(k8s / f"overlays/choice-{CHOICES.index(['argo-cd'])}")
    notes = {kind: of_kind(argo, kind)[0]["metadata"].get("annotations", {}) for kind in
             ("Cluster", "Database", "Job", "PersistentVolumeClaim", "Deployment")}  # fmt: skip
    assert notes["Job"]["argocd.argoproj.io/hook"] == "Sync"
    waves = {kind: int(found.get("argocd.argoproj.io/sync-wave", 0)) for kind, found in notes.items()}
    assert waves["Cluster"] < waves["Database"] < waves["PersistentVolumeClaim"] == waves["Job"] < waves["Deployment"]
    helm = rendered(k8s / f"overlays/choice-{CHOICES.index(['helm-hooks'])}")
    assert one(helm, "Job")["metadata"]["annotations"]["helm.sh/hook"] == "post-install,pre-upgrade"


def test_drift_fails_visibly_and_is_not_tried_again(production: list[Manifest]) -> None:
    job = one(production, "CronJob")["spec"]["jobTemplate"]["spec"]
    assert job["podFailurePolicy"]["rules"][0] == {
        "action": "FailJob",
        "onExitCodes": {"containerName": "drift", "operator": "In", "values": [2]},
    }
    assert containers(production)["drift"]["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_only_what_has_to_reaches_the_server(production: list[Manifest]) -> None:
    policies = {each["metadata"]["name"]: each["spec"] for each in of_kind(production, "NetworkPolicy")}
    [clients, *_] = policies["neighbor-db"]["ingress"]
    label = clients["from"][0]["podSelector"]["matchLabels"]
    templates = {
        each["metadata"]["name"]: (each["spec"].get("jobTemplate") or each)["spec"]["template"]
        for each in production
        if each["kind"] in ("Job", "CronJob", "Deployment")
    }
    assert len(templates) == 3
    for template in templates.values():
        assert template["metadata"]["labels"].items() >= label.items()
    assert "ingress" not in policies["migrations"]
    chosen = policies["migrations"]["podSelector"]["matchExpressions"][0]["values"]
    assert {"migrate", "drift"} == set(chosen)


def environment(manifests: list[Manifest], name: str) -> dict[str, str]:
    """The variables of a container, as far as a manifest says them."""
    container = containers(manifests)[name]
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        assert source["configMapRef"]["name"] == one(manifests, "ConfigMap")["metadata"]["name"]
        found |= one(manifests, "ConfigMap")["data"]
    return found | {each["name"]: each["value"] for each in container.get("env", []) if "value" in each}


@contextmanager
def with_certificate(postgres: Postgres, host: str, folder: Path) -> Iterator[Path]:
    """Let a server prove that it is this host, as the operator's do. Yields where the authority's certificate is."""
    authority = trustme.CA()
    issued = authority.issue_cert(host)
    data = Path(postgres.as_admin("SHOW data_directory")[0][0])
    owner = data.stat()
    for name, blob in {"server.crt": issued.cert_chain_pems[0], "server.key": issued.private_key_pem}.items():
        blob.write_to_path(str(data / name))
        (data / name).chmod(0o600)
        shutil.chown(data / name, owner.st_uid, owner.st_gid)
    authority.cert_pem.write_to_path(str(folder / "ca.crt"))
    postgres.as_admin("ALTER SYSTEM SET ssl = on")
    postgres.as_admin("SELECT pg_reload_conf()")
    try:
        yield folder
    finally:
        postgres.as_admin("ALTER SYSTEM RESET ssl")
        postgres.as_admin("SELECT pg_reload_conf()")


@pytest.fixture
def cluster(platform: Postgres, tmp_path: Path) -> Iterator[Mapping[str, str]]:
    """A server that is like the cluster: its name, its certificate, its databases. Yields what stands for what."""
    port = make_url(platform.admin_url).port
    with with_certificate(platform, "neighbor-db-rw", tmp_path) as folder:
        yield {"neighbor-db-rw:5432": f"neighbor-db-rw:{port}", "/etc/neighbor-db": str(folder),
               "/var/lib/neighbor": str(tmp_path), "127.0.0.1:5432": f"127.0.0.1:{port}"}  # fmt: skip


def test_what_the_pods_run_does_what_it_should(
    production: list[Manifest], platform: Postgres, cluster: Mapping[str, str], tmp_path: Path
) -> None:
    project = Project.copied(tmp_path / "image", {})
    (project.root / ".venv").symlink_to(sys.prefix)

    def run(name: str, *instead: str, **variables: str) -> Result:
        """What a container does, by its own variables and arguments."""
        declared = environment(production, name)
        for here, there in cluster.items():
            declared = {key: value.replace(here, there) for key, value in declared.items()}
        path = f"{project.root}/.venv/bin:/usr/bin:/bin"
        project.variables = (
            declared | {"PGHOSTADDR": "127.0.0.1", "PGPASSWORD": platform.password, "PATH": path} | variables
        )
        return project.run("deploy/docker-entrypoint.sh", *(instead or containers(production)[name].get("args", [])))

    assert "auth_db is at base" in run("check", "true", MIGRATE_CHECK_WAIT="0").error
    migrated = run("migrate")
    assert migrated.code == 0, migrated
    assert "two-phase commit" in migrated.err
    assert run("check", "echo", "started").out == "started\n"
    status = run("migrate", "python", "-m", "multidb", "log")
    assert f"  {environment(production, 'migrate')['MIGRATE_RELEASE']}  `upgrade heads`" in status.out

    # The pod's own server asks for no password; this one does.
    passwords = project.write("passwords", f"*:*:*:neighbor:{platform.password}\n*:*:*:*:{admin_password(platform)}\n")
    passwords.chmod(0o600)
    known = {"PGPASSWORD": "", "PGPASSFILE": str(passwords)}
    drift = run("drift", **known)
    assert (drift.code, drift.out.count(": no drift")) == (0, len(NAMES)), drift
    platform.as_admin("ALTER TABLE users ADD nickname text", "auth_db")
    drift = run("drift", **known)
    assert drift.code == 2
    assert "auth_db          auth_0001: 1 difference" in drift.out

    strange = run("check", "true", PGSSLROOTCERT=str(cluster_of_somebody_else(tmp_path)), MIGRATE_WAIT="0")
    assert "certificate verify failed" in strange.error


def admin_password(postgres: Postgres) -> str:
    return make_url(postgres.admin_url).password or ""


def cluster_of_somebody_else(folder: Path) -> Path:
    """The certificate of an authority that is not the cluster's."""
    path = folder / "strange.crt"
    trustme.CA().cert_pem.write_to_path(str(path))
    return path
