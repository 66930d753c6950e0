"""Alembic's environment: newel plans and runs everything. See docs/design.md."""

from newel.migrate.alembic_env import run

run()
