"""The Kubernetes objects of the databases on the server, in `deploy/k8s/base/databases.yaml`."""

import re

import yaml

FILE = "deploy/k8s/base/databases.yaml"
_SEPARATOR = re.compile(r"^---\n", re.MULTILINE)
_OBJECT = """apiVersion: postgresql.cnpg.io/v1
kind: Database
metadata:
  name: {object}
spec:
  name: {name}
  owner: {owner}
  cluster: {{name: {cluster}}}
  databaseReclaimPolicy: retain
"""


def with_object(text: str, name: str) -> str:
    """The text with an object for a database at its end; owner and cluster are those of the first one."""
    spec = yaml.safe_load(_SEPARATOR.split(text)[0])["spec"]
    made = _OBJECT.format(
        object=name.replace("_", "-"), name=name, owner=spec["owner"], cluster=spec["cluster"]["name"]
    )
    return f"{text}---\n{made}"


def without_object(text: str, name: str) -> str:
    """The text without the object of a database; the same if it has none. What stands above the first one stays."""
    first, *others = _SEPARATOR.split(text)
    if not _is_of(first, name):
        return "---\n".join([first, *(each for each in others if not _is_of(each, name))])
    comment = "".join(line for line in first.splitlines(keepends=True) if line.startswith("#"))
    return comment + "---\n".join(others)


def _is_of(text: str, name: str) -> bool:
    found = yaml.safe_load(text)
    return bool(found) and found["spec"]["name"] == name
