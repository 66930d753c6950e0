"""refactor user contacts

Derived by `newel stubs` from the names of the SQL files. Do not edit.
"""

from newel.migrate.script import run_sql

revision = "000009"
down_revision = "000007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql("sql/migrations/000009_refactor_user_contacts.up.sql")


def downgrade() -> None:
    run_sql("sql/migrations/000009_refactor_user_contacts.down.sql")
