"""Tables of SQLite drawn at random, as texts that a person or a tool could have written."""

from dataclasses import dataclass, replace

from hypothesis import strategies as st

# Spaces between words, with what a reader of SQL could stumble over.
GAPS = st.sampled_from([" ", " ", " ", "  ", "\n  ", "\t", " /* , ( ' */ ", " -- it's ), \"\n  ", "/**/"])
EDGES = st.sampled_from(["", " ", "\n    ", " -- about, (\n", "\n /* x */ "])
COLUMN_NAMES = ["a", "B", '"we(ird"', "[br ack,et]", "`tick`", '"ord""er"', "naïve", "b$1", '"select"', "'quoted'"]
LITERAL = st.text(alphabet=":abz'\"%\\,()-/*[]`;\n 1é?@$", max_size=8).map(
    lambda text: "'" + text.replace("'", "''") + "'"
)
DEFAULTS = st.one_of(
    LITERAL,
    LITERAL.map(lambda text: f"(lower({text}) || ':x')"),
    st.sampled_from(["-1", "+ 1.5e3", "NULL", "CURRENT_TIMESTAMP", "TRUE", "x'00'", "(datetime('now', 'localtime'))"]),
)
PLAIN_TYPES = ["", "INTEGER", "TEXT", "VARCHAR(20)", "NUMERIC(6, 2)", "JSON", "BLOB", "DOUBLE PRECISION", "INT"]
STRICT_TYPES = ["INTEGER", "TEXT", "BLOB", "REAL", "ANY", "INT"]
OPTIONS = ["", "", "", " STRICT", " WITHOUT ROWID", " without rowid, STRICT", " -- end\n"]
KEYS = {"inline": "PRIMARY KEY", "number": "primary key", "counted": "PRIMARY KEY AUTOINCREMENT"}
CONSTRAINT_NAMES = st.sampled_from([None, None, "ck", '"n (1"', "[n 2]"])
CONFLICTS = st.sampled_from(
    ["", " ON CONFLICT REPLACE", " ON CONFLICT IGNORE", " ON CONFLICT ABORT", " on conflict fail"]
)
REFERRED = st.sampled_from(
    [
        "other",
        "other (k) ON DELETE CASCADE",
        "other(w) ON UPDATE SET NULL MATCH FULL DEFERRABLE INITIALLY DEFERRED",
        "other NOT DEFERRABLE",
    ]
)
VALUES = st.one_of(st.integers(-5, 99).map(str), LITERAL, st.sampled_from(["NULL", "x'00ff'", "1.5"]))


def unquoted(name: str) -> str:
    """The name of a column without its quotes."""
    if name[0] in "\"'`":
        return name[1:-1].replace(name[0] * 2, name[0])
    return name[1:-1] if name[0] == "[" else name


def reference(name: str) -> str:
    """A column's name as an expression has it, where a name in single quotes would be a text."""
    return '"quoted"' if name == "'quoted'" else name


@dataclass(frozen=True)
class Clause:
    kind: str
    text: str
    uses: frozenset[str] = frozenset()  # columns, by their names in SQL
    name: str | None = None

    @property
    def sql(self) -> str:
        return f"CONSTRAINT {self.name} {self.text}" if self.name else self.text


@dataclass(frozen=True)
class Part:
    """A column, or a constraint of the table: what it consists of, and the spaces between."""

    words: tuple[Clause, ...]
    gaps: tuple[str, ...]
    edges: tuple[str, str]

    @property
    def is_column(self) -> bool:
        return self.words[0].kind == "NAME"

    @property
    def column(self) -> str:
        """The column's name, as the statement has it."""
        return self.words[0].text if self.is_column else ""

    @property
    def sql(self) -> str:
        following = "".join(gap + word.sql for word, gap in zip(self.words[1:], self.gaps, strict=True))
        return f"{self.edges[0]}{self.words[0].sql}{following}{self.edges[1]}"

    def of_kind(self, kind: str) -> Clause | None:
        return next((word for word in self.words if word.kind == kind), None)

    def changed(self, kind: str, text: str) -> "Part":
        """The part with another clause of a kind, or without."""
        old = self.of_kind(kind)
        if old is not None:
            new = replace(old, text=text)
            return self._of(
                [(new if word is old else word, gap) for word, gap in self._pairs if word is not old or text]
            )
        if not text:
            return self
        place = 2 if self.of_kind("TYPE") else 1
        return self._of([*self._pairs[:place], (Clause(kind, text), " "), *self._pairs[place:]])

    def without(self, word: Clause) -> "Part":
        return self._of([pair for pair in self._pairs if pair[0] is not word])

    @property
    def _pairs(self) -> list[tuple[Clause, str]]:
        return list(zip(self.words, ("", *self.gaps), strict=True))

    def _of(self, pairs: list[tuple[Clause, str]]) -> "Part":
        return replace(self, words=tuple(word for word, _ in pairs), gaps=tuple(gap for _, gap in pairs[1:]))


