"""add user profiles

Derived by `newel stubs` from the names of the SQL files. Do not edit.
"""

from newel.migrate.script import run_sql

revision = "000005"
down_revision = "000004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql("sql/migrations/000005_add_user_profiles.up.sql")


def downgrade() -> None:
    run_sql("sql/migrations/000005_add_user_profiles.down.sql")
