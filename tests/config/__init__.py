"""Tests of multidb/config: databases.yaml, variables, URLs."""
