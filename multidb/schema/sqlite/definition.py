"""What a CREATE TABLE of SQLite says and no PRAGMA returns.

https://sqlite.org/syntax/column-constraint.html, https://sqlite.org/syntax/table-constraint.html
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from multidb.schema.sqlite.catalog import is_group, one_line, parts, quoted, split, tokens, unquoted

_TABLE_CONSTRAINTS = ("CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN")
_STARTS = {*_TABLE_CONSTRAINTS, "NOT", "NULL", "DEFAULT", "COLLATE", "REFERENCES", "GENERATED", "AS"}  # of a clause
# What changes nothing is not part of a definition.
_ACTIONS = {"ON UPDATE": "NO ACTION", "ON DELETE": "NO ACTION"}


@dataclass(frozen=True)
class ConstraintDefinition:
    """A constraint of a table, whether it is written with a column or not: `UNIQUE (a, b) ON CONFLICT REPLACE`."""

    text: str
    keys: tuple[str, ...] = ()  # of PRIMARY KEY and UNIQUE, as a SELECT can have them


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
class TableDefinition:
    """The columns and constraints of a CREATE TABLE."""

    columns: dict[str, ColumnDefinition] = field(default_factory=dict)
    constraints: list[ConstraintDefinition] = field(default_factory=list)


@lru_cache(256)
def table_definition(sql: str) -> TableDefinition:
    """Read a CREATE TABLE."""
    found = TableDefinition()
    for part in parts(sql)[0]:
        _Reader(part, found).read()
    return found


class _Reader:
    """Reads one column, or one table constraint."""

    def __init__(self, text: str, table: TableDefinition) -> None:
        self._text, self._table = text, table
        self._left = tokens(text)
        self._column = ColumnDefinition("", text)

    def read(self) -> None:
        if self._left and self._word() not in _TABLE_CONSTRAINTS:
            self._column.name = unquoted(self._left.pop(0))
            self._table.columns[self._column.name] = self._column
            while self._left and self._word() not in _STARTS:  # the type
                self._left.pop(0)
        while self._left:
            self._read_clause()

    def _read_clause(self) -> None:
        word = self._taken()
        if word in ("PRIMARY", "UNIQUE", "CHECK", "FOREIGN", "REFERENCES"):
            self._read_constraint(word)
        else:
            self._read_attribute(word)

    def _read_constraint(self, word: str) -> None:
        match word:
            case "PRIMARY":
                self._taken()  # KEY
                self._add_key("PRIMARY KEY")
            case "UNIQUE":
                self._add_key("UNIQUE")
            case "CHECK":
                self._add(f"CHECK ({one_line(self._left.pop(0)[1:-1])})")
            case "FOREIGN":
                self._taken()  # KEY
                columns = self._names()
                self._taken()  # REFERENCES
                self._add_foreign_key(columns)
            case "REFERENCES":
                self._add_foreign_key(quoted(self._column.name))

    def _read_attribute(self, word: str) -> None:
        match word:
            case "CONSTRAINT":
                self._left.pop(0)  # its name
            case "NOT":
                self._taken()  # NULL
                self._column.on_conflict = self._conflict()
            case "COLLATE":
                self._column.collation = unquoted(self._left.pop(0)).upper()
            case "AS":
                expression = one_line(self._left.pop(0))
                self._column.generated = f"{expression} STORED" if self._given("STORED") else expression
            case "DEFAULT":
                self._left.pop(0)
                while self._left and self._word() not in _STARTS:  # a sign, the parts of a number
                    self._left.pop(0)

    def _add(self, text: str, keys: tuple[str, ...] = ()) -> None:
        self._table.constraints.append(ConstraintDefinition(text, keys))

    def _add_key(self, words: str) -> None:
        if self._left and is_group(self._left[0]):
            columns = [_key(text) for text in split(self._left.pop(0)[1:-1])]
        else:
            self._given("ASC")
            columns = [(quoted(self._column.name), self._given("DESC"))]
        conflict = self._conflict()
        self._column.autoincrement |= bool(self._given("AUTOINCREMENT"))
        listed = ", ".join(" ".join(filter(None, column)) for column in columns)
        text = f"{words} ({listed})" + (f" ON CONFLICT {conflict}" if conflict else "")
        self._add(text, tuple(expression for expression, _ in columns))

    def _add_foreign_key(self, columns: str) -> None:
        words = [f"FOREIGN KEY ({columns}) REFERENCES {quoted(unquoted(self._left.pop(0)))}"]
        words += [f"({self._names()})"] if self._left and is_group(self._left[0]) else []
        clauses = dict(self._clauses_of_foreign_key())
        for event, usual in _ACTIONS.items():
            words += [f"{event} {clauses[event]}"] if clauses.get(event, usual) != usual else []
        words += [clauses[name] for name in ("MATCH", "DEFERRABLE") if clauses.get(name)]
        self._add(" ".join(words))

    def _clauses_of_foreign_key(self) -> Iterator[tuple[str, str]]:
        while self._word() in ("ON", "MATCH", "NOT", "DEFERRABLE", "INITIALLY"):
            if self._word() == "NOT" and self._word(1) != "DEFERRABLE":
                return
            match self._taken():
                case "ON":
                    event, action = self._taken(), self._taken()
                    yield f"ON {event}", f"{action} {self._taken()}" if action in ("SET", "NO") else action
                case "MATCH":
                    yield "MATCH", f"MATCH {unquoted(self._left.pop(0)).upper()}"
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

    def _names(self) -> str:
        return ", ".join(quoted(unquoted(text)) for text in split(self._left.pop(0)[1:-1]))

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
        return self._left[place].upper() if len(self._left) > place else ""

    def _taken(self) -> str:
        return self._left.pop(0).upper() if self._left else ""


def _key(text: str) -> tuple[str, str]:
    """A column of a key, with its collation, and whether it is descending."""
    words = tokens(text)
    order = words.pop().upper() if words[-1].upper() in ("ASC", "DESC") else ""
    if len(words) == 3 and words[1].upper() == "COLLATE":
        words[1:] = ["COLLATE", unquoted(words[2]).upper()]
    return " ".join([quoted(unquoted(words[0])), *words[1:]]), order if order == "DESC" else ""
