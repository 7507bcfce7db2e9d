"""One database: connections, probe, locks, journal, and creating what is missing; imports `config`."""
