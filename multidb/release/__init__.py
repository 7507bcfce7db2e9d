"""The two-phase commit over all databases: coordinator, participants, workers, recovery.

It imports `planning`, `database` and `config`.
"""
