"""Labelled revisions: what each does to tables of a live database, and the rules that have to find it, and no other."""

from dataclasses import dataclass

# Large tables have more rows than the policy calls small, `settings` has fewer, and `empty` has none.
TABLES = """
    CREATE DOMAIN amount AS integer;
    CREATE TYPE state AS ENUM ('new', 'done');
    CREATE TABLE customers (id bigserial PRIMARY KEY, email text NOT NULL, city varchar(20), region int);
    CREATE TABLE orders (
        id bigserial PRIMARY KEY, customer_id bigint, total amount, price int, note varchar(20), code text,
        state state DEFAULT 'new', placed timestamptz NOT NULL DEFAULT now()
    );
    CREATE INDEX ix_orders_note ON orders (note);
    CREATE TABLE checked (id int, CONSTRAINT id_set CHECK (id IS NOT NULL));
    CREATE TABLE settings (id int PRIMARY KEY, name text, value int);
    CREATE TABLE empty (id int, name text);
    CREATE TABLE years (year int NOT NULL, note text) PARTITION BY LIST (year);
    CREATE TABLE years_2025 PARTITION OF years FOR VALUES IN (2025);
    CREATE TABLE years_2026 (year int NOT NULL, note text);
    CREATE VIEW order_codes AS SELECT id, code FROM orders;
"""
ROWS = """
    INSERT INTO customers (email, city, region)
    SELECT n || '@example.org', 'Bern', n % 9 FROM generate_series(1, 20000) n;
    INSERT INTO orders (customer_id, total, price, note, code)
    SELECT n, n, n, 'note ' || n, 'c' || n FROM generate_series(1, 20000) n;
    INSERT INTO checked SELECT generate_series(1, 20000);
    INSERT INTO settings SELECT n, 'name', n FROM generate_series(1, 100) n;
    INSERT INTO years SELECT 2025, 'note' FROM generate_series(1, 20000);
    INSERT INTO years_2026 SELECT 2026, 'note' FROM generate_series(1, 20000);
    ANALYZE
"""


@dataclass(frozen=True)
class Labelled:
    """A revision with the ids of the rules that find it; notes only where they are the point of it."""

    upgrade: str  # the body of `upgrade()`
    rules: frozenset[str] = frozenset()
    notes: frozenset[str] = frozenset()
    outside: bool = False


def _sql(*statements: str, rules: str = "", notes: str = "", outside: bool = False) -> Labelled:
    body = "\n    ".join(f"op.execute({statement!r})" for statement in statements)
    return Labelled(body, frozenset(rules.split()), frozenset(notes.split()), outside)