@dataclass(frozen=True)
class Table:
    parts: tuple[Part, ...]
    options: str
    others: tuple[tuple[str, str, frozenset[str]], ...]  # kind, statement and columns of indexes, triggers, views
    rows: tuple[str, ...]

    @property
    def columns(self) -> list[Part]:
        return [part for part in self.parts if part.is_column]

    @property
    def has_rowid(self) -> bool:
        return "rowid" not in self.options.lower()

    @property
    def create(self) -> str:
        return f"CREATE TABLE t ({','.join(part.sql for part in self.parts)}){self.options}"

    @property
    def script(self) -> str:
        """All statements that make the table, its rows, and what belongs to it."""
        before = "CREATE TABLE other (k INTEGER PRIMARY KEY, w TEXT UNIQUE); CREATE TABLE log (w)"
        return ";\n".join([before, self.create, *map(self.insert, self.rows), *(sql for _, sql, _ in self.others)])

    def insert(self, row: str) -> str:
        stored = ", ".join(part.column for part in self.columns if not part.of_kind("GENERATED"))
        return f"INSERT OR IGNORE INTO t ({stored}) VALUES ({row})"

    def with_part(self, old: Part, new: Part) -> "Table":
        return replace(self, parts=tuple(new if part is old else part for part in self.parts))

    def inserted(self, place: int, text: str) -> "Table":
        part = Part((Clause("", text),), (), (" ", ""))
        return replace(self, parts=(*self.parts[:place], part, *self.parts[place:]))

    def without(self, part: Part, word: Clause) -> "Table":
        if len(part.words) > 1:
            return self.with_part(part, part.without(word))
        return replace(self, parts=tuple(each for each in self.parts if each is not part))


@st.composite
def tables(draw: st.DrawFn) -> Table:
    """Most of them can be created."""
    options = draw(st.sampled_from(OPTIONS))
    names = draw(st.lists(st.sampled_from(COLUMN_NAMES), min_size=2, max_size=5, unique=True))
    has_rowid = "rowid" not in options.lower()
    key = draw(st.sampled_from(["inline", "table", "number", *(["none", "counted"] if has_rowid else [])]))
    types = STRICT_TYPES if "STRICT" in options else PLAIN_TYPES
    parts = [_column(draw, name, names, types, key if name == names[0] else "") for name in names]
    if key == "table":
        parts.append(_primary_key(draw, names))
    parts += [_constraint(draw, names) for _ in range(draw(st.integers(0, 3)))]
    others = [_other(draw, number, names) for number in range(draw(st.integers(0, 3)))]
    stored = sum(part.is_column and not part.of_kind("GENERATED") for part in parts)
    rows = draw(st.lists(st.lists(VALUES, min_size=stored, max_size=stored).map(", ".join), max_size=4))
    return Table(tuple(parts), options, tuple(others), tuple(rows))


