"""The parser of a command line, whose mistakes end as every other error does: in one line with a code, and exit code 1.

argparse's own exit code, 2, means here that a command has found something.
"""

import argparse
from typing import NoReturn

from multidb.advice.codes import Code
from multidb.errors import MigrationError


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises MigrationError."""

    def error(self, message: str) -> NoReturn:
        raise MigrationError(Code.USAGE, f"{message}: `{self.prog} --help` shows what there is")
