"""Tests of multidb/schema: schemas read, compared and repaired, without a server."""
