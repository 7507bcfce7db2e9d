"""Select the databases that a command addresses.

A command names them by `-x db=`, by the label in front of an `@`, or by a revision's id, which is of the database in
whose folder its file is; a command that names none addresses all. No revision is imported, and no connection opened.
"""

import re
from collections.abc import Callable, Sequence

from multidb.advice.codes import Code
from multidb.config import settings
from multidb.config.configuration import revision_prefix
from multidb.errors import MigrationError, nearest

KNOWN_X = ("db", "file", "sql_dir", "from", "rename", *settings.OF_A_RUN)
_STEPS = re.compile(r"(.*?)([+-]\d+)?")
LIVE = "live"
"""The start of a script that begins where each database is."""

_EVERYWHERE = frozenset({"", "head", "heads", "base", "current", LIVE})


Owners = Callable[[str], set[str]]
"""The databases that have a revision or a branch label of a name, or, if none has, an id that begins like it."""


def addressed(symbols: Sequence[str], x_arguments: Sequence[str], names: Sequence[str], owners: Owners) -> list[str]:
    """The names of the databases that a command addresses, in the file's order.

    Args:
        symbols: the revisions that the command names: `heads`, `auth_db@head`, `auth_0001`, `+1`.

    Raises:
        MigrationError: a name is unknown, an `-x` is unknown, or `-x db=` contradicts the symbols.
    """
    chosen = chosen_by_x(x_arguments, names)
    meant: set[str] = set()
    for symbol in symbols:
        meant |= databases_of(symbol, names, owners, chosen)
    if meant and chosen and not meant <= chosen:
        raise MigrationError(
            Code.REVISION_NAME,
            f"-x db= names {_list(chosen, names)}, but {' '.join(symbols)} is of {_list(meant, names)}: "
            "leave one of the two out",
        )
    return [name for name in names if name in (meant or chosen or names)]


def databases_of(symbol: str, names: Sequence[str], owners: Owners, chosen: set[str] | None = None) -> set[str]:
    """The databases that a revision's symbol names; none for a symbol such as `heads`, which every branch has.

    A label may be one of several branches: then all of them are meant, or those that `-x db=` has chosen.

    Raises:
        MigrationError: the symbol names nothing, or an id of several databases begins like it.
    """
    label, at, rest = symbol.rpartition("@")
    if not rest:
        raise MigrationError(
            Code.REVISION_NAME, f"{symbol!r} names no revision: say {label or 'NAME'}@head, or one of `alembic history`"
        )
    if at and label in names:
        return {label}
    match = _STEPS.fullmatch(rest)
    word = label if at else match[1] if match else rest
    if not at and word in _EVERYWHERE:
        return set()
    if word in names:
        raise MigrationError(
            Code.REVISION_NAME, f"{word} is a database: say {word}@head, {word}@base or a revision of it"
        )
    found = owners(word)
    found = found & chosen if chosen and found & chosen else found
    if not found:
        raise _no_revision(word, names, is_label=bool(at))
    if len(found) > 1 and not at:
        raise MigrationError(
            Code.REVISION_NAME, f"{word} is ambiguous: {_list(found, names)} have it; write the whole id, or add -x db="
        )
    return found


def option(x_arguments: Sequence[str], key: str) -> str | None:
    """The value of an `-x key=value`, or None."""
    values = [value for name, _, value in (x.partition("=") for x in x_arguments) if name == key]
    return values[-1] if values else None


def chosen_by_x(x_arguments: Sequence[str], names: Sequence[str]) -> set[str]:
    """The databases that `-x db=` names; none without one. MigrationError if a name or an `-x` is unknown."""
    settings.check_keys(x_arguments, KNOWN_X)
    chosen: set[str] = set()
    for argument in x_arguments:
        key, _, value = argument.partition("=")
        if key == "db":
            wanted = {name.strip() for name in value.split(",") if name.strip()}
            if not wanted:
                raise MigrationError(Code.UNKNOWN_DATABASE, "-x db= names no database: write -x db=NAME,NAME")
            chosen |= wanted
    return set(known_names(sorted(chosen), names))


def known_names(wanted: Sequence[str], names: Sequence[str]) -> Sequence[str]:
    """Return the wanted names, or raise MigrationError if one is no database's."""
    for name in wanted:
        if name not in names:
            raise _unknown(name, names)
    return wanted


def _no_revision(word: str, names: Sequence[str], *, is_label: bool) -> MigrationError:
    """The error for a word that no file has; an id such as `auth_0009` is missed in the branch that numbers so."""
    prefixed = next((name for name in names if re.fullmatch(rf"{revision_prefix(name)}_\d+", word)), None)
    if prefixed is not None:
        return MigrationError(Code.REVISION_NAME, f"Can't locate revision identified by {word!r}", prefixed)
    if is_label:
        hint = nearest(word, names)
        there = f"there is no database {word!r}, and no branch has such a label: there are {', '.join(names)}"
        return _unknown(word, names) if hint else MigrationError(Code.UNKNOWN_DATABASE, there)
    return MigrationError(Code.REVISION_NAME, f"no database has a revision {word!r}: `alembic history` lists them")


def _unknown(name: str, names: Sequence[str]) -> MigrationError:
    hint = nearest(name, names)
    return MigrationError(
        Code.UNKNOWN_DATABASE, f"there is no database {name!r}{hint or ': there are ' + ', '.join(names)}"
    )


def _list(some: set[str], names: Sequence[str]) -> str:
    return ", ".join(name for name in names if name in some)
