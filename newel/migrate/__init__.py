"""Brings project and database together: plan, runner, and what alembic/env.py calls."""
