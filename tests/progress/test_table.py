"""What fits on terminals of any size."""

import io

import pytest

from multidb.progress.row import Row, duration_text
from multidb.progress.table import Picture
from multidb.release.activity import Doing

STATEMENT = f"39 s: CREATE INDEX {'i' * 300} ON places (id)"
ROWS = [
    Row("notification_db", Doing.COMMITTED, "notification_0002", "2 s"),
    Row("location_db", Doing.MIGRATING, "location_0003", "1:02:33 h", (STATEMENT, "building index 64 %")),
    Row("request_db", Doing.MIGRATING, "request_0004", "3 s", (STATEMENT, "waits for pid 4711 (psql)"), True),
    *(Row(f"{name}_db", Doing.WAITING, "", "") for name in ("auth", "user", "content", "payment", "safety", "rating")),
]


@pytest.mark.parametrize("lines", [10, 24, 60])
@pytest.mark.parametrize("columns", [20, 40, 80, 99, 100, 120, 300])
def test_the_picture_is_never_larger_than_the_terminal(columns: int, lines: int) -> None:
    drawn = Picture(io.StringIO()).drawn(ROWS, 3700, (columns, lines)).splitlines()
    assert len(drawn) <= lines - 2
    assert max(map(len, drawn)) < columns


def test_a_long_statement_is_shortened_and_nothing_else() -> None:
    drawn = Picture(io.StringIO()).drawn(ROWS, 3700, (120, 40)).splitlines()
    assert [line.rstrip() for line in drawn[:5]] == [
        "database         state               revision                time  statement",
        "notification_db  committed           notification_0002        2 s",
        f"location_db      migrating           location_0003      1:02:33 h  {STATEMENT[:51]}…",
        " " * 67 + "building index 64 %",
        f"request_db       waiting for a lock  request_0004             3 s  {STATEMENT[:51]}…",
    ]
    assert drawn[-1] == "9 databases for 1:01:40 h: 1 committed, 1 migrating, 1 waiting for a lock, 6 waiting"


def test_where_not_all_fits_the_databases_that_work_are_shown() -> None:
    drawn = Picture(io.StringIO()).drawn(ROWS, 3700, (120, 10)).splitlines()
    assert [line.split()[0] for line in drawn] == ["database", "location_db", "building", "request_db", "waits", "9"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.9, "0 s"), (59.9, "59 s"), (60, "1:00 min"), (3599, "59:59 min"), (3600, "1:00:00 h"), (90061, "25:01:01 h")],
)
def test_a_duration_has_the_unit_of_its_first_number(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
