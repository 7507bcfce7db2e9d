"""Tests, against a real PostgreSQL with PostGIS and real SQLite files."""
