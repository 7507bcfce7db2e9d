"""Parts of sentences."""

from multidb.output import listed, shortened
from tests.schema.examples import column, enum, index, users


def test_words_are_enumerated() -> None:
    assert [listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])] == ["a", "a and b", "a, b and c"]


def test_a_text_is_put_on_one_line_and_cut() -> None:
    assert shortened("a\n   b") == "a b"
    assert shortened("x" * 121) == f"{'x' * 120}…"


def test_labels_and_summaries() -> None:
    assert [each.label for each in (users(), enum("a"))] == ["table users", "enum type mood"]
    objects = (users(), column("a", not_null=True), index("i", "a"), enum("a", "b"))
    assert [each.summary for each in objects] == ["", "text NOT NULL", "USING btree (a)", "a, b"]


def test_attributes_without_a_value_are_named() -> None:
    assert users().phrase("inherits") == ("inherits from", "nothing")
    assert users().phrase("unlogged") == ("", "is not unlogged")
    assert users().phrase("owner") == ("is owned by", "the database owner")
