"""Prints the software bill of materials of an image, as CycloneDX 1.6 in JSON: what is in the image, as the image says.

    .venv/bin/python deploy/ci/sbom.py IMAGE >sbom.json

Python packages are those of the image's virtual environment, and system packages those of its Debian. The packages that
this program takes are in constraints-dev.txt.
"""

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence

from cyclonedx.builder.this import this_component
from cyclonedx.model import Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

VENV_PYTHON = "/opt/migrations/.venv/bin/python"
PACKAGES = """
import importlib.metadata, json, platform
found = sorted((each.name, each.version) for each in importlib.metadata.distributions())
print(json.dumps({"python": platform.python_version(), "packages": found}))
"""
SYSTEM_PACKAGES = r"-f=${Package}\t${Version}\t${Architecture}\n"


class Image:
    """An image, and the engine that has it."""

    def __init__(self, engine: Sequence[str], name: str) -> None:
        self._engine, self.name = engine, name

    def label(self, name: str) -> str:
        """An OCI label of the image: `version`, `revision`."""
        form = f'{{{{index .Config.Labels "org.opencontainers.image.{name}"}}}}'
        return self._ask("image", "inspect", f"--format={form}", self.name).strip()

    def run(self, program: str, *arguments: str) -> str:
        """What a program of the image prints, without network."""
        return self._ask("run", "--rm", "--network=none", f"--entrypoint={program}", self.name, *arguments)

    def _ask(self, *arguments: str) -> str:
        try:
            done = subprocess.run([*self._engine, *arguments], capture_output=True, text=True, check=False)
        except FileNotFoundError:
            sys.exit(f"error: {self._engine[0]} is not installed: name another engine with --engine [MDB811]")
        if done.returncode:
            reason = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
            sys.exit(f"error: {self.name}: `{self._engine[0]} {arguments[0]}` failed: {reason} [MDB811]")
        return done.stdout


def components(image: Image) -> Iterator[Component]:
    """What an image consists of."""
    python = json.loads(image.run(VENV_PYTHON, "-c", PACKAGES))
    yield _component("generic", None, "python", python["python"], ComponentType.PLATFORM)
    for name, version in python["packages"]:
        yield _component("pypi", None, name, version)
    for line in image.run("dpkg-query", "-W", SYSTEM_PACKAGES).splitlines():
        name, version, architecture = line.split("\t")
        yield _component("deb", "debian", name, version, arch=architecture)


def _component(
    kind: str,
    namespace: str | None,
    name: str,
    version: str,
    of_type: ComponentType = ComponentType.LIBRARY,
    **qualifiers: str,
) -> Component:
    url = PackageURL(kind, namespace, name, version, qualifiers)
    return Component(name=name, version=version, type=of_type, purl=url, bom_ref=url.to_string())


def bill_of(image: Image) -> Bom:
    """The bill of materials of an image."""
    bom = Bom(components=components(image))
    bom.metadata.component = Component(
        name="neighbor-migrations", version=image.label("version"), type=ComponentType.CONTAINER,
        bom_ref="image", properties=[Property(name="revision", value=image.label("revision"))],
    )  # fmt: skip
    bom.metadata.tools.components.add(this_component())
    bom.register_dependency(bom.metadata.component, bom.components)
    return bom


def main() -> None:
    parser = argparse.ArgumentParser(description="Print the software bill of materials of an image.")
    parser.add_argument("image", metavar="IMAGE", help="the name of an image that the engine has")
    parser.add_argument("--engine", type=shlex.split, default=["docker"], help="default: docker; another is podman")
    arguments = parser.parse_args()
    bom = bill_of(Image(arguments.engine, arguments.image))
    print(make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=2))


if __name__ == "__main__":
    main()
