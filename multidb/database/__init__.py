"""One database: connections, the probe, locks, the journal, and creating what is missing.

It imports `config`.
"""
