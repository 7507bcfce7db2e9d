"""Which objects of a live database are those of a revision."""

from multidb.schema.matching import match_objects
from tests.schema.examples import check, column, index, schema, users


def test_a_column_at_the_same_position_with_the_same_definition_is_renamed() -> None:
    match = match_objects(schema(users(), column("email")), schema(users(), column("mail")))
    assert [(here.name, should.name) for here, should in match.renamed] == [("users.mail", "users.email")]
    assert not match.missing
    assert not match.extra
    assert ("column", "users.email") in match.live.objects


def test_a_column_of_another_type_or_position_is_another_column() -> None:
    wanted = schema(users(), column("email"))
    for other in (column("mail", "integer"), column("mail", position=2)):
        match = match_objects(wanted, schema(users(), other))
        assert not match.renamed
        assert [*match.missing] == [("column", "users.email")]
        assert [*match.extra] == [("column", "users.mail")]


def test_the_definitions_of_a_table_follow_the_new_name_of_a_column() -> None:
    wanted = schema(users(), column("email"), check("short", "length(email) < 99"), index("by_email", "email"))
    live = schema(users(), column("mail"), check("short", "length(mail) < 99"), index("by_email", "mail"))
    match = match_objects(wanted, live)
    assert all(here == should for here, should in match.both)
    assert len(match.both) == 4


def test_a_constraint_and_an_index_with_equal_definitions_are_renamed() -> None:
    wanted = schema(users(), check("short", "true"), index("by_email", "email"))
    live = schema(users(), check("c", "true"), index("i", "email"))
    assert [(here.own_name, should.own_name) for here, should in match_objects(wanted, live).renamed] == [
        ("c", "short"),
        ("i", "by_email"),
    ]


def test_an_index_is_renamed_only_once() -> None:
    wanted = schema(users(), index("a", "email"), index("b", "email"))
    match = match_objects(wanted, schema(users(), index("i", "email")))
    assert len(match.renamed) == len(match.missing) == 1
