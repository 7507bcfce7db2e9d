"""`revision --autogenerate`: the file makes what the models say, and leads back, tried on databases."""

from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.schema import CreateSchema

from multidb.schema.postgresql.expression import settled
from tests.support import harder_versions, harder_versions_on_sqlite, versions, versions_on_sqlite
from tests.support.project import Postgres, Project, unique
from tests.support.written import CLEAN, NOTHING, last_revision, write_revision


def second(models: str) -> str:
    return models.replace("VERSION = 1", "VERSION = 2")


def text_of(module: object) -> str:
    return Path(str(module.__file__)).read_text()  # type: ignore[attr-defined]


def dump(project: Project, url: str) -> list[str]:
    """What pg_dump says of a database, without an order (columns that are added come last), and with one spelling."""
    options = ["-s", "--no-owner", "-T", "alembic_version", "-T", "multidb_journal"]
    dumped = project.run("pg_dump", *options, url)
    assert dumped.code == 0, dumped
    lines = [line.strip().removesuffix(",") for line in dumped.out.splitlines()]
    return sorted(settled(line) for line in lines if not line.startswith(("--", "\\")))


@pytest.mark.slow
@pytest.mark.parametrize("module", [versions, harder_versions], ids=["versions", "harder_versions"])
def test_a_revision_makes_what_create_all_makes_and_leads_back(
    unwritten: Project, postgres: Postgres, module: object
) -> None:
    models = text_of(module)
    write_revision(unwritten, models)
    unwritten.done("upgrade", "heads")
    before = dump(unwritten, unwritten.variables["AUTH_DB_URL"])
    write_revision(unwritten, second(models))
    assert "models" not in last_revision(unwritten)
    assert "site-packages" not in last_revision(unwritten)
    unwritten.done("upgrade", "heads")
    assert unwritten.done("check").out == CLEAN
    assert unwritten.done("revision", "--autogenerate").out == NOTHING
    assert dump(unwritten, unwritten.variables["AUTH_DB_URL"]) == dump_of_models(unwritten, postgres, second(models))
    unwritten.done("downgrade", "auth_db@-1")
    assert dump(unwritten, unwritten.variables["AUTH_DB_URL"]) == before
    unwritten.done("upgrade", "heads")
    assert unwritten.done("check").out == CLEAN
    unwritten.done("downgrade", "auth_db@base")


def dump_of_models(project: Project, postgres: Postgres, models: str) -> list[str]:
    """What `create_all()` makes in an empty database."""
    name, namespace = unique(), {"__name__": "models"}
    postgres.clone("template_empty", name)
    exec(compile(models, "models.py", "exec"), namespace)
    engine = create_engine(make_url(postgres.url(name)).set(drivername="postgresql+psycopg2"))
    with engine.begin() as connection:
        for schema in ("app", "audit", "own", "lone"):
            if f'"{schema}"' in models:
                connection.execute(CreateSchema(schema))
        namespace["Base"].metadata.create_all(connection)  # type: ignore[attr-defined]
    engine.dispose()
    try:
        return dump(project, postgres.url(name))
    finally:
        postgres.drop(name)


@pytest.mark.parametrize("module", [versions_on_sqlite, harder_versions_on_sqlite], ids=["versions", "harder_versions"])
def test_a_revision_on_sqlite_makes_what_create_all_makes_and_leads_back(tmp_path: Path, module: object) -> None:
    project = Project.copied(tmp_path / "checkout", {}, ["investment_db"])
    models = text_of(module)
    (project.root / "migrations/versions/investment_db/investment_0001_initial.py").unlink()
    for number, text in enumerate((models, second(models)), 1):
        project.write("models/investment.py", text)
        out = project.done("revision", "--autogenerate").out
        assert f"investment_000{number}: upgrade makes what the models say, downgrade leads back" in out
        project.done("upgrade", "heads")
        assert project.done("check").out == CLEAN
    assert project.done("revision", "--autogenerate").out == NOTHING
    project.done("downgrade", "investment_db@-1")
    project.done("upgrade", "heads")
    assert project.done("check").out == CLEAN


HEAD = text_of(harder_versions).partition("# Enums")[0]
POSTS = 'table("posts", Column("title", String(40)), Column("code", Integer))'


def test_no_live_database_has_to_be_up_and_what_was_changed_by_hand_stays_out(unwritten: Project) -> None:
    write_revision(unwritten, HEAD + POSTS)
    unwritten.done("upgrade", "heads")
    unwritten.rows("auth_db", "ALTER TABLE posts ADD by_hand integer")
    nowhere = {"AUTH_DB_URL": "postgresql://neighbor:s3cret@127.0.0.1:1/auth_db"}
    out = write_revision(
        Project(unwritten.root, unwritten.variables | nowhere, unwritten.names),
        HEAD + POSTS.replace("Integer", "BigInteger"),
    )
    assert "    column posts.code is integer, the model says bigint" in out.splitlines()
    assert "by_hand" not in last_revision(unwritten)
    unwritten.done("upgrade", "heads")


MADE_BY_HAND = """op.execute('''
    CREATE VIEW titles AS SELECT id, title AS name FROM posts;
    COMMENT ON VIEW titles IS 'kept';
    GRANT SELECT ON titles TO PUBLIC;
    CREATE FUNCTION quiet() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
    CREATE TRIGGER quiet AFTER INSERT ON posts FOR EACH ROW WHEN (NEW.title = 'x') EXECUTE FUNCTION quiet();
''')"""


