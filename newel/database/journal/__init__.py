"""newel's own tables, in a schema of their own: the version rows, the journal of executions, the marker."""
