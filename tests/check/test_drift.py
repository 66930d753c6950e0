"""Drift: what was changed by hand is found, and what revisions do not decide is not taken for it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from newel.check.drift import Drift, find_drift
from newel.check.rebuild import order_of_application, rebuild
from newel.check.surroundings import read_surroundings
from newel.database.administer.facts import locale_options
from newel.database.connection import connect
from newel.database.embedded.server import throwaway
from newel.database.lock import KEY
from newel.errors import DependencyError, NewelError
from newel.migrate.direct import run_direct
from newel.migrate.request import Request
from newel.project import stubs
from newel.project.graph import load_revisions
from newel.project.project import Project, load_project
from newel.testing import Database


@dataclass
class Live:
    """A live database, and a project of its own whose revisions run there."""

    root: Path
    database: Database

    @property
    def project(self) -> Project:
        return load_project(self.root, {}, "development")

    def pair(self, name: str, up: str, folder: str = "") -> None:
        """Write `NNNNNN_slug` as a pair of files and derive the scripts."""
        base = self.root / "sql/migrations" / folder
        base.mkdir(exist_ok=True)
        (base / f"{name}.up.sql").write_text(up)
        (base / f"{name}.down.sql").write_text("SELECT 1;\n")
        stubs.write(self.root, load_revisions(self.root))

    def run(self, target: str = "head", user: str | None = None, *, stamp: bool = False) -> None:
        """Upgrade, as another user if one is given."""
        params = self.database.server.params(self.database.name)
        with closing(connect({**params, **({"user": user} if user else {})})) as connection:
            run_direct(self.project, Request("upgrade", target, stamp=stamp), connection, lambda _: None)

    def by_hand(self, *commands: str) -> None:
        """Execute commands that no revision knows of."""
        with self.database.connect().cursor() as cursor:
            for command in commands:
                cursor.execute(command)

    def drift(self, user: str | None = None) -> Drift:
        """Look for drift, as another user if one is given."""
        params = self.database.server.params(self.database.name)
        with closing(connect({**params, **({"user": user} if user else {})})) as connection:
            return find_drift(self.project, connection, os.environ)


def project_at(root: Path, source: Path) -> None:
    for folder in ("env", "sql/migrations", "alembic"):
        (root / folder).mkdir(parents=True)
    shutil.copy(source / "alembic.ini", root)
    (root / "env/environments.json").write_text(json.dumps({"environments": {"development": {}}}))


@pytest.fixture
def live(tmp_path: Path, project_root: Path, database: Database) -> Live:
    """An empty database and a project without revisions."""
    project_at(tmp_path / "project", project_root)
    return Live(tmp_path / "project", database)


@pytest.fixture
def roles(database: Database) -> Iterator[tuple[str, str, str]]:
    """Three roles of the live cluster, the first two allowed to make what they like in the database."""
    names = tuple(f"{name} of {database.name}" for name in ("first", "second", "third"))
    with database.connect().cursor() as cursor:
        for name in names:
            cursor.execute(f'CREATE ROLE "{name}" LOGIN')
        cursor.execute(f'GRANT CREATE ON DATABASE {database.name} TO "{names[0]}"')
        cursor.execute(f'GRANT CREATE ON SCHEMA public TO "{names[0]}", "{names[1]}" WITH GRANT OPTION')
        cursor.execute(f'GRANT "{names[0]}" TO "{names[1]}"')
        yield names
        for name in names:
            cursor.execute(f'DROP OWNED BY "{name}" CASCADE')
        for name in names:
            cursor.execute(f'DROP ROLE "{name}"')


def test_a_database_as_its_revisions_left_it_has_no_drift(database_at, project_root):
    connection = database_at("head").connect()
    connection.autocommit = False
    found = find_drift(load_project(project_root, {}, "development"), connection, os.environ)
    assert not found.difference
    assert found.same_major
    assert found.live_version == found.throwaway_version
    assert "000008" in found.applied


def test_what_was_changed_by_hand_is_told_on_the_side_where_it_is(live):
    live.pair("000001_one", "CREATE TABLE t (id int, a int NOT NULL DEFAULT 1);\nCREATE INDEX i ON t (a);\n")
    live.pair("000002_two", "CREATE VIEW v AS SELECT id FROM t;\nCREATE TABLE gone (id int);\n")
    live.run()
    live.by_hand(
        "DROP INDEX i",
        "DROP TABLE gone",
        "ALTER TABLE t ALTER a DROP NOT NULL",
        "CREATE OR REPLACE VIEW v AS SELECT id FROM t WHERE id > 0",
        "GRANT SELECT ON t TO pg_monitor",
        "COMMENT ON TABLE t IS 'mine'",
        "CREATE SCHEMA somebody_elses CREATE TABLE theirs (id int)",
        "INSERT INTO t VALUES (1, 2)",
    )
    told = live.drift().difference
    assert {(item.kind, item.identity) for item in told.missing} >= {
        ("table", "public.gone"),
        ("index", "public.i"),
    }
    assert {(before.identity, after.kind) for before, after in told.changed} == {
        ("public.t.a", "column"),
        ("public.v", "view"),
    }
    lines = str(told)
    for words in (
        "~ column public.t.a: `integer default 1 not null` became `integer default 1`",
        "- index public.i is missing",
        "- table public.gone is missing",
        "+ grant on table public.t",
        "+ comment on table public.t",
        "+ schema somebody_elses is new",
        "+ table somebody_elses.theirs is new",
    ):
        assert words in lines


def test_the_applied_revisions_run_in_order_of_application_and_no_other(live):
    live.pair("000001_one", "CREATE TABLE one (id int);\n")
    live.pair("000003_three", "CREATE TABLE three (id int);\n")
    live.run()
    # In order of its number it would have given a grant to the table of 000003.
    late = "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC;\nCREATE TABLE two (id int);\n"
    live.pair("000002_two", late, "development")
    live.pair("000004_four", "CREATE TABLE four (id int);\n")
    live.run("development@head")
    live.pair("000005_five", "CREATE TABLE five (id int);\n", "development")
    found = live.drift()
    assert found.applied == ("000001", "000003", "000002")
    assert str(found.difference) == ""


def test_a_revision_comes_behind_those_it_stands_on_whatever_the_journal_says(live):
    for name in ("000001_one", "000002_two", "000003_three"):
        live.pair(name, "SELECT 1;\n")
    order = order_of_application(live.project, ["000002", "000003", "000001"])
    assert [revision.id for revision in order] == ["000001", "000002", "000003"]


def test_a_stamped_revision_counts_as_applied(live):
    live.by_hand("CREATE TABLE one (id int)")
    live.pair("000001_one", "CREATE TABLE one (id int);\n")
    live.pair("000002_two", "CREATE TABLE two (id int);\n")
    live.run("1", stamp=True)
    live.run("2")
    assert str(live.drift().difference) == ""


def test_a_file_outside_transactions_is_rebuilt_as_well(live):
    live.pair("000001_one", "CREATE TABLE t (a int);\n")
    live.pair("000002_two", "CREATE INDEX CONCURRENTLY i ON t (a);\n")
    live.run()
    live.by_hand("DROP INDEX i")
    assert str(live.drift().difference).startswith("- index public.i is missing: CREATE INDEX")


def test_who_ran_what_and_who_looks_is_no_drift_but_another_owner_is(live, roles):
    first, second, third = roles
    live.pair("000001_one", f'CREATE TABLE one (id int);\nGRANT SELECT ON one TO "{third}";\n')
    live.run(user=first)
    live.by_hand(
        f'GRANT USAGE ON SCHEMA newel TO "{second}", "{third}"',
        f'GRANT SELECT ON ALL TABLES IN SCHEMA newel TO "{third}"',
        f'GRANT ALL ON ALL TABLES IN SCHEMA newel TO "{second}"',
        f'ALTER TABLE newel.journal OWNER TO "{second}"',
    )
    live.pair(
        "000002_two",
        "CREATE TABLE two (id int);\nALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC;\n",
    )
    live.run(user=second)
    assert str(live.drift(user=third).difference) == ""
    live.by_hand(f'ALTER TABLE two OWNER TO "{first}"')
    assert str(live.drift().difference) == f'~ owner of table public.two: `"{second}"` became `"{first}"`'


def test_what_the_revisions_do_not_decide_is_no_drift(tmp_path, project_root, new_database):
    project_at(tmp_path, project_root)
    live = Live(tmp_path, new_database(encoding="LATIN1"))
    name = live.database.name
    live.by_hand(
        f"ALTER DATABASE {name} SET timezone TO 'Pacific/Auckland'",
        f"ALTER DATABASE {name} SET search_path TO elsewhere, public",
        f"ALTER DATABASE {name} SET default_tablespace TO pg_default",
        f"COMMENT ON DATABASE {name} IS 'the live one'",
        f"GRANT TEMPORARY ON DATABASE {name} TO pg_monitor",
        "CREATE SCHEMA elsewhere",
    )
    live.pair(
        "000001_one",
        "CREATE SCHEMA IF NOT EXISTS elsewhere;\n"
        "CREATE TABLE t (at timestamptz DEFAULT '2026-01-01 12:00'::timestamptz, b text DEFAULT 'é' COLLATE \"C\");\n"
        f"GRANT CONNECT ON DATABASE {name} TO pg_monitor;\n"
        "CREATE MATERIALIZED VIEW m WITH (fillfactor = 50) AS SELECT 1 AS x WITH NO DATA;\n"
        "CREATE MATERIALIZED VIEW n AS SELECT 2 AS x WITH NO DATA;\n"
        "CREATE FOREIGN DATA WRAPPER w;\n"
        "CREATE SERVER far FOREIGN DATA WRAPPER w;\n"
        "CREATE USER MAPPING FOR PUBLIC SERVER far OPTIONS (password 'one for all');\n",
    )
    live.run()
    live.by_hand(
        "ALTER USER MAPPING FOR PUBLIC SERVER far OPTIONS (SET password 'this one''s own')",
        "UPDATE pg_extension SET extversion = '0.9' WHERE extname = 'plpgsql'",
        "REFRESH MATERIALIZED VIEW elsewhere.m",
        "REFRESH MATERIALIZED VIEW elsewhere.n",
        "ALTER TABLE elsewhere.t DROP COLUMN at",
        "ALTER TABLE elsewhere.t ADD COLUMN at timestamptz DEFAULT '2025-12-31 23:00Z'",
    )
    found = live.drift()
    assert str(found.difference) == ""
    assert found.notes == ()


def test_a_role_that_a_revision_makes_or_that_is_gone_stops_nothing(live):
    made, gone = f"made for {live.database.name}", f"gone from {live.database.name}"
    live.by_hand(f'CREATE ROLE "{gone}"')
    live.pair(
        "000001_one", f'CREATE TABLE t (id int);\nCREATE ROLE "{made}";\nGRANT SELECT ON t TO "{made}";\n'
    )
    live.pair("000002_two", f'GRANT SELECT ON t TO "{gone}";\nREVOKE SELECT ON t FROM "{gone}";\n')
    live.run()
    live.by_hand(f'DROP ROLE "{gone}"')
    try:
        assert str(live.drift().difference) == ""
    finally:
        live.by_hand("DROP TABLE t", f'DROP ROLE "{made}"')


def test_an_extension_that_the_throwaway_server_lacks_is_named_with_its_revision(live):
    live.pair("000001_one", "SELECT 1;\n")
    live.pair("000002_two", "CREATE EXTENSION nowhere_to_be_had;\n")
    live.run(stamp=True)
    with pytest.raises(NewelError) as refused:
        live.drift()
    assert "000002_two.up.sql:1:1: this revision makes the extension nowhere_to_be_had" in str(refused.value)
    assert "NEWEL_PG_BIN" in (refused.value.cure or "")


def test_revisions_that_do_not_run_on_an_empty_database_are_an_error_of_the_throwaway_server(live):
    live.by_hand("CREATE TABLE by_hand (id int)")
    live.pair("000001_one", "ALTER TABLE by_hand ADD a int;\n")
    live.run()
    with pytest.raises(NewelError) as refused:
        live.drift()
    assert "on the throwaway PostgreSQL" in refused.value.what
    assert 'relation "by_hand" does not exist' in refused.value.what
    assert "rolled back" not in str(refused.value)


def test_a_policy_that_protects_the_live_database_does_not_bind_the_throwaway_one(live):
    live.pair("000001_one", "SELECT pg_sleep(0.2);\n")
    live.run()
    config = {"statement_timeout": "100ms", "allow_destructive_operations": False, "require_approval": True}
    described = {"environments": {"development": {"config": config}}}
    (live.root / "env/environments.json").write_text(json.dumps(described))
    assert not live.drift().difference


def test_a_half_done_revision_is_refused_with_its_cure(live):
    live.pair("000001_one", "-- newel: no-transaction\nCREATE TABLE one (id int);\nSELECT 1 / 0;\n")
    with pytest.raises(NewelError):
        live.run()
    with pytest.raises(DependencyError, match="000001_one is half applied") as refused:
        live.drift()
    assert "newel up 000001" in (refused.value.cure or "")
    live.by_hand(f"SELECT pg_advisory_lock({KEY})")
    with pytest.raises(NewelError, match="a run is under way"):
        live.drift()


def test_a_revision_that_the_checkout_lacks_is_refused(live):
    live.pair("000001_one", "SELECT 1;\n")
    live.pair("000002_two", "SELECT 1;\n")
    live.run()
    for path in (live.root / "sql/migrations").glob("000002*"):
        path.unlink()
    with pytest.raises(DependencyError, match="the database holds revision 000002"):
        live.drift()


def test_a_lock_on_a_view_ends_the_wait_with_an_error(live, monkeypatch):
    monkeypatch.setattr("newel.check.drift.LOCK_TIMEOUT", "50ms")
    live.by_hand("CREATE VIEW v AS SELECT 1 AS x")
    holds = live.database.connect()
    holds.autocommit = False
    with holds.cursor() as cursor:
        cursor.execute("LOCK TABLE v IN ACCESS EXCLUSIVE MODE")
    with pytest.raises(NewelError, match=r"cannot read the live database: .*lock timeout"):
        live.drift()


def test_the_live_servers_superuser_tablespaces_and_locale_are_taken_over_or_the_lack_is_said(live):
    connection = live.database.connect()
    like = replace(
        read_surroundings(connection),
        superuser="admin of old",
        locale="LC_COLLATE 'xx_XX' LC_CTYPE 'xx_XX'",
        tablespaces=frozenset({"fast disk"}),
    )
    live.pair("000001_one", 'CREATE TABLE t (id int) TABLESPACE "fast disk";\n')
    with throwaway(os.environ) as server:
        catalog, note = rebuild(live.project, ["000001"], {"000001": "somebody"}, like, server)
    assert "sorts by the locale C" in (note or "")
    assert catalog["owner", "extension plpgsql"] == '"admin of old"'
    assert catalog["owner", "table public.t"] == "somebody"
    assert 'tablespace "fast disk"' in catalog["table", "public.t"]


@pytest.mark.parametrize(
    ("row", "options"),
    [
        ({"datcollate": "C", "datctype": "C.UTF-8"}, "LC_COLLATE 'C' LC_CTYPE 'C.UTF-8'"),
        (
            {"datcollate": "C", "datctype": "C", "datlocprovider": "i", "daticulocale": "de", "daticurules": "&a < b"},
            "LC_COLLATE 'C' LC_CTYPE 'C' LOCALE_PROVIDER ICU ICU_LOCALE 'de' ICU_RULES '&a < b'",
        ),
        (
            {"datcollate": "C", "datctype": "C", "datlocprovider": "b", "datlocale": "C.UTF-8"},
            "LC_COLLATE 'C' LC_CTYPE 'C' LOCALE_PROVIDER BUILTIN BUILTIN_LOCALE 'C.UTF-8'",
        ),
    ],
)  # fmt: skip
def test_the_locale_of_a_database_is_read_from_each_releases_columns(row, options):
    assert locale_options(row) == options
