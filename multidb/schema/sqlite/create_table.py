"""The CREATE TABLE of a table of SQLite as a text that can be edited: what is not edited stays as it was written."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile

from multidb.schema.sqlite.catalog import folded, is_blank, is_group, pieces, placed_tokens, quoted, split, tokens
from multidb.schema.sqlite.definition import Clause, ColumnDefinition, ConstraintDefinition, Definition, read_definition


@dataclass(eq=False)  # two constraints may have the same text
class Part:
    """A column, or constraints of the table, with the spaces and comments around the text."""

    before: str
    text: str
    after: str  # to the comma, with it, and the comments behind it on the same line

    @property
    def definition(self) -> Definition:
        return read_definition(self.text)

    @property
    def name(self) -> str:
        """The name of the column."""
        return self.definition.column.name if self.definition.column else ""

    @property
    def is_generated(self) -> bool:
        return bool(self.clauses("GENERATED"))

    def clauses(self, kind: str) -> list[Clause]:
        return [clause for clause in self.definition.clauses if clause.kind == kind]

    def text_of(self, kind: str) -> str:
        """The text of the clause of a kind; empty if there is none."""
        return next((self.text[clause.start : clause.end] for clause in self.clauses(kind)), "")

    def set_clause(self, kind: str, text: str) -> None:
        """Replace the clause of a kind, or insert one behind the name and the type. No text removes it."""
        if found := self.clauses(kind):
            self.replace(found[0], text)
        elif text:
            place = max((each.end for each in self.clauses("TYPE")), default=placed_tokens(self.text)[0].end)
            self.text = f"{self.text[:place]} {text}{self.text[place:]}"

    def set_name(self, clause: Clause, name: str | None) -> None:
        """Give a constraint this name, if it is one."""
        if name is not None:
            words = placed_tokens(self.text[clause.start : clause.end])
            start = clause.start + words[2 if clause.name is not None else 0].start
            self.text = f"{self.text[: clause.start]}CONSTRAINT {quoted(name)} {self.text[start:]}"

    def replace(self, clause: Clause, text: str = "") -> None:
        start = clause.start if text else len(self.text[: clause.start].rstrip(" "))
        before, self.text, after = _without_blanks(f"{self.text[:start]}{text}{self.text[clause.end :]}")
        self.before += before.lstrip() and before  # comments stay
        self.after = (after.rstrip() and after) + self.after


@dataclass
class CreateTable:
    """The parts of a CREATE TABLE: `sql` is the statement, edited or not."""

    head: str  # `CREATE TABLE pets (`
    parts: list[Part]
    end: str  # the space before the last parenthesis
    tail: str  # the last parenthesis, and what comes behind: `) WITHOUT ROWID`

    @classmethod
    def read(cls, sql: str) -> "CreateTable":
        group = next((token for token in placed_tokens(sql) if is_group(token.text)), None)
        if group is None:
            return cls(sql, [], "", "")
        parts: list[Part] = []
        for text in split(sql[group.start + 1 : group.end - 1]):
            before, inside, after = _without_blanks(text)
            if parts:
                behind = _on_same_line(before)
                parts[-1].after += f",{behind}"
                before = before.removeprefix(behind)
            parts.append(Part(before, inside, after))
        last = parts[-1]
        end = last.after[len(last.after.rstrip()) :]
        last.after = last.after.removesuffix(end)
        return cls(sql[: group.start + 1], parts, end, sql[group.end - 1 :])

    @property
    def sql(self) -> str:
        return "".join([self.head, *self._texts(), self.end, self.tail])

    def _texts(self) -> Iterator[str]:
        followings = [*(part.before for part in self.parts[1:]), self.end]
        for part, following in zip(self.parts, followings, strict=True):
            after = _with_comma(part.after) if part is not self.parts[-1] else _without_comma(part.after)
            is_open = after and pieces(after)[-1].startswith("--") and not following.lstrip(" \t").startswith("\n")
            yield f"{part.before}{part.text}{after}" + ("\n" if is_open else "")

    @property
    def columns(self) -> dict[str, Part]:
        """The columns by their names in lower case."""
        return {folded(part.name): part for part in self.parts if part.definition.column}

    @property
    def options(self) -> str:
        """What comes behind the definitions: `WITHOUT ROWID`."""
        return " ".join(tokens(self.tail[1:])).upper().replace(" ,", ",")

    def clauses(self, *kinds: str) -> list[tuple[Part, Clause]]:
        """The clauses of these kinds, or of all, with the parts that they are in."""
        found = [(part, clause) for part in self.parts for clause in part.definition.clauses]
        return [(part, clause) for part, clause in found if not kinds or clause.kind in kinds]

    def insert(self, place: int, text: str) -> None:
        """Insert a definition; the space before it is that of the others."""
        before = _last_space(self.parts[-1].before) or " "
        if place == 0:
            before, self.parts[0].before = self.parts[0].before, before
        self.parts.insert(place, Part(before, text, ""))

    def reorder(self, names: Sequence[str]) -> None:
        """Put the columns, by their names in lower case, in another order."""
        columns = self.columns
        first, parts = self.parts[0], [columns[name] for name in names]
        first.before, parts[0].before = parts[0].before, first.before
        self.parts[: len(parts)] = parts

    def remove(self, part: Part, clause: Clause | None = None) -> None:
        """Remove a part, or one clause of it, and the part with its last one."""
        if clause is not None:
            part.replace(clause)
        if clause is None or not part.text:
            place = self.parts.index(part)
            del self.parts[place]
            if place < len(self.parts) and "\n" not in self.parts[place].before:  # it moves up to where the part was
                self.parts[place].before = _last_space(part.before) + self.parts[place].before.lstrip()


@lru_cache(256)
def table_definition(sql: str) -> tuple[dict[str, ColumnDefinition], list[ConstraintDefinition]]:
    """The columns of a CREATE TABLE, by name, and the constraints."""
    found = CreateTable.read(sql)
    columns = [part.definition.column for part in found.parts]
    constraints = [clause.constraint for _, clause in found.clauses()]
    return {each.name: each for each in columns if each}, [each for each in constraints if each]


def _without_blanks(text: str) -> tuple[str, str, str]:
    """A text between the blanks before and after it."""
    found = pieces(text)
    before = "".join(takewhile(is_blank, found))
    after = "".join(reversed(list(takewhile(is_blank, reversed(found)))))
    return before, text[len(before) : len(text) - len(after)], after


def _on_same_line(blanks: str) -> str:
    """The comments behind a comma that end its line; where a definition follows on the line, they are its own."""
    found = "".join(takewhile(lambda piece: "\n" not in piece, pieces(blanks)))
    return found if found.strip() and found != blanks else ""


def _last_space(blanks: str) -> str:
    return blanks[len(blanks.rstrip()) :]


def _with_comma(blanks: str) -> str:
    return blanks if "," in pieces(blanks) else f",{blanks}"


def _without_comma(blanks: str) -> str:
    return "".join(piece for piece in pieces(blanks) if piece != ",")
