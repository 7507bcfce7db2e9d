"""`completion`: print what completes `alembic` and `multidb` in a shell: `eval "$(multidb completion bash)"`.

Databases and revisions are those of the checkout, read by the shell itself from the folders and files of revisions: no
Python is started and no database is asked when the key is pressed.
"""

import argparse
import shlex
from collections.abc import Iterator
from pathlib import Path

from alembic.config import CommandLine

from multidb.advice.codes import Code
from multidb.commands.support import listing
from multidb.commands.support.command import Command
from multidb.errors import ExitCode, MigrationError
from multidb.planning.selection import KNOWN_X

_SHELLS = ("bash", "zsh", "fish")
_REVISIONS = {"revision", "revisions", "rev", "rev_range", "head"}  # arguments of Alembic's that name revisions
_DATABASES = {"database", "databases"}
# Files that hold `revision = "auth_0001"`: the same expression in each shell.
_ID = r"""s/^revision[^=]*= *["']\([^"']*\)["'].*/\1/p"""
_POSIX = """
_multidb_databases() { (cd %(versions)s 2>/dev/null && ls -d [a-z]*/ | tr -d /) }
_multidb_revisions() {
  echo heads head base
  _multidb_databases | sed 's/.*/&@head\\n&@base/'
  sed -n %(id)s %(versions)s/*/*.py 2>/dev/null
}
_multidb_keys() { printf '%%s=\\n' %(keys)s; _multidb_databases | sed "s/^/db=${1:-}/"; }
"""
# The words of Readline are split at = and @: the line is split at spaces instead, and what stands before the last of
# these characters is cut from the answers.
_BASH = """
_multidb_complete_database() { compgen -W "$(_multidb_databases)" -- "$1"; }
_multidb_complete_revision() { compgen -W "$(_multidb_revisions)" -- "$1"; }
_multidb_complete_key() {
  local first=""
  case "$1" in db=*,*) first="${1#db=}"; first="${first%%,*}," ;; esac
  compgen -W "$(_multidb_keys "$first")" -- "$1"
}
_multidb_complete() {
  local line="${COMP_LINE:0:COMP_POINT}" program="$1" each cut
  local -a COMP_WORDS=($line)
  case "$line" in *" ") COMP_WORDS+=("") ;; esac
  local COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
  local word="${COMP_WORDS[COMP_CWORD]}"
  if [ "${COMP_WORDS[COMP_CWORD - 1]}" = -x ]; then
    COMPREPLY=($(_multidb_complete_key "$word"))
  else
    "_shtab_$program" "$@"
  fi
  cut="${word%%"${word##*[=@:]}"}"
  for each in "${!COMPREPLY[@]}"; do COMPREPLY[each]="${COMPREPLY[each]#"$cut"}"; done
  case "${COMPREPLY[*]}" in *=) compopt -o nospace ;; esac
}
complete -F _multidb_complete alembic multidb
"""
_ZSH = """
_multidb_complete_database() { compadd -- ${(f)"$(_multidb_databases)"} }
_multidb_complete_revision() { compadd -- ${=$(_multidb_revisions)} }
_multidb_complete_key() {
  local first=""
  case "$PREFIX" in db=*,*) first="${PREFIX#db=}"; first="${first%%,*}," ;; esac
  compadd -S '' -- ${(f)"$(_multidb_keys "$first")"}
}
"""
_FISH = """
function _multidb_databases
  for each in %(versions)s/*/; string match -v '_*' -- (basename $each); end
end
function _multidb_revisions
  printf '%%s\\n' heads head base
  for each in (_multidb_databases); printf '%%s\\n' $each@head $each@base; end
  sed -n %(id)s %(versions)s/*/*.py 2>/dev/null
end
function _multidb_keys
  printf '%%s=\\n' %(keys)s
  set -l first (string match -r '^db=(.*,)' -- (commandline -ct))[2]
  for each in (_multidb_databases); echo "db=$first$each"; end
end
"""
_FUNCTIONS = {
    kind: {"bash": f"_multidb_complete_{one}", "zsh": f"_multidb_complete_{one}", "fish": f"(_multidb_{kind})"}
    for one, kind in (("database", "databases"), ("revision", "revisions"), ("key", "keys"))
}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=_SHELLS, metavar="SHELL", help="bash, zsh or fish")


def run(command: Command) -> ExitCode:
    """Raise MigrationError if the library is missing."""
    try:
        import shtab  # an extra, which no run imports
    except ImportError as error:
        raise MigrationError(Code.PYTHON_PACKAGE, "shtab is not installed: `pip install shtab`") from error
    shell = command.options.shell
    print(_names(shell, command.file.parent / "migrations/versions"))
    for parser in (_alembic(), _multidb()):
        for action in _actions(parser):
            kind = _kind(action)
            if kind:
                action.complete = _FUNCTIONS[kind]  # type: ignore[attr-defined] # as shtab reads it
        print(shtab.complete(parser, shell))
    if shell == "bash":
        print(_BASH % {})
    return ExitCode.OK


def _names(shell: str, versions: Path) -> str:
    """The functions that read the names of databases and revisions."""
    quoted = {"versions": shlex.quote(str(versions)), "id": shlex.quote(_ID), "keys": " ".join(sorted(KNOWN_X))}
    if shell == "fish":
        return _FISH % (quoted | {"id": "'" + _ID.replace("\\", "\\\\").replace("'", "\\'") + "'"})
    return _POSIX % quoted + (_ZSH % {} if shell == "zsh" else "")


def _alembic() -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = CommandLine(prog="alembic").parser
    return parser


def _multidb() -> argparse.ArgumentParser:
    """The parser of all commands together, each of which is parsed by itself otherwise."""
    parser = argparse.ArgumentParser(prog="multidb")
    parser.add_argument("-f", "--file", type=Path)
    parser.add_argument("-x", action="append", metavar="KEY=VALUE", help="a setting, as alembic takes it")
    parser.add_argument("--raiseerr", action="store_true", help="show an error's traceback")
    parser.add_argument("--version", action="store_true", help="print the versions")
    own = parser.add_subparsers(metavar="COMMAND")
    for name, file in listing.modules().items():
        module = listing.imported(file)
        module.configure(own.add_parser(name, help=listing.summary_of(module)))
    return parser


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """The arguments of a parser and of its commands."""
    # argparse has no public list of them; tests/commands/test_completion.py would notice a change.
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                yield from _actions(each)


def _kind(action: argparse.Action) -> str | None:
    if action.option_strings == ["-x"]:
        return "keys"
    if action.dest in _DATABASES:
        return "databases"
    return "revisions" if action.dest in _REVISIONS else None
