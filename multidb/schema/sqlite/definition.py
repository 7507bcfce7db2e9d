"""What a column or a table constraint in a CREATE TABLE of SQLite says, and where; no PRAGMA returns all of it.

https://sqlite.org/syntax/column-constraint.html, https://sqlite.org/syntax/table-constraint.html
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from multidb.schema.sqlite.catalog import is_group, names_in, one_line, placed_tokens, quoted, split, tokens, unquoted

_TABLE_CONSTRAINTS = ("CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN")
_STARTS = {*_TABLE_CONSTRAINTS, "NOT", "NULL", "DEFAULT", "COLLATE", "REFERENCES", "GENERATED", "AS"}  # of a clause
# What changes nothing is not part of a definition.
_ACTIONS = {"ON UPDATE": "NO ACTION", "ON DELETE": "NO ACTION"}


@dataclass(frozen=True)
class ConstraintDefinition:
    """A constraint of a table, whether it is written with a column or not: `UNIQUE (a, b) ON CONFLICT REPLACE`."""

    text: str
    keys: tuple[str, ...] = ()  # of PRIMARY KEY and UNIQUE, as a SELECT can have them
    columns: tuple[str, ...] = ()  # of its table; of a CHECK, all words that may be columns
    parent: str = ""  # the table that a foreign key refers to


@dataclass(frozen=True)
class Clause:
    """A part of a definition, with the name of a constraint, and its place in the text, in characters."""

    kind: str  # `TYPE`, `NOT NULL`, `NULL`, `DEFAULT`, `COLLATE`, `GENERATED`, or a constraint such as `PRIMARY KEY`
    start: int
    end: int
    name: str | None = None
    constraint: ConstraintDefinition | None = None


@dataclass
class ColumnDefinition:
    """A column: its text, and what its clauses say."""

    name: str
    text: str
    collation: str | None = None
    generated: str | None = None  # `(a * 2) STORED`
    autoincrement: bool = False
    on_conflict: str | None = None  # of NOT NULL


@dataclass
class Definition:
    """A column, or what stands between two commas after the columns: constraints of the table."""

    column: ColumnDefinition | None = None
    clauses: list[Clause] = field(default_factory=list)


@lru_cache(512)
def read_definition(text: str) -> Definition:
    return _Reader(text).definition


class _Reader:
    def __init__(self, text: str) -> None:
        self._left = placed_tokens(text)
        self._end = 0  # of what was read
        self._column = ColumnDefinition("", text)
        self.definition = Definition()
        if self._left and self._word() not in _TABLE_CONSTRAINTS:
            self._column.name = unquoted(self._next())
            self.definition.column = self._column
            self._read_type()
        while self._left:
            self._read_clause()

    def _read_type(self) -> None:
        start = self._left[0].start if self._left else 0
        has_type = False
        while self._left and self._word() not in _STARTS:
            self._next()
            has_type = True
        if has_type:
            self._note("TYPE", start)

    def _read_clause(self) -> None:
        start, name = self._left[0].start, None
        while self._left and self._given("CONSTRAINT"):  # of several names, the last one counts
            name = unquoted(self._next())
        word = self._taken()
        constraint = self._read_constraint(word)
        if constraint is not None:
            kind = {"PRIMARY": "PRIMARY KEY", "FOREIGN": "REFERENCES"}.get(word, word)
            self._note(kind, start, name, constraint)
        else:
            self._note(self._read_attribute(word), start, name)

    def _note(self, kind: str, start: int, name: str | None = None, made: ConstraintDefinition | None = None) -> None:
        self.definition.clauses.append(Clause(kind, start, self._end, name, made))

    def _read_constraint(self, word: str) -> ConstraintDefinition | None:
        match word:
            case "PRIMARY":
                self._taken()  # KEY
                return self._key_constraint("PRIMARY KEY")
            case "UNIQUE":
                return self._key_constraint("UNIQUE")
            case "CHECK":
                group = self._next()
                self._conflict()  # SQLite accepts ON CONFLICT here, and ignores it
                return ConstraintDefinition(f"CHECK ({one_line(group[1:-1])})", columns=tuple(names_in(group)))
            case "FOREIGN":
                self._taken()  # KEY
                columns = self._names()
                self._taken()  # REFERENCES
                return self._foreign_key(columns)
            case "REFERENCES":
                return self._foreign_key([self._column.name])
        return None

    def _read_attribute(self, word: str) -> str:
        """Read what is no constraint, and return its kind."""
        match word:
            case "NOT":
                self._taken()  # NULL
                self._column.on_conflict = self._conflict()
                return "NOT NULL"
            case "NULL":
                self._conflict()
            case "COLLATE":
                self._column.collation = unquoted(self._next()).upper()
            case "GENERATED" | "AS":
                if word == "GENERATED":
                    self._taken()  # ALWAYS
                    self._taken()  # AS
                expression = one_line(self._next())
                self._column.generated = f"{expression} STORED" if self._given("STORED") else expression
                self._given("VIRTUAL")
                return "GENERATED"
            case "DEFAULT":
                self._next()
                while self._left and self._word() not in _STARTS:  # a sign, the parts of a number
                    self._next()
        return word

    def _key_constraint(self, words: str) -> ConstraintDefinition:
        if self._left and is_group(self._left[0].text):
            columns = [_key(text) for text in split(self._next()[1:-1])]
        else:
            self._given("ASC")
            columns = [(self._column.name, "", self._given("DESC"))]
        conflict = self._conflict()
        self._column.autoincrement |= bool(self._given("AUTOINCREMENT"))
        listed = ", ".join(" ".join(filter(None, (quoted(name), *rest))) for name, *rest in columns)
        text = f"{words} ({listed})" + (f" ON CONFLICT {conflict}" if conflict else "")
        keys = tuple(" ".join(filter(None, (quoted(name), collation))) for name, collation, _ in columns)
        return ConstraintDefinition(text, keys, tuple(name for name, *_ in columns))

    def _foreign_key(self, columns: list[str]) -> ConstraintDefinition:
        listed = ", ".join(quoted(name) for name in columns)
        parent = unquoted(self._next())
        words = [f"FOREIGN KEY ({listed}) REFERENCES {quoted(parent)}"]
        if self._left and is_group(self._left[0].text):
            words.append(f"({', '.join(quoted(name) for name in self._names())})")
        clauses = dict(self._clauses_of_foreign_key())
        for event, usual in _ACTIONS.items():
            words += [f"{event} {clauses[event]}"] if clauses.get(event, usual) != usual else []
        words += [clauses[name] for name in ("MATCH", "DEFERRABLE") if clauses.get(name)]
        return ConstraintDefinition(" ".join(words), columns=tuple(columns), parent=parent)

    def _clauses_of_foreign_key(self) -> Iterator[tuple[str, str]]:
        while self._word() in ("ON", "MATCH", "NOT", "DEFERRABLE", "INITIALLY"):
            if self._word() == "NOT" and self._word(1) != "DEFERRABLE":
                return
            match self._taken():
                case "ON":
                    event, action = self._taken(), self._taken()
                    yield f"ON {event}", f"{action} {self._taken()}" if action in ("SET", "NO") else action
                case "MATCH":
                    yield "MATCH", f"MATCH {unquoted(self._next()).upper()}"
                case "DEFERRABLE":
                    yield "DEFERRABLE", f"DEFERRABLE{self._initially()}"
                case "NOT":
                    self._taken()
                    self._initially()
                    yield "DEFERRABLE", ""

    def _initially(self) -> str:
        if not self._given("INITIALLY"):
            return ""
        return " INITIALLY DEFERRED" if self._taken() == "DEFERRED" else ""

    def _names(self) -> list[str]:
        return [unquoted(tokens(text)[0]) for text in split(self._next()[1:-1])]

    def _conflict(self) -> str | None:
        if not (self._word() == "ON" and self._word(1) == "CONFLICT"):
            return None
        self._taken()
        self._taken()
        action = self._taken()
        return None if action == "ABORT" else action

    def _given(self, word: str) -> str:
        return self._taken() if self._word() == word else ""

    def _word(self, place: int = 0) -> str:
        return self._left[place].text.upper() if len(self._left) > place else ""

    def _taken(self) -> str:
        return self._next().upper() if self._left else ""

    def _next(self) -> str:
        token = self._left.pop(0)
        self._end = token.end
        return token.text


def _key(text: str) -> tuple[str, str, str]:
    """A column of a key, its collation, and whether it is descending."""
    words = tokens(text)
    order = words.pop().upper() if words[-1].upper() in ("ASC", "DESC") else ""
    collation = f"COLLATE {unquoted(words[2]).upper()}" if len(words) > 2 else ""
    return unquoted(words[0]), collation, order if order == "DESC" else ""
