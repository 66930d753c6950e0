"""add activities

Derived by `newel stubs` from the names of the SQL files. Do not edit.
"""

from newel.migrate.script import run_sql

revision = "000004"
down_revision = "000003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql("sql/migrations/000004_add_activities.up.sql")


def downgrade() -> None:
    run_sql("sql/migrations/000004_add_activities.down.sql")
