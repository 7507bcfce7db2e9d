"""`op.get_bind().engine`, ORM sessions, inspectors and server-side cursors work in a revision as in plain Alembic."""

import pytest

from tests.support.project import Project
from tests.support.runs import MORE

OUTSIDE = "depends_on = None\noutside_transaction = True"
BOTH = pytest.mark.parametrize("name", ["auth_db", "investment_db"])
MODEL = """from sqlalchemy import orm
    class Base(orm.DeclarativeBase): pass
    class More(Base):
        __tablename__ = "more"
        x = sa.Column(sa.Integer, primary_key=True)
    """
ENGINE = "engine = op.get_bind().engine\n    "
SQL = "INSERT INTO more VALUES (1)"
INSERT = f'sa.text("{SQL}")'
COLUMN = 'sa.column("x", sa.Integer)'
# Each creates the table `more` and puts a row in it.
WAYS = {
    "connect": f"{MORE}; {ENGINE}with engine.connect() as c:\n        c.execute({INSERT}); c.commit()",
    "begin": f"{MORE}; {ENGINE}with engine.begin() as c:\n        c.execute({INSERT})",
    "begin, nested": f"{MORE}; {ENGINE}with engine.begin() as c:\n        with c.begin_nested(): c.execute({INSERT})",
    "two at once": f"{MORE}; {ENGINE}with engine.begin() as a, engine.begin() as b:\n"
    f"        a.execute({INSERT}); b.execute(sa.text('SELECT 1'))",
    "create_all": f"{MODEL}Base.metadata.create_all(op.get_bind().engine); op.execute('{SQL}')",
    "create_all by the connection": f"{MODEL}Base.metadata.create_all(op.get_bind()); op.execute('{SQL}')",
    "an ORM session of the engine": f"{MODEL}{MORE}; session = orm.sessionmaker(bind=op.get_bind().engine)()\n"
    "    session.add(More(x=1)); session.commit(); session.close()",
    "an ORM session of the connection": f"{MODEL}{MORE}; session = orm.Session(bind=op.get_bind())\n"
    "    session.add(More(x=1)); session.commit(); session.close()",
    "an ORM session that is left open": f"{MODEL}{MORE}; global left; left = orm.Session(bind=op.get_bind().engine)\n"
    "    left.add(More(x=1)); left.commit(); left.query(More).all()",
    "a scoped session": f"{MODEL}{MORE}; session = orm.scoped_session(orm.sessionmaker(bind=op.get_bind().engine))\n"
    "    session.add(More(x=1)); session.commit(); session.remove()",
    "an inspector": f"{MORE}; assert sa.inspect(op.get_bind().engine).has_table('more'); op.execute('{SQL}')",
    "an inspector of a connection": f"{MORE}; assert sa.inspect(op.get_bind()).has_table('more'); op.execute('{SQL}')",
    "a raw connection": f"{MORE}; raw = op.get_bind().engine.raw_connection()\n"
    "    raw.cursor().execute('INSERT INTO more VALUES (1)'); raw.commit(); raw.close()",
    "the driver's connection": f"{MORE}; raw = op.get_bind().connection.dbapi_connection\n"
    "    raw.cursor().execute('INSERT INTO more VALUES (1)'); raw.commit(); raw.close()",
    "reflection": f"{MORE}; t = sa.Table('more', sa.MetaData(), autoload_with=op.get_bind().engine)\n"
    "    op.bulk_insert(t, [{'x': 1}])",
    "rows by rows": f"{MORE}; t = sa.table('more', {COLUMN}); op.bulk_insert(t, [{{'x': i}} for i in range(3000)])\n"
    "    bind = op.get_bind()\n"
    "    for row in bind.execute(sa.select(t.c.x), execution_options={'stream_results': True, 'yield_per': 100}):\n"
    "        bind.execute(sa.delete(t).where(t.c.x == row.x, t.c.x != 1))",
    "rows of the ORM": f"{MODEL}{MORE}; session = orm.Session(bind=op.get_bind())\n"
    "    session.add_all([More(x=i) for i in range(300)]); session.flush()\n"
    "    for row in session.query(More).yield_per(100):\n"
    "        if row.x != 1: session.delete(row)\n    session.flush()",
    "rows that are not read to the end": f"{MORE}; op.execute({INSERT})\n"
    "    rows = op.get_bind().execution_options(yield_per=1).exec_driver_sql('SELECT 1 UNION ALL SELECT 2')\n"
    "    global left; left = rows; next(rows)",
    "begin_nested": f"{MORE}; op.execute({INSERT})\n"
    "    try:\n        with op.get_bind().begin_nested(): op.execute('SELECT nothing')\n"
    "    except Exception: pass",
    "rows that are returned": f"{MORE}; t = sa.table('more', {COLUMN})\n"
    "    found = op.get_bind().execute(sa.insert(t).returning(t.c.x), [{'x': i} for i in range(1, 2500)]).all()\n"
    "    assert len(found) == 2499; op.execute('DELETE FROM more WHERE x > 1')",
    "invoke": "from alembic.operations import ops\n"
    "    op.invoke(ops.CreateTableOp('more', [sa.Column('x', sa.Integer)]))\n"
    f"    op.execute({INSERT})",
    "the configuration": f"{MORE}; assert op.get_context().config.get_main_option('script_location')\n"
    f"    op.execute({INSERT})",
}


