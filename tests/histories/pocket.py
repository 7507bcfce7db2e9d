"""A program with a file of its own on SQLite, 20 revisions: what batch mode of plain Alembic keeps, and what it loses."""

from tests.histories import History, Revision
from tests.histories.tracking import altered, batch, column

MADE = '''op.execute("""
    CREATE TABLE books (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        title TEXT COLLATE NOCASE NOT NULL,
        pages INTEGER DEFAULT 10 CHECK (pages > 0),
        meta TEXT DEFAULT '{"a"\\\\:1}',
        UNIQUE (title) ON CONFLICT IGNORE
    )
""")'''
POCKET: History = [
    Revision("p01", MADE, 'op.drop_table("books")'),
    Revision(
        "p02",
        "op.execute(\"INSERT INTO books (title, meta) VALUES ('One', 'x'), ('it''s: 50%', NULL)\")",
        'op.execute("DELETE FROM books")',
    ),
    Revision("p03", 'op.create_index("ix_title", "books", [sa.text("title DESC")])', 'op.drop_index("ix_title")'),
    Revision(
        "p04",
        'op.execute("CREATE TRIGGER t AFTER INSERT ON books BEGIN UPDATE books SET pages = 11 WHERE id = '
        'NEW.id AND pages IS NULL; END")',
        'op.execute("DROP TRIGGER t")',
    ),
    Revision("p05", 'op.add_column("books", sa.Column("isbn", sa.String(13)))', batch("books", 'drop_column("isbn")')),
    Revision("p06", *altered("books", "isbn", "type_=sa.Text", "type_=sa.String(13)")),
    Revision(
        "p07",
        'op.create_table("loans", sa.Column("id", sa.Integer, primary_key=True), sa.Column("book", '
        'sa.Integer, sa.ForeignKey("books.id", deferrable=True, initially="DEFERRED")))',
        'op.drop_table("loans")',
    ),
    Revision("p08", 'op.execute("INSERT INTO loans VALUES (1, 1)")', 'op.execute("DELETE FROM loans")'),
    Revision("p09", *column("loans", "due", "sa.Date")),
    Revision(
        "p10",
        batch("loans", 'create_check_constraint("due_later", "due > \'2024-01-01\'")'),
        batch("loans", 'drop_constraint("due_later", type_="check")'),
    ),
    Revision(
        "p11", 'op.execute("CREATE TABLE words (w TEXT PRIMARY KEY, n INT) WITHOUT ROWID")', 'op.drop_table("words")'
    ),
    Revision("p12", "op.execute(\"INSERT INTO words VALUES ('a', 1), ('b', 2)\")", 'op.execute("DELETE FROM words")'),
    Revision("p13", *altered("words", "n", "nullable=False", "nullable=True")),
    Revision(
        "p14", 'op.execute("CREATE VIEW many AS SELECT w FROM words WHERE n > 1")', 'op.execute("DROP VIEW many")'
    ),
    Revision("p15", *column("words", "lang", 'sa.String(2), server_default="en"')),
    Revision(
        "p16",
        batch("books", 'alter_column("pages", server_default="12")'),
        batch("books", 'alter_column("pages", server_default="10")'),
    ),
    Revision(
        "p17", 'op.execute("UPDATE books SET pages = pages + 1")', 'op.execute("UPDATE books SET pages = pages - 1")'
    ),
    Revision(
        "p18",
        batch("books", 'alter_column("isbn", new_column_name="code")'),
        batch("books", 'alter_column("code", new_column_name="isbn")'),
    ),
    Revision("p19", 'op.create_index("ix_due", "loans", ["due"])', 'op.drop_index("ix_due")'),
    Revision(
        "p20",
        'op.execute("CREATE UNIQUE INDEX one_loan ON loans (book) WHERE due IS NOT NULL")',
        'op.drop_index("one_loan")',
    ),
]
