"""Pending revisions run in copies of the live schemas, and what they do there; imports `replay` and the rooms below."""
