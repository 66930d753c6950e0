"""optimize user search

Derived by `newel stubs` from the names of the SQL files. Do not edit.
"""

from newel.migrate.script import run_sql

revision = "000006"
down_revision = "000005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql("sql/migrations/000006_optimize_user_search.up.sql")


def downgrade() -> None:
    run_sql("sql/migrations/000006_optimize_user_search.down.sql")