def _column(draw: st.DrawFn, name: str, names: list[str], types: list[str], key: str) -> Part:
    type_ = "INTEGER" if key in ("number", "counted") else draw(st.sampled_from(types))
    words = [Clause("NAME", name), *([Clause("TYPE", type_)] if type_ else [])]
    clauses = [_check(draw, [name]) for _ in range(draw(st.integers(0, 2)))]
    if key in KEYS:
        clauses.append(Clause("PRIMARY KEY", KEYS[key], frozenset([name]), draw(CONSTRAINT_NAMES)))
    elif name != names[0] and draw(st.integers(0, 5)) == 0:
        begin = draw(st.sampled_from(["GENERATED ALWAYS AS ", "AS"]))
        text = f"{begin}({reference(names[0])} || {draw(LITERAL)}){draw(st.sampled_from(['', ' STORED', ' VIRTUAL']))}"
        return _part(draw, [*words, Clause("GENERATED", text, frozenset([names[0], name])), *clauses])
    elif draw(st.booleans()):
        clauses.append(Clause("DEFAULT", f"DEFAULT {draw(DEFAULTS)}"))
    if draw(st.integers(0, 3)) == 0:
        clauses.append(Clause("NOT NULL", f"NOT NULL{draw(CONFLICTS)}", frozenset([name])))
    if draw(st.integers(0, 4)) == 0:
        clauses.append(Clause("UNIQUE", f"UNIQUE{draw(CONFLICTS)}", frozenset([name]), draw(CONSTRAINT_NAMES)))
    if draw(st.integers(0, 3)) == 0:
        clauses.append(Clause("COLLATE", draw(st.sampled_from(["COLLATE NOCASE", 'collate "RTRIM"']))))
    if draw(st.integers(0, 4)) == 0:
        text = f"REFERENCES {draw(REFERRED)}"
        clauses.append(Clause("REFERENCES", text, frozenset([name]), draw(CONSTRAINT_NAMES)))
    return _part(draw, [*words, *draw(st.permutations(clauses))])


def _primary_key(draw: st.DrawFn, names: list[str]) -> Part:
    used = list(dict.fromkeys([names[0], draw(st.sampled_from(names))]))
    text = f"PRIMARY KEY ({', '.join(map(reference, used))})"
    return _part(draw, [Clause("PRIMARY KEY", text, frozenset(used), draw(CONSTRAINT_NAMES))])


def _constraint(draw: st.DrawFn, names: list[str]) -> Part:
    used = draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True))
    match draw(st.sampled_from(["UNIQUE", "CHECK", "REFERENCES"])):
        case "CHECK":
            return _part(draw, [_check(draw, used)])
        case "UNIQUE":
            listed = ", ".join(
                f"{reference(name)}{draw(st.sampled_from(['', ' COLLATE NOCASE', ' DESC']))}" for name in used
            )
            text = f"UNIQUE ({listed}){draw(CONFLICTS)}"
            return _part(draw, [Clause("UNIQUE", text, frozenset(used), draw(CONSTRAINT_NAMES))])
    text = f"FOREIGN KEY ({reference(used[0])}) REFERENCES {draw(REFERRED)}"
    return _part(draw, [Clause("REFERENCES", text, frozenset(used[:1]), draw(CONSTRAINT_NAMES))])


def _check(draw: st.DrawFn, used: list[str]) -> Clause:
    expression = " OR ".join(f"{reference(name)} <> {draw(LITERAL)}" for name in used)
    return Clause("CHECK", f"CHECK ({expression})", frozenset(used), draw(CONSTRAINT_NAMES))


def _other(draw: st.DrawFn, number: int, names: list[str]) -> tuple[str, str, frozenset[str]]:
    first, second = draw(st.sampled_from(names)), draw(st.sampled_from(names))
    name, one, both = reference(first), frozenset([first]), frozenset([first, second])
    match draw(st.sampled_from(["index", "expression", "partial", "trigger", "of", "view"])):
        case "index":
            return "index", f"CREATE INDEX i{number} ON t ({name} COLLATE NOCASE DESC)", one
        case "expression":
            return "index", f"CREATE INDEX i{number} ON t (lower({name}), {reference(second)})", both
        case "partial":
            sql = f"CREATE INDEX i{number} ON t ({name}) WHERE {reference(second)} <> {draw(LITERAL)}"
            return "index", sql, both
        case "trigger":
            body = f"INSERT INTO log VALUES ({draw(LITERAL)}); INSERT INTO log VALUES (new.{name});"
            return "trigger", f"CREATE TRIGGER g{number} AFTER INSERT ON t BEGIN {body} END", one
        case "of":
            sql = f"CREATE TRIGGER g{number} BEFORE UPDATE OF {name} ON t BEGIN SELECT {draw(LITERAL)}; END"
            return "trigger", sql, one
    return "view", f"CREATE VIEW v{number} AS SELECT {name}, {draw(LITERAL)} AS x FROM t", one


def _part(draw: st.DrawFn, words: list[Clause]) -> Part:
    gaps = tuple(draw(GAPS) for _ in words[1:])
    return Part(tuple(words), gaps, (draw(EDGES), draw(EDGES)))
