"""`adopt`: bring live databases that were made some other way under their branches, without losing anything.

The revision that each live database equals is found by replaying its branch, and is recorded, in all databases or in
none. Where there are differences, they are printed, and no database is changed.
"""

import argparse
import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from multidb.advice.codes import Code
from multidb.commands.support.command import Command, add_databases, add_json
from multidb.database import journal
from multidb.database.probe import Probe, check_distinct, probing
from multidb.database.threads import map_in_threads
from multidb.errors import ExitCode, MigrationError, failure_as_json, in_database, joined, nearest, said_of
from multidb.logs import log
from multidb.output import NAME_WIDTH, count_of, revisions_text
from multidb.planning.environment import Environment
from multidb.planning.targets import Target, Targets
from multidb.release.waiting import results_of
from multidb.replay.identify import Identification, identify
from multidb.replay.replay import Position, Replays
from multidb.schema import snapshot
from multidb.schema.difference import EXTRA, RISKY, Difference
from multidb.schema.reconcile import reconciler
from multidb.schema.snapshot import Snapshot


def configure(parser: argparse.ArgumentParser) -> None:
    add_databases(parser)
    parser.add_argument("--dry-run", action="store_true", help="only print what would be done")
    parser.add_argument("--reconcile", action="store_true", help="repair harmless differences, and keep what is extra")
    parser.add_argument(
        "--risky", action="append", default=[], metavar="NAME", help="with --reconcile: repair this difference, too"
    )
    parser.add_argument(
        "--at",
        action="append",
        default=[],
        metavar="NAME@REVISION",
        help="the revision that a database is at",
    )
    add_json(parser)


def run(command: Command) -> ExitCode:
    options = command.options
    if options.risky and not options.reconcile:
        raise MigrationError(Code.OPTION, "--risky is for --reconcile: add that, too")
    if options.json and not options.dry_run:
        raise MigrationError(Code.OPTION, "--json is for --dry-run: add that; -x report=FILE says what a run did")
    with command.environment() as environment:
        found = _examine(environment, command)
    if found and not options.dry_run:
        targets = {name: _target(each) for name, each in found.items()}
        Targets("adopt", "adopt", targets).run(command.alembic, options.x)
    return ExitCode.OK


def _examine(environment: Environment, command: Command) -> dict[str, Identification]:
    """The databases that can be adopted, still unchanged; prints the result, and refuses those that can't be."""
    settings, options = environment.settings, command.options
    with (
        Replays(environment) as replays,
        probing(command.databases, settings.wait, busy_wait=settings.busy_wait) as probes,
    ):
        check_distinct(results_of(probes))
        live = _snapshots(probes, settings.lock_wait)
        by_name = {probe.database.name: probe for probe in probes}
        lines, failed = _lines(environment, live, by_name)
        unknown = {name: each for name, each in live.items() if lines.get(name, "") is None}
        chosen = _chosen(environment, options.at, unknown)
        say = log.info if options.json else print
        identified = identify(environment, replays, unknown, by_name, say, chosen) if unknown else {}
    failed |= {name: each for name, each in identified.items() if isinstance(each, MigrationError)}
    found = {name: each for name, each in identified.items() if isinstance(each, Identification)}
    refusals = {
        name: each.claim or _ambiguity(environment, each) or _refusal(each, options.reconcile, options.risky)
        for name, each in found.items()
    }
    if options.json:
        print(
            json.dumps(
                [
                    _as_json(name, lines.get(name), failed.get(name), found.get(name), refusals.get(name))
                    for name in live
                ],
                indent=2,
            )
        )
    for name in () if options.json else live:
        if name in failed:
            print(f"{name:{NAME_WIDTH}} FAILED: {said_of(failed[name])}")
        elif lines[name] is not None:
            print(f"{name:{NAME_WIDTH}} {lines[name]}")
        else:
            _print(name, found[name], is_refused=refusals[name] is not None, dry_run=options.dry_run)
    if failed:
        raise joined(list(failed.values()))
    known = [name for each in found.values() for name in _risky(each)]
    for name in options.risky:
        if name not in known:
            raise MigrationError(
                Code.OPTION, f"--risky {name}: there is no such risky difference{nearest(name, known)}"
            )
    refused = [name for name, refusal in refusals.items() if refusal is not None]
    if refused:
        more = f"; and {', '.join(refused[1:])}" if len(refused) > 1 else ""
        raise MigrationError(Code.NOT_ADOPTED, f"{refusals[refused[0]]}{more}; no database was changed", refused[0])
    if found and options.dry_run and not options.json:
        print(f"nothing was changed: {', '.join(found)} can be adopted")
    return found


