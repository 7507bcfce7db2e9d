"""The picture of a schema as Mermaid text, which GitHub and GitLab draw in Markdown."""

import re
from collections.abc import Iterator

from multidb.report.entities import Entities, Mark, Member

_NOT_OF_A_WORD = re.compile(r"[^\w]+")


def mermaid(entities: Entities) -> str:
    """The tables as an `erDiagram`; what pending revisions add, change and drop is in the comments of the columns."""
    return "\n".join(["erDiagram", *_lines(entities)])


def _lines(entities: Entities) -> Iterator[str]:
    numbers = {table.name: f"t{number}" for number, table in enumerate(entities.tables)}
    for table in entities.tables:
        mark = "" if table.mark is Mark.KEPT else f" ({table.mark})"
        yield f"    {numbers[table.name]}[{_quoted(table.name + mark)}] {{"
        yield from (f"        {_member(each)}" for each in table.members)
        yield "    }"
    for each in entities.references:
        mark = "" if each.mark is Mark.KEPT else f" ({each.mark})"
        yield f"    {numbers[each.source]} }}o--|| {numbers[each.target]} : {_quoted(each.columns + mark)}"


def _member(member: Member) -> str:
    """A column as `type name key "comment"`: types and names are words in Mermaid."""
    key = " PK" if member.is_key else ""
    comment = "" if member.mark is Mark.KEPT else f" {_quoted(member.mark)}"
    return f"{_word(member.text.removesuffix(' NOT NULL'))} {_word(member.name)}{key}{comment}"


def _word(text: str) -> str:
    word = _NOT_OF_A_WORD.sub("_", text).strip("_") or "_"
    return word if word[0].isalpha() else f"_{word}"


def _quoted(text: str) -> str:
    """A text in quotes; Mermaid has entities with `#` for the characters that would end it."""
    for character, entity in (("#", "#35;"), ('"', "#quot;"), ("<", "#lt;"), (">", "#gt;")):
        text = text.replace(character, entity)
    return f'"{text}"'
