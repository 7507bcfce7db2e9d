"""A shop on PostgreSQL, 48 revisions in a line: hash ids, types, defaults, enums, rows, views, triggers, schemas."""

from tests.histories import History, Revision

MODELS = """Base = orm.declarative_base()


class Item(Base):
    __tablename__ = "items"
    id = sa.Column(sa.Integer, primary_key=True)
    title = sa.Column(sa.String)
    slug = sa.Column(sa.String)"""
TRIGGER = '''op.execute("""
    CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        NEW.updated_at := '2024-01-01 10:00:00';  -- not now(): rows are compared
        RETURN NEW;
    END $$
""")
op.execute("CREATE TRIGGER touch BEFORE UPDATE ON items FOR EACH ROW EXECUTE FUNCTION touch()")'''
ROWS = """table = sa.table("items", sa.column("id", sa.Integer), sa.column("title", sa.String), sa.column("price", sa.Numeric))
op.bulk_insert(table, [{"id": n, "title": f"Item {n}: 50% off", "price": n} for n in range(1, 6)])"""
SLUGS = """session = orm.Session(bind=op.get_bind())
for item in session.query(Item).order_by(Item.id):
    item.slug = item.title.lower().replace(" ", "-")
session.commit()"""
PAGES = """connection = op.get_bind()
while True:
    found = connection.execute(sa.text("SELECT id FROM items WHERE paged IS NULL ORDER BY id LIMIT 2")).scalars().all()
    if not found:
        break
    connection.execute(sa.text("UPDATE items SET paged = 1 WHERE id = ANY (:ids)"), {"ids": found})"""
