"""Branches replayed in scratch databases, to read what revisions make; imports `release` and the rooms below it."""
