"""Tests of multidb/autogenerate: databases compared with models."""
