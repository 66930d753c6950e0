"""dev test users

Derived by `newel stubs` from the names of the SQL files. Do not edit.
"""

from newel.migrate.script import run_sql

revision = "000008"
down_revision = None
branch_labels = ("development",)
depends_on = "000007"


def upgrade() -> None:
    run_sql("sql/migrations/development/000008_dev_test_users.up.sql")


def downgrade() -> None:
    run_sql("sql/migrations/development/000008_dev_test_users.down.sql")