KINDS = """op.bulk_insert(
    sa.table(
        "kinds", sa.column("a", sa.LargeBinary), sa.column("b", sa.JSON), sa.column("c", postgresql.ARRAY(sa.Text)),
        sa.column("d", sa.Interval), sa.column("e", sa.Uuid), sa.column("f", sa.Date), sa.column("g", postgresql.INET),
    ),
    [
        {"a": b"\\x00\\xff'", "b": {"x": [1, None, "it's: 50%"]}, "c": ["a,b", 'say "x"', None],
         "d": timedelta(days=1, seconds=2), "e": uuid.UUID(int=7), "f": date(2024, 2, 29), "g": "10.0.0.0/8"},
        {"a": None, "b": None, "c": [], "d": None, "e": None, "f": None, "g": None},
    ],
)"""
SHOP: History = [
    Revision(
        "4d1caeb7f0a2",
        'op.create_table("items", sa.Column("id", sa.Integer, primary_key=True), sa.Column("title", sa.String(80)))',
        'op.drop_table("items")',
    ),
    Revision(
        "9b0f6d1e2c33",
        'op.add_column("items", sa.Column("price", sa.Numeric(8, 2), server_default="0"))',
        'op.drop_column("items", "price")',
    ),
    Revision("0a7715c2b9d4", ROWS, 'op.execute("DELETE FROM items")'),
    Revision("c81e728d9d4c", 'op.add_column("items", sa.Column("slug", sa.String))', 'op.drop_column("items", "slug")'),
    Revision("eccbc87e4b5c", SLUGS, "pass", before=MODELS),
    Revision(
        "a87ff679a2f3",
        'op.alter_column("items", "slug", nullable=False)',
        'op.alter_column("items", "slug", nullable=True)',
    ),
    Revision(
        "e4da3b7fbbce",
        'op.create_index("ix_items_slug", "items", ["slug"], unique=True)',
        'op.drop_index("ix_items_slug")',
    ),
    Revision(
        "1679091c5a88",
        'op.create_table("state", sa.Column("s", sa.Enum("new", "paid", name="state_kind")))',
        'op.drop_table("state")\nsa.Enum(name="state_kind").drop(op.get_bind())',
    ),
    Revision("8f14e45fceea", "op.execute(\"ALTER TYPE state_kind ADD VALUE 'sent'\")", "pass"),
    Revision(
        "c9f0f895fb98",
        'op.create_table("orders", sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True), '
        'sa.Column("item_id", sa.Integer, sa.ForeignKey("items.id", ondelete="CASCADE"), index=True), '
        'sa.Column("n", sa.Integer), sa.CheckConstraint("n > 0"))',
        'op.drop_table("orders")',
    ),
    Revision(
        "45c48cce2e2d",
        'op.create_check_constraint("n_small", "orders", "n < 100 AND n % 7 <> 6")',
        'op.drop_constraint("n_small", "orders")',
    ),
    Revision(
        "d3d9446802a4",
        'op.execute("INSERT INTO orders (item_id, n) SELECT id, id FROM items")',
        'op.execute("DELETE FROM orders")',
    ),
    Revision(
        "6512bd43d9ca",
        'op.create_table_comment("orders", "what was bought: \'all\' of it")',
        'op.drop_table_comment("orders")',
    ),
    Revision(
        "c20ad4d76fe9",
        'op.alter_column("orders", "n", comment="how many", type_=sa.BigInteger)',
        'op.alter_column("orders", "n", comment=None, type_=sa.Integer)',
    ),
    Revision(
        "c51ce410c124",
        'op.add_column("items", sa.Column("updated_at", sa.DateTime(timezone=True)))',
        'op.drop_column("items", "updated_at")',
    ),
    Revision("aab3238922bc", TRIGGER, 'op.execute("DROP TRIGGER touch ON items")\nop.execute("DROP FUNCTION touch()")'),
    Revision("9bf31c7ff062", "op.execute(\"UPDATE items SET price = price * 1.19 WHERE title LIKE '%5%'\")", "pass"),
    Revision(
        "c74d97b01eae",
        'op.create_unique_constraint(None, "orders", ["item_id", "n"])',
        'op.drop_constraint("orders_item_id_n_key", "orders")',
    ),
    Revision(
        "70efdf2ec9b0",
        'op.execute("CREATE VIEW sold AS SELECT i.title, sum(o.n) AS n FROM items i '
        'JOIN orders o ON o.item_id = i.id GROUP BY i.title")',
        'op.execute("DROP VIEW sold")',
    ),
    Revision("6f4922f45568", 'op.rename_table("state", "states")', 'op.rename_table("states", "state")'),
    Revision(
        "1f0e3dad9990",
        'op.create_table("state", sa.Column("id", sa.Integer, primary_key=True))',
        'op.drop_table("state")',
    ),
    Revision(
        "98f137082101",
        'op.drop_table("state")',
        'op.create_table("state", sa.Column("id", sa.Integer, primary_key=True))',
    ),
    Revision(
        "3c59dc048e88",
        'op.alter_column("items", "title", new_column_name="name", existing_type=sa.String(80))',
        'op.alter_column("items", "name", new_column_name="title", existing_type=sa.String(80))',
    ),
    Revision(
        "b6d767d2f8ed",
        'op.add_column("items", sa.Column("tags", postgresql.ARRAY(sa.Text), server_default="{}"))',
        'op.drop_column("items", "tags")',
    ),
    Revision(
        "37693cfc7480",
        'op.add_column("items", sa.Column("data", postgresql.JSONB, server_default=sa.text('
        '"\'{\\"a\\": 1}\'::jsonb"), nullable=False))',
        'op.drop_column("items", "data")',
    ),
    Revision(
        "1ff1de774005",
        'op.create_index("ix_items_data", "items", ["data"], postgresql_using="gin")',
        'op.drop_index("ix_items_data")',
    ),
    Revision(
        "8e296a067a37",
        'op.create_index("ix_items_lower", "items", [sa.text("lower(name)")], postgresql_where=sa.text("price > 2"))',
        'op.drop_index("ix_items_lower")',
    ),
    Revision("4e732ced3463", KINDS, "pass", before="", down="02e74f10e032"),
    Revision(
        "02e74f10e032",
        'op.create_table("kinds", sa.Column("a", sa.LargeBinary), sa.Column("b", sa.JSON), '
        'sa.Column("c", postgresql.ARRAY(sa.Text)), sa.Column("d", sa.Interval), sa.Column("e", sa.Uuid), '
        'sa.Column("f", sa.Date), sa.Column("g", postgresql.INET))',
        'op.drop_table("kinds")',
        down="8e296a067a37",
    ),
    Revision(
        "33e75ff09dd6", 'op.execute("CREATE SCHEMA audit")', 'op.execute("DROP SCHEMA audit")', down="4e732ced3463"
    ),
    Revision(
        "6ea9ab1baa0e",
        'op.create_table("log", sa.Column("id", sa.Integer, primary_key=True), '
        'sa.Column("at", sa.DateTime, index=True), schema="audit")',
        'op.drop_table("log", schema="audit")',
    ),
    Revision(
        "34173cb38f07",
        'op.add_column("items", sa.Column("state", postgresql.ENUM(name="state_kind", '
        'create_type=False), server_default="new"))',
        'op.drop_column("items", "state")',
    ),
    Revision("c16a5320fa47", "op.execute(\"UPDATE items SET state = 'sent' WHERE id = 1\")", "pass"),
    Revision(
        "6364d3f0f495",
        'op.add_column("items", sa.Column("total", sa.Numeric, sa.Computed("price * 2", persisted=True)))',
        'op.drop_column("items", "total")',
    ),
    Revision(
        "182be0c5cdcd",
        'op.execute("CREATE SEQUENCE numbers START 100 OWNED BY items.id")',
        'op.execute("DROP SEQUENCE numbers")',
    ),
    Revision(
        "e369853df766",
        'op.add_column("items", sa.Column("number", sa.Integer, server_default=sa.text("nextval(\'numbers\')")))',
        'op.drop_column("items", "number")',
    ),
    Revision(
        "1c383cd30b7c", 'op.add_column("items", sa.Column("paged", sa.Integer))', 'op.drop_column("items", "paged")'
    ),
    Revision("19ca14e7ea63", PAGES, "pass"),
    Revision(
        "a5bfc9e07964",
        'op.drop_constraint("orders_item_id_fkey", "orders")\n'
        'op.create_foreign_key(None, "orders", "items", ["item_id"], ["id"], deferrable=True, '
        'initially="DEFERRED")',
        'op.drop_constraint("orders_item_id_fkey", "orders")\n'
        'op.create_foreign_key(None, "orders", "items", ["item_id"], ["id"], ondelete="CASCADE")',
    ),
    Revision(
        "a5771bce93e2",
        'op.execute("DO $$ BEGIN IF (SELECT count(*) FROM items) > 3 THEN '
        'DELETE FROM orders WHERE n > 4; END IF; END $$")',
        "pass",
    ),
    Revision(
        "d67d8ab4f4c1",
        'with op.batch_alter_table("orders") as batch:\n    batch.add_column(sa.Column("x", '
        'sa.SmallInteger, server_default="1"))\n    batch.create_index("ix_orders_x", ["x"])',
        'with op.batch_alter_table("orders") as batch:\n    batch.drop_column("x")',
    ),
    Revision(
        "d645920e395f",
        'op.create_exclude_constraint("once", "orders", ("id", "="), ("n", "="), using="btree")',
        'op.drop_constraint("once", "orders")',
    ),
    Revision(
        "3416a75f4cea",
        'if context.is_offline_mode():\n    op.execute("UPDATE items SET paged = 2")\nelse:\n'
        '    op.get_bind().execute(sa.text("UPDATE items SET paged = :n"), {"n": 2})',
        "pass",
    ),
    Revision(
        "a1d0c6e83f02",
        'inspector = sa.inspect(op.get_bind())\nif "extra" not in inspector.get_table_names():\n'
        '    op.create_table("extra", sa.Column("id", sa.Integer), sa.Column("ok", sa.Boolean, '
        "server_default=sa.false()))",
        'op.drop_table("extra")',
    ),
    Revision(
        "17e62166fc85",
        'op.execute(sa.text("INSERT INTO extra VALUES (:id, :ok)").bindparams(id=1, ok=True))',
        'op.execute(sa.delete(sa.table("extra")))',
    ),
    Revision(
        "f7177163c833", "op.execute(sa.text(\"UPDATE extra SET id = 2 WHERE '10\\\\:30' <> '' AND id = 1\"))", "pass"
    ),
    Revision(
        "6c8349cc7260",
        'op.alter_column("extra", "ok", server_default=None)\nop.alter_column("extra", "ok", type_=sa.Integer, postgresql_using="ok::integer")\nop.alter_column("extra", "ok", server_default="1")',
        'op.alter_column("extra", "ok", server_default=None)\n'
        'op.alter_column("extra", "ok", type_=sa.Boolean, postgresql_using="ok = 1")\n'
        'op.alter_column("extra", "ok", server_default=sa.false())',
    ),
    Revision(
        "d9d4f495e875",
        'op.execute("DROP VIEW sold")\nop.execute("CREATE MATERIALIZED VIEW sold AS SELECT count(*) AS n FROM orders")',
        'op.execute("DROP MATERIALIZED VIEW sold")\n'
        'op.execute("CREATE VIEW sold AS SELECT i.name AS title, sum(o.n) AS n FROM items i '
        'JOIN orders o ON o.item_id = i.id GROUP BY i.name")',
    ),
]