@BOTH
@pytest.mark.parametrize("way", WAYS)
def test_it_is_committed_with_the_run(few: Project, name: str, way: str) -> None:
    few.add_revision(name, 2, WAYS[way], 'op.drop_table("more")')
    few.add_revision(name, 3, 'op.execute("CREATE TABLE after_it (x int)")', 'op.drop_table("after_it")')
    few.add_revision("user_db", 2, MORE)
    assert "two-phase commit" in few.done("upgrade", "heads").err
    assert few.rows(name, "SELECT x FROM more") == [(1,)]
    assert few.versions()[name] == [f"{name.removesuffix('_db')}_0003"]
    few.done("downgrade", f"{name}@-2")


@BOTH
@pytest.mark.parametrize("way", WAYS)
def test_it_is_rolled_back_with_the_run(few: Project, name: str, way: str) -> None:
    few.add_revision(name, 2, f"{WAYS[way]}\n    op.execute('SELECT nothing')")
    before = few.versions()
    few.add_revision("user_db", 2, MORE)
    assert "nothing" in few.alembic("upgrade", "heads").reason
    assert few.versions() == before
    few.rows(name, "CREATE TABLE more (x int)")  # it is not there


@BOTH
@pytest.mark.parametrize("way", ["connect", "begin", "an ORM session of the engine", "create_all", "an inspector"])
def test_it_works_outside_a_transaction(few: Project, name: str, way: str) -> None:
    path = few.add_revision(name, 2, WAYS[way])
    path.write_text(path.read_text().replace("depends_on = None", OUTSIDE))
    few.done("upgrade", "heads")
    assert few.rows(name, "SELECT x FROM more") == [(1,)]
    assert few.versions()[name] == [f"{name.removesuffix('_db')}_0002"]


@BOTH
def test_what_the_engine_rolls_back_is_not_committed(few: Project, name: str) -> None:
    rolled_back = (
        f"{MORE}; {ENGINE}with engine.connect() as c:\n        c.execute({INSERT})\n"
        f"    try:\n        with engine.begin() as c:\n            c.execute({INSERT}); 1 / 0\n"
        "    except ZeroDivisionError: pass\n    op.execute('INSERT INTO more VALUES (2)')"
    )
    few.add_revision(name, 2, rolled_back)
    few.done("upgrade", "heads")
    assert few.rows(name, "SELECT x FROM more") == [(2,)]


@BOTH
def test_closing_a_session_that_has_read_keeps_what_the_revision_has_done(few: Project, name: str) -> None:
    few.add_revision(
        name,
        2,
        f"from sqlalchemy import orm; {MORE}; session = orm.Session(bind=op.get_bind().engine)\n"
        f"    session.execute(sa.text('SELECT * FROM more')); op.execute({INSERT}); session.close()",
    )
    few.done("upgrade", "heads")
    assert few.rows(name, "SELECT x FROM more") == [(1,)]


@BOTH
def test_a_rollback_that_would_take_more_with_it_is_refused(few: Project, name: str) -> None:
    few.add_revision(
        name,
        2,
        f"from sqlalchemy import orm; {MORE}; session = orm.Session(bind=op.get_bind().engine)\n"
        f"    session.execute({INSERT}); op.execute('INSERT INTO more VALUES (2)')\n    session.rollback()",
    )
    error = few.alembic("upgrade", "heads").reason
    assert f"{name.removesuffix('_db')}_0002_by_hand.py:15: rolling back on op.get_bind().engine would undo" in error


@BOTH
def test_a_batch_is_committed_outside_a_transaction(few: Project, name: str) -> None:
    batches = f"{ENGINE}op.execute('CREATE TABLE IF NOT EXISTS more (x int)')\n"
    batches += f"    with engine.begin() as c: c.execute({INSERT})\n    1 / 0"
    path = few.add_revision(name, 2, batches)
    path.write_text(path.read_text().replace("depends_on = None", OUTSIDE))
    assert "division by zero" in few.alembic("upgrade", "heads").partly
    assert few.rows(name, "SELECT x FROM more") == [(1,)]


def test_copy_by_the_drivers_cursor(few: Project) -> None:
    few.add_revision(
        "auth_db",
        2,
        f"import io; {MORE}; cursor = op.get_bind().connection.cursor()\n"
        "    cursor.copy_expert('COPY more FROM STDIN', io.StringIO('1\\n2\\n'))\n"
        "    from psycopg2 import extras; extras.execute_values(cursor, 'INSERT INTO more VALUES %s', [(3,), (4,)])\n"
        "    named = op.get_bind().connection.cursor('mine'); named.execute('SELECT x FROM more ORDER BY 1')\n"
        "    assert [row for row in named] == [(1,), (2,), (3,), (4,)]; named.close()",
    )
    few.add_revision("user_db", 2, MORE)
    few.done("upgrade", "heads")
    assert few.rows("auth_db", "SELECT count(*) FROM more") == [(4,)]


