"""`bin/up` and `bin/down`: the ten databases of one checkout.

The private server and all that belongs to it are in `.local/`; `.local/env` has its URL, which databases.yaml takes
when nothing is exported.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from alembic.runtime.migration import MigrationContext

from multidb import bootstrap, config, engines
from multidb.config import SERVER_VARIABLE
from multidb.errors import explain
from multidb.server import Server


def up(root: Path) -> None:
    """Bring the ten databases to head on the private server, or on the one that the environment names.

    Args:
        root: the checkout.

    Raises:
        MigrationError: something is missing; says what.
    """
    if not os.environ.get(SERVER_VARIABLE):
        Server(root / ".local").start()
    configuration = config.load(root / "databases.yaml")
    databases = configuration.databases(configuration.names)
    bootstrap.create(databases, configuration.url_variable(bootstrap.ADMIN_VARIABLE), _say)
    migrated = subprocess.run([sys.executable, "-m", "alembic", "upgrade", "heads"], cwd=root, check=False)
    if migrated.returncode:
        raise SystemExit(migrated.returncode)
    for database in databases:
        with engines.connect(database) as connection:
            revision = MigrationContext.configure(connection).get_current_revision()
        url = database.public_url.set(drivername=database.public_url.get_backend_name())
        _say(f"{database.name:16} {revision or '<base>':18} {url.render_as_string()}")


def _say(line: str) -> None:
    print(line, flush=True)  # in its place among the lines of the programs that are started


def down(root: Path, *, wipe: bool) -> None:
    """Stop the private server; with `wipe`, remove it and its data.

    Args:
        root: the checkout.
        wipe: whether to remove it, too.
    """
    server = Server(root / ".local")
    if wipe:
        server.remove()
        print("removed .local")
    else:
        print("stopped" if server.stop() else "it was not running")


def main() -> int:
    """`python -m multidb.local up`, or `down`, from the checkout's root."""
    parser = argparse.ArgumentParser(prog="python -m multidb.local")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up")
    commands.add_parser("down").add_argument("--wipe", action="store_true", help="remove its data, too")
    options = parser.parse_args()
    try:
        if options.command == "up":
            up(Path.cwd())
        else:
            down(Path.cwd(), wipe=options.wipe)
    except (Exception, KeyboardInterrupt) as error:
        raise SystemExit(f"error: {explain(error)}") from error
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
