"""An approved plan: a file that `plan --out` writes, and the check that a run is what was approved."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multidb.advice.codes import Code
from multidb.config.configuration import Database
from multidb.config.policy import Policy
from multidb.database import journal
from multidb.database.probe import probing
from multidb.errors import MigrationError, joined, reason_of
from multidb.logs import log
from multidb.output import count_of, revisions_text
from multidb.planning.environment import Environment
from multidb.planning.plan import Plan, files_of, runs_file
from multidb.rehearsal.rules import all_rules
from multidb.schema import snapshot
from multidb.schema.objects import Schema, is_ignored
from multidb.schema.snapshot import Snapshot

_FORM = 1
"""The form of the file; a checkout refuses one that it does not know."""
_NAMED = 3  # objects in a message


def entry_of(plan: Plan, after: Sequence[str], live: Schema, policy: Policy) -> dict[str, Any]:
    """What an approved plan says of one database; `after` is where the plan leads."""
    return {
        "before": sorted(plan.before),
        "after": sorted(after),
        "revisions": [
            {"revision": revision, "upgrade": upgrade, "sha256": path and journal.digest(path)}
            for revision, path, upgrade in files_of(plan.steps)
        ],
        "schema": fingerprints(live, plan.database),
        "policy": _digest(_policy_values(policy)),
    }


def fingerprints(schema: Schema, database: Database) -> dict[str, str]:
    """A digest of each object, as the comparison sees them: without what `ignore` names, and without partitions."""
    return {
        each.label: _digest({name: _plain(value) for name, value in each.attributes.items()})[:16]
        for each in schema.objects.values()
        if not is_ignored(each.aliases, database.ignored)
    }


def write(path: Path, databases: Mapping[str, Mapping[str, Any]]) -> str:
    """Write an approved plan. Returns its digest. MigrationError if the file can't be written."""
    content = {"multidb": "plan", "form": _FORM, "databases": databases}
    digest = _digest(content)
    text = json.dumps(content | {"digest": digest}, indent=2, sort_keys=True)
    try:
        path.write_text(f"{text}\n", encoding="utf-8")
    except OSError as error:
        raise MigrationError(Code.NOT_WRITTEN, f"{path} can't be written: {error.strerror}") from error
    return digest


