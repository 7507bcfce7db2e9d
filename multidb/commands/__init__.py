"""A file for each command, with its options, its run and its output; imports every other room."""
