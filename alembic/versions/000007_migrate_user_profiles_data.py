"""migrate user profiles data

Derived by `newel stubs` from the names of the SQL files. Do not edit.
"""

from newel.migrate.script import run_sql

revision = "000007"
down_revision = "000006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql("sql/migrations/000007_migrate_user_profiles_data.up.sql")


def downgrade() -> None:
    run_sql("sql/migrations/000007_migrate_user_profiles_data.down.sql")
