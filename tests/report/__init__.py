"""Tests of multidb/report."""
