"""Tests of the page of `report --html` in Chromium: `bin/test -e browser`."""
