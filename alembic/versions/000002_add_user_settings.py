"""add user settings

Derived by `newel stubs` from the names of the SQL files. Do not edit.
"""

from newel.migrate.script import run_sql

revision = "000002"
down_revision = "000001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql("sql/migrations/000002_add_user_settings.up.sql")


def downgrade() -> None:
    run_sql("sql/migrations/000002_add_user_settings.down.sql")
