"""A tracking server that runs on PostgreSQL and on SQLite, 32 revisions: batch mode, switches by the dialect."""

from tests.histories import History, Revision

SWITCH = '''def is_sqlite():
    return op.get_context().dialect.name == "sqlite"'''


def batch(table: str, *lines: str) -> str:
    return "\n    ".join([f'with op.batch_alter_table("{table}") as batch:', *(f"batch.{line}" for line in lines)])


def column(table: str, name: str, kind: str) -> tuple[str, str]:
    return batch(table, f'add_column(sa.Column("{name}", {kind}))'), batch(table, f'drop_column("{name}")')


def altered(table: str, name: str, new: str, old: str) -> tuple[str, str]:
    return batch(table, f'alter_column("{name}", {new})'), batch(table, f'alter_column("{name}", {old})')


TRACKING: History = [
    Revision(
        "t01",
        'op.create_table("runs", sa.Column("id", sa.String(32), primary_key=True), sa.Column("name", '
        "sa.String(250)), sa.Column(\"status\", sa.String(9)), sa.CheckConstraint(\"status IN ('up', 'down')\", "
        'name="status"))',
        'op.drop_table("runs")',
    ),
    Revision(
        "t02",
        'op.create_table("metrics", sa.Column("key", sa.String(250), primary_key=True), sa.Column("run", '
        'sa.String(32), sa.ForeignKey("runs.id"), primary_key=True), sa.Column("value", sa.Float, nullable=False))',
        'op.drop_table("metrics")',
    ),
    Revision(
        "t03",
        "op.execute(\"INSERT INTO runs VALUES ('r1', 'one: 50%', 'up'), ('r2', NULL, 'down')\")",
        'op.execute("DELETE FROM runs")',
    ),
    Revision(
        "t04",
        'op.bulk_insert(sa.table("metrics", sa.column("key"), sa.column("run"), sa.column("value")), '
        '[{"key": "m", "run": "r1", "value": 0.5}, {"key": "n:x", "run": "r2", "value": -1e20}])',
        'op.execute("DELETE FROM metrics")',
    ),
    Revision("t05", *column("metrics", "step", 'sa.BigInteger, nullable=False, server_default="0"')),
    Revision("t06", *altered("runs", "name", "type_=sa.String(500)", "type_=sa.String(250)")),
    Revision(
        "t07",
        batch(
            "runs",
            'drop_constraint("status", type_="check")',
            "create_check_constraint(\"status\", \"status IN ('up', 'down', 'killed')\")",
        ),
        batch(
            "runs",
            'drop_constraint("status", type_="check")',
            "create_check_constraint(\"status\", \"status IN ('up', 'down')\")",
        ),
    ),
    Revision(
        "t08",
        "op.execute(\"UPDATE runs SET status = 'killed' WHERE id = 'r2'\")",
        "op.execute(\"UPDATE runs SET status = 'down' WHERE id = 'r2'\")",
    ),
    Revision(
        "t09",
        'op.create_index("ix_runs_status", "runs", ["status", sa.text("name DESC")])',
        'op.drop_index("ix_runs_status", table_name="runs")',
    ),
    Revision("t10", *column("runs", "data", "sa.JSON, server_default='{\"a\": 1}'")),
    Revision("t11", *column("runs", "is_done", "sa.Boolean, server_default=sa.false()")),
    Revision(
        "t12",
        batch("runs", 'create_unique_constraint("uq_name", ["name", "status"])'),
        batch("runs", 'drop_constraint("uq_name", type_="unique")'),
    ),
    Revision(
        "t13",
        'op.create_table("tags", sa.Column("id", sa.Integer, primary_key=True), sa.Column("run", '
        'sa.String(32)), sa.Column("k", sa.Text, server_default="x:y"))',
        'op.drop_table("tags")',
    ),
    Revision(
        "t14",
        batch("tags", 'create_foreign_key("fk_run", "runs", ["run"], ["id"], ondelete="CASCADE")'),
        batch("tags", 'drop_constraint("fk_run", type_="foreignkey")'),
    ),
    Revision(
        "t15",
        'session = orm.Session(bind=op.get_bind())\nrows = session.execute(sa.text("SELECT id FROM runs ORDER '
        'BY id")).scalars().all()\nfor n, row in enumerate(rows):\n    session.execute(sa.text("INSERT INTO tags '
        '(id, run, k) VALUES (:n, :run, :k)"), {"n": n, "run": row, "k": f"it\'s {n}"})\nsession.commit()',
        'op.execute("DELETE FROM tags")',
    ),
    Revision("t16", *altered("tags", "k", "nullable=False", "nullable=True")),
    Revision(
        "t17",
        'if is_sqlite():\n    op.execute("CREATE TRIGGER kept AFTER DELETE ON tags BEGIN UPDATE runs SET '
        "name = 'gone'; END\")\nelse:\n    op.execute(\"COMMENT ON TABLE tags IS 'kept'\")",
        'if is_sqlite():\n    op.execute("DROP TRIGGER kept")\nelse:\n    op.execute("COMMENT ON TABLE tags IS NULL")',
        before=SWITCH,
    ),
    Revision("t18", 'op.add_column("tags", sa.Column("v", sa.Text))', column("tags", "v", "sa.Text")[1]),
    Revision("t19", "op.execute(\"UPDATE tags SET v = k WHERE k LIKE '%0'\")"),
    Revision(
        "t20",
        batch("tags", 'alter_column("v", new_column_name="value")'),
        batch("tags", 'alter_column("value", new_column_name="v")'),
    ),
    Revision("t21", 'op.rename_table("metrics", "metrics_old")', 'op.rename_table("metrics_old", "metrics")'),
    Revision(
        "t22",
        'op.create_table("metrics", sa.Column("key", sa.Text), sa.Column("value", sa.Numeric(9, 3)))',
        'op.drop_table("metrics")',
    ),
    Revision(
        "t23",
        'op.execute("INSERT INTO metrics SELECT key, step FROM metrics_old")',
        'op.execute("DELETE FROM metrics")',
    ),
    Revision(
        "t24",
        'op.create_index("ix_low", "metrics", [sa.text("lower(key)")], unique=True)',
        'op.drop_index("ix_low", table_name="metrics")',
    ),
    Revision(
        "t25",
        'op.create_index("ix_some", "metrics", ["value"], sqlite_where=sa.text("value > 0"), '
        'postgresql_where=sa.text("value > 0"))',
        'op.drop_index("ix_some", table_name="metrics")',
    ),
    Revision("t26", *column("metrics", "at", "sa.DateTime, server_default=sa.text(\"'2024-01-01 10:30:00'\")")),
    Revision(
        "t27",
        'op.execute("CREATE VIEW both_views AS SELECT m.key, o.value FROM metrics m JOIN metrics_old o ON '
        'o.key = m.key")',
        'op.execute("DROP VIEW both_views")',
    ),
    Revision(
        "t28",
        *column(
            "runs",
            "stage",
            "sa.Enum('a', 'b', name='stage', native_enum=False, create_constraint=True), server_default='a'",
        ),
    ),
    Revision(
        "t29",
        batch("runs", 'alter_column("status", nullable=False, server_default="up")'),
        batch("runs", 'alter_column("status", nullable=True, server_default=None)'),
    ),
    Revision(
        "t30",
        'if op.get_bind().dialect.name == "postgresql":\n    op.execute("ALTER TABLE runs ALTER status SET '
        'STATISTICS 50")',
    ),
    Revision(
        "t31",
        'if context.is_offline_mode():\n    op.execute("UPDATE metrics SET value = (SELECT count(*) FROM runs)")\nelse:\n'
        '    connection = op.get_bind()\n    n = connection.execute(sa.text("SELECT count(*) FROM runs")).scalar()\n'
        '    connection.execute(sa.text("UPDATE metrics SET value = :n"), {"n": n})',
    ),
    Revision("t32", batch("runs", 'drop_column("data")'), batch("runs", 'add_column(sa.Column("data", sa.JSON))')),
]
