"""Seeds: SQL and CSV files whose rows are put into the database, each in one transaction, safe to run again."""
