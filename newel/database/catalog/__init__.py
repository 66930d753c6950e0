"""What a database holds, apart from rows: a snapshot of pg_catalog, and the difference of two."""
