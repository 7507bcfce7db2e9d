"""Tests of multidb/planning: what will be done in each database."""
