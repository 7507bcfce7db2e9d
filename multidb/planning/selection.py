"""Select the databases that a command addresses.

A command names them by `-x db=`, by the label in front of an `@`, or by a revision's id, which begins with its
database's prefix; a command that names none addresses all. Each form is resolved from databases.yaml alone, without
loading a revision or opening a connection.
"""

import re
from collections.abc import Sequence

from multidb.config import settings
from multidb.config.configuration import revision_prefix
from multidb.errors import MigrationError, nearest

KNOWN_X = ("db", "sql_dir", *settings.OF_A_RUN)
_STEPS = re.compile(r"(.*?)([+-]\d+)?")
_EVERYWHERE = frozenset({"", "head", "heads", "base", "current"})


def addressed(symbols: Sequence[str], x_arguments: Sequence[str], names: Sequence[str]) -> list[str]:
    """The names of the databases that a command addresses, in the file's order.

    Args:
        symbols: the revisions that the command names: `heads`, `auth_db@head`, `auth_0001`, `+1`.

    Raises:
        MigrationError: a name is unknown, an `-x` is unknown, or `-x db=` contradicts the symbols.
    """
    chosen = _chosen(x_arguments, names)
    meant: set[str] = set()
    for symbol in symbols:
        meant |= databases_of(symbol, names)
    if meant and chosen and not meant <= chosen:
        raise MigrationError(
            f"-x db= names {_list(chosen, names)}, but {' '.join(symbols)} is of {_list(meant, names)}: "
            "leave one of the two out"
        )
    return [name for name in names if name in (meant or chosen or names)]


def databases_of(symbol: str, names: Sequence[str]) -> set[str]:
    """The database that a revision's symbol names; none for a symbol such as `heads`, which every branch has.

    A symbol that names nothing raises MigrationError.
    """
    label, at, rest = symbol.rpartition("@")
    if not rest:
        raise MigrationError(f"{symbol!r} names no revision: say {label or 'NAME'}@head, or one of `alembic history`")
    if at:
        owner = label if label in names else owner_of(label, names)
        if owner is None:
            raise _unknown(label, names)
        return {owner}
    match = _STEPS.fullmatch(rest)
    revision = match[1] if match else rest
    if revision in _EVERYWHERE:
        return set()
    if revision in names:
        raise MigrationError(f"{revision} is a database: say {revision}@head, {revision}@base or a revision of it")
    owner = owner_of(revision, names)
    if owner is None:
        raise MigrationError(
            f"no database has a revision {revision!r}: ids are like {revision_prefix(names[0])}_0001; "
            "`alembic history` lists them"
        )
    return {owner}


def option(x_arguments: Sequence[str], key: str) -> str | None:
    """The value of an `-x key=value`, or None."""
    values = [value for name, _, value in (x.partition("=") for x in x_arguments) if name == key]
    return values[-1] if values else None


def owner_of(revision: str, names: Sequence[str]) -> str | None:
    """The database whose prefix a revision's id, or the start of one, has; None if no database has it."""
    return next((name for name in names if re.fullmatch(rf"{revision_prefix(name)}_\d*", revision)), None)


def _chosen(x_arguments: Sequence[str], names: Sequence[str]) -> set[str]:
    settings.check_keys(x_arguments, KNOWN_X)
    chosen: set[str] = set()
    for argument in x_arguments:
        key, _, value = argument.partition("=")
        if key == "db":
            wanted = {name.strip() for name in value.split(",") if name.strip()}
            if not wanted:
                raise MigrationError("-x db= names no database: write -x db=NAME,NAME")
            chosen |= wanted
    return set(known_names(sorted(chosen), names))


def known_names(wanted: Sequence[str], names: Sequence[str]) -> Sequence[str]:
    """Return the wanted names, or raise MigrationError if one is no database's."""
    for name in wanted:
        if name not in names:
            raise _unknown(name, names)
    return wanted


def _unknown(name: str, names: Sequence[str]) -> MigrationError:
    hint = nearest(name, names)
    return MigrationError(f"there is no database {name!r}{hint or ': there are ' + ', '.join(names)}")


def _list(some: set[str], names: Sequence[str]) -> str:
    return ", ".join(name for name in names if name in some)
