"""A new project: its files, and the newel that goes along with it."""
