"""`--sql`: every value, comment and text is in the database as the online run writes it."""

import pytest

from tests.support.project import Postgres, Project, query

VALUES = {
    "json": ("postgresql.JSONB", "{'a': 1, 'b': ['it\\'s', \"100%\", ':x']}"),
    "json of the standard": ("sa.JSON", "{'a': None}"),
    "json null": ("postgresql.JSONB", "None"),
    "json list": ("postgresql.JSONB", "[1, 2]"),
    "an inet": ("postgresql.INET", "'10.0.0.1'"),
    "a cidr": ("postgresql.CIDR", "'10.0.0.0/8'"),
    "a macaddr": ("postgresql.MACADDR", "'08:00:2b:01:02:03'"),
    "a range": ("postgresql.INT4RANGE", "postgresql.Range(1, 5)"),
    "a range of times": (
        "postgresql.TSTZRANGE",
        "postgresql.Range(datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc), None)",
    ),
    "a multirange": ("postgresql.INT4MULTIRANGE", "'{[1,5),[7,9)}'"),
    "a tsvector": ("postgresql.TSVECTOR", "'fat cat'"),
    "bytes": ("sa.LargeBinary", "b'\\x00\\xff\\\\'"),
    "a pickle": ("sa.PickleType", "{'a': 1}"),
    "an interval": ("sa.Interval", "datetime.timedelta(days=1, hours=2)"),
    "an array": ("postgresql.ARRAY(sa.Text)", "['a', 'it\\'s', None]"),
    "an array of bytes": ("postgresql.ARRAY(sa.LargeBinary)", "[b'\\x00']"),
    "an empty array": ("postgresql.ARRAY(sa.Integer)", "[]"),
    "a uuid": ("sa.Uuid", "uuid.UUID(int=7)"),
    "a number": ("sa.Numeric(10, 2)", "decimal.Decimal('1.50')"),
    "a float": ("sa.Float", "1e300"),
    "a boolean": ("sa.Boolean", "True"),
    "a bit string": ("postgresql.BIT(4)", "'1010'"),
    "an enum": ("sa.Enum('a', 'b', name='letter')", "'b'"),
    "a time": ("sa.Time", "datetime.time(1, 2, 3)"),
    "hstore": ("postgresql.HSTORE", "{'a': 'b'}"),
    "a text": ("sa.Text", '"it\'s 100% :x \\\\ \\t tab é ; -- no comment\\n\\n"'),
    "sql null": ("postgresql.JSONB", "sa.null()"),
}
IMPORTS = "import datetime, decimal, uuid\n\nimport sqlalchemy as sa\nfrom sqlalchemy.dialects import postgresql"
STATEMENTS = [
    "INSERT INTO texts VALUES ('x') -- why",
    "INSERT INTO texts VALUES ('--no comment')",
    "-- a comment\nINSERT INTO texts VALUES ('y') /* why */ -- and why",
    "INSERT INTO texts VALUES ('tab\\there'); -- two",
    "INSERT INTO texts VALUES ($$dollar -- $ 'quoted'$$)",
    "INSERT INTO texts VALUES ($a$ $$ $a$)",
    "INSERT INTO texts VALUES (E'it\\'s -- 100%') --",
]


def written_both_ways(project: Project, postgres: Postgres, spare: str, sql: str) -> tuple[object, object]:
    """What a query finds after the online run, and after the script of the same revision."""
    script = project.done("upgrade", "auth_db@base:auth_db@head", "--sql").out
    path = project.write("script.sql", script)
    postgres.as_admin("CREATE EXTENSION hstore", spare)
    url = postgres.url(spare)
    done = project.run("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", path, url)
    assert (done.code, done.err) == (0, ""), done
    postgres.as_admin("CREATE EXTENSION hstore", project.variables["AUTH_DB_URL"].rpartition("/")[2])
    project.done("upgrade", "auth_db@head")
    return query(project.variables["AUTH_DB_URL"], sql), query(url, sql)


@pytest.mark.parametrize("inserted", ["bulk_insert", "insert"])
def test_values_of_every_type_are_the_same(few: Project, postgres: Postgres, spare: str, inserted: str) -> None:
    lines = []
    for number, (type_, value) in enumerate(VALUES.values()):
        lines.append(f't = op.create_table("t{number}", sa.Column("v", {type_}))')
        if inserted == "bulk_insert":
            lines.append(f'op.bulk_insert(t, [{{"v": {value}}}, {{"v": {value}}}])')
        else:
            lines.append(f"op.execute(t.insert().values(v={value}))")
    path = few.add_revision("auth_db", 2, "\n    ".join(lines))
    path.write_text(path.read_text().replace("import sqlalchemy as sa", IMPORTS))
    sql = " UNION ALL ".join(
        f"SELECT {number}, v::text, pg_typeof(v)::text FROM t{number}" for number in range(len(VALUES))
    )
    online, script = written_both_ways(few, postgres, spare, f"{sql} ORDER BY 1")
    assert script == online


def test_comments_and_texts_are_the_same(few: Project, postgres: Postgres, spare: str) -> None:
    lines = ['op.create_table("texts", sa.Column("v", sa.Text, server_default="a\\tb"))']
    lines += [f"op.execute({statement!r})" for statement in STATEMENTS]
    lines.append('op.execute("INSERT INTO texts DEFAULT VALUES")')
    few.add_revision("auth_db", 2, "\n    ".join(lines))
    online, script = written_both_ways(few, postgres, spare, "SELECT v FROM texts ORDER BY v")
    assert script == online
    assert len(online) == len(STATEMENTS) + 1  # type: ignore[arg-type]


def test_a_script_is_utf_8_in_any_locale(few: Project) -> None:
    few.add_revision("auth_db", 2, "op.execute(\"COMMENT ON TABLE users IS 'café €'\")")
    few.variables |= {"LC_ALL": "C", "PYTHONIOENCODING": "latin-1"}
    assert "café €" in few.done("upgrade", "auth_0001:auth_0002", "--sql").out
