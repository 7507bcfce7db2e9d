"""The commands: a file each in `commands/`, of which only the one that is typed is imported."""

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from multidb import commands


def modules() -> dict[str, str]:
    """The commands, each with the name of its module: that of a name that Python reserves has an underscore."""
    return {module.name.rstrip("_"): module.name for module in iter_modules(commands.__path__) if not module.ispkg}


def imported(module: str) -> ModuleType:
    """A command's module, by its name."""
    return import_module(f"{commands.__name__}.{module}")


def description_of(module: ModuleType) -> str:
    """A command's documentation, without the command's name, with which it begins."""
    return (module.__doc__ or "").partition(": ")[2].strip()


def summary_of(module: ModuleType) -> str:
    """The first line of a command's documentation."""
    return description_of(module).partition("\n")[0]