def _as_json(
    name: str, line: str | None, failure: Exception | None, found: Identification | None, refusal: str | None
) -> dict[str, Any]:
    """What was found out of a database: it failed, needs no adoption, can be adopted, or is refused."""
    state = "failed" if failure else "nothing to do" if found is None else "refused" if refusal else "adoptable"
    match = found.match if found else None
    return {
        "database": name,
        "state": state,
        "recorded": sorted(found.live.heads) if found else [],
        "revision": sorted(match.position) if match else [],
        "equal": [sorted(position) for position in match.equal_positions] if match else [],
        "differences": [
            {**each.as_json(), "rows": each.rows, "option": f"{name}.{each.name}" if each.severity is RISKY else None}
            for each in (match.differences if match else ())
        ],
        "reason": refusal or (line if found is None and not failure else None),
        **failure_as_json(failure),
    }


def _chosen(environment: Environment, symbols: Sequence[str], unknown: Mapping[str, Snapshot]) -> dict[str, Position]:
    """The positions that `--at` names, or the databases' own rows, by the names of the databases."""
    found: dict[str, Position] = {}
    for symbol in symbols:
        name, at, revision = symbol.partition("@")
        if not at or name not in environment.configuration.names:
            names = environment.configuration.names
            raise MigrationError(
                Code.REVISION_NAME, f"--at {symbol}: should be a database and a revision, as {names[0]}@REVISION"
            )
        if not environment.branch(name).knows(revision):
            known = nearest(revision, environment.branch(name).files)
            raise MigrationError(
                Code.REVISION_NAME, f"--at {symbol}: there is no revision {revision!r} of this branch{known}", name
            )
        if name not in unknown:
            raise MigrationError(Code.OPTION, f"--at {symbol}: it needs no adoption, or is not addressed", name)
        if found.setdefault(name, (revision,)) != (revision,):
            raise MigrationError(Code.OPTION, f"--at {symbol}: another revision is named, too: name one", name)
    for name, live in unknown.items():
        branch = environment.branch(name)
        if live.heads and all(map(branch.stands_for, live.heads)):  # the row names a former id of the revision
            found.setdefault(name, branch.standing(live.heads))
    return found


def _target(found: Identification) -> Target:
    match = found.match
    database, revision = found.live.database, revisions_text(match.position)
    first = reconciler(match.schema, revision, match.differences, database.ignored, database.version_table)
    return Target(found.live.heads, match.position, stamp=True, purge=True, first=first)


def _snapshots(probes: Sequence[Probe], seconds: float) -> dict[str, Snapshot]:
    def read(probe: Probe) -> Snapshot:
        with in_database(probe.database.name):
            return snapshot.read(probe, seconds)

    return {each.database.name: each for each in map_in_threads(read, probes)}


def _lines(
    environment: Environment, live: Mapping[str, Snapshot], probes: Mapping[str, Probe]
) -> tuple[dict[str, str | None], dict[str, MigrationError]]:
    """What `_nothing_to_do` says of each database, and its failures."""
    lines: dict[str, str | None] = {}
    failed: dict[str, MigrationError] = {}
    for name, each in live.items():
        try:
            lines[name] = _nothing_to_do(environment, each, probes[name])
        except MigrationError as error:
            failed[name] = error
    return lines, failed


