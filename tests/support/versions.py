"""Models in two versions: a test writes this file as a module of models, with the number that it wants."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Date,
    Enum,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Numeric,
    Sequence,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, DOMAIN, ENUM, JSONB, ExcludeConstraint
from sqlalchemy.orm import DeclarativeBase

from multidb.naming import metadata

VERSION = 1


class Base(DeclarativeBase):
    metadata = metadata()


class Lower(TypeDecorator[str]):
    impl = String
    cache_ok = True


def v(first: Any, second: Any) -> Any:
    return (first, second)[VERSION - 1]


def table(name: str, *items: Any, **options: Any) -> Table:
    return Table(name, Base.metadata, Column("id", Integer, primary_key=True), *items, **options)


LONG = "a_name_that_is_longer_than_the_sixty_three_bytes_that_postgresql_keeps_of_a_name"

# Texts that a renderer may change
table("percents", Column("code", Text, server_default=text(v("'50%'", "'50%%'"))))
table(
    "coupons",
    Column("code", Text),
    Column("price", Integer),
    Column("rest", Integer, Computed(v("price % 10", "price / 10"), persisted=True)),
    CheckConstraint(v("code <> '50%'", "code <> '50%%'"), name="coupons_check"),
    Index("coupons_part", "price", postgresql_where=text(v("code <> '50%'", "code <> '50%%'"))),
    Index("coupons_key", text(v("(price % 10)", "(price / 10)"))),
)
table(
    "labels",
    Column("code", Text),
    Column("lab", Text, Computed(v(r"code || '\:x'", "code || 'NULL'"), persisted=True)),
    Column("doc", JSONB, server_default=text(v("""'{"a"\\:1}'""", """'{"a"\\:2}'"""))),
    CheckConstraint(v(r"code ~ '^(?\:a|b)\:c$'", "code ~ '^(?NULL|b)NULL$'"), name="labels_check"),
)
table(
    "quotes",
    Column("p", String(20), server_default=v("it's", "it''s")),
    Column("q", String(20), server_default=v("a\\b'c", "a\\\\b'c")),
)

# Enums
table(
    "jobs",
    Column("state", ENUM(*v(("new", "done", "old"), ("new", "done")), name="job_state"), server_default="new"),
    Index("jobs_state", "state", postgresql_where=text("state = 'new'")),
)
table("moods", Column("mood", ARRAY(ENUM("ok", "sad", name="mood", schema="app"))))

# Schemas
table("entries", Column("what", v(Text, Integer)), schema="audit")

# Domains
table("coded", Column("code", DOMAIN("code", String(9), check=text(v("VALUE <> ''", "VALUE <> 'x'")))))

# Keys and constraints
table("areas", Column("size", Integer), Column("area", Integer, Computed(v("size * size", "size * 3"), persisted=True)))
table("bodies", Column("x", Integer), CheckConstraint(v("x > 0", "x > 1"), name="bodies_check"))
Table(
    "keyed",
    Base.metadata,
    Column("a", Integer, primary_key=True),
    Column("b", Integer, primary_key=v(True, False), nullable=False, autoincrement=False),
)
table(
    "predicates",
    Column("x", Integer),
    Index("predicates_x", "x", unique=True, postgresql_where=text(v("x > 1", "x > 2"))),
)
table("parents", Column("code", Text, unique=True))
table("children", Column("parent", ForeignKey("parents.code", ondelete=v("CASCADE", "SET NULL"), deferrable=True)))
table(
    "bookings",
    Column("day", Date),
    ExcludeConstraint(("day", "="), name="bookings_day", using="btree", where=text(v("id > 1", "id > 2"))),
)
table(
    "uniques",
    Column("a", Integer),
    UniqueConstraint("a", name="uniques_a", postgresql_nulls_not_distinct=v(True, False)),
)
table(
    "codes",
    Column("code", String(9)),
    CheckConstraint(v("code IN ('a', 'b')", "code IN ('a', 'c')"), name="codes_check"),
)

# Columns
Table("things", Base.metadata, Column("id", Integer, v(None, Identity()), primary_key=True))
Table("numbers", Base.metadata, Column("id", v(Integer, BigInteger), primary_key=True))
table("identities", Column("n", Integer, Identity(start=v(1, 7))))
table("decorated", Column("a", Lower(v(20, 30))))
table("collated", Column("a", Text(collation=v("C", "POSIX"))))
table("commented", Column("a", Text, comment=v("one", "two")), comment=v("one", "two"))
table("amounts", Column("a", Numeric(v(10, 12), 2)), Column("b", Boolean, server_default=v("true", "false")))
table(
    "stamps", Column("a", Date, server_default=func.current_date()), Column("b", Enum("x", native_enum=False, length=9))
)
order_number = Sequence("order_number", start=v(1, 100), metadata=Base.metadata)
table("orders", Column("number", Integer, server_default=order_number.next_value()))

# Names
table(
    "names",
    Column(f"col_{LONG}"[:63], Integer, index=True),
    Column("Weird name", Integer, nullable=v(True, False)),
    Index("Odd.index", "Weird name"),
)
table("operators", Column("a", Text), Index("operators_a", v("a", text("a text_pattern_ops DESC NULLS LAST"))))

# Tables
table("partitioned", Column("at", Date, primary_key=True), postgresql_partition_by="RANGE (at)")
table("stored", postgresql_with={"fillfactor": v(70, 80)})
table("unlogged", prefixes=v(["UNLOGGED"], []))
