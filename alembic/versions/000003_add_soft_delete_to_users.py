"""add soft delete to users

Derived by `newel stubs` from the names of the SQL files. Do not edit.
"""

from newel.migrate.script import run_sql

revision = "000003"
down_revision = "000002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql("sql/migrations/000003_add_soft_delete_to_users.up.sql")


def downgrade() -> None:
    run_sql("sql/migrations/000003_add_soft_delete_to_users.down.sql")