def test_what_no_model_declares_is_made_again_around_a_change(unwritten: Project) -> None:
    write_revision(unwritten, HEAD + POSTS)
    unwritten.add_revision("auth_db", 2, MADE_BY_HAND, "op.execute('DROP VIEW titles; DROP FUNCTION quiet CASCADE')")
    unwritten.done("upgrade", "heads")
    write_revision(unwritten, HEAD + POSTS.replace("String(40)", "Text"))
    assert "OWNER TO" not in last_revision(unwritten)
    assert "public." not in last_revision(unwritten)
    unwritten.done("upgrade", "heads")
    assert "no drift" in unwritten.multidb("drift").out
    kept = "SELECT obj_description('titles'::regclass), has_table_privilege('public', 'titles', 'SELECT')"
    assert unwritten.rows("auth_db", kept) == [("kept", True)]


def test_from_live_writes_what_leads_from_the_live_database_to_the_models(unwritten: Project) -> None:
    write_revision(unwritten, HEAD + POSTS)
    unwritten.done("upgrade", "heads")
    write_revision(unwritten, HEAD + POSTS.replace("40", "50"), "from=live")
    assert "from=me should be branch or live" in unwritten.alembic("-x", "from=me", "revision", "--autogenerate").error
    error = unwritten.alembic("-x", "from=live", "revision", "--autogenerate").error
    assert error.startswith("error: auth_db: at auth_0001, not at its head auth_0002")
    unwritten.done("upgrade", "heads")
    by_hand = "ALTER TABLE posts ADD by_hand integer, ALTER code TYPE text; CREATE TYPE mood AS ENUM ('ok')"
    unwritten.rows("auth_db", f"{by_hand}; GRANT SELECT ON posts TO PUBLIC")
    result = unwritten.alembic("-x", "from=live", "revision", "--autogenerate")
    assert result.found.startswith("error: auth_db: written, not proved")
    assert "drops auth_db.posts.by_hand with its rows' values" in result.out.splitlines()
    new = "    upgrade(), in a new database, fails: "
    assert [line.startswith(new) for line in result.out.splitlines()[-2:]] == [False, True], result
    unwritten.rows("auth_db", "INSERT INTO posts (code) VALUES ('1')")
    unwritten.done("upgrade", "heads")
    assert unwritten.done("check").out == CLEAN
    unwritten.done("downgrade", "auth_db@-1")
    assert unwritten.rows("auth_db", "SELECT code, by_hand FROM posts") == [("1", None)]


def test_what_the_revision_does_to_tables_that_are_there_is_said(checkout: Project, postgres: Postgres) -> None:
    """New tables have no rows, and nothing is said of them."""
    checkout.variables |= postgres.scratch
    checkout.edit(
        "models/auth.py",
        "full_name: Mapped[str | None] = mapped_column(String(255))",
        "full_name: Mapped[str | None] = mapped_column(String(200), index=True)",
    )
    out = checkout.done("-x", "db=auth_db", "revision", "--autogenerate", "-m", "shorter").out
    effects = [line.strip() for line in out.splitlines() if ".py:" in line]
    assert [line.partition(": ")[2] for line in effects] == [
        "rewrites users, blocks reads and writes of users",
        "reads all of users",
    ]
    assert all(line.startswith("auth_0002_shorter.py:") for line in effects)


def test_a_table_that_stops_inheriting_is_not_proved(unwritten: Project) -> None:
    """Its columns stay its own when it inherits again."""
    models = HEAD + 'table("par", Column("b", Integer))\n'
    child = 'Table("chi", Base.metadata, Column("c", Integer), *v([], [Column("id", Integer), Column("b", Integer)])'
    child += ', **v({"postgresql_inherits": "par"}, {}))\n'
    write_revision(unwritten, models + child)
    unwritten.write("models/auth.py", second(models + child))
    result = unwritten.alembic("revision", "--autogenerate", "-m", "x")
    assert result.found.startswith("error: auth_db: written, not proved")
    said = "downgrade() leaves: id, b of table chi as its own: no statement makes a column inherited again"
    assert said in [line.strip() for line in result.out.splitlines()], result


def leads_there_and_back(project: Project, models: str) -> None:
    """Write the revisions of both versions of the models, and run them up and down."""
    write_revision(project, models)
    write_revision(project, second(models))
    project.done("upgrade", "heads")
    assert project.done("check").out == CLEAN
    project.done("downgrade", "auth_db@-1")
    assert "no drift" in project.multidb("drift").out


def test_a_key_that_loses_a_column_goes_before_the_column_gets_a_type_without_an_order(unwritten: Project) -> None:
    columns = 'Column("a", v(Integer, JSON)), Column("c", Integer), UniqueConstraint(*v("ca", "c"), name="uq")'
    models = HEAD + f'table("posts", {columns})\n'
    leads_there_and_back(unwritten, models)


def test_what_uses_a_generated_column_that_goes_is_changed_and_not_dropped_twice(unwritten: Project) -> None:
    """With a column, PostgreSQL drops the constraints and indexes of it."""
    columns = 'Column("a", Text), Column("b", Integer), *v([Column("g", Text, Computed("a || \'x\'"))], [])'
    uses = 'CheckConstraint(v("g <> \'\'", "a <> \'\'"), name="used"), Index("used_index", v("g", "a"))'
    key = 'UniqueConstraint(*v("gb", "b"), name="used_key")'
    models = HEAD + f'table("posts", {columns}, {uses}, {key})\n'.replace('"b", Integer', '"b", v(Integer, Text)')
    leads_there_and_back(unwritten, models)


def test_all_columns_of_a_replaced_enum_get_the_new_type(unwritten: Project) -> None:
    """Two columns that differ in their names only are two."""
    kind = "ENUM(*v(['one', 'two'], ['one']), name='kind')"
    models = HEAD + f'table("posts", Column("a", {kind}), Column("b", {kind}))\n'
    leads_there_and_back(unwritten, models)
