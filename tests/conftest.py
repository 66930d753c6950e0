"""The whole suite takes its server and databases from newel.testing, as a user's project does."""

import signal

pytest_plugins = ["newel.testing"]

# A shell lets a background job, and all it starts, ignore Ctrl-C; the tests of Ctrl-C need it.
signal.signal(signal.SIGINT, signal.default_int_handler)
