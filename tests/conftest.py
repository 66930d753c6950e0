"""Fixtures of the whole suite; most come from newel.testing, which a user's project has too."""

pytest_plugins = ["newel.testing"]
