"""The settings of a run: how a value is written, and which of several counts."""

import pytest

from multidb.config import settings
from multidb.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "seconds"), [("5", 5), ("5s", 5), ("500ms", 0.5), ("10min", 600), ("1h", 3600), ("0.5 s", 0.5), ("0", 0)]
)
def test_a_duration_is_in_seconds_or_has_a_unit(text: str, seconds: float) -> None:
    assert settings.value("lock_timeout", text, "here") == seconds


@pytest.mark.parametrize(
    ("key", "text", "problem"),
    [
        ("lock_timeout", "soon", "should be a time such as 5s, 500ms or 10min"),
        ("lock_timeout", "-1s", "should be a time"),
        ("lock_timeout", "600h", "is longer than 24 days"),
        ("jobs", "0", "should be a whole number from 1 on"),
        ("lock_retries", "x", "should be a whole number"),
        ("two_phase", "of", "should be one of auto, required, off; did you mean off?"),
        ("protected", "yes", "should be true or false"),
        ("release", "a b", "should be a name of letters, digits"),
    ],
)
def test_a_value_that_is_none_is_refused_with_its_origin(key: str, text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as refused:
        settings.value(key, text, "databases.yaml:3: jobs")
    assert str(refused.value).startswith(f"databases.yaml:3: jobs: {text!r} {problem}")


def test_x_overrides_the_file_and_the_file_overrides_the_default() -> None:
    run = settings.of_a_run({"jobs": 2, "wait": 3.0}, ["jobs=7", "db=auth_db"])
    assert (run.jobs, run.wait, run.lock_retries) == (7, 3.0, 5)


def test_limits_are_those_of_x_else_of_the_database_else_of_all() -> None:
    of_the_database = {"lock_timeout": 2.0, "statement_timeout": 9.0}
    run = settings.of_a_run({"lock_timeout": 1.0}, ["statement_timeout=30s"])
    assert run.limits(of_the_database) == settings.Limits(2.0, 30.0)
    assert run.limits({}) == settings.Limits(1.0, 30.0)


def test_an_unknown_x_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="-x two_fase= is not known; did you mean two_phase"):
        settings.check_keys(["two_fase=off"], settings.OF_A_RUN)
