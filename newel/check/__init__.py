"""Proves a project: stairway over its revisions. Throwaway databases only."""