DANGEROUS = {
    "a type stored in another way": _sql("ALTER TABLE orders ALTER price TYPE bigint", rules="rewrite-type"),
    "a shorter varchar": _sql("ALTER TABLE orders ALTER note TYPE varchar(6)", rules="rewrite-type would-fail"),
    "a default computed for each row": _sql(
        "ALTER TABLE orders ADD COLUMN lucky float DEFAULT random()", rules="rewrite-default"
    ),
    "a stored generated column": _sql(
        "ALTER TABLE orders ADD COLUMN twice int GENERATED ALWAYS AS (price * 2) STORED", rules="rewrite-generated"
    ),
    "a serial column": _sql("ALTER TABLE orders ADD COLUMN number bigserial", rules="rewrite-identity"),
    "an identity column": _sql(
        "ALTER TABLE orders ADD COLUMN number bigint GENERATED ALWAYS AS IDENTITY", rules="rewrite-identity"
    ),
    "a table made unlogged": _sql("ALTER TABLE orders SET UNLOGGED", rules="rewrite-persistence"),
    "a clustered table": _sql("CLUSTER orders USING orders_pkey", rules="rewrite-table"),
    "a column with another collation": _sql(
        'ALTER TABLE orders ALTER note TYPE varchar(20) COLLATE "C"', rules="rewrite-index"
    ),
    "a CHECK": _sql("ALTER TABLE orders ADD CONSTRAINT p CHECK (price > 0)", rules="scan-check"),
    "a new column with a CHECK": _sql(
        "ALTER TABLE orders ADD COLUMN tax int CONSTRAINT t CHECK (tax > 0)", rules="scan-check"
    ),
    "NOT NULL without a proof": _sql("ALTER TABLE orders ALTER price SET NOT NULL", rules="scan-not-null"),
    "a foreign key": _sql(
        "ALTER TABLE orders ADD CONSTRAINT c FOREIGN KEY (customer_id) REFERENCES customers",
        rules="scan-fk",
        notes="fk-without-index",
    ),
    "a constraint of a domain": _sql("ALTER DOMAIN amount ADD CONSTRAINT p CHECK (VALUE > 0)", rules="scan-domain"),
    "a partition with rows": _sql(
        "ALTER TABLE years ATTACH PARTITION years_2026 FOR VALUES IN (2026)", rules="scan-partition"
    ),
    "an exclusion constraint": _sql("ALTER TABLE orders ADD CONSTRAINT x EXCLUDE (id WITH =)", rules="scan-exclusion"),
    "an index": Labelled('op.create_index("ix_orders_price", "orders", ["price"])', frozenset(["index-blocking"])),
    "an index outside a transaction, but not CONCURRENTLY": Labelled(
        'op.create_index("ix_orders_price", "orders", ["price"])', frozenset(["index-blocking"]), outside=True
    ),
    "an index of a partitioned table": _sql("CREATE INDEX ON years (year)", rules="index-blocking"),
    "a unique constraint": Labelled(
        'op.create_unique_constraint("orders_code_key", "orders", ["code"])', frozenset(["index-constraint"])
    ),
    "a CHECK that is validated in the same transaction": _sql(
        "ALTER TABLE orders ADD CONSTRAINT p CHECK (price > 0) NOT VALID",
        "ALTER TABLE orders VALIDATE CONSTRAINT p",
        rules="validate-same-transaction lock-window",
    ),
    "a backfill after a new column": _sql(
        "ALTER TABLE orders ADD COLUMN paid boolean",
        "UPDATE orders SET paid = true",
        rules="backfill-in-ddl lock-window",
    ),
    "a backfill in one transaction": _sql("UPDATE orders SET note = 'x'", rules="backfill-unbatched"),
    "a backfill while another table is locked": _sql(
        "ALTER TABLE settings ADD COLUMN unit text", "UPDATE orders SET note = 'x'", rules="backfill-in-ddl lock-window"
    ),
    "a dropped table": _sql("DROP TABLE customers", rules="drop-table"),
    "a dropped column": Labelled('op.drop_column("orders", "price")', frozenset(["drop-column"])),
    "a dropped column with a view": _sql("ALTER TABLE orders DROP COLUMN code CASCADE", rules="drop-column"),
    "a truncated table": _sql("TRUNCATE customers", rules="truncate"),
    "a renamed table": Labelled('op.rename_table("orders", "purchases")', frozenset(["rename-table"])),
    "a renamed column": _sql("ALTER TABLE orders RENAME price TO net", rules="rename-column"),
    "a required column": _sql("ALTER TABLE orders ADD COLUMN paid boolean NOT NULL", rules="required-column"),
    "a longer lock_timeout": _sql(
        "SET lock_timeout = '10min'", "ALTER TABLE orders ADD COLUMN paid boolean", rules="lock-timeout"
    ),
    "rows that violate a unique index": _sql(
        "CREATE UNIQUE INDEX CONCURRENTLY one_region ON customers (region)", rules="would-fail", outside=True
    ),
    "an enum value that is used at once": _sql(
        "ALTER TYPE state ADD VALUE 'late'", "ALTER TABLE empty ADD COLUMN state state DEFAULT 'late'", rules="fails"
    ),
    "CONCURRENTLY in a transaction": _sql("CREATE INDEX CONCURRENTLY ix_orders_price ON orders (price)", rules="fails"),
    "a type that a view uses": _sql("ALTER TABLE orders ALTER code TYPE varchar(99)", rules="fails"),
}
HARMLESS = {
    "a new column": Labelled('op.add_column("orders", sa.Column("paid", sa.Boolean()))'),
    "a new column with a constant default": _sql("ALTER TABLE orders ADD COLUMN paid boolean NOT NULL DEFAULT false"),
    "a longer varchar": _sql("ALTER TABLE orders ALTER note TYPE varchar(40)"),
    "varchar to text": _sql("ALTER TABLE customers ALTER city TYPE text"),
    "NOT NULL that a CHECK proves": _sql("ALTER TABLE checked ALTER id SET NOT NULL"),
    "a CHECK that is not valid": _sql(
        "ALTER TABLE orders ADD CONSTRAINT p CHECK (price > 0) NOT VALID", notes="left-not-valid"
    ),
    "a validation outside the transaction": _sql(
        "ALTER TABLE orders ADD CONSTRAINT p CHECK (price > 0) NOT VALID",
        "ALTER TABLE orders VALIDATE CONSTRAINT p",
        outside=True,
    ),
    "an index built CONCURRENTLY": Labelled(
        'op.create_index("ix_orders_price", "orders", ["price"], postgresql_concurrently=True)', outside=True
    ),
    "a unique constraint over an index built CONCURRENTLY": _sql(
        "CREATE UNIQUE INDEX CONCURRENTLY orders_code_key ON orders (code)",
        "ALTER TABLE orders ADD CONSTRAINT orders_code_key UNIQUE USING INDEX orders_code_key",
        outside=True,
    ),
    "an index of a small table": Labelled('op.create_index("ix_settings_name", "settings", ["name"])'),
    "a rewrite of a small table": _sql("ALTER TABLE settings ALTER value TYPE bigint"),
    "a backfill of a small table": _sql("ALTER TABLE settings ADD COLUMN unit text", "UPDATE settings SET unit = 'm'"),
    "everything in an empty table": _sql(
        "ALTER TABLE empty ALTER id TYPE bigint",
        "ALTER TABLE empty ADD PRIMARY KEY (id)",
        "ALTER TABLE empty DROP name",
    ),
    "everything in a new table": _sql(
        "CREATE TABLE fresh (id int PRIMARY KEY, order_id bigint REFERENCES orders, n int)",
        "CREATE INDEX ix_fresh_order ON fresh (order_id)",
        "ALTER TABLE fresh ALTER n TYPE bigint",
        "ALTER TABLE fresh ADD CHECK (n > 0)",
        "UPDATE fresh SET n = 1",
    ),
    "a backfill in batches": Labelled(
        """op.execute(\"\"\"DO $$ BEGIN
            LOOP
                UPDATE orders SET note = 'x'
                WHERE id IN (SELECT id FROM orders WHERE note IS DISTINCT FROM 'x' LIMIT 5000);
                EXIT WHEN NOT FOUND;
                COMMIT;
            END LOOP;
        END $$\"\"\")""",
        outside=True,
    ),
    "one row by its key": _sql("UPDATE orders SET note = 'x' WHERE id = 1"),
    "an enum value outside the transaction": _sql("ALTER TYPE state ADD VALUE IF NOT EXISTS 'late'", outside=True),
    "a comment": _sql("COMMENT ON TABLE orders IS 'what was bought'"),
    "a trigger": _sql(
        "CREATE TRIGGER t BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()"
    ),
}