REFUSED = {
    "a commit": (
        "op.get_bind().commit()",
        "a revision may not commit or roll back: all databases are committed together; leave",
    ),
    "autocommit": (
        "op.get_bind().execution_options(isolation_level='AUTOCOMMIT')",
        "isolation_level = 'AUTOCOMMIT' would end the transaction that all databases commit together: write `outside_",
    ),
    "autocommit of the engine": (
        "op.get_bind().engine.execution_options(isolation_level='AUTOCOMMIT')",
        "isolation_level = 'AUTOCOMMIT' would end the transaction that all databases commit together",
    ),
}


@BOTH
@pytest.mark.parametrize("way", REFUSED)
def test_what_cannot_work_says_where_and_what_to_use(few: Project, name: str, way: str) -> None:
    upgrade, expected = REFUSED[way]
    few.add_revision(name, 2, upgrade)
    place = f"error: {name}: migrations/versions/{name}/{name.removesuffix('_db')}_0002_by_hand.py:13: "
    assert few.alembic("upgrade", "heads").reason.startswith(f"{place}{expected}")


def test_a_commit_in_a_loop_that_only_a_live_database_reaches(migrated: Project) -> None:
    migrated.rows("auth_db", "INSERT INTO users (user_id, email, password_hash) VALUES (gen_random_uuid(), 'a', 'b')")
    loop = "bind = op.get_bind()\n    while bind.exec_driver_sql('SELECT 1 FROM users').first():\n        bind.commit()"
    migrated.add_revision("auth_db", 2, loop)
    error = migrated.alembic("upgrade", "heads").reason
    assert "auth_0002_by_hand.py:15: a revision may not commit or roll back" in error
    assert error.endswith("leave it out, or write `outside_transaction = True` under down_revision")


def test_pending_trigger_events(few: Project) -> None:
    few.rows(
        "auth_db",
        "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int REFERENCES a DEFERRABLE INITIALLY DEFERRED)",
    )
    few.add_revision("auth_db", 2, 'op.execute("INSERT INTO a VALUES (1); INSERT INTO b VALUES (1)")')
    few.add_revision("auth_db", 3, 'op.execute("ALTER TABLE b ADD c int")')
    error = few.alembic("upgrade", "heads").reason
    assert 'auth_0003_by_hand.py:13: cannot ALTER TABLE "b" because it has pending trigger events' in error
    assert 'execute "SET CONSTRAINTS ALL IMMEDIATE" before, so that deferred constraints are checked' in error
    few.add_revision("auth_db", 3, 'op.execute("SET CONSTRAINTS ALL IMMEDIATE; ALTER TABLE b ADD c int")')
    few.done("upgrade", "heads")


def test_a_connection_of_its_own(few: Project) -> None:
    few.add_revision("auth_db", 2, "sa.create_engine(op.get_bind().engine.url).connect()")
    error = few.alembic("upgrade", "heads").reason
    assert "auth_0002_by_hand.py:13: " in error
    assert "the revision opens a connection of its own, which would see nothing of the run: use op.get_bind()" in error


@pytest.mark.parametrize(
    "options", ['schema_translate_map={None: "tenant", "public": "tenant"}', "stream_results=True", "yield_per=5"]
)
def test_execution_options_end_with_the_revision(few: Project, options: str) -> None:
    tenant = "CREATE SCHEMA tenant; CREATE TABLE tenant.alembic_version (version_num text)"
    few.rows("auth_db", f"{tenant}; INSERT INTO tenant.alembic_version VALUES ('auth_0001')")
    few.add_revision("auth_db", 2, f"op.get_bind().execution_options({options})")
    few.add_revision("auth_db", 3, MORE)
    few.done("upgrade", "heads")
    assert few.versions()["auth_db"] == ["auth_0003"]
    assert few.rows("auth_db", "SELECT to_regclass('public.more') IS NULL") == [(False,)]


def test_a_server_side_cursor_outside_a_transaction(few: Project) -> None:
    read = "op.get_bind().execution_options(stream_results=True).exec_driver_sql('SELECT 1').all()"
    path = few.add_revision("auth_db", 2, read)
    path.write_text(path.read_text().replace("depends_on = None", OUTSIDE))
    assert (
        "a server-side cursor needs a transaction: `with op.get_bind().engine.begin()"
        in few.alembic("upgrade", "heads").partly
    )
    within = f"{ENGINE}with engine.begin() as c:\n"
    within += "        assert c.execution_options(yield_per=5).exec_driver_sql('SELECT 1').all() == [(1,)]"
    path = few.add_revision("auth_db", 2, within)
    path.write_text(path.read_text().replace("depends_on = None", OUTSIDE))
    few.done("upgrade", "heads")
