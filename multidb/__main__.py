"""`python -m multidb`."""

import gc

from multidb.cli import main

status = main()
gc.freeze()  # as in env.py: before it exits, Python would search everything that was imported for garbage
raise SystemExit(status)
