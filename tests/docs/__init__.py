"""Tests of the README and the pages, which are followed as they are written."""
