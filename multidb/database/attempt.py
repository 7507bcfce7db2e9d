"""The identities of the commit protocol: a run, its attempts, and the prepared transactions they leave."""

import getpass
import os
import re
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

GID = "multidb:"
_BEGIN = "%Y%m%d-%H%M%S"  # of a run, in its id; 15 characters
_WHOLE = re.compile(rf"{GID}(\d{{8}}-\d{{6}}-[0-9a-f]{{6}}\.\d+):([a-z][a-z0-9_]*):([a-z][a-z0-9_]*)")


def user() -> str:
    """The operating system's name for the user; a container's user may have none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def begun_at(run: str) -> datetime:
    """When a run began, by its id, or by that of one of its attempts."""
    return datetime.strptime(run[:15], _BEGIN).replace(tzinfo=UTC)


@dataclass(frozen=True)
class Run:
    """One command that changes databases, as the journals describe it: the command as it was typed."""

    command: str
    release: str | None = None
    id: str = field(default_factory=lambda: f"{datetime.now(UTC):{_BEGIN}}-{secrets.token_hex(3)}")
    who: str = field(default_factory=user)
    host: str = field(default_factory=socket.gethostname)
    details: Mapping[str, Any] = field(default_factory=dict)  # what the journals report of it besides


@dataclass(frozen=True)
class Attempt:
    """One try to commit one stage of a run in its databases."""

    run: str  # the run's id
    number: int  # counts the attempts of the run
    databases: tuple[str, ...]  # in the order in which they were locked
    decider: str  # the database whose own commit is the decision
    two_phase: bool  # whether the others are prepared first
    stages: Mapping[str, int]  # which stage of its plan each database gets
    nontransactional: bool = False  # whether the stage is one revision outside a transaction, in one database
    unprepared: tuple[str, ...] = ()  # of two phases: the databases that are not prepared, and commit after the others

    @property
    def id(self) -> str:
        return f"{self.run}.{self.number}"

    def decides(self, database: str) -> bool:
        """Whether this database's commit is the decision; its journal has the attempt's row before that as begun."""
        return self.decider == database

    def prepares(self, database: str) -> bool:
        """Whether this database's transaction is prepared before the decision."""
        return self.two_phase and not self.decides(database) and database not in self.unprepared

    def committed_with(self, database: str) -> tuple[str, ...]:
        """The databases that are committed together with this one, in the order of `databases`."""
        if database in self.unprepared:
            return (database,)
        return tuple(name for name in self.databases if name not in self.unprepared)

    def gid(self, database: str) -> str:
        """The name of a database's prepared transaction, at most 200 bytes."""
        return f"{GID}{self.id}:{self.decider}:{database}"


@dataclass(frozen=True)
class Prepared:
    """A prepared transaction of a run of this project."""

    gid: str
    owner: str
    attempt: str
    decider: str
    database: str

    @classmethod
    def parse(cls, gid: str, owner: str) -> "Prepared | None":
        """Parse a gid; None for another program's prepared transaction: only a whole gid is this project's."""
        match = _WHOLE.fullmatch(gid)
        return cls(gid, owner, *match.groups()) if match else None
