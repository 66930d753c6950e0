"""A proxy that gives each transaction to another server process takes the run's lock away without a word."""

from __future__ import annotations

import re
from pathlib import Path

from injection import start
from proxy import PoolingProxy
from scenarios import make_projects


def test_a_run_through_a_proxy_that_pools_transactions_is_refused_and_told_the_way(database, tmp_path: Path):
    root = make_projects(tmp_path)["project"]
    proxy = PoolingProxy(database.server.socket_dir / f".s.PGSQL.{database.server.port}")
    try:
        process = start(root, "development", ["up"], proxy.url(database.name))
        said = process.communicate(timeout=60)[0]
    finally:
        proxy.close()
    assert process.returncode in range(1, 6)
    assert re.search(r"^error: ", said, re.MULTILINE)
    assert "DATABASE_DIRECT_URL" in said
    with database.connect().cursor() as cursor:
        cursor.execute("SELECT to_regnamespace('user_service')")
        assert cursor.fetchone() == (None,)
