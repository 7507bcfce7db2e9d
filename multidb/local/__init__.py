"""The private PostgreSQL server of a checkout.

It imports `database` and `config`.
"""
