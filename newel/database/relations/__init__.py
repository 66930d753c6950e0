"""A database's tables and what belongs to them, as people look at them; `newel.database.catalog` compares schemas."""
