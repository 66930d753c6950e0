"""Proves a project: validation of its files, stairway over its revisions. Throwaway databases only."""
