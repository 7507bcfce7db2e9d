"""The schemas of SQLite files: a module per kind of object."""
