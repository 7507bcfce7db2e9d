"""Tests of multidb/progress: what is shown of a run that takes long, on a terminal and elsewhere."""
