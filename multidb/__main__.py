"""`python -m multidb`."""

import gc

from multidb import signals
from multidb.cli import main

try:
    status = main()
finally:
    signals.ignore()  # they must not change the exit code of what has been said
gc.freeze()  # as in env.py: before it exits, Python would search everything that was imported for garbage
raise SystemExit(status)
