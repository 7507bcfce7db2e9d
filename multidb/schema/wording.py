"""A difference between a live database and a revision, as a sentence."""

from collections.abc import Sequence

from multidb.schema.objects import OWNER, Thing

_ENABLED = {"O": "enabled", "D": "disabled", "R": "enabled for replicas only", "A": "enabled always"}


def said(kind: str, fact: str, found: object, wanted: object, revision: str) -> str:  # noqa: C901 - a case per fact
    """How a fact is, and how it should be."""
    match fact:
        case "definition" if kind in ("view", "function", "trigger"):
            return f"has another definition than in {revision}"
        case "type":
            return f"is {found}, {revision} says {wanted}"
        case "not_null":
            return f"{_null(found)}, {revision} says it {_null(wanted)}"
        case "unique":
            return f"is {_not(found)}unique, {revision} says it is {_not(wanted)}unique"
        case "enabled":
            return f"is {_ENABLED[str(found)]}, {revision} says {_ENABLED[str(wanted)]}"
        case "default" | "collation" | "identity" | "generated":
            return f"has {_with(fact, found)}, {revision} says {_with(fact, wanted)}"
        case "definition":
            return f"is {_short(found)}, {revision} says {_short(wanted)}"
        case "valid":
            return f"is {_not(found)}valid, {revision} says it is {_not(wanted)}valid"
        case "owner":
            return f"is owned by {role(str(found))}, {revision} says by {role(str(wanted))}"
        case "text":
            return f"is {_short(found)}, {revision} says {_short(wanted)}"
        case _:
            return f"has {fact} {found}, {revision} says {wanted}"


def _null(not_null: object) -> str:
    return "is NOT NULL" if not_null else "allows NULL"


def _not(value: object) -> str:
    return "" if value else "not "


def _with(fact: str, value: object) -> str:
    word = {"generated": "expression"}.get(fact, fact)
    return f"{word} {value}" if value else f"no {word}"


def named(thing: Thing) -> str:
    """What it is, and what it is called."""
    words = {"enum": "enum type", "comment": "comment on"}
    return f"{words.get(thing.kind, thing.kind)} {thing.name}"


def summary(thing: Thing) -> str:
    """The most important fact, behind a colon."""
    facts = thing.facts
    match thing.kind:
        case "column":
            return f": {facts['type']}{' NOT NULL' if facts['not_null'] else ''}"
        case "constraint" | "index" if facts["definition"] != thing.own_name:
            return f": {_short(facts['definition'])}"
        case "enum":
            return f": {', '.join(facts['values'])}"
        case "comment":
            return f": {_short(facts['text'])}"
    return ""


def on(privilege: Thing) -> str:
    """What it is a privilege on."""
    return privilege.of[1] if privilege.of else "?"


def role(name: str) -> str:
    """Whose role that is."""
    return {OWNER: "the owner", "PUBLIC": "everybody"}.get(name, name)


def listed(words: Sequence[str]) -> str:
    """Several words in a sentence."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _short(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 120 else f"{text[:120]}…"
