"""The schemas of PostgreSQL databases: a module per kind of object."""
