"""Tests of multidb/release: the two-phase commit, with kills and lost servers."""
