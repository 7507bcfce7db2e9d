"""The report: one page about all databases, and the picture of a schema."""
