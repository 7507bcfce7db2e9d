"""The settings of a run: from databases.yaml for all databases or for one, and from `-x` for one run."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from multidb.advice.codes import Code
from multidb.errors import ConfigError, nearest

_DURATION = re.compile(r"(\d+(?:\.\d+)?) ?(ms|s|min|h|)")
_LONGEST = 24 * 86400.0  # seconds: PostgreSQL keeps a timeout in milliseconds, in 31 bits
_SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "": 1.0}


def _duration(text: str) -> float:
    """A duration in seconds: 5, 5s, 500ms, 10min, 1h."""
    match = _DURATION.fullmatch(text)
    if not match:
        raise ValueError("should be a time such as 5s, 500ms or 10min")
    seconds = float(match[1]) * _SECONDS[match[2]]
    if seconds > _LONGEST:
        raise ValueError("is longer than 24 days")
    return seconds


def _count(text: str, least: int = 0) -> int:
    if not text.isdecimal() or int(text) < least:
        raise ValueError(f"should be a whole number{f' from {least} on' if least else ''}")
    return int(text)


def _one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"should be one of {', '.join(words)}{nearest(text, words)}")
        return text

    return read


def _flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("should be true or false")
    return text == "true"


def _release(text: str) -> str:
    if not re.fullmatch(r"[\w.+:/-]{1,100}", text):
        raise ValueError("should be a name of letters, digits and .-_+:/, at most 100")
    return text


def _person(text: str) -> str:
    if not text or len(text) > 100 or not text.isprintable():
        raise ValueError("should be a name of printable characters, at most 100")
    return text


_READERS: Mapping[str, Callable[[str], Any]] = {
    "two_phase": _one_of("auto", "required", "off"),
    "jobs": partial(_count, least=1),
    "wait": _duration,
    "lock_wait": _duration,
    "lock_timeout": _duration,
    "lock_retries": _count,
    "lock_hold": _duration,
    "statement_timeout": _duration,
    "check_drift": _flag,
    "protected": _flag,
    "release": _release,
    "by": _person,
    "allow": _one_of("downgrade"),
    "plan": Path,
    "report": Path,
}
OF_ALL = (
    "two_phase", "jobs", "wait", "lock_wait", "lock_timeout", "lock_retries", "lock_hold", "statement_timeout",
    "check_drift",
)  # fmt: skip
OF_ONE = ("two_phase", "lock_timeout", "statement_timeout", "protected")
OF_A_RUN = (*OF_ALL, "release", "by", "allow", "plan", "report")
# Fastest with a local server, and nearly so with a server 5 ms away: see bench/README.md.
DEFAULT_JOBS = 3
BUSY_WAIT = 15.0
"""Seconds to wait, where no setting says otherwise, for a server that answers and has no room, or is starting."""


@dataclass(frozen=True)
class Limits:
    """How long a migration may block others in one database, in seconds; 0 disables the limit."""

    lock_timeout: float
    statement_timeout: float

    @property
    def statements(self) -> list[str]:
        """The statements that set both in a session on PostgreSQL, which rounds them up to milliseconds."""
        seconds = {"lock_timeout": self.lock_timeout, "statement_timeout": self.statement_timeout}
        return [f"SET {name} = {math.ceil(value * 1000)}" for name, value in seconds.items()]


@dataclass(frozen=True)
class Settings:
    """The settings of one run. Times are in seconds."""

    two_phase: str = "auto"
    jobs: int = DEFAULT_JOBS
    wait: float = 0.0
    lock_wait: float = 600.0
    lock_timeout: float = 5.0
    lock_retries: int = 5
    lock_hold: float = 0.0
    statement_timeout: float = 0.0
    check_drift: bool = False
    release: str | None = None
    by: str | None = None  # the person behind the run
    allow: str | None = None
    plan: Path | None = None  # the approved plan
    report: Path | None = None  # the file that says what the run did
    given: Mapping[str, Any] | None = None

    @property
    def busy_wait(self) -> float:
        """Seconds to wait for a server that answers and has no room, or is starting; `-x wait=0` does not wait."""
        return self.wait if "wait" in (self.given or {}) else max(self.wait, BUSY_WAIT)

    def limits(self, options: Mapping[str, Any]) -> Limits:
        """The limits of one database: those given by `-x`, else its own options, else those of all databases."""

        def found(key: str) -> float:
            return float((self.given or {}).get(key, options.get(key, getattr(self, key))))

        return Limits(found("lock_timeout"), found("statement_timeout"))


def value(key: str, text: str, where: str) -> Any:
    """Parse a setting. A text that is no value of it raises ConfigError, which names its origin, `where`."""
    try:
        return _READERS[key](text.strip())
    except ValueError as error:
        raise ConfigError(Code.SETTING, f"{where}: {text!r} {error}") from error


def check_keys(x_arguments: Sequence[str], known: Sequence[str]) -> None:
    """Raise ConfigError if the key of an `-x`, given as `key=value`, is unknown."""
    for argument in x_arguments:
        key = argument.partition("=")[0]
        if key not in known:
            there = f": known are {'=, '.join(known)}="
            raise ConfigError(Code.SETTING, f"-x {key}= is not known{nearest(key, known) or there}")


def of_a_run(options: Mapping[str, Any], x_arguments: Sequence[str]) -> Settings:
    """The settings of a run: the options of databases.yaml, overridden by the values of `-x`.

    A value that can't be parsed raises ConfigError; keys of `-x` that are no settings are ignored.
    """
    pairs = [(key, text) for key, _, text in (argument.partition("=") for argument in x_arguments)]
    given = {key: value(key, text, f"-x {key}=") for key, text in pairs if key in OF_A_RUN}
    return Settings(**{**options, **given}, given=given)
