"""`bin/up` and `bin/down`: the databases of one checkout.

The private server and its files are in `.local/`. `.local/env` has its URL, which databases.yaml uses where no variable
is set.
"""

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from multidb.arguments import Parser
from multidb.config import reader
from multidb.config.configuration import ADMIN_VARIABLE, SERVER_VARIABLE
from multidb.database import provision
from multidb.database.probe import start_probes
from multidb.errors import exit_for
from multidb.local.server import Server
from multidb.output import NAME_WIDTH, discard_stdout, revisions_text


def up(root: Path) -> None:
    """Bring the databases to head on the private server, or on the server that the environment names."""
    if not os.environ.get(SERVER_VARIABLE) and not os.environ.get(f"{SERVER_VARIABLE}_FILE"):
        Server(root / ".local").start()
    configuration = reader.load(root / "databases.yaml")
    databases = configuration.databases(configuration.names)
    if not provision.create(databases, configuration.url_variable(ADMIN_VARIABLE), _print, databases):
        _print("nothing to create")
    migrated = subprocess.run([sys.executable, "-m", "alembic", "upgrade", "heads"], cwd=root, check=False)
    if migrated.returncode:
        raise SystemExit(migrated.returncode)
    for probe in start_probes(databases):
        with closing(probe):
            url = probe.database.public_url
            text = url.set(drivername=url.get_backend_name()).render_as_string()
            _print(f"{probe.database.name:{NAME_WIDTH}} {revisions_text(probe.result().heads):18} {text}")


def _print(line: str) -> None:
    try:
        print(line, flush=True)  # in its place among the lines of the programs that are started
    except BrokenPipeError:  # of `bin/up | head`: the databases come up all the same
        discard_stdout()


def down(root: Path, *, wipe: bool) -> None:
    """Stop the private server; with `wipe`, remove it and its data."""
    servers = [Server(folder) for folder in (*root.glob(".local/scratch*"), root / ".local")]
    if wipe:
        for server in servers:
            server.remove()
        _print("removed .local")
    else:
        stopped = [server.stop() for server in servers]
        _print("stopped" if any(stopped) else "it was not running")


def main() -> int:
    """Run `python -m multidb.local up` or `down` from the checkout's root."""
    parser = Parser(prog="python -m multidb.local")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up")
    commands.add_parser("down").add_argument("--wipe", action="store_true", help="remove its data, too")
    try:
        options = parser.parse_args()
        if options.command == "up":
            up(Path.cwd())
        else:
            down(Path.cwd(), wipe=options.wipe)
    except (Exception, KeyboardInterrupt) as error:
        raise exit_for(error) from error
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
