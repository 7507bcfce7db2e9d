"""`python -m multidb`."""

from multidb.cli import main

raise SystemExit(main())
