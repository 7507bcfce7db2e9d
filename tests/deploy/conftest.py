"""What the overlays of deploy/k8s render, with every choice of components."""

import shutil
from pathlib import Path

import pytest
import yaml

from tests.support.manifests import CHOICES, K8S, OVERLAYS, Manifest, rendered


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
