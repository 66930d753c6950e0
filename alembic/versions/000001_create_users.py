"""create users

Derived by `newel stubs` from the names of the SQL files. Do not edit.
"""

from newel.migrate.script import run_sql

revision = "000001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql("sql/migrations/000001_create_users.up.sql")


def downgrade() -> None:
    run_sql("sql/migrations/000001_create_users.down.sql")
