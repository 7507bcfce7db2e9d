"""`python -m multidb`."""

import gc

from multidb.cli import main

status = main()
gc.freeze()  # as env.py does: Python would search all that was imported for garbage before it ends
raise SystemExit(status)
