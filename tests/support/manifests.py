"""What kustomize renders of deploy/k8s, and what Kubernetes makes of that."""

import itertools
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.support.project import ROOT

Manifest = dict[str, Any]
K8S = ROOT / "deploy/k8s"
OVERLAYS = ["development", "staging", "production"]
# The components that an overlay may add.
EXTRA = ["investment-on-postgresql", "before-takeover", "argo-cd", "helm-hooks"]
CHOICES = [list(some) for number in range(len(EXTRA) + 1) for some in itertools.combinations(EXTRA, number)]
KUBECTL = Path(sys.prefix) / "bin/kubectl"


@cache
def rendered(folder: Path) -> list[Manifest]:
    """What `kubectl kustomize` makes of a folder."""
    done = subprocess.run([KUBECTL, "kustomize", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def of_kind(manifests: Iterable[Manifest], kind: str) -> list[Manifest]:
    return [each for each in manifests if each["kind"] == kind]


def one(manifests: Iterable[Manifest], kind: str) -> Manifest:
    [found] = of_kind(manifests, kind)
    return found


def templates(manifests: Iterable[Manifest]) -> dict[str, Manifest]:
    """The templates of all pods that we declare, by the names of what they are in."""
    return {
        each["metadata"]["name"]: (each["spec"].get("jobTemplate") or each)["spec"]["template"]
        for each in manifests
        if each["kind"] in ("Job", "CronJob", "Deployment")
    }


def pods(manifests: Iterable[Manifest]) -> list[Manifest]:
    return [each["spec"] for each in templates(manifests).values()]


def containers(manifests: Iterable[Manifest]) -> dict[str, Manifest]:
    return {
        each["name"]: each for pod in pods(manifests) for each in (*pod.get("initContainers", []), *pod["containers"])
    }


def action_after(job: Manifest, container: str, code: int, *conditions: str) -> str:
    """What Kubernetes does after a pod has failed: https://kubernetes.io/docs/concepts/workloads/controllers/job/"""
    for rule in job["podFailurePolicy"]["rules"]:
        wanted = {each["type"] for each in rule.get("onPodConditions", [])}
        codes = rule.get("onExitCodes")
        if codes and codes["containerName"] == container:
            if (code in codes["values"]) is (codes["operator"] == "In"):
                return str(rule["action"])
        elif wanted & set(conditions):
            return str(rule["action"])
    return "Count"  # the default: retried, at most backoffLimit times


def environment(manifests: list[Manifest], name: str) -> dict[str, str]:
    """The variables of a container, as far as a manifest says them."""
    container = containers(manifests)[name]
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        assert source["configMapRef"]["name"] == one(manifests, "ConfigMap")["metadata"]["name"]
        found |= one(manifests, "ConfigMap")["data"]
    return found | {each["name"]: each["value"] for each in container.get("env", []) if "value" in each}
