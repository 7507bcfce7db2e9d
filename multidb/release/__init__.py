"""The two-phase commit over all databases, and its recovery; imports `planning`, `database` and `config`."""