@dataclass(frozen=True)
class Approval:
    """An approved plan, as its file says.

    Attributes:
        digest: of all of it, as the journals record it.
        databases: what `entry_of` says, by the databases' names; those without work are left out.
    """

    path: Path
    digest: str
    databases: Mapping[str, Mapping[str, Any]]

    @classmethod
    def read(cls, path: Path) -> "Approval":
        """Read a file. MigrationError if it is no plan, or was changed after it was written."""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise MigrationError(Code.PLAN_FILE, f"{path} can't be read: {error.strerror}") from error
        except ValueError as error:
            raise MigrationError(Code.PLAN_FILE, f"{path} is no plan of `plan --out`") from error
        if not isinstance(found, dict) or found.get("multidb") != "plan" or found.get("form") != _FORM:
            raise MigrationError(Code.PLAN_FILE, f"{path} is no plan of `plan --out` that this checkout can read")
        digest = found.pop("digest", None)
        if digest != _digest(found):
            raise MigrationError(
                Code.PLAN_FILE, f"{path} was changed after it was written: plan again, and have that approved"
            )
        return cls(path, digest, found["databases"])

    def check(self, environment: Environment, plans: Sequence[Plan] | None = None) -> None:
        """Check that the databases and the files are what was approved.

        Args:
            plans: of a run that has locked its databases; None before that.

        Raises:
            MigrationError: something has changed; names all of it.
        """
        errors = [*self._changed_plans(plans)] if plans is not None else []
        seconds = environment.settings.lock_wait if plans is None else None
        selected = [each for each in environment.databases if each.name in self.databases]
        with probing(selected, environment.settings.wait) as probes:
            found = dict(zip((each.name for each in selected), snapshot.read_all(probes, seconds), strict=True))
        if plans is None and self._is_carried_out(found):
            log.info("the plan %s has been carried out", self.digest[:12])
            return
        for name, live in found.items():
            errors += self._changed_database(environment, name, live)
            errors += self._changed_files(environment, name)
        if errors:
            raise joined(errors)

    def _is_carried_out(self, found: Mapping[str, Snapshot | Exception]) -> bool:
        """Whether all databases are where the plan leads: a pipeline may have been started again."""
        there = [
            name
            for name, live in found.items()
            if not isinstance(live, Exception) and sorted(live.heads) == self.databases[name]["after"]
        ]
        return set(there) == set(self.databases)

    def _changed_database(
        self, environment: Environment, name: str, live: Snapshot | Exception
    ) -> Iterator[MigrationError]:
        if isinstance(live, Exception):
            yield MigrationError(Code.PLAN_CHANGED, f"it can't be compared with the plan: {reason_of(live)}", name)
            return
        entry = self.databases[name]
        if sorted(live.heads) != entry["before"]:
            before, now = revisions_text(entry["before"]), revisions_text(live.heads)
            yield self._error(name, f"it has moved from {before} to {now}")
            return
        old, new = entry["schema"], fingerprints(live.schema, live.database)
        changed = sorted(each for each in old.keys() | new.keys() if old.get(each) != new.get(each))
        if changed:
            more = f" and {count_of(len(changed) - _NAMED, 'other object')}" if len(changed) > _NAMED else ""
            yield self._error(name, f"{', '.join(changed[:_NAMED])}{more} changed in the database")
        policy = environment.configuration.policy_of(name, [rule.id for rule in all_rules()])
        if _digest(_policy_values(policy)) != entry["policy"]:
            yield self._error(name, f"its policy in {environment.configuration.path.name} changed")

    def _changed_files(self, environment: Environment, name: str) -> Iterator[MigrationError]:
        files = environment.branch(name).files
        for each in self.databases[name]["revisions"]:
            revision, sha256 = each["revision"], each["sha256"]
            if revision not in files:
                yield self._error(name, f"the file of {revision} was removed")
            elif sha256 is not None and journal.digest(Path(files[revision].path)) != sha256:
                yield self._error(name, f"{files[revision].place} changed")

    def _changed_plans(self, plans: Sequence[Plan]) -> Iterator[MigrationError]:
        """What the run would do otherwise than the plan."""
        for plan in plans:
            name = plan.database.name
            # A revision that is recorded by its new id, before others run, is no change.
            found = [(revision, upgrade) for revision, _, upgrade in files_of(filter(runs_file, plan.steps))]
            if not found and name not in self.databases:
                continue
            if name not in self.databases:
                yield MigrationError(
                    Code.PLAN_CHANGED, f"{self.path.name} does not have its pending revisions: plan again", name
                )
                continue
            wanted = [(each["revision"], each["upgrade"]) for each in self.databases[name]["revisions"]]
            if found != wanted:
                approved, now = ", ".join(each for each, _ in wanted), ", ".join(each for each, _ in found)
                yield MigrationError(
                    Code.PLAN_CHANGED, f"{self.path.name} has {approved}, and this run {now}: plan again", name
                )
        for name in sorted(self.databases.keys() - {plan.database.name for plan in plans}):
            yield MigrationError(
                Code.PLAN_CHANGED, f"{self.path.name} changes it, and this run does not: plan again", name
            )

    def _error(self, name: str, text: str) -> MigrationError:
        return MigrationError(Code.PLAN_CHANGED, f"{text} after {self.path.name} was written: plan again", name)


def _policy_values(policy: Policy) -> dict[str, Any]:
    rules = {rule: str(severity) for rule, severity in policy.rules.items()}
    return {"bar": str(policy.bar), "small": policy.small, "rules": rules}


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """A value of an object's attribute as JSON has it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(map(str, value))
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else repr(value)
