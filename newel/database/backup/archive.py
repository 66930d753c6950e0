"""A dump on disk, looked at before anything is done with it: what it is, whether it is whole, which server it needs."""

from __future__ import annotations

import re
import shlex
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from newel.database.backup.dump import checksum_file, sha256_of
from newel.database.backup.tools import Ended, Tools, find_tools, how_to_get, newest_tools, run
from newel.errors import NewelError, PermissionDenied
from newel.project.files import unreadable

_MAGIC, _FORMAT_AT, _CUSTOM = b"PGDMP", 10, 1
_TAR_AT = 257
_ROLE = r'(?:"(?:[^"]|"")+"|[^\s",;]+)'
_ENTRY = re.compile(
    r"^-- (?:Data for )?Name: .*; Type: (.*?); Schema: .*; Owner: (.*?)(?:; Tablespace: .*)?$"
)
_OWNER = re.compile(rf"^ALTER .* OWNER TO ({_ROLE});$")
_GRANTEE = re.compile(rf"^(?:GRANT|ALTER DEFAULT PRIVILEGES) .* TO ({_ROLE})(?: WITH GRANT OPTION)?;$")
_GRANTOR = re.compile(rf"^(?:ALTER DEFAULT PRIVILEGES FOR ROLE|SET SESSION AUTHORIZATION) ({_ROLE})[ ;]")


@dataclass(frozen=True)
class Archive:
    """A dump in pg_dump's custom format that was read from end to end. `size` in bytes."""

    path: Path
    size: int
    sha256: str
    recorded: bool
    """The checksum lies beside it, and is that of the file."""
    made: str
    """When, as the file says: in the time zone of the machine that made it."""
    dbname: str
    server_version: str
    """Of the server that it was dumped from."""
    dumped_by: int
    """The major version of the pg_dump that wrote it; an older pg_restore cannot read it."""

    @property
    def server_major(self) -> int:
        """The major version of the server that it was dumped from."""
        return _major(self.server_version)


@dataclass(frozen=True)
class Roles:
    """The roles that a dump names."""

    owners: frozenset[str]
    """Those that shall own what it makes."""
    others: frozenset[str]
    """Those that it grants something to, or whose default privileges it sets."""


def read_archive(path: Path, environ: Mapping[str, str]) -> Archive:
    """Check a dump without a server: its kind, its checksum, and that all of it can be read.

    Raises FileMissing without a pg_restore, PermissionDenied, or NewelError with what is wrong and the way out.
    """
    try:
        _check_kind(path)
        size, sha256 = path.stat().st_size, sha256_of(path)
        recorded = _recorded(path)
    except OSError as error:
        raise unreadable(str(path), error) from error
    if recorded is not None and recorded != sha256:
        raise NewelError(
            f"{path} is not the file that was written: its SHA-256 is {sha256}, and {checksum_file(path).name} "
            f"says {recorded}",
            cure="Nothing was changed. It was altered or damaged since: take another copy of it, or another backup.",
        )
    tools = newest_tools(environ)
    listed = _list(tools, path, environ)
    server = re.search(r"^;\s+Dumped from database version: (\S+)", listed, re.MULTILINE)
    program = re.search(r"^;\s+Dumped by pg_dump version: (\d+)", listed, re.MULTILINE)
    made = re.search(r"^; Archive created at (.*)$", listed, re.MULTILINE)
    dbname = re.search(r"^;\s+dbname: (.*)$", listed, re.MULTILINE)
    if not (server and program and made and dbname and re.match(r"\d", server[1])):
        raise NewelError(
            f"{path}: its header does not say which server it comes from", cure="Take another backup."
        )
    ended = run([str(tools.folder / "pg_restore"), "--file=/dev/null", str(path.absolute())], _plain(environ))
    if ended.code:
        raise _damaged(path, ended)
    return Archive(path, size, sha256, recorded is not None, made[1], dbname[1], server[1], int(program[1]))


def tools_for(archive: Archive, server_major: int, server_version: str, environ: Mapping[str, str]) -> Tools:
    """Return the tools that can read a dump and speak to the server.

    Raises NewelError if the server's version is lower than that of the server that it was dumped from.
    """
    if archive.server_major > server_major:
        raise NewelError(
            f"{archive.path} was dumped from PostgreSQL {archive.server_version}, and this server is PostgreSQL "
            f"{server_version}: a dump goes to the same version or a higher one",
            cure=f"Nothing was changed. Restore it into a server of PostgreSQL {archive.server_major} or higher: "
            "DATABASE_URL, or DATABASE_HOST and its kin, name it.",
        )
    return find_tools(environ, max(server_major, archive.dumped_by))


