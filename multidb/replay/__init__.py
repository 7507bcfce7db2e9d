"""Branches replayed in scratch databases, to know what each revision makes.

It imports `release`, `schema`, `planning`, `local`, `database` and `config`.
"""
