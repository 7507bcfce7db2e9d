"""The schemas of live databases: read from the catalogs, compared, and written as DDL.

It imports `database` and `config`.
"""
