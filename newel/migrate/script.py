"""What a derived Alembic script imports: one function that runs its SQL file."""

from __future__ import annotations

from alembic import op
from alembic.util import CommandError


def run_sql(path: str) -> None:
    """Execute the SQL file at `path` (relative to the project's root), or print it where Alembic is offline.

    Raises CommandError if alembic/env.py is not newel's.
    """
    context = op.get_context()
    execute = context.opts.get("newel_execute")  # set by alembic_env
    if execute is None:
        raise CommandError(
            f"{path} needs newel's alembic/env.py, which calls newel.migrate.alembic_env.run()"
        )
    execute(path, context)
