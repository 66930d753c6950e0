"""A new revision: its template, and what the revision's name says."""
