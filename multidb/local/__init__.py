"""The private PostgreSQL server of a checkout; imports `database` and `config`."""
