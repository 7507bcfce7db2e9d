"""`plan`: rehearse the pending revisions in copies of the live schemas, and judge what they would do there.

Nothing in the databases is changed. Exit code 0: fine, or nothing is pending; 2: findings at or above the bar of
`policy:`; 1: a database can't be read, or its revisions can't be rehearsed.
"""

import argparse
import json
import sys
from pathlib import Path

from multidb.advice.codes import Code
from multidb.commands.support import plan_formats
from multidb.commands.support.command import Command, add_databases, add_json
from multidb.errors import ExitCode, MigrationError
from multidb.rehearsal import approval
from multidb.rehearsal.planning import Destination, ReleasePlan, planned
from multidb.replay.replay import Replays


def configure(parser: argparse.ArgumentParser) -> None:
    add_databases(parser)
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--to", metavar="REVISION", default="heads", help="plan the way up to a revision (default: heads)")
    way.add_argument("--down", metavar="REVISION", help="plan the way down to a revision, such as -1 or base")
    # Alembic's Config would log more by an option that is called `verbose`.
    every_statement = "print each statement, and what was observed of it"
    parser.add_argument("-v", "--verbose", action="store_true", dest="is_verbose", help=every_statement)
    parser.add_argument("--format", choices=plan_formats.FORMATS, default="text", help="default: text")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the plan to approve, for alembic -x plan=FILE")
    add_json(parser)


def run(command: Command) -> ExitCode:
    options = command.options
    destination = Destination(options.down or options.to, is_down=options.down is not None)
    with command.environment() as environment, Replays(environment) as replays:
        release = planned(environment, replays, command.databases, destination)
    if options.json:
        print(json.dumps(plan_formats.as_json(release), indent=2))
    else:
        print(plan_formats.rendered(release, options.format, is_verbose=options.is_verbose))
    if options.out is not None:
        _write(options.out, release)
    return release.exit_code


def _write(path: Path, release: ReleasePlan) -> None:
    failed = [plan.database for plan in release.databases if plan.failure]
    if failed:
        raise MigrationError(Code.SEE_ABOVE, f"{path} is not written: {', '.join(failed)} could not be planned")
    digest = approval.write(path, {plan.database: plan.approval for plan in release.databases if plan.approval})
    print(f"{path}: plan {digest[:12]}", file=sys.stderr)
