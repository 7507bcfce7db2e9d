"""Alter a table by editing its CREATE TABLE: what no operation names stays as it was written.

Alembic's batch mode makes the new table from SQLAlchemy's reflection instead. Reflection sees no triggers, no unnamed
CHECKs, no AUTOINCREMENT and much else, and a `:word` in a default becomes a parameter.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from sqlalchemy import CheckConstraint, Column, Connection, Constraint, Integer, MetaData, Table
from sqlalchemy.exc import IntegrityError
from sqlalchemy.schema import CreateColumn
from sqlalchemy.util import topological

from multidb.advice.codes import Code
from multidb.advice.said import first_line
from multidb.database.quoting import literal
from multidb.errors import MigrationError, nearest
from multidb.schema.sqlite.catalog import folded, names_in, placed_tokens, quoted
from multidb.schema.sqlite.create_table import CreateTable, Part
from multidb.schema.sqlite.definition import Clause, ConstraintDefinition, read_definition
from multidb.schema.sqlite.rebuild import rebuild

_ROWIDS = ("rowid", "_rowid_", "oid")  # each is the number of a row, unless a column has the name
_OPTIONS = ("WITHOUT ROWID", "STRICT")
_FACTS = """
    SELECT c.name, upper(c.type), c.dflt_value, c.hidden, c."notnull", c.pk
    FROM sqlite_master t, pragma_table_xinfo(t.name) c WHERE t.type = 'table' AND t.name = ? ORDER BY c.cid
"""
_PARTS = """
    SELECT type, name, sql FROM sqlite_master WHERE tbl_name = ? COLLATE NOCASE AND sql IS NOT NULL ORDER BY rowid
