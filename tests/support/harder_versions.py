"""More models in two versions: what takes an order, a cast, or more than one statement to change."""

from typing import Any

from sqlalchemy import (
    DDL,
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Date,
    DateTime,
    Enum,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Numeric,
    PrimaryKeyConstraint,
    Sequence,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    Uuid,
    event,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, DOMAIN, ENUM, JSONB
from sqlalchemy.orm import DeclarativeBase

from multidb.naming import metadata

VERSION = 1


class Base(DeclarativeBase):
    metadata = metadata()


class Mood(TypeDecorator[str]):
    impl = Enum("ok", name="own_mood")
    cache_ok = True


class Names(TypeDecorator[list[str]]):
    impl = ARRAY(String(5))
    cache_ok = True


def v(first: Any, second: Any) -> Any:
    return (first, second)[VERSION - 1]


def table(name: str, *items: Any, **options: Any) -> Table:
    return Table(name, Base.metadata, Column("id", Integer, primary_key=True), *items, **options)


# Enums: a value that is added and used, others that are only added, some that go, an array, another name
used = ENUM(*v(("x", "y"), ("x", "new", "y")), name="used_state")
table(
    "used",
    Column("a", used, server_default=v("x", "new")),
    Index("used_i", "a", postgresql_where=text(v("a = 'x'", "a = 'new'"))),
    *v([], [CheckConstraint("a <> 'y'", name="used_check")]),
)
table("added", Column("a", ENUM(*v(("x", "y"), ("w", "x", "it's", "y", "a:b", "5%")), name="added_state")))
fewer = ENUM(*v(("x", "y", "z"), ("y", "x")), name="fewer_state")
table(
    "fewer",
    Column("a", fewer, server_default=v("z", None)),
    Column("b", ARRAY(fewer)),
    CheckConstraint(v("a <> 'y'", "a <> 'x'"), name="fewer_check"),
)
table("renamed", Column("a", Enum("x", "y", name=v("renamed_old", "renamed_new")), server_default=v("x", "y")))

left = ENUM(*v(("x", "y"), ("x",)), name="left_state")
table("left", Column("a", v(ARRAY(left), DateTime), server_default=text(v("'{x}'", "now()"))), Column("b", left))

table(v("early", "late"), Column("a", left))

# Columns that become generated ones, and that go while what they use changes
table(
    "made",
    Column("n", Integer),
    Column("m", Integer, *v([], [Computed("n * 2", persisted=True)]), server_default=v("7", None)),
)
table("gone", Column("n", v(BigInteger, Integer)), *v([Column("m", Text, Computed("n::text", persisted=True))], []))

# Identities and sequences
Table("identity_a", Base.metadata, Column("id", *v([Integer], [BigInteger, Identity(always=True)]), primary_key=True))
Table("identity_b", Base.metadata, Column("id", *v([BigInteger, Identity(always=True)], [Integer]), primary_key=True))
table("identity_c", Column("n", Integer, v(Identity(minvalue=5, maxvalue=50), Identity(minvalue=7, increment=2))))
table("identity_d", Column("n", Integer, v(None, Identity()), nullable=False))
numbers = Sequence(v("numbers_one", "numbers_two"), start=v(1, 5), increment=5, metadata=Base.metadata)
table("numbered", Column("a", Integer, server_default=numbers.next_value()))

# Types, with and without a cast, with and without a default
table(
    "typed",
    Column("a", v(Text, Integer)),
    Column("b", v(Boolean, Integer), server_default=v("true", "1")),
    Column("c", v(Integer, Boolean), server_default=v("1", "false")),
    Column("d", v(String(10), Text), nullable=v(True, False), server_default=v(None, "x")),
    Column("e", v(DateTime, DateTime(timezone=True))),
    Column("f", v(Text, JSONB), server_default="{}"),
    Column("g", v(Integer, Text)),
    Column("h", v(Numeric, Numeric(6, 3))),
    Column("i", v(ARRAY(Integer), ARRAY(Text))),
    Column("j", v(Text, Uuid), server_default=v(None, text("gen_random_uuid()"))),
)
table(
    "computed",
    Column("x", v(Integer, BigInteger)),
    Column("a", v(Integer, BigInteger), Computed(v("x + 1", "x + 2"), persisted=True)),
    Column("b", Integer, *v([Computed("x * 2", persisted=True)], [])),
    Column("c", *v([Integer], [Text, Computed("(x % 10)::text || ':y%'", persisted=True)])),
    Column("d", Integer, Computed("x", persisted=True)),
    Index("computed_a", "a"),
    Index("computed_b", "b", postgresql_where=text("b > 1")),
)

# Keys
table(
    "keys",
    Column("a", Integer, unique=v(True, False)),
    Column("b", Integer, unique=v(False, True)),
    Column("c", Text, index=v(True, False)),
    UniqueConstraint("b", "c", name=v("keys_old", "keys_new"), deferrable=v(None, True)),
    *v(
        [Index("keys_b", "b", unique=True), Index("keys_gone", "c")],
        [
            Index("keys_a", "a", unique=True, postgresql_nulls_not_distinct=True),
            Index("keys_c", text("lower(c) DESC"), postgresql_include=["b"], postgresql_with={"fillfactor": 50}),
            Index("keys_hash", "c", postgresql_using="hash"),
            Index("keys_ops", "c", postgresql_ops={"c": "text_pattern_ops"}),
        ],
    ),
)
Table(
    "primary_a",
    Base.metadata,
    Column("a", Integer, primary_key=v(True, False), autoincrement=False, nullable=False),
    Column("b", Integer, primary_key=v(False, True), autoincrement=False, nullable=False),
)
table("primary_b", Column("a", ForeignKey(v("primary_a.a", "primary_a.b"), name="primary_key")))
table("foreign_a", Column("x", v(Text, String(30)), unique=True))
table(
    "foreign_b",
    Column("a", Integer, *v([], [ForeignKey("foreign_a.id", ondelete="SET NULL", initially="DEFERRED")])),
    Column("x", v(Text, String(30)), ForeignKey("foreign_a.x", match=v(None, "FULL"))),
)

# Domains, comments, partitions
table(
    "domains",
    Column("a", DOMAIN("domain_a", Integer, check=text(v("VALUE > 0", "VALUE > 1")), not_null=v(None, True))),
    Column("b", DOMAIN("domain_b", String(v(5, 9)), default=v(None, "x"))),
    Column("c", ARRAY(v(DOMAIN("domain_c", Text), Text))),
)
table(
    "comments",
    *v([], [PrimaryKeyConstraint("id", comment="the key")]),
    Column("x", Integer, comment=v("old", "it's 5%: new")),
    comment=v("old", None),
)
table("parted", *v([Column("day", Date)], []), **v({}, {"postgresql_with": {"fillfactor": 60}}))

unnative = Enum(*v(["x"], ["x", "yy"]), native_enum=False, create_constraint=True, name="unnative_check")
table("unnative", Column("a", unnative))

# Tables that only one version has
if VERSION == 1:
    table("gone_a", Column("a", Enum("x", name="gone_state")), Column("b", Integer, index=True))
    table("gone_b", Column("a", ForeignKey("gone_a.id")))
else:
    table("mutual_a", Column("b", ForeignKey("mutual_b.id")), Column("me", ForeignKey("mutual_a.id")))
    table("mutual_b", Column("a", ForeignKey("mutual_a.id", ondelete="CASCADE")))
    own = Sequence("numbers", schema="own", start=7, metadata=Base.metadata)
    table(
        "ones",
        Column("a", Enum("x", name="own_state", schema="own")),
        Column("n", Integer, server_default=own.next_value(), index=True),
        schema="own",
    )
    table("others", Column("one", ForeignKey("own.ones.id")), Column("b", Enum("y", name="lone", schema="lone")))
    Table("parent_child", Base.metadata, Column("b", Integer), postgresql_inherits="parted")
    Table("by_day", Base.metadata, Column("day", Date, primary_key=True), postgresql_partition_by="LIST (day)")
    table(
        "decorated",
        Column("a", Mood()),
        Column("b", Names()),
        Column("c", JSON().with_variant(JSONB(), "postgresql")),
        Column("d", Boolean(create_constraint=True, name="decorated_d")),
        Column("e", Enum("x", "y", native_enum=False, create_constraint=True, name="decorated_e")),
    )
    table(
        'it\'s "quoted"',
        Column("order", Integer, index=True),
        Column("a.b", Text, unique=True),
        Column("x:y", Text, server_default="z"),
        Column("5%", Text),
        Column("Ünï", Enum("a b", name="Quoted State"), comment="ü"),
        CheckConstraint("\"5%\" <> 'x'", name="quoted: check"),
    )
    table(
        "texts",
        Column("a", Text, server_default=text("E'tab\\tnew\\nline ' || '\\:x'")),
        Column("b", Text, server_default='two\nlines: "quoted", it\'s 100%, \\:x \\\\ a:b ::c'),
        Column("c", JSONB, server_default=text("""'{"a"\\:"b\\:c", "d"\\:"5%"}'""")),
        CheckConstraint("a ~ '^(?\\:\\d+|x%)$' AND b <> '%s' AND a::text <> '\\:y'", name="texts_check"),
        Index("texts_i", text("(a || ':x' || '100%')"), postgresql_where=text("a <> '\\:z' AND a !~ '\\\\d'")),
        comment="it's a : comment, 100%\nof two lines",
    )
    for statement in (
        "CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS $$\nBEGIN\n  -- 5%% :x\n  RETURN NEW;\nEND $$",
        "CREATE TRIGGER note BEFORE UPDATE ON texts FOR EACH ROW EXECUTE FUNCTION noted()",
        "CREATE VIEW seen AS SELECT id, id %% 5 AS rest FROM texts",
    ):
        event.listen(Base.metadata, "after_create", DDL(statement))  # type: ignore[no-untyped-call]
