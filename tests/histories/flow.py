"""A workflow engine on PostgreSQL, 30 revisions: short ids, lines that are merged, dependencies, its own helpers."""

from tests.histories import History, Revision

HELPER = '''def has_table(name):
    """Whether a table is there; a script is written for a database where it is not."""
    if context.is_offline_mode():
        return False
    return sa.inspect(op.get_bind()).has_table(name)'''
ENGINE = """with op.get_bind().engine.begin() as connection:
    connection.execute(sa.text("INSERT INTO runs (id, name) VALUES (3, 'by its engine')"))"""
STREAM = """found = sa.text("SELECT id FROM runs ORDER BY id").execution_options(stream_results=True)
rows = op.get_bind().execute(found)
for row in rows.scalars().all():
    op.get_bind().execute(sa.text("UPDATE runs SET name = name || '!' WHERE id = :id"), {"id": row})"""
MAY_FAIL = """try:
    with op.get_bind().begin_nested():
        op.execute("SELECT 1 / 0")
except sa.exc.DBAPIError:
    op.execute("UPDATE runs SET name = name || '?'")"""


def table(name: str, *columns: str) -> tuple[str, str]:
    """The code that makes a table, and drops it."""
    made = ", ".join(['sa.Column("id", sa.Integer, primary_key=True)', *columns])
    return f'op.create_table("{name}", {made})', f'op.drop_table("{name}")'


FLOW: History = [
    Revision("f01", *table("flows", 'sa.Column("name", sa.Text, nullable=False, unique=True)')),
    Revision(
        "f02", *table("runs", 'sa.Column("name", sa.Text)', 'sa.Column("flow", sa.Integer, sa.ForeignKey("flows.id"))')
    ),
    Revision(
        "f03a",
        *table("tasks", 'sa.Column("run", sa.Integer, sa.ForeignKey("runs.id", onupdate="CASCADE"))'),
        down="f02",
    ),
    Revision(
        "f03b", *table("logs", 'sa.Column("at", sa.DateTime, server_default=sa.text("\'2024-01-01\'"))'), down="f02"
    ),
    Revision("f04", "pass", down=("f03a", "f03b")),
    Revision("f05", 'op.create_index(None, "logs", ["at"])', 'op.drop_index("ix_logs_at")'),
    Revision(
        "f06",
        "op.execute(\"INSERT INTO flows VALUES (1, 'one'), (2, 'it''s: two')\")",
        'op.execute("DELETE FROM flows")',
    ),
    Revision(
        "f07", "op.execute(\"INSERT INTO runs VALUES (1, 'a', 1), (2, 'b', NULL)\")", 'op.execute("DELETE FROM runs")'
    ),
    Revision("f08", ENGINE, 'op.execute("DELETE FROM runs WHERE id = 3")'),
    Revision("f09", STREAM),
    Revision("f10", MAY_FAIL),
    Revision("f11a", *table("pools", 'sa.Column("slots", sa.Integer, server_default="1")'), down="f10"),
    Revision(
        "f11b",
        'op.add_column("runs", sa.Column("pool", sa.Integer))\n'
        'op.execute("UPDATE runs SET pool = (SELECT min(slots) FROM pools)")',
        'op.drop_column("runs", "pool")',
        down="f10",
        depends="f11a",
    ),
    Revision("f12", "pass", down=("f11a", "f11b")),
    Revision(
        "f13",
        'if not has_table("notes"):\n    op.create_table("notes", sa.Column("id", sa.Integer))',
        'op.drop_table("notes")',
        before=HELPER,
    ),
    Revision(
        "f14",
        'op.create_primary_key("notes_pkey", "notes", ["id"])',
        'op.drop_constraint("notes_pkey", "notes")\nop.alter_column("notes", "id", nullable=True)',
    ),
    Revision(
        "f15",
        "with op.get_context().autocommit_block():\n"
        '    op.create_index("ix_runs_name", "runs", ["name"], postgresql_concurrently=True)',
        'with op.get_context().autocommit_block():\n    op.drop_index("ix_runs_name", '
        'table_name="runs", postgresql_concurrently=True)',
    ),
    Revision(
        "f16",
        'level = sa.Enum("low", "high", name="level")\nlevel.create(op.get_bind(), checkfirst=True)\n'
        'op.add_column("tasks", sa.Column("level", level))',
        'op.drop_column("tasks", "level")\nop.execute("DROP TYPE level")',
    ),
    Revision(
        "f17",
        'op.execute("ALTER TYPE level RENAME TO old_level")\n'
        "op.execute(\"CREATE TYPE level AS ENUM ('low', 'mid', 'high')\")\n"
        'op.execute("ALTER TABLE tasks ALTER level TYPE level USING level::text::level")\n'
        'op.execute("DROP TYPE old_level")',
        'op.execute("ALTER TYPE level RENAME TO old_level")\n'
        "op.execute(\"CREATE TYPE level AS ENUM ('low', 'high')\")\n"
        'op.execute("ALTER TABLE tasks ALTER level TYPE level USING level::text::level")\n'
        'op.execute("DROP TYPE old_level")',
    ),
    Revision(
        "f18",
        "op.execute(\"SET LOCAL lock_timeout = '3s'\")\n"
        "op.execute(\"INSERT INTO tasks (id, run, level) VALUES (1, 1, 'mid')\")",
        'op.execute("DELETE FROM tasks")',
    ),
    Revision(
        "f19",
        'op.drop_constraint("tasks_run_fkey", "tasks", type_="foreignkey")',
        'op.create_foreign_key("tasks_run_fkey", "tasks", "runs", ["run"], ["id"], onupdate="CASCADE")',
    ),
    Revision(
        "f20a",
        'op.add_column("flows", sa.Column("a", sa.Float, server_default="0.5"))',
        'op.drop_column("flows", "a")',
        down="f19",
    ),
    Revision(
        "f20b",
        'op.add_column("flows", sa.Column("b", sa.Time(timezone=True)))',
        'op.drop_column("flows", "b")',
        down="f19",
    ),
    Revision(
        "f20c",
        'op.add_column("flows", sa.Column("c", sa.CHAR(3), nullable=False, server_default="x"))',
        'op.drop_column("flows", "c")',
        down="f20b",
    ),
    Revision("f21", "pass", down=("f20a", "f20c")),
    Revision(
        "f22",
        "op.execute(\"ALTER TABLE flows ADD CONSTRAINT c_known CHECK (c IN ('x', 'y'))\")",
        'op.execute("ALTER TABLE flows DROP CONSTRAINT c_known")',
    ),
    Revision(
        "f23",
        'op.alter_column("flows", "c", type_=sa.String(9), existing_nullable=False)',
        'op.alter_column("flows", "c", type_=sa.CHAR(3), existing_nullable=False)',
    ),
    Revision(
        "f24",
        'op.execute("CREATE FUNCTION double(n integer) RETURNS integer LANGUAGE sql IMMUTABLE AS '
        '$f$ SELECT n * 2 -- twice: $f$")',
        'op.execute("DROP FUNCTION double")',
    ),
    Revision(
        "f25",
        'op.execute("CREATE INDEX ix_double ON runs (double(id)) INCLUDE (name) WHERE id <> 5")',
        'op.drop_index("ix_double")',
    ),
    Revision(
        "f26",
        'op.execute("GRANT SELECT ON runs TO PUBLIC")\nop.execute("COMMENT ON COLUMN runs.name IS \'a: b; c %\'")',
        'op.execute("REVOKE SELECT ON runs FROM PUBLIC")\nop.execute("COMMENT ON COLUMN runs.name IS NULL")',
    ),
]
