"""Read databases.yaml: every mistake is reported with its line."""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import yaml

from multidb.advice.codes import Code
from multidb.config import settings
from multidb.config.configuration import (
    DEFAULT_VERSION_TABLE,
    LONGEST_NAME,
    Configuration,
    Entry,
    Scalar,
    VersionTable,
    revision_prefix,
)
from multidb.config.policy import PolicyEntry, Severity
from multidb.errors import ConfigError, nearest

_OF_FILE = {"server", "scratch", "ignore", "drift", "policy", "role", "protected", "databases"}
_OF_ENTRY = {
    "models", "url", "role", "extensions", "ignore", "drift", "version_table", "version_table_schema",
    "naming_convention", "policy", *settings.OF_ONE,
}  # fmt: skip
# https://docs.sqlalchemy.org/en/21/core/constraints.html#configuring-constraint-naming-conventions
_CONSTRAINTS = {"ix", "uq", "ck", "fk", "pk"}
_TOKEN = re.compile(
    r"(referred_)?table_name|constraint_name|column_(\d+|0_?N)_(name|key|label)|referred_column_(\d+|0_?N)_name"
)
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def load(path: Path) -> Configuration:
    """Read databases.yaml. A file that can't be read or has a mistake raises ConfigError, which names the line."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(
            Code.CONFIGURATION_FILE, f"{path} is not there: it lists the databases, see docs/configuration.md"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError(Code.CONFIGURATION_FILE, f"{path} can't be read: {reason}") from error
    return _Reader(path).configuration(text)


def variables_of(root: Path) -> dict[str, str]:
    """The environment variables of the process; for those that are not set, the values in .local/env of `bin/up`."""
    try:
        lines = (root / ".local" / "env").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    local = dict(line.split("=", 1) for line in lines if "=" in line)
    for key in [key for key in local if os.environ.get(f"{key}_FILE")]:
        del local[key]
    return local | {key: value for key, value in os.environ.items() if value}


def _place_of(key: str, known: Iterable[str]) -> str:
    """The hint where a key belongs that is not known here, if it is known somewhere."""
    if key in _OF_FILE or key in settings.OF_ALL:
        return ": it belongs at the top of the file"
    if key in _OF_ENTRY:
        return ": it belongs in the entry of a database"
    if key in settings.OF_A_RUN:
        return f": it is given with a command, as -x {key}="
    return nearest(key, known)


class _Reader:
    """Turns YAML nodes, which know their lines, into records."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._values = Configuration(path, None, {}, {})  # expands the variables in values
        self._written: dict[tuple[str, str], Scalar] = {}

    def configuration(self, text: str) -> Configuration:
        try:
            root = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise ConfigError(
                Code.CONFIGURATION_SYNTAX, f"{self.path.name}:{line}: not YAML: {error.problem}"
            ) from error
        except yaml.YAMLError as error:
            raise ConfigError(
                Code.CONFIGURATION_SYNTAX, f"{self.path.name}: not YAML: {str(error).splitlines()[0]}"
            ) from error
        variables = variables_of(self.path.parent)
        self._values = Configuration(self.path, None, {}, variables)
        top = self._mapping(root, "the file", {*_OF_FILE, *settings.OF_ALL})
        entries = self._entries(top.get("databases"))
        server = self._scalar(top["server"], "server") if "server" in top else None
        scratch = self._scalar(top["scratch"], "scratch") if "scratch" in top else None
        options = self._options(top, settings.OF_ALL)
        protected = bool(self._options(top, ["protected"]).get("protected"))
        self._note("", top)
        more = scratch, self._ignored(top), self._policy(top), self._role(top), protected, self._written
        return Configuration(self.path, server, entries, variables, options, *more)

    def _entries(self, node: yaml.Node | None) -> dict[str, Entry]:
        if node is None:
            raise ConfigError(
                Code.CONFIGURATION_SYNTAX, f"{self.path.name}: no databases: list them under `databases:`"
            )
        entries: dict[str, Entry] = {}
        owners: dict[str, str] = {}
        for name, value in self._mapping(node, "databases").items():
            line = value.start_mark.line + 1
            if not _NAME.fullmatch(name):
                self._fail(value, f"{name!r} can't be a database's name: use a-z, 0-9 and _")
            if len(name) > LONGEST_NAME:
                self._fail(value, f"{name} is longer than {LONGEST_NAME} characters: give the database a shorter name")
            other = owners.setdefault(revision_prefix(name), name)
            if other != name:
                self._fail(value, f"{other} and {name} would number their revisions alike: rename one")
            fields = self._mapping(value, name, _OF_ENTRY)
            self._note(name, fields)
            if "models" not in fields:
                self._fail(value, f"{name} has no models: add `models: models.{revision_prefix(name)}`")
            entries[name] = Entry(
                name,
                line,
                models=self._text(fields["models"], "models"),
                url=self._scalar(fields["url"], "url") if "url" in fields else None,
                extensions=self._list(fields["extensions"], "extensions", "postgis") if "extensions" in fields else (),
                options=self._own_options(name, fields),
                ignored=self._ignored(fields),
                version_table=self._version_table(fields),
                naming_convention=self._naming_convention(fields),
                policy=self._policy(fields),
                role=self._role(fields),
            )
        if not entries:
            self._fail(node, "no databases: list them under `databases:`")
        return entries

    def _note(self, name: str, fields: Mapping[str, yaml.Node]) -> None:
        """Note where each key of an entry, or of the file, is written."""
        for key, node in fields.items():
            text = node.value if isinstance(node, yaml.ScalarNode) else ""
            self._written[name, key] = Scalar(text, node.start_mark.line + 1)

    def _version_table(self, fields: Mapping[str, yaml.Node]) -> VersionTable:
        found: dict[str, str] = {}
        for key, field in (("version_table", "name"), ("version_table_schema", "schema")):
            if key in fields:
                found[field] = self._text(fields[key], key)
                if len(found[field]) > LONGEST_NAME:
                    self._fail(fields[key], f"{key} is longer than {LONGEST_NAME} characters: give a shorter name")
        return VersionTable(found.get("name", DEFAULT_VERSION_TABLE.name), found.get("schema"))

    def _naming_convention(self, fields: Mapping[str, yaml.Node]) -> dict[str, str]:
        if "naming_convention" not in fields:
            return {}
        found: dict[str, str] = {}
        for key, node in self._mapping(fields["naming_convention"], "naming_convention", _CONSTRAINTS).items():
            found[key] = self._text(node, key)
            unknown = [token for token in re.findall(r"%\((.*?)\)s", found[key]) if not _TOKEN.fullmatch(token)]
            if unknown or re.sub(r"%\(.*?\)s|%%", "", found[key]).count("%"):
                what = f"%({unknown[0]})s" if unknown else found[key]
                self._fail(
                    node, f"naming_convention: {key}: {what} is none of SQLAlchemy's tokens, as %(table_name)s is"
                )
        return found

    def _policy(self, fields: Mapping[str, yaml.Node]) -> PolicyEntry:
        if "policy" not in fields:
            return PolicyEntry()
        found = self._mapping(fields["policy"], "policy", {"bar", "small", "rules"})
        rules = self._mapping(found["rules"], "rules") if "rules" in found else {}
        small = self._text(found["small"], "small") if "small" in found else None
        if small is not None and not re.fullmatch(r"[0-9]{1,15}", small):
            self._fail(found["small"], f"small: {small!r} should be a number of rows")
        return PolicyEntry(
            self._severity(found["bar"], "bar") if "bar" in found else None,
            None if small is None else int(small),
            {rule: self._severity(node, rule) for rule, node in rules.items()},
            {rule: node.start_mark.line + 1 for rule, node in rules.items()},
        )

    def _role(self, fields: Mapping[str, yaml.Node]) -> Scalar | None:
        return self._scalar(fields["role"], "role") if "role" in fields else None

    def _severity(self, node: yaml.Node, what: str) -> Severity:
        text = self._text(node, what)
        words = [str(each) for each in Severity]
        if text not in words:
            self._fail(node, f"{what}: {text!r} should be one of {', '.join(words)}{nearest(text, words)}")
        return Severity[text.upper()]

    def _options(self, fields: Mapping[str, yaml.Node], keys: Iterable[str]) -> dict[str, Any]:
        written = [(key, self._scalar(fields[key], key)) for key in keys if key in fields]
        return {key: self._values.setting(key, each) for key, each in written}

    def _own_options(self, name: str, fields: Mapping[str, yaml.Node]) -> dict[str, Any]:
        found = self._options(fields, settings.OF_ONE)
        if found.get("two_phase") == "required":
            self._fail(fields["two_phase"], f"two_phase: required is for all databases: {name} may say auto or off")
        return found

    def _mapping(self, node: yaml.Node | None, what: str, known: Iterable[str] | None = None) -> dict[str, yaml.Node]:
        if not isinstance(node, yaml.MappingNode):
            self._fail(node, f"{what} should be a mapping of names to values")
        found: dict[str, yaml.Node] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._fail(key, f"a name in {what} should be a text")
            if known is not None and key.value not in known:
                hint = _place_of(str(key.value), known) or f": known are {', '.join(sorted(known))}"
                self._fail(key, f"unknown key {key.value!r} in {what}{hint}")
            if key.value in found:
                self._fail(key, f"{key.value} is there twice")
            found[key.value] = value
        return found

    def _scalar(self, node: yaml.Node, what: str) -> Scalar:
        if not isinstance(node, yaml.ScalarNode) or not node.value:
            self._fail(node, f"{what} should be a text")
        return Scalar(node.value, node.start_mark.line + 1)

    def _text(self, node: yaml.Node, what: str) -> str:
        """A text with its variables replaced."""
        return self._values.expanded(self._scalar(node, what))

    def _ignored(self, fields: Mapping[str, yaml.Node]) -> tuple[str, ...]:
        """The patterns under `ignore:`, and under `drift: ignore:`, as older files have them."""
        own = self._list(fields["ignore"], "ignore", "audit_*") if "ignore" in fields else ()
        drift = self._mapping(fields["drift"], "drift", {"ignore"}) if "drift" in fields else {}
        return own + (self._list(drift["ignore"], "ignore", "audit_*") if "ignore" in drift else ())

    def _list(self, node: yaml.Node, key: str, example: str) -> tuple[str, ...]:
        if not isinstance(node, yaml.SequenceNode):
            self._fail(node, f"{key} should be a list, such as [{example}]")
        texts = [self._text(item, f"a line of {key}") for item in node.value]
        return tuple(text for text in texts if text)  # a variable may be empty

    def _fail(self, node: yaml.Node | None, problem: str) -> NoReturn:
        line = node.start_mark.line + 1 if node else 1
        raise ConfigError(Code.CONFIGURATION_VALUE, f"{self.path.name}:{line}: {problem}")
