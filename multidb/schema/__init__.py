"""Schemas of live databases, read, compared and written as DDL; imports `database` and `config`."""
