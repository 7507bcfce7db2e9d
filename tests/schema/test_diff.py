"""The differences between two schemas: severity, sentence, repair, order."""

from typing import Any

import pytest

from multidb.schema.diff import differences, distance, extras
from multidb.schema.difference import Difference
from multidb.schema.objects import SchemaObject
from tests.schema.examples import check, column, enum, index, privilege, schema, users


def compare(wanted: SchemaObject, live: SchemaObject, *ignored: str) -> list[Difference]:
    return differences(schema(users(), wanted), schema(users(), live), "auth_0001", ignored)


@pytest.mark.parametrize(
    ("wanted", "live", "severity", "sentence"),
    [
        ({"type_": "uuid"}, {"type_": "text"}, "risky", "is text, auth_0001 says uuid"),
        ({"not_null": True}, {}, "risky", "allows NULL, auth_0001 says it is NOT NULL"),
        ({}, {"not_null": True}, "risky", "is NOT NULL, auth_0001 says it allows NULL"),
        ({"default": "now()"}, {}, "harmless", "has no default, auth_0001 says default now()"),
        ({"default": "1"}, {"default": "2"}, "risky", "has default 2, auth_0001 says default 1"),
        ({}, {"default": "1"}, "extra", "has default 1, auth_0001 says no default"),
        ({"generated": "a"}, {}, "risky", "has no expression, auth_0001 says expression a"),
        ({"identity": "ALWAYS"}, {}, "risky", "has no identity, auth_0001 says identity ALWAYS"),
    ],
)
def test_a_column_that_differs(wanted: dict[str, Any], live: dict[str, Any], severity: str, sentence: str) -> None:
    [found] = compare(column("email", **wanted), column("email", **live))
    assert (found.severity, found.sentence) == (severity, f"column users.email {sentence}")


def test_a_renamed_column_and_a_renamed_index() -> None:
    [found] = compare(column("email"), column("mail"))
    assert found.name == "users.email.name"
    assert found.severity == "risky"
    assert found.sentence == "column users.mail looks like a rename of email (same position and definition)"
    assert found.ddl == ["ALTER TABLE public.users RENAME COLUMN mail TO email;"]
    [found] = compare(index("by_email", "email"), index("i", "email"))
    assert (found.severity, found.sentence) == ("harmless", "index users.i is called by_email in auth_0001")
    assert found.ddl == ["ALTER INDEX public.i RENAME TO by_email;"]


def test_an_enum_lacks_values_has_extra_ones_or_another_order() -> None:
    lacks, extra = compare(enum("sad", "ok", "glad"), enum("ok", "low"))
    assert (lacks.severity, lacks.sentence) == ("harmless", "enum type mood lacks the values sad and glad")
    assert (extra.name, extra.severity) == ("mood.low", "extra")
    [order] = compare(enum("sad", "ok"), enum("ok", "sad"))
    assert (order.name, order.severity) == ("mood.order", "risky")
    assert order.sentence == "enum type mood has the order ok, sad, auth_0001 says sad, ok"
    assert compare(enum("ok"), enum("ok", "low"), "low") == []
    order, _ = compare(enum("a", "b"), enum("b", "extra", "a"))
    assert order.ddl[1] == "CREATE TYPE public.mood AS ENUM ('a', 'b', 'extra');"


def test_privileges_that_are_missing_and_extra() -> None:
    lacks, extra = compare(privilege("PUBLIC", "SELECT"), privilege("PUBLIC", "DELETE", "UPDATE"))
    assert (lacks.severity, lacks.sentence) == ("harmless", "PUBLIC lacks SELECT on users")
    assert lacks.ddl == ["GRANT SELECT ON TABLE public.users TO PUBLIC;"]
    assert extra.sentence == "PUBLIC has DELETE and UPDATE on users; auth_0001 does not grant them"
    assert extra.ddl == ["REVOKE DELETE, UPDATE ON TABLE public.users FROM PUBLIC;"]


def test_an_index_is_harmless_unless_it_is_unique() -> None:
    [found] = differences(schema(users(), index("i", "email")), schema(users()), "auth_0001")
    assert (found.severity, found.violations) == ("harmless", ())
    assert found.sentence == "index users.i is missing: USING btree (email)"
    [found] = differences(schema(users(), index("i", "email", unique=True)), schema(users()), "auth_0001")
    assert found.severity == "risky"
    assert found.violations
    [found] = compare(index("i", "email"), index("i", "email", valid=False))
    assert (found.severity, found.ddl) == ("harmless", ["REINDEX INDEX public.i;"])


def test_children_are_no_differences_of_their_own() -> None:
    objects = (users(), column("email"), check("short", "true"), privilege("PUBLIC", "SELECT"))
    [missing] = differences(schema(*objects), schema(), "auth_0001")
    assert missing.sentence == "table users is missing"
    assert missing.ddl == [
        "CREATE TABLE public.users (email text);",
        "ALTER TABLE public.users ADD CONSTRAINT short CHECK (true);",
        "ALTER TABLE public.users OWNER TO neighbor;",
        "GRANT SELECT ON TABLE public.users TO PUBLIC;",
    ]
    [extra] = differences(schema(), schema(*objects), "auth_0001")
    assert (extra.severity, extra.ddl) == ("extra", ["DROP TABLE public.users;"])


def test_extra_objects_whose_names_match_a_pattern_are_ignored() -> None:
    live = schema(users(), column("email"))
    for pattern in ("users", "users.email", "email", "em*"):
        assert differences(schema(users()), live, "auth_0001", [pattern]) == []
        assert distance(schema(users()), live, [pattern]) == 0
    assert len(differences(schema(users()), live, "auth_0001", ["user"])) == 1
    assert [*extras(schema(users()), live)] == [("column", "users.email")]
    granted = schema(users(), privilege("reporting", "SELECT"))
    assert differences(schema(users()), granted, "auth_0001", ["report*"]) == []


def test_renames_are_first_and_extra_objects_are_last_and_backwards() -> None:
    wanted = schema(users(), column("email", position=1), column("age", position=2, type_="integer"))
    live = schema(users(), column("mail", position=1), column("a", "date", oid=11), column("b", "uuid", oid=12))
    assert [each.name for each in differences(wanted, live, "auth_0001")] == [
        "users.email.name",
        "users.age",
        "users.b",
        "users.a",
    ]


def test_the_distance_counts_objects_and_attributes() -> None:
    wanted = schema(users(), column("email", not_null=True, default="''"), column("age", position=2))
    assert distance(wanted, wanted) == 0
    assert distance(schema(users(), column("email")), schema(users(), column("mail"))) == 1
    assert distance(wanted, schema(users(), column("email"), column("x", "uuid", position=9))) == 4
