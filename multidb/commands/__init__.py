"""A file for each command, with its options, its run and its output.

It imports every other room.
"""
