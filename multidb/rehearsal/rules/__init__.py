"""The rules of `plan`, a file each; `ALL` finds them."""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from multidb.rehearsal.finding import Rule


@cache
def all_rules() -> tuple[Rule, ...]:
    """The rules by their ids."""
    modules = (import_module(f"{__name__}.{each.name}") for each in iter_modules(__path__) if each.name != "support")
    return tuple(sorted((module.RULE for module in modules), key=lambda rule: str(rule.id)))