"""


def rename_columns(connection: Connection, table: str, names: Mapping[str, str]) -> dict[str, str]:
    """Let SQLite rename columns: in indexes, triggers, views and other tables' keys, too.

    Args:
        names: the new names by the old ones. One may be that of another column, which is renamed or dropped, too.

    Returns:
        The present names of columns by the names that they had, in lower case.
    """
    if not names:
        return {}
    known = _table_of(connection, table)[1].columns
    news = {folded(old): new for old, new in names.items()}
    taken = {folded(new) for old, new in news.items() if folded(new) in known and folded(new) != old}
    news = {**{name: f"multidb_{name}" for name in taken - set(news)}, **news}
    steps = list(news.items())
    if taken:
        steps = [(old, f"multidb_{old}") for old in news] + [(f"multidb_{old}", new) for old, new in news.items()]
    for old, new in steps:
        if old != new:
            connection.exec_driver_sql(f"ALTER TABLE {quoted(table)} RENAME COLUMN {quoted(old)} TO {quoted(new)}")
    return news


def _table_of(connection: Connection, table: str) -> tuple[str, CreateTable]:
    """The name of a table as SQLite has it, and its CREATE TABLE. MigrationError if there is none."""
    rows = connection.exec_driver_sql(_PARTS, (table,)).all()
    found = next((row for row in rows if folded(row.name) == folded(table)), None)
    if found is None:
        known = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").scalars().all()
        raise MigrationError(Code.BATCH, f"there is no table {table}{nearest(table, known)}")
    if found.type != "table" or found.sql.upper().startswith("CREATE VIRTUAL"):
        raise MigrationError(Code.BATCH, f"{table} is a view or a virtual table: batch mode only alters tables")
    return found.name, CreateTable.read(found.sql)


class Alteration:
    """The operations on one table, of which `finish` makes a new table if they change anything.

    They take SQLAlchemy's constructs, whose texts become parts of the CREATE TABLE.

    Args:
        table: its name.
        aliases: the present names of columns by the names that operations may have for them, in lower case.
    """

    def __init__(self, connection: Connection, table: str, aliases: Mapping[str, str]) -> None:
        self._connection, self._aliases = connection, aliases
        self._compiler: Any = connection.dialect.ddl_compiler(connection.dialect, None)  # type: ignore[arg-type]
        self.table, self._sql = _table_of(connection, table)
        self._before, self._old = self._sql.sql, self._facts()
        if list(self._old) != list(self._sql.columns):
            raise MigrationError(Code.BATCH, f"the CREATE TABLE of {self.table} can't be read: alter the table in SQL")
        self._had_rowid, self._had_sequence = not self._is("WITHOUT ROWID"), self._numbers_rows
        self._copied = {name: quoted(part.name) for name, part in self._sql.columns.items() if not part.is_generated}
        self._touched: set[str] = set()  # columns that an operation has changed, in lower case
        self._added: set[str] = set()
        self._alters_key = False

    def alter_column(self, name: str, **changes: Any) -> None:
        """Change a column.

        Args:
            changes: `type`, `not_null` and `default`, those that are to change; a default of None removes it.
        """
        part = self._part(name)
        made = self._column(changes.get("type"), changes.get("default"))
        if "type" in changes:
            self._set_type(part, made.text_of("TYPE"))
        if "not_null" in changes and bool(part.clauses("NOT NULL")) != changes["not_null"]:
            part.set_clause("NULL", "")
            part.set_clause("NOT NULL", "NOT NULL" if changes["not_null"] else "")
        if "default" in changes:
            if changes["default"] is not None and not made.clauses("DEFAULT"):
                raise MigrationError(
                    Code.BATCH, f"{self.table}.{name}: SQLite has no such default: drop the column, and add it"
                )
            part.set_clause("DEFAULT", made.text_of("DEFAULT"))
        if changes:
            self._touched.add(folded(part.name))

    def _set_type(self, part: Part, new: str) -> None:
        old, column = part.text_of("TYPE"), folded(part.name)
        part.set_clause("TYPE", new)
        # A column converts a value if the conversion loses nothing, but no BLOB. A CAST would make 0 of 'abc', and 2026
        # of a date.
        if ("BLOB" in old.upper()) != ("BLOB" in new.upper()) and column in self._copied:
            self._copied[column] = f"CAST({self._copied[column]} AS {new})"

    def _column(self, type_: Any, default: Any) -> Part:
        """The definition of a column with this type and default."""
        column = Column("x", type_ if type_ is not None else Integer(), server_default=default)
        Table("x", MetaData(), column)
        return Part("", self._compiler.process(CreateColumn(column)), "")

    def add_column(self, column: "Column[Any]", before: str | None = None, after: str | None = None) -> None:
        """Add a column: before or after another one, or behind all others."""
        place = len(self._sql.columns)
        if before is not None or after is not None:
            place = self._sql.parts.index(self._part(before or after or "")) + (before is None)
        text = self._compiler.process(CreateColumn(column))
        self._sql.insert(place, f"{text} PRIMARY KEY" if column.primary_key else text)
        self._added.add(folded(column.name))
        self._alters_key |= column.primary_key

    def has_column(self, name: str) -> bool:
        return self._present_name(name) in self._sql.columns

    def drop_column(self, name: str) -> None:
        """Drop a column, and with it what is of no other column."""
        part = self._part(name)
        self._sql.remove(part)
        for other, clause in self._sql.clauses("PRIMARY KEY"):  # a column of the same name that is added is not in it
            if clause.constraint and [folded(each) for each in clause.constraint.columns] == [folded(part.name)]:
                self._remove(other, clause)
                break
        self._copied.pop(folded(part.name), None)
        self._added.discard(folded(part.name))

    def reorder_columns(self, orders: Sequence[Sequence[str]]) -> None:
        """Put columns in an order, of which each of `orders` is a piece."""
        names = [[folded(self._part(name).name) for name in order] for order in orders]
        pairs = [pair for order in names for pair in pairwise(order)]
        self._sql.reorder(list(topological.sort(pairs, list(self._sql.columns), deterministic_order=True)))

    def add_constraint(self, constraint: Constraint, *, once: bool = False) -> None:
        """Add a constraint; it takes the place of one with its name, a primary key that of another one.

        Args:
            once: whether an equal one without a name stays the only one, and gets the name.
        """
        self.use_present_names(constraint.table)
        text = self._compiler.process(constraint)
        if not text:  # of a key to a table in another schema
            raise MigrationError(Code.BATCH, f"SQLite can't have the constraint {constraint.name} of {self.table}")
        [new] = read_definition(text).clauses
        is_key = new.kind == "PRIMARY KEY"
        for part, clause in self._sql.clauses(new.kind):
            if clause.constraint == new.constraint and (is_key or (once and clause.name in (None, new.name))):
                part.set_name(clause, new.name)
                return
        for part, clause in self._sql.clauses():
            if (is_key and clause.kind == "PRIMARY KEY") or _is(clause.name, new.name):
                self._remove(part, clause)
                break
        self._alters_key |= is_key
        self._sql.insert(len(self._sql.parts), text)

    def definition_of(self, constraint: Constraint) -> ConstraintDefinition | None:
        """What a constraint says, without its name."""
        if isinstance(constraint, CheckConstraint):
            sql = self._compiler.sql_compiler.process(constraint.sqltext, include_table=False, literal_binds=True)
            return read_definition(f"CHECK ({sql})").clauses[0].constraint
        text = self._compiler.process(constraint)
        return read_definition(text).clauses[0].constraint if text else None

    @property
    def unnamed(self) -> list[ConstraintDefinition]:
        """The constraints without a name."""
        found = [clause.constraint for _, clause in self._sql.clauses() if clause.name is None]
        return [constraint for constraint in found if constraint]

    @property
    def columns(self) -> list[str]:
        return [part.name for part in self._sql.columns.values()]

    def drop_constraint(self, name: str | None, unnamed: ConstraintDefinition | None = None) -> bool:
        """Drop the constraint with a name, or else the one without a name that says this. Whether there was one."""
        for part, clause in self._sql.clauses():
            if clause.constraint and _is(clause.name, name):
                self._remove(part, clause)
                return True
        for part, clause in self._sql.clauses():
            if unnamed and clause.name is None and clause.constraint == unnamed:
                self._remove(part, clause)
                return True
        return False

    def _remove(self, part: Part, clause: Clause) -> None:
        self._alters_key |= clause.kind == "PRIMARY KEY"
        self._sql.remove(part, clause)

    def drop_index(self, name: str) -> bool:
        """Drop an index of the table. Whether there was one."""
        found = [index for kind, index, _ in self._dependents if kind == "index" and _is(index, name)]
        for index in found:
            self._connection.exec_driver_sql(f"DROP INDEX {quoted(index)}")
        return bool(found)

    def set_option(self, option: str, *, wanted: bool) -> None:
        """Set or remove what comes behind the definitions: `STRICT`, `WITHOUT ROWID`."""
        if self._is(option) != wanted:
            options = [each for each in _OPTIONS if (wanted if each == option else self._is(each))]
            self._sql.tail = f") {', '.join(options)}".rstrip()
            self._alters_key = True  # WITHOUT ROWID, it is NOT NULL

    def set_autoincrement(self, *, wanted: bool) -> None:
        """Let the primary key be `AUTOINCREMENT`, or not."""
        keys = self._sql.clauses("PRIMARY KEY")
        if self._numbers_rows == wanted or not keys:
            return
        part, clause = keys[0]
        assert clause.constraint is not None
        column = self._part(clause.constraint.columns[0])
        name = f" CONSTRAINT {quoted(clause.name)}" if clause.name else ""
        self._sql.remove(part, clause)
        column.text += f"{name} PRIMARY KEY{' AUTOINCREMENT' if wanted else ''}"

    def use_present_names(self, table: Table | None) -> None:
        """Let the columns of a construct's table have their present names."""
        for column in table.columns if table is not None else ():
            part = self._sql.columns.get(self._present_name(column.name))
            column.name = part.name if part else column.name

    def finish(self, *, always: bool = False, is_script: bool = False) -> None:
        """Make the new table.

        Args:
            always: also if no operation has changed anything.
            is_script: whether the statements are to run in another database, which may have more than this one.

        Raises:
            MigrationError: something would be lost that no operation names.
        """
        for name, present in self._aliases.items():
            if present == f"multidb_{name}" and present in self._sql.columns:
                raise MigrationError(
                    Code.BATCH, f"{self.table} has a column {name} already: rename it, or drop it, too"
                )
        self._drop_constraints_of_dropped()
        dependents = [sql for kind, name, sql in self._dependents if self._stays(kind, name, sql)]
        if self._sql.sql == self._before and not always:
            return
        has_sequence = self._had_sequence and self._numbers_rows
        statements = rebuild(self.table, self._sql.sql, self._copies(), dependents, has_sequence=has_sequence)
        try:
            for statement in [
                *(self._refuse_unknown() if is_script else ()),
                *self._move_statistics("multidb_"),
                *statements,
                *self._move_statistics(back="multidb_"),
            ]:
                self._connection.exec_driver_sql(statement)
        except IntegrityError as error:
            reason = first_line(str(error.orig)).replace(f"multidb_{self.table}", self.table)
            raise MigrationError(Code.ROWS, f"rows of {self.table} don't fit its new definition: {reason}") from error
        self._check()

    @property
    def _dependents(self) -> list[tuple[str, str, str]]:
        """The kind, the name and the statement of each index and trigger."""
        rows = self._connection.exec_driver_sql(_PARTS, (self.table,))
        return [(kind, name, sql) for kind, name, sql in rows if kind != "table"]

    @property
    def dependents(self) -> set[str]:
        """The names of indexes and triggers, in lower case."""
        return {folded(name) for _, name, _ in self._dependents}

    @property
    def dropped(self) -> set[str]:
        """The columns that the table does not have any more, in lower case."""
        return set(self._old) - set(self._sql.columns)

    def _drop_constraints_of_dropped(self) -> None:
        """Drop the constraints of columns that are dropped. One that is of another column, too, has to be named."""
        for part, clause in reversed(self._sql.clauses()):
            is_generated = clause.kind == "GENERATED"
            if clause.constraint or is_generated:
                text = part.text[clause.start : clause.end]
                used = {folded(name) for name in clause.constraint.columns} if clause.constraint else names_in(text)
                what = f"the column {part.name}" if is_generated else f"the constraint {clause.name or text}"
                if self._goes(what, used, is_own=not is_generated):
                    self._remove(part, clause)

    def _stays(self, kind: str, name: str, sql: str) -> bool:
        """Whether an index or a trigger is created again."""
        words = placed_tokens(sql)
        on = next(number for number, word in enumerate(words) if word.text.upper() == "ON")
        if kind == "index":
            return not self._goes(f"the index {name}", names_in(sql[words[on + 2].start :]), is_own=True)
        columns = next((number for number, word in enumerate(words[:on]) if word.text.upper() == "OF"), on)
        self._goes(f"the trigger {name}", names_in(sql[words[columns].end : words[on].start]), is_own=False)
        return True

    def _goes(self, what: str, used: Iterable[str], *, is_own: bool) -> bool:
        """Whether a column that is dropped takes this along. MigrationError if it may not."""
        dropped, left = self.dropped.intersection(used), set(self._sql.columns).intersection(used)
        if dropped and (left or not is_own):
            raise MigrationError(
                Code.BATCH,
                f"{what} of {self.table} uses the column {min(dropped)}, which is dropped, and would be lost: drop "
                f"{what.rpartition(' ')[0] or what} in the same revision, before the column",
            )
        return bool(dropped)

    def _copies(self) -> list[tuple[str, str]]:
        """The columns of the new table that have values of the old one, each with the expression for them."""
        columns = self._sql.columns
        found = [(quoted(columns[name].name), text) for name, text in self._copied.items() if name in columns]
        rowid = next((name for name in _ROWIDS if name not in self._old and name not in columns), None)
        if rowid and self._had_rowid and not self._is("WITHOUT ROWID") and self._number_column not in self._copied:
            found.insert(0, (rowid, rowid))
        return found

    @property
    def _number_column(self) -> str | None:
        """The column that is another name of the row's number: https://sqlite.org/lang_createtable.html#rowid."""
        for _, clause in self._sql.clauses("PRIMARY KEY"):
            assert clause.constraint is not None
            names = [folded(name) for name in clause.constraint.columns]
            if len(names) == 1 and self._sql.columns[names[0]].text_of("TYPE").upper() == "INTEGER":
                return names[0]
        return None

    @property
    def _numbers_rows(self) -> bool:
        return any(part.definition.column.autoincrement for part in self._sql.parts if part.definition.column)

    def _refuse_unknown(self) -> list[str]:
        """The statements that fail where the table has a column, an index or a trigger of which this one knows nothing.

        A script can only fail by a constraint, whose name is its message.
        """
        known = ", ".join(literal(folded(name)) for name in [*self._old, *(name for _, name, _ in self._dependents)])
        reason = f"{self.table} has a column, an index or a trigger that no revision has, and would lose it"
        table = literal(self.table)
        dependents = f"SELECT name FROM sqlite_master WHERE tbl_name = {table} AND type <> 'table' AND sql IS NOT NULL"
        return [
            f"CREATE TEMP TABLE multidb_unknown (name CONSTRAINT {quoted(reason)} CHECK (lower(name) IN ({known})))",
            f"INSERT INTO temp.multidb_unknown {dependents} UNION ALL SELECT name FROM pragma_table_xinfo({table})",
            "DROP TABLE temp.multidb_unknown",
        ]

    def _move_statistics(self, to: str = "", back: str = "") -> list[str]:
        """The statements that save what ANALYZE has found from the DROP TABLE, and bring it back."""
        tables = self._connection.exec_driver_sql(
            "SELECT name FROM sqlite_master WHERE name IN ('sqlite_stat1', 'sqlite_stat4')"
        ).scalars()
        new, old = literal(f"{to}{self.table}"), literal(f"{back}{self.table}")
        return [f"UPDATE {name} SET tbl = {new} WHERE tbl = {old}" for name in tables]

    def _check(self) -> None:
        """Compare what SQLite says of the columns that no operation has named."""
        for name, facts in self._facts().items():
            compared = slice(0, 3) if self._alters_key else slice(None)
            is_same = name not in self._old or self._old[name][compared] == facts[compared]
            if not is_same and name not in self._touched | self._added:
                raise MigrationError(
                    Code.BATCH,
                    f"{self.table}.{name} would be changed, which no operation asks for: alter the table in SQL",
                )

    def _facts(self) -> dict[str, tuple[Any, ...]]:
        """What SQLite itself says of each column: type, default, whether generated; NOT NULL, place in the key."""
        rows = self._connection.exec_driver_sql(_FACTS, (self.table,))
        return {folded(name): tuple(facts) for name, *facts in rows}

    def _is(self, option: str) -> bool:
        return option in self._sql.options.split(", ")

    def _part(self, name: str) -> Part:
        columns = self._sql.columns
        part = columns.get(self._present_name(name))
        if part is None:
            raise MigrationError(Code.BATCH, f"{self.table} has no column {name}{nearest(name, columns)}")
        return part

    def _present_name(self, name: str) -> str:
        """A column's name in lower case; one that had another name is called by either."""
        present = folded(self._aliases.get(folded(name), name))
        return folded(name) if folded(name) in self._added or present not in self._sql.columns else present


def _is(name: str | None, other: str | None) -> bool:
    return name is not None and other is not None and folded(name) == folded(other)
