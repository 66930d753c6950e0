"""The whole suite takes its server and databases from newel.testing, as a user's project does."""

pytest_plugins = ["newel.testing"]
