"""What a command will do in each database, decided before any is changed; imports `database` and `config`."""