def _nothing_to_do(environment: Environment, live: Snapshot, probe: Probe) -> str | None:
    """What to print for a database that needs no adoption, or None for one that does."""
    name, heads = live.database.name, live.heads
    holds = f"{live.database.version_table.name} holds"
    branch = environment.branch(name)
    known = [head for head in heads if branch.stands_for(head)]
    if known and len(known) == len(heads):
        if not all(map(branch.knows, heads)):
            return None
        at = revisions_text(heads)
        return f"is at {at} of its branch already; `python -m multidb drift {name}` compares it with that"
    if known:
        raise MigrationError(
            Code.UNKNOWN_REVISION,
            f"{holds} {revisions_text(heads)}, of which only {revisions_text(known)} is of this branch: "
            "delete the rows that are wrong",
            name,
        )
    if not heads and live.schema.is_empty:
        return f"is empty: `alembic upgrade {name}@head` creates its tables"
    for head in heads:
        owner = environment.revisions.owner_of(head)
        if owner is not None:
            raise MigrationError(
                Code.UNKNOWN_REVISION,
                f"{holds} {head}, which is {owner}'s: the URL leads to another database",
                name,
            )
    if heads and not branch.replacements.keys() & set(heads):
        with snapshot.reading(live.database, probe.connection) as connection:
            rows = journal.rows(connection, probe.database)
        if journal.left_at(rows, heads):
            raise MigrationError(
                Code.NEWER,
                f"{holds} {revisions_text(heads)}, where run {rows[-1].run} left it: use the "
                "checkout that has that revision",
                name,
            )
    return None


def _ambiguity(environment: Environment, found: Identification) -> str | None:
    """Why the position can't be told by the schema: the rows of a data migration would be migrated twice, or never."""
    match, name = found.match, found.live.database.name
    if not match.row_revisions:
        return None
    files = ", ".join(environment.branch(name).files[revision].place for revision in match.row_revisions)
    positions = sorted([match.position, *match.equal_positions])
    at = " or ".join(f"--at {name}@{revisions_text(position)}" for position in positions)
    return f"its schema does not tell whether {files} has been applied, which may change rows: say {at}"


def _refusal(found: Identification, reconcile: bool, risky: Sequence[str]) -> str | None:
    match = found.match
    if not match.differences:
        return None
    by_name, count = _risky(found), count_of(len(match.differences), "difference")
    where = f"it is not {revisions_text(match.position)}, the nearest revision: {count}"
    left = [name for name in by_name if name not in risky]
    violated = [each for each in by_name.values() if each.rows]
    if not reconcile:
        return f"{where}, as the lines above say: --reconcile repairs what is harmless and keeps what is extra"
    if left:
        return f"{where}, of which {len(left)} risky: repair by hand, or add --risky {shlex.quote(left[0])}"
    if violated:
        return f"{violated[0].sentence}, and {violated[0].rows} rows would break: correct them first"
    return None


def _risky(found: Identification) -> dict[str, Difference]:
    """The risky differences, by the names that `--risky` takes."""
    name = found.live.database.name
    return {f"{name}.{each.name}": each for each in found.match.differences if each.severity is RISKY}


def _print(name: str, found: Identification, *, is_refused: bool, dry_run: bool) -> None:
    match, heads = found.match, found.live.heads
    revision, count = revisions_text(match.position), count_of(len(match.differences), "difference")
    recorded = (
        f"{found.live.database.version_table.name} holds {revisions_text(heads)}"
        if heads
        else "no revision is recorded"
    )
    if not match.differences:
        equal = ", ".join(map(revisions_text, match.equal_positions))
        text = f"equals {revision}" + (f" (and {equal}, whose schema is identical)" if equal else "")
        if not is_refused:
            text += f"; {recorded}: {'would' if dry_run else 'will'} be recorded at {revision}"
        print(f"{name:{NAME_WIDTH}} {text}")
        return
    print(f"{name:{NAME_WIDTH}} {count} from {revision}, the nearest revision; {recorded}")
    for each in match.differences:
        kept = "; kept" if each.severity is EXTRA else ""
        risky = shlex.quote(f"{name}.{each.name}")
        option = f"  --risky {risky}" if each.severity is RISKY else ""
        print(f"    {each.severity:8}  {each.sentence}{_violations(each)}{kept}{option}")
        if each.severity is not EXTRA:
            for sql in each.ddl:
                for line in sql.splitlines():
                    print(f"              {line}")


def _violations(difference: Difference) -> str:
    """How many rows the repair would break."""
    if difference.violations and difference.rows is None:
        return "; the rows that would break can't be counted yet"
    return f"; {difference.rows} rows would break" if difference.rows else ""
