"""Dumps of a database: PostgreSQL's own programs, writing a dump, and looking into one."""
