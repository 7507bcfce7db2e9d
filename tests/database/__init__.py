"""Tests of multidb/database: locks, the journal, SQLite."""
