"""Where the embedded server's things lie, who may enter, and who works on them.

In the project: `.newel/` with `postgres/data`, `server.log`, `lock` (held while a command starts or stops the server)
and `alive` (held as long as any process of the server lives). Outside: a short folder for the socket, as a socket's
path is limited to 107 bytes (103 on macOS), and as root, where need be, /var/lib/newel/<hash of the project's path>.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import itertools
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from newel.database.embedded import binaries as pg
from newel.database.embedded import cluster
from newel.database.embedded.binaries import Binaries
from newel.database.embedded.cluster import Account
from newel.errors import ConnectionFailed, FileMissing, PermissionDenied

FOLDER = ".newel"
SHARED = Path("/var/lib/newel")
SOCKETS = Path("/tmp")  # noqa: S108
"""Short, everywhere, and kept over a logout, which $XDG_RUNTIME_DIR is not. See private_folder for the danger."""
MEMORY = Path("/dev/shm")  # noqa: S108
"""Linux has it; what lies there is in memory."""
ROOM = 4 << 30
"""How many bytes have to be free there. A server keeps up to 1 GB of WAL besides its databases."""


def project_root(root: Path) -> Path:
    if not root.is_dir():
        raise FileMissing(f"There is no folder {root}.")
    return root.resolve()


def key(root: Path) -> str:
    return hashlib.sha256(os.fsencode(root)).hexdigest()[:12]


def data_directory(root: Path) -> Path | None:
    """The project's data directory, if it was made."""
    folder = root / FOLDER
    with contextlib.suppress(FileNotFoundError):
        home = Path((folder / "place").read_text().strip())
        if (home / "data" / "PG_VERSION").exists() and _still_ours(home, root):
            return home / "data"
    data = folder / "postgres" / "data"
    return data if (data / "PG_VERSION").exists() else None


def _still_ours(home: Path, root: Path) -> bool:
    """Data outside the project goes with a project that was moved, but not with a copy of it."""
    owner = Path((home.parent / f"{home.name}.project").read_text().strip())
    if owner == root:
        return True
    try:
        return Path((owner / FOLDER / "place").read_text().strip()) != home
    except FileNotFoundError:
        return True


def account_for(data: Path | None) -> Account:
    """As root, the owner of the data, so that a project used by an ordinary user works for root too."""
    account = cluster.server_account()
    if data is None or not account.switch:
        return account
    owner = data.stat()
    return Account(owner.st_uid, owner.st_gid, switch=True)


def make_folder(root: Path) -> Path:
    """`.newel/`, its owner's alone; as root others may pass through it to what is theirs, but not look."""
    folder = root / FOLDER
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
        folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
    if not (folder / ".gitignore").exists():
        (folder / ".gitignore").write_text("*\n")
    return folder


def make_home(root: Path, account: Account) -> Path:
    """The folder for the data: in the project if the server's user can work there, else under /var/lib/newel."""
    inside = root / FOLDER / "postgres"
    inside.mkdir(exist_ok=True)
    give(inside, account, 0o700)
    if not account.switch or account.can_write_in(inside):
        return inside
    shutil.rmtree(inside)
    outside = SHARED / key(root)
    _make_shared(outside)
    home = _unused(outside)
    home.mkdir()
    give(home, account, 0o700)
    (outside / f"{home.name}.project").write_text(f"{root}\n")
    (root / FOLDER / "place").write_text(f"{home}\n")
    return home


def _unused(outside: Path) -> Path:
    """A project whose `.newel/` was removed starts afresh; its former data, which a moved project may use, is kept."""
    names = itertools.chain(["postgres"], (f"postgres-{number}" for number in itertools.count(2)))
    return next(outside / name for name in names if not (outside / name).exists())


def _make_shared(folder: Path) -> None:
    for path in (SHARED, folder):
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o711)


def reachable(binaries: Binaries, account: Account, store: Path) -> Binaries:
    """The binaries, or a copy in `store` if the server's user cannot run them where they are."""
    programs = (binaries.folder / "initdb", binaries.folder / "postgres")
    if not account.switch or all(account.can([program, "--version"]) for program in programs):
        return binaries
    if store.is_relative_to(SHARED):
        _make_shared(store)
    return pg.copy_into(binaries, store)


def check_reach(data: Path, account: Account) -> None:
    if account.switch and not account.can_write_in(data):
        raise PermissionDenied(
            f"The server's data is in {data}, which the user it runs as (id {account.uid}) cannot reach any more.",
            cure="Let others pass through the folders above it (`chmod o+x`), or start afresh by moving .newel away "
            "(it holds the embedded server's databases).",
        )


def give(path: Path, account: Account, mode: int) -> None:
    path.chmod(mode)
    if account.switch:
        os.chown(path, account.uid, account.gid, follow_symlinks=False)


def temporary(account: Account) -> Path:
    """Where a throwaway server's data and socket lie: $TMPDIR, if the server's user and a socket's path allow it.

    Without one, in memory where it has room: on a slow disk a new database takes ten times as long.
    """
    chosen = Path(tempfile.gettempdir())
    fits = len(os.fsencode(chosen)) <= 60 and not account.switch
    if not (fits and os.environ.get("TMPDIR")) and _has_room(MEMORY) and account.can_write_in(MEMORY):
        return MEMORY
    return chosen if fits else SOCKETS


def _has_room(folder: Path) -> bool:
    """Say whether a server and its programs can be put there. A container's /dev/shm is small and runs nothing."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize >= ROOM and not found.f_flag & getattr(os, "ST_NOEXEC", 0)


def private_folder(path: Path, account: Account) -> Path:
    """A folder that only `account` (and root) can enter, made if missing. Refuses what another user may have put there.

    Anybody can make a name in /tmp first, so an existing one is looked at with lstat, which follows no link.
    """
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
        give(path, account, 0o700)
    found = path.lstat()
    if stat.S_ISDIR(found.st_mode) and found.st_uid == account.uid:
        if stat.S_IMODE(found.st_mode) != 0o700:
            path.chmod(0o700)
        return path
    kind = "is a symbolic link" if stat.S_ISLNK(found.st_mode) else f"belongs to user id {found.st_uid}"
    if not stat.S_ISLNK(found.st_mode) and not stat.S_ISDIR(found.st_mode):
        kind = "is not a folder"
    raise PermissionDenied(
        f"The folder for the server's socket, {path}, {kind}; it has to be a folder of user id {account.uid}. "
        "Somebody else could listen there in the server's place.",
        cure=f"Look at it (`ls -ld {path}`), and remove it (`sudo rm -r {path}`) if nobody needs it.",
    )


@contextlib.contextmanager
def locked(path: Path, seconds: float, while_waiting: str) -> Iterator[int]:
    """Hold an exclusive flock on a file. It goes when the last process that has the file open ends, even by kill -9."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        deadline = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ConnectionFailed(
                        f"{while_waiting}: waited {seconds} seconds for {path}.",
                        cure="Try again; `newel server status` shows the server.",
                    ) from None
                time.sleep(0.02)
        yield handle
    finally:
        os.close(handle)


@contextlib.contextmanager
def denied_as_error(root: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise PermissionDenied(
            f"The embedded server's folder {root / FOLDER} is not accessible: {error.strerror} ({error.filename}).",
            cure="It was made by another user (root, say): run the command as that user, or move the folder away.",
        ) from error
