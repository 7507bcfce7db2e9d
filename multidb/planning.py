"""What a command means to do in each database, decided before any is touched."""

import re
from collections.abc import Sequence

from alembic import context
from alembic.script.revision import RevisionError
from alembic.util import CommandError

from multidb import selection
from multidb.branches import Branch
from multidb.config import Database
from multidb.environment import Environment, Work
from multidb.errors import MigrationError
from multidb.looking import Look, check_distinct

MOVES = {"upgrade", "downgrade", "stamp"}
_RELATIVE = re.compile(r"(?:.+@)?([+-]\d+)")


def with_work(environment: Environment, looks: Sequence[Look]) -> list[Look]:
    """The databases that the command would move.

    Args:
        environment: the command and its databases.
        looks: what each of them is at.

    Raises:
        MigrationError: one can't be reached or can't move as asked, or none can move.
    """
    if environment.request.command == "stamp":
        _check_stamps(environment)
    found: list[Look] = []
    ends: list[str] = []
    for look in looks:  # the branches are loaded while the databases think
        with environment.working_on(look.database.name):
            pass
    check_distinct(looks)
    for look in looks:
        with environment.working_on(look.database.name) as branch:
            if _has_work(environment, branch, look, ends):
                found.append(look)
    if ends and len(ends) == len(environment.databases):
        raise MigrationError(
            f"{environment.request.symbols[0]} can move nothing: {', '.join(ends)} "
            f"{'is' if len(ends) == 1 else 'are'} already at the end"
        )
    return found


def work_in(environment: Environment, database: Database) -> Work:
    """What the command does in one database: Alembic's own, but for a stamp of several databases.

    `stamp user_db@head payment_db@head` would look for both in each.
    """
    request = environment.request
    if request.command != "stamp" or len(request.symbols) == 1:
        return request.work
    names = environment.configuration.names
    mine = [symbol for symbol in request.symbols if database.name in selection.databases_of(symbol, names)]
    # The private half of `alembic stamp`; MigrationContext.stamp() would stamp where a plan only asks.
    return lambda heads, _context: environment.script._stamp_revs(mine[0], heads)


def _has_work(environment: Environment, branch: Branch, look: Look, ends: list[str]) -> bool:
    """Whether the command would move a database; one that a relative step can't move is added to `ends`."""
    request, heads = environment.request, look.heads
    if request.command not in MOVES or context.get_context().purge:
        return True
    if request.command != "downgrade":
        branch.check_one_head()
    branch.check_known(heads)
    relative = _RELATIVE.fullmatch(request.symbols[0]) if request.symbols else None
    if relative and request.command != "stamp":
        up = request.command == "upgrade"
        if (int(relative[1]) > 0) is not up:
            raise MigrationError(f"{request.command} {relative[1]} is the wrong way: say {'+' if up else '-'}N")
        left = _steps_left(branch, heads, up=up)
        asked = abs(int(relative[1]))
        if not left:
            ends.append(look.database.name)
            return False
        if left < asked:
            raise MigrationError(f"{relative[1]} asks for {asked} steps, {left} left; no database was moved")
    try:
        return bool(list(work_in(environment, look.database)(heads, context.get_context())))
    except (AssertionError, RevisionError) as error:
        # Alembic's walk left the tree, or came to a merge.
        raise MigrationError(f"{request.symbols[0]} leads nowhere from here: name the revision you mean") from error
    except CommandError as error:
        if "Ambiguous walk" in str(error):
            raise MigrationError(
                f"{request.symbols[0]} is ambiguous from a merge: name the revision you mean"
            ) from error
        raise


def _check_stamps(environment: Environment) -> None:
    """Refuse a stamp of several revisions unless each is of another database."""
    symbols = environment.request.symbols
    if len(symbols) == 1:
        return
    owners = [selection.databases_of(symbol, environment.configuration.names) for symbol in symbols]
    if not all(owners) or len(set().union(*owners)) < len(symbols):
        raise MigrationError(
            f"stamp {' '.join(symbols)}: with several revisions each must name a database of its own, "
            "as in `stamp user_db@head payment_db@head`"
        )


def _steps_left(branch: Branch, heads: tuple[str, ...], *, up: bool) -> int:
    upper, lower = ("heads", heads) if up else (heads, "base")
    return sum(1 for _ in branch.revision_map.iterate_revisions(upper, lower, implicit_base=up))
