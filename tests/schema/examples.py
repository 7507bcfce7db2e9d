"""Schemas and objects as they would be read, with as few words as possible."""

from typing import Any

from multidb.schema.objects import Schema, SchemaObject
from multidb.schema.postgresql.column import Column
from multidb.schema.postgresql.constraint import Constraint
from multidb.schema.postgresql.enum import Enum
from multidb.schema.postgresql.index import Index
from multidb.schema.postgresql.privilege import Privilege
from multidb.schema.postgresql.table import Table

USERS = ("table", "users")


def schema(*objects: SchemaObject) -> Schema:
    return Schema({each.key: each for each in objects}, "postgresql", 150000, "neighbor")


def users(oid: int = 10) -> Table:
    return Table(
        name="users", identifier="public.users", oid=oid, owner="@owner", inherits=(), unlogged=False,
        partitioned=None, enforcing_foreign_keys=True, storage=(),
    )  # fmt: skip


def column(name: str, type_: str = "text", **fields: Any) -> Column:
    given: dict[str, Any] = {
        "table": "public.users", "position": 1, "default": None, "not_null": False, "generated": None,
        "collation": None, "identity": None, "identity_options": None, "base_type": type_,
    }  # fmt: skip
    return Column(name=f"users.{name}", parent=USERS, identifier=name, raw_name=name, type=type_, **(given | fields))


def check(name: str, condition: str, *, valid: bool = True) -> Constraint:
    return Constraint(
        name=f"users.{name}", parent=USERS, identifier=name, table="public.users", type="c", valid=valid,
        definition=f"CHECK ({condition})", full_definition=f"CHECK ({condition})", condition=condition, keys=(),
        referenced_table=None, referenced_keys=(),
    )  # fmt: skip


def index(name: str, *keys: str, unique: bool = False, valid: bool = True) -> Index:
    return Index(
        name=f"users.{name}", parent=USERS, identifier=f"public.{name}", own_identifier=name, table="public.users",
        unique=unique, valid=valid, definition=f"USING btree ({', '.join(keys)})", keys=keys, predicate=None,
    )  # fmt: skip


def enum(*values: str) -> Enum:
    return Enum(name="mood", identifier="public.mood", qualifier="public.", owner="@owner", values=values)


def privilege(grantee: str, *privileges: str) -> Privilege:
    return Privilege(
        name=f"users: {grantee}", parent=USERS, grantee=grantee, target="TABLE public.users", privileges=privileges
    )
