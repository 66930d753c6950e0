"""newel: raw-SQL migrations for PostgreSQL on Alembic."""

__version__ = "0.2.0"
