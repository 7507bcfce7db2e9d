"""Models drawn at random, as the text of a module, with texts that a renderer may change."""

from collections.abc import Callable

from hypothesis import strategies as st

from multidb.autogenerate.expressions import for_text
from multidb.database.quoting import literal

HEAD = """
from sqlalchemy import *
from sqlalchemy.orm import DeclarativeBase
{imports}
from multidb.naming import metadata

class Base(DeclarativeBase):
    metadata = metadata()

"""
ON_POSTGRESQL = "from sqlalchemy.dialects.postgresql import ARRAY, DOMAIN, ENUM, JSONB"
NAMES = ["a", "b", "c", "d", "e f"]
# Each type, and SQL texts for its default.
TYPES = {
    "Integer": ["0", "-5"],
    "BigInteger": ["7"],
    "Text": [],
    "String(9)": [],
    "String(20)": [],
    "Boolean": ["true", "false"],
    "Numeric(8, 2)": ["1.50"],
    "Date": ["CURRENT_DATE", "'2026-01-01'"],
    "DateTime": ["CURRENT_TIMESTAMP", "'2026-01-01 10:20:30'"],
    "JSON": ["""'{"a": 1, "b": ":x"}'"""],
}
TYPES_OF_POSTGRESQL = {
    "Text(collation='C')": [],
    "DateTime(timezone=True)": ["now()"],
    "JSONB": ["""'{"a": "5%:x"}'"""],
    "ARRAY(Integer)": ["'{}'", "ARRAY[1, 2]"],
    "ARRAY(Text)": ["'{a:b}'"],
    "Uuid": ["gen_random_uuid()"],
    "STATE": ["'one'"],
    "ARRAY(STATE)": ["'{one}'"],
    "CODE": [],
}
TEXTS = ("Text", "String(9)", "String(20)", "Text(collation='C')")
ACTIONS = [None, "CASCADE", "SET NULL"]
words = st.text(alphabet="ab'\":%\\{} x\n", max_size=6)


@st.composite
def models(draw: st.DrawFn, *, is_sqlite: bool = False) -> str:
    """A module of models with two or three tables; two draws have many of their names in common."""
    lines = [HEAD.format(imports="" if is_sqlite else ON_POSTGRESQL)]
    if not is_sqlite:
        values = draw(st.lists(words.filter(bool), unique=True, max_size=2))
        lines.append(f"STATE = ENUM({', '.join(map(repr, draw(st.permutations(['one', *values]))))}, name='state')")
        check = for_text(f"VALUE <> {literal(draw(words))}")
        lines.append(f"CODE = DOMAIN('code', String({draw(st.sampled_from([5, 9]))}), check=text({check!r}))")
    count = draw(st.integers(1, 3))
    lines += [draw(table(f"t{number}", count, is_sqlite=is_sqlite)) for number in range(count)]
    return "\n".join(lines) + "\n"


@st.composite
def column(draw: st.DrawFn, name: str, type_: str, defaults: list[str], *, is_sqlite: bool) -> str:
    words_of = [repr(name), type_]
    if type_ in TEXTS and draw(st.booleans()):
        word = draw(words)
        how = draw(st.sampled_from(["plain", "text", "generated"]))
        if how == "plain":
            words_of.append(f"server_default={word!r}")
        elif how == "text":
            words_of.append(f"server_default=text({for_text(literal(word))!r})")
        else:
            expression = for_text(
                f"CAST(id AS TEXT) || {literal(word)}" if is_sqlite else f"id::text || {literal(word)}"
            )
            words_of.append(f"Computed({expression!r}, persisted=True)")
    elif draw(st.booleans()) and defaults:
        words_of.append(f"server_default=text({for_text(draw(st.sampled_from(defaults)))!r})")
    if draw(st.booleans()):
        words_of.append("nullable=False")
    if not is_sqlite and draw(st.booleans()):
        words_of.append(f"comment={draw(words) or None!r}")
    return f"Column({', '.join(words_of)})"


@st.composite
def table(draw: st.DrawFn, name: str, count: int, *, is_sqlite: bool) -> str:
    types = TYPES if is_sqlite else TYPES | TYPES_OF_POSTGRESQL
    names = draw(st.lists(st.sampled_from(NAMES), unique=True))
    columns = {each: draw(st.sampled_from(sorted(types))) for each in names}
    identity = "" if is_sqlite else draw(st.sampled_from(["", "", "Identity(), ", "Identity(always=True, start=3), "]))
    items = [f"Column('id', {draw(st.sampled_from(['Integer', 'BigInteger']))}, {identity}primary_key=True)"]
    items += [draw(column(each, type_, types[type_], is_sqlite=is_sqlite)) for each, type_ in columns.items()]
    if draw(st.booleans()):
        other, action = draw(st.integers(0, count - 1)), draw(st.sampled_from(ACTIONS))
        items.append(f"Column('other', ForeignKey('t{other}.id', ondelete={action!r}))")
    texts = [each for each, type_ in columns.items() if type_ in TEXTS]
    for kind in draw(st.lists(st.sampled_from(["check", "expression", "partial", "unique", "index"]), unique=True)):
        if kind in ("check", "expression", "partial") and texts:
            of = '"' + draw(st.sampled_from(texts)) + '"'
            items.append(draw(ITEMS[kind](name, of)))
        elif kind in ("unique", "index") and columns:
            keys = [each for each, type_ in columns.items() if type_ != "JSON"]
            chosen = draw(st.lists(st.sampled_from(keys), unique=True, min_size=1, max_size=2)) if keys else []
            if chosen:
                listed = ", ".join(map(repr, chosen))
                made = f"UniqueConstraint({listed}" if kind == "unique" else f"Index('{name}_{kind}', {listed}"
                items.append(f"{made}, name='{name}_{kind}')" if kind == "unique" else f"{made})")
    comment = "" if is_sqlite else f", comment={draw(words) or None!r}"
    listed = "".join(f"    {each},\n" for each in items)
    return f"Table('{name}', Base.metadata,\n{listed}    {comment.removeprefix(', ')})"


def _check(name: str, of: str) -> st.SearchStrategy[str]:
    return words.map(lambda word: f"CheckConstraint({for_text(f'{of} <> {literal(word)}')!r}, name='{name}_check')")


def _expression(name: str, of: str) -> st.SearchStrategy[str]:
    return words.map(lambda word: f"Index('{name}_expression', text({for_text(f'({of} || {literal(word)})')!r}))")


def _partial(name: str, of: str) -> st.SearchStrategy[str]:
    def made(word: str) -> str:
        where = f"text({for_text(f'{of} <> {literal(word)}')!r})"
        return f"Index('{name}_partial', 'id', postgresql_where={where}, sqlite_where={where})"

    return words.map(made)


ITEMS: dict[str, Callable[[str, str], st.SearchStrategy[str]]] = {
    "check": _check,
    "expression": _expression,
    "partial": _partial,
}
