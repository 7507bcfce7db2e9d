"""Tests of multidb/commands, each as a user types it."""
