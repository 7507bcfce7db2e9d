"""What several commands share: the parsed command line, the rows of a report, the recorder of SQL for SQLite."""
