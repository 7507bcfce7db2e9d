"""Tests of multidb/local: the private server of bin/up."""
