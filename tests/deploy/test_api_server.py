"""The overlays as a real API server of Kubernetes takes them: `bin/test -e cluster`.

Namespaces are created and deleted again. Everything else is a dry run of the server's, but for pods that a scheduling
gate keeps from any node. An API server with a namespace of an overlay is left alone.
"""

from collections.abc import Iterator

import pytest

from tests.deploy.test_kubernetes import CRDS
from tests.support.api_server import ApiServer, NoServerError, api_server
from tests.support.manifests import OVERLAYS, Manifest, of_kind, one, rendered, templates
from tests.support.project import ROOT

pytestmark = pytest.mark.cluster
APPLY = ("apply", "--server-side", "--validate=strict", "--field-manager=tests", "--filename=-")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """An API server that knows the operator's kinds."""
    try:
        with api_server(tmp_path_factory.mktemp("api-server")) as found:
            if not found.has("customresourcedefinition", "clusters.postgresql.cnpg.io"):
                if not CRDS.is_dir():
                    pytest.skip("the API server does not have CloudNativePG's definitions: install the operator")
                found.done("apply", "--server-side", f"--filename={CRDS}")
                found.done("wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
            yield found
    except NoServerError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module", params=OVERLAYS)
def applied(request: pytest.FixtureRequest, server: ApiServer) -> Iterator[list[Manifest]]:
    """What an overlay renders, whose namespace is there."""
    manifests = rendered(ROOT / "deploy/k8s/overlays" / request.param)
    namespace = one(manifests, "Namespace")
    name = namespace["metadata"]["name"]
    if server.has("namespace", name):
        pytest.skip(f"the API server has a namespace {name}, which the tests would delete")
    server.done(*APPLY, manifests=[namespace])
    yield manifests
    server.done("delete", "namespace", name, "--wait=false")


def gated(manifests: list[Manifest]) -> list[Manifest]:
    """The pods that an overlay's objects make, each as its controller would make it; none gets to a node."""
    namespace = one(manifests, "Namespace")["metadata"]["name"]
    return [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace, "labels": template["metadata"]["labels"]},
            "spec": template["spec"] | {"schedulingGates": [{"name": "neighbor.example/tests"}]},
        }
        for name, template in templates(manifests).items()
    ]


def selector(chosen: Manifest) -> str:
    """A selector of a policy, as kubectl takes it."""
    labels = [f"{key}={value}" for key, value in chosen.get("matchLabels", {}).items()]
    lists = [f"{each['key']} in ({','.join(each['values'])})" for each in chosen.get("matchExpressions", [])]
    return ",".join(labels + lists)


def test_every_object_is_accepted_and_no_field_is_unknown(server: ApiServer, applied: list[Manifest]) -> None:
    known = [each for each in applied if each["kind"] != "ObjectStore"]  # of a plugin, whose definition is not at hand
    out = server.done(*APPLY, "--dry-run=server", manifests=known)
    assert len(out.splitlines()) == len(known)
    job = one(applied, "Job")
    mistaken = job | {"spec": job["spec"] | {"backofLimit": 1}}
    assert "backofLimit" in server.run(*APPLY, "--dry-run=server", manifests=[mistaken]).err


def test_pods_are_admitted_where_the_restricted_standard_is_enforced(
    server: ApiServer, applied: list[Manifest]
) -> None:
    pods = gated(applied)
    server.done("create", "--dry-run=server", "--filename=-", manifests=pods)
    pods[0]["spec"]["hostNetwork"] = True
    refused = server.run("create", "--dry-run=server", "--filename=-", manifests=pods[:1])
    assert "violates PodSecurity" in refused.err


def test_policies_choose_the_pods_that_they_mean(server: ApiServer, applied: list[Manifest]) -> None:
    server.done("create", "--filename=-", manifests=gated(applied))
    namespace = one(applied, "Namespace")["metadata"]["name"]
    policies = {each["metadata"]["name"]: each["spec"] for each in of_kind(applied, "NetworkPolicy")}
    clients = policies["neighbor-db"]["ingress"][0]["from"][0]["podSelector"]
    everyone = set(templates(applied))
    assert server.names("pod", namespace, selector(clients)) == everyone
    assert server.names("pod", namespace, selector(policies["migrations"]["podSelector"])) == everyone - {"auth"}
