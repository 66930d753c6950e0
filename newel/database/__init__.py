"""What is in PostgreSQL: connection and lock, embedded server, journal, catalog."""