def read_roles(archive: Archive, tools: Tools, environ: Mapping[str, str]) -> Roles:
    """Return the roles that a dump needs.

    An owner stands in the comment that pg_restore writes above each object, and in a statement below. What both say
    is meant: a line in the body of a function may look like one of them.
    """
    with tempfile.TemporaryFile() as script:
        command = [
            str(tools.folder / "pg_restore"),
            "--schema-only",
            "--file=-",
            str(archive.path.absolute()),
        ]
        ended = run(command, _plain(environ), output=script.fileno())
        if ended.code:
            raise _damaged(archive.path, ended)
        script.seek(0)
        commented, owners, others = set[str](), set[str](), set[str]()
        kind = ""
        for line in script.read().decode("utf-8", "replace").splitlines():
            if entry := _ENTRY.match(line):
                kind = entry[1]
                commented.add(entry[2])
            elif found := _OWNER.match(line):
                owners.add(_unquoted(found[1]))
            elif kind.endswith("ACL"):
                others |= {_unquoted(found[1]) for found in _grants(line) if found[1] != "PUBLIC"}
    return Roles(frozenset(owners & commented), frozenset(others))


def _grants(line: str) -> list[re.Match[str]]:
    return [found for found in (_GRANTEE.match(line), _GRANTOR.match(line)) if found]


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def _plain(environ: Mapping[str, str]) -> dict[str, str]:
    return {**environ, "LC_ALL": "C"}


def _major(version: str) -> int:
    return int(re.split(r"\D", version)[0])


def _check_kind(path: Path) -> None:
    """Raise NewelError for what is no dump in the custom format, with the way that leads further."""
    if path.is_dir():
        inside = (path / "toc.dat").exists()
        kind = "a dump in pg_dump's directory format" if inside else "a folder"
        cure = f"pg_restore reads it:  pg_restore -d DATABASE {shlex.quote(str(path))}" if inside else None
        raise NewelError(f"{path} is {kind}; newel restores a file in pg_dump's custom format", cure=cure)
    if not path.is_file():
        raise NewelError(f"{path} is no file; newel restores a file in pg_dump's custom format")
    with path.open("rb") as file:
        start = file.read(4096)
    if start[:5] == _MAGIC and start[_FORMAT_AT : _FORMAT_AT + 1] == bytes([_CUSTOM]):
        return
    if not start:
        raise NewelError(f"{path} is empty", cure="Take another copy of it, or another backup.")
    quoted = shlex.quote(str(path))
    if start[:2] == b"\x1f\x8b":
        raise NewelError(f"{path} is compressed with gzip", cure=f"Unpack it first:  gunzip --keep {quoted}")
    if start[:8] == b"toc.dat\0" and start[_TAR_AT : _TAR_AT + 5] == b"ustar":
        raise NewelError(
            f"{path} is a dump in pg_dump's tar format; newel restores the custom format",
            cure=f"pg_restore reads it:  pg_restore -d DATABASE {quoted}",
        )
    if b"PostgreSQL database dump" in start or b"PostgreSQL database cluster dump" in start:
        raise NewelError(
            f"{path} is a plain SQL dump; newel restores a file in pg_dump's custom format (newel backup, pg_dump -Fc)",
            cure="psql runs it, into a new and empty database:\n"
            f"  createdb NEW && psql -X -v ON_ERROR_STOP=1 --single-transaction -d NEW -f {quoted}",
        )
    raise NewelError(
        f"{path} is no dump in pg_dump's custom format", cure="newel backup, or pg_dump -Fc, makes one."
    )


def _recorded(path: Path) -> str | None:
    """Return the checksum that lies beside a file; None without one. Raises NewelError if it cannot be read."""
    beside = checksum_file(path)
    if not beside.exists():
        return None
    found = re.match(rb"\\?([0-9a-fA-F]{64})\s", beside.read_bytes())
    if found is None:
        raise NewelError(
            f"{beside} holds no SHA-256 as sha256sum writes it, so nothing says whether {path.name} is whole",
            cure="Nothing was changed. Put the right checksum there, or take the file away to restore without one.",
        )
    return found[1].decode().lower()


def _list(tools: Tools, path: Path, environ: Mapping[str, str]) -> str:
    """Return the table of contents, which begins with what the header says."""
    with tempfile.TemporaryFile() as listed:
        command = [str(tools.folder / "pg_restore"), "--list", str(path.absolute())]
        ended = run(command, _plain(environ), output=listed.fileno())
        if "unsupported version" in ended.said:
            raise NewelError(
                f"{path} was written by a newer pg_dump than the newest pg_restore here, {tools.version} "
                f"({tools.folder})",
                cure=f"Nothing was changed. {how_to_get(tools.major + 1)}",
            )
        if ended.code:
            raise _damaged(path, ended)
        listed.seek(0)
        return listed.read().decode("utf-8", "replace")


def _damaged(path: Path, ended: Ended) -> NewelError:
    if "ermission denied" in ended.said:
        return PermissionDenied(f"cannot read {path}", excerpt=ended.said.strip())
    error = ended.failure(f"{path} is cut off or damaged", ())
    error.cure = error.cure or "Nothing was changed. Take another copy of the file, or another backup."
    return error
