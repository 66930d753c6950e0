"""The embedded server, started for real. As root the suite also shows what an ordinary user sees, in a forked child."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import pytest

from newel.database.administer.databases import create_database
from newel.database.embedded import binaries, cluster, places, server
from newel.errors import ConnectionFailed, FileMissing, NewelError, PermissionDenied

REPOSITORY = Path(__file__).resolve().parents[2]
START_IN_A_PROCESS = """
import os, pathlib, sys
from newel.database.embedded import server
print(server.start(pathlib.Path(sys.argv[1]), os.environ).started)
"""
pytestmark = pytest.mark.long
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@contextlib.contextmanager
def projects() -> Iterator[Callable[[str], Path]]:
    """Makes project folders that every user can reach, whatever pytest's own temporary folder allows."""
    base = Path(tempfile.mkdtemp(prefix="newel test ")).resolve()
    base.chmod(0o755)
    made: list[Path] = []

    def make(name: str) -> Path:
        project = base / name
        project.mkdir(parents=True)
        made.append(project)
        return project

    yield make
    for project in made:
        if project.exists():
            forget(project)
    shutil.rmtree(base)


@pytest.fixture
def make_project() -> Iterator[Callable[[str], Path]]:
    with projects() as make:
        yield make


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[Path, server.Server]]:
    """A project and its server, for the tests that only look or add."""
    with projects() as make:
        project = make("shared")
        yield project, server.start(project, os.environ)


@pytest.fixture
def project(make_project: Callable[[str], Path]) -> Path:
    return make_project("project")


def forget(project: Path) -> None:
    state = server.status(project)
    server.stop(project)
    key = places.key(project)
    for folder in (state.socket_dir, places.SHARED / key, *places.SOCKETS.glob(f"newel-*-{key}")):
        if folder and folder.is_dir() and not folder.is_symlink():
            shutil.rmtree(folder)
        elif folder:
            folder.unlink(missing_ok=True)


def run(started: server.Server, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
    connection = psycopg2.connect(**started.params(database))
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def the_only_connection(started: server.Server) -> psycopg2.extensions.connection:
    """The one that a server of one connection has, as soon as the backend of the one before has ended."""
    deadline = time.monotonic() + 20
    while True:
        try:
            return psycopg2.connect(**started.params("postgres"))
        except psycopg2.OperationalError as error:
            if "too many clients" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


def alive(pid: int) -> bool:
    return cluster._command_of(pid) is not None


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 20
    while alive(pid):
        assert time.monotonic() < deadline, f"process {pid} still lives"
        time.sleep(0.01)


def in_a_child_as(uid: int, act: Callable[[], None]) -> None:
    """Run `act` as another user, and assert that it passes; in a fork, as this user may not reach the interpreter."""
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            act()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def another_uid() -> int:
    """A user who is neither root nor the one that a server started by root runs as."""
    return 65534 if cluster.server_account().uid != 65534 else 65533


def majors_at_hand() -> list[binaries.Binaries]:
    found = []
    for major in range(binaries.MINIMUM_MAJOR, 26):
        try:
            found.append(binaries.find_major(without_choice(), major))
        except FileMissing:
            continue
    return found


def without_choice() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "NEWEL_PG_BIN"}


def test_a_second_start_finds_the_server_of_the_first(shared: tuple[Path, server.Server]) -> None:
    project, first = shared
    second = server.start(project, os.environ)
    assert (first.started, second.started) == (True, False)
    assert (first.pid, first.socket_dir, first.data) == (second.pid, second.socket_dir, second.data)
    assert first.binaries.major == second.binaries.major


def test_it_keeps_data_safe_and_listens_on_no_network(shared: tuple[Path, server.Server]) -> None:
    _, started = shared
    assert run(started, "SHOW server_encoding") == [("UTF8",)]
    assert run(started, "SHOW fsync") == [("on",)]
    assert run(started, "SHOW listen_addresses") == [("",)]


def test_stop_and_status_say_what_was_running(project: Path) -> None:
    assert server.stop(project) is False
    assert server.status(project).data is None
    assert not (project / ".newel").exists(), "looking creates nothing"

    started = server.start(project, os.environ)
    state = server.status(project)
    assert (state.running, state.pid, state.socket_dir) == (True, started.pid, started.socket_dir)
    assert state.version == started.binaries.version

    assert server.stop(project) is True
    assert server.stop(project) is False
    state = server.status(project)
    assert (state.running, state.pid, state.version) == (False, None, str(started.binaries.major))
    wait_until_gone(started.pid)


def test_the_server_is_out_of_reach_of_git_and_of_ctrl_c(shared: tuple[Path, server.Server]) -> None:
    project, started = shared
    assert (project / ".newel" / ".gitignore").read_text() == "*\n"
    assert os.getsid(started.pid) != os.getsid(0)


def test_the_url_and_the_parameters_lead_to_the_database(shared: tuple[Path, server.Server]) -> None:
    _, started = shared
    create_database(started.params("odd name/ü?"))
    connection = psycopg2.connect(started.url("odd name/ü?"))
    assert connection.info.dbname == "odd name/ü?"
    connection.close()


def test_two_processes_at_once_start_one_server_and_leave_no_pipe_open(project: Path) -> None:
    both = [
        subprocess.Popen(
            [sys.executable, "-c", START_IN_A_PROCESS, project],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    # communicate() returns when the pipe is closed: a server that had inherited it would keep it open.
    assert sorted(process.communicate(timeout=60)[0].strip() for process in both) == ["False", "True"]
    assert server.start(project, os.environ).started is False


def test_a_pid_file_that_names_an_unrelated_process_is_no_obstacle_and_the_process_lives(
    project: Path,
) -> None:
    started = server.start(project, os.environ)
    pid_file = started.data / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    server.stop(project)
    account = cluster.server_account()
    # As the server's own user, because PostgreSQL takes a pid that it may not signal for a dead one.
    with subprocess.Popen(["sleep", "600"], **account.options()) as sleeper:
        try:
            pid_file.write_text("\n".join([str(sleeper.pid), *lines[1:]]) + "\n")
            (started.socket_dir / ".s.PGSQL.5432").touch()
            (started.socket_dir / ".s.PGSQL.5432.lock").write_text(pid_file.read_text())
            shutil.chown(pid_file, account.uid)
            assert server.status(project).running is False
            assert server.stop(project) is False
            assert server.start(project, os.environ).started is True
            assert sleeper.poll() is None
        finally:
            sleeper.kill()


def test_after_kill_9_with_sessions_open_the_next_start_has_the_data(project: Path) -> None:
    started = server.start(project, os.environ)
    run(started, "CREATE TABLE kept AS SELECT 42 AS answer")
    busy = psycopg2.connect(**started.params("postgres"))
    busy.autocommit = True

    def work() -> None:
        with contextlib.suppress(psycopg2.Error):
            busy.cursor().execute("SELECT pg_sleep(5)")

    worker = threading.Thread(target=work)
    worker.start()
    os.kill(started.pid, signal.SIGKILL)
    wait_until_gone(started.pid)

    again = server.start(project, os.environ)
    worker.join()
    assert again.started is True
    assert run(again, "SELECT answer FROM kept") == [(42,)]


def test_any_project_path_will_do(make_project: Callable[[str], Path]) -> None:
    project = make_project('spaces, it\'s "$HOME" `x`; ü %d/' + "/".join(["a" * 60] * 3))
    assert len(str(project)) > 107
    started = server.start(project, os.environ)
    assert len(str(started.socket_dir)) < 60
    assert run(started, "SELECT 1") == [(1,)]
    assert server.start(project, os.environ).pid == started.pid
    assert server.stop(project) is True


def test_a_relative_path_and_a_symlink_lead_to_the_same_server(
    shared: tuple[Path, server.Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    project, started = shared
    (project.parent / "link").symlink_to(project)
    monkeypatch.chdir(project)
    assert server.start(Path(), os.environ).pid == started.pid
    assert server.start(project.parent / "link", os.environ).pid == started.pid


def test_a_socket_folder_that_is_a_link_or_another_users_is_refused(project: Path, tmp_path: Path) -> None:
    account = cluster.server_account()
    with pytest.raises(PermissionDenied, match="belongs to user id 0"):
        places.private_folder(Path("/usr"), account)
    (tmp_path / "file").touch()
    shutil.chown(tmp_path / "file", account.uid)
    with pytest.raises(PermissionDenied, match="is not a folder"):
        places.private_folder(tmp_path / "file", account)

    squatted = places.SOCKETS / f"newel-{account.uid}-{places.key(project)}"
    squatted.symlink_to(tmp_path)
    with pytest.raises(PermissionDenied, match="is a symbolic link") as caught:
        server.start(project, os.environ)
    assert f"rm -r {squatted}" in (caught.value.cure or "")
    assert server.status(project).data is None, "it is refused before anything is made"


def test_the_socket_folder_is_closed_to_others_even_if_it_was_open_before(tmp_path: Path) -> None:
    account = cluster.server_account()
    (tmp_path / "open").mkdir(mode=0o755)
    shutil.chown(tmp_path / "open", account.uid)
    assert places.private_folder(tmp_path / "open", account).stat().st_mode & 0o777 == 0o700


def test_a_server_whose_socket_was_removed_is_started_again(project: Path) -> None:
    started = server.start(project, os.environ)
    shutil.rmtree(started.socket_dir)
    again = server.start(project, os.environ)
    assert again.started is True
    wait_until_gone(started.pid)


def test_a_server_that_has_no_connection_left_is_not_stopped(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = server.start(project, os.environ)
    server.stop(project)
    with (started.data / "postgresql.conf").open("a") as settings:
        settings.write("max_connections = 1\nsuperuser_reserved_connections = 0\nmax_wal_senders = 0\n")
    started = server.start(project, os.environ)
    only = the_only_connection(started)
    with monkeypatch.context() as hurry:
        hurry.setattr(cluster, "START_SECONDS", 0.1)
        with pytest.raises(ConnectionFailed, match="too many clients") as caught:
            server.start(project, os.environ)
    assert "newel server stop" in (caught.value.cure or "")
    only.cursor().execute("SELECT 1")
    only.close()
    assert server.start(project, os.environ).pid == started.pid


def test_a_server_whose_folder_was_removed_gives_way_to_a_new_one(project: Path) -> None:
    started = server.start(project, os.environ)
    shutil.rmtree(project / ".newel")
    again = server.start(project, os.environ)
    assert again.started is True
    wait_until_gone(started.pid)


def test_a_project_that_was_moved_keeps_its_server(make_project: Callable[[str], Path]) -> None:
    project = make_project("before")
    started = server.start(project, os.environ)
    moved = project.rename(project.with_name("after"))
    try:
        assert server.start(moved, os.environ).pid == started.pid
    finally:
        forget(moved)


def test_a_moved_project_is_known_too_if_its_programs_lie_in_a_folder_with_spaces(
    make_project: Callable[[str], Path],
) -> None:
    project = make_project("before")
    programs = make_project("programs") / "Postgres 15 and others"
    programs.symlink_to(binaries.find(os.environ).folder)
    started = server.start(project, {**os.environ, "NEWEL_PG_BIN": str(programs)})
    moved = project.rename(project.with_name("after"))
    try:
        assert server.status(moved).pid == started.pid
        assert server.stop(moved) is True
        wait_until_gone(started.pid)
    finally:
        forget(moved)


def test_a_moved_project_is_told_from_a_copy_where_no_process_shows_its_working_directory(
    make_project: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_works_in", lambda *_: None)  # as on macOS
    project = make_project("before")
    started = server.start(project, os.environ)
    copy = Path(shutil.copytree(project, project.with_name("copy")))
    assert server.status(copy).running is False
    moved = project.rename(project.with_name("after"))
    try:
        assert server.start(moved, os.environ).pid == started.pid
        data = server.start(moved, os.environ).data
        assert server.stop(moved) is True
        assert not (data / "postmaster.pid").exists(), "stop waits until it has let go of the data"
        wait_until_gone(started.pid)
    finally:
        forget(moved)


def test_a_start_that_was_killed_half_way_through_initdb_is_begun_again(project: Path) -> None:
    home = project / ".newel" / "postgres" / "data.unfinished"
    home.mkdir(parents=True)
    (home / "PG_VERSION").write_text("15\n")
    assert server.start(project, os.environ).started is True
    assert not home.exists()


def test_a_server_that_cannot_start_shows_the_end_of_its_log(project: Path) -> None:
    started = server.start(project, os.environ)
    server.stop(project)
    with (started.data / "postgresql.conf").open("a") as settings:
        settings.write("work_mem = 'much'\n")
    with pytest.raises(ConnectionFailed, match="did not start") as caught:
        server.start(project, os.environ)
    assert 'invalid value for parameter "work_mem": "much"' in str(caught.value)


def test_data_that_a_server_unseen_from_here_works_on_is_left_alone(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = server.start(project, os.environ)
    with (project / ".newel" / "alive").open("r+") as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    pid_file = (started.data / "postmaster.pid").read_bytes()
    with monkeypatch.context() as container:
        # What a container sees of a server outside of it: no such process.
        container.setattr(cluster, "_command_of", lambda _: None)
        container.setattr(cluster, "ORPHANS_SECONDS", 0.1)
        with pytest.raises(ConnectionFailed, match="still work on its data"):
            server.start(project, os.environ)
    # PostgreSQL stops within a minute when its pid file names another process.
    assert (started.data / "postmaster.pid").read_bytes() == pid_file
    assert server.start(project, os.environ).pid == started.pid


def test_data_is_started_with_the_programs_of_its_own_major_version(project: Path) -> None:
    at_hand = majors_at_hand()
    if len(at_hand) < 2:
        pytest.skip("takes two major versions of PostgreSQL")
    preferred = binaries.find(without_choice())
    other = next(found for found in at_hand if found.major != preferred.major)
    assert (
        server.start(project, {**os.environ, "NEWEL_PG_BIN": str(other.folder)}).binaries.major == other.major
    )
    server.stop(project)
    again = server.start(project, without_choice())
    assert (again.started, again.binaries.major) == (True, other.major)

    wrong = {**os.environ, "NEWEL_PG_BIN": str(preferred.folder)}
    with pytest.raises(NewelError, match="NEWEL_PG_BIN is PostgreSQL"):
        server.start(project, wrong)
    server.stop(project)
    with pytest.raises(NewelError, match="NEWEL_PG_BIN is PostgreSQL"):
        server.start(project, wrong)


def test_data_of_a_major_version_that_is_not_here_is_refused_with_the_cure(project: Path) -> None:
    data = project / ".newel" / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("12\n")
    for folder in (data, data.parent):
        shutil.chown(folder, cluster.server_account().uid)
    with pytest.raises(FileMissing, match="made by PostgreSQL 12") as caught:
        server.start(project, without_choice())
    assert "postgresql-12" in (caught.value.cure or "")
    assert ".newel" in (caught.value.cure or "")


def test_a_database_is_created_once_even_by_two_at_once(shared: tuple[Path, server.Server]) -> None:
    _, started = shared
    made: list[bool] = []
    threads = [
        threading.Thread(target=lambda: made.append(create_database(started.params("service_db"))))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [False, False, False, True]
    assert create_database(started.params("service_db")) is False


@as_root
def test_an_ordinary_user_starts_and_stops_a_server_of_their_own(make_project: Callable[[str], Path]) -> None:
    project = make_project("theirs")
    uid = another_uid()
    os.chown(project, uid, uid)

    def act() -> None:
        started = server.start(project, os.environ)
        assert started.started
        assert started.data.stat().st_uid == uid
        assert (project / ".newel").stat().st_mode & 0o777 == 0o700
        assert run(started, "SELECT 1") == [(1,)]
        with server.throwaway(os.environ) as second:
            assert run(second, "SHOW fsync") == [("off",)]

    in_a_child_as(uid, act)
    found = server.start(project, os.environ)
    assert found.started is False, "root finds the user's server"
    server.stop(project)
    again = server.start(project, os.environ)
    assert again.started is True, "and starts it as that user"

    def stop() -> None:
        assert server.stop(project) is True

    in_a_child_as(uid, stop)


@as_root
def test_another_user_can_neither_connect_to_roots_server_nor_use_its_folder(
    shared: tuple[Path, server.Server],
) -> None:
    project, started = shared

    def act() -> None:
        with pytest.raises(psycopg2.OperationalError, match="Permission denied"):
            run(started, "SELECT 1")
        with pytest.raises(PermissionDenied, match="is not accessible"):
            server.start(project, os.environ)

    in_a_child_as(another_uid(), act)


@as_root
def test_what_the_servers_user_cannot_reach_lies_in_var_lib(make_project: Callable[[str], Path]) -> None:
    hidden = make_project("hidden")
    hidden.chmod(0o700)
    project = hidden / "project"
    project.mkdir()
    found = binaries.find(os.environ)
    # A whole installation in one folder, as a wheel is, where there is one; else the system's, reachable anyway.
    apart = next((b for b in majors_at_hand() if (b.folder.parent / "share").is_dir()), found)
    if apart is not found:
        shutil.copytree(apart.folder.parent, hidden / "pg", symlinks=True)
        apart = binaries.Binaries(hidden / "pg" / "bin", apart.version, apart.major, "")
    environ = {**os.environ, "NEWEL_PG_BIN": str(apart.folder)}
    try:
        started = server.start(project, environ)
        place = Path((project / ".newel" / "place").read_text().strip())
        assert place == places.SHARED / places.key(project) / "postgres"
        assert started.data == place / "data"
        if apart is not found:
            assert started.binaries.folder.is_relative_to(place.parent)
        assert run(started, "SELECT 1") == [(1,)]
        assert server.start(project, environ).started is False

        shutil.copytree(project, hidden / "copy")
        assert server.status(hidden / "copy").data is None, "a copy of the project does not share its data"
        moved = project.rename(hidden / "moved")
        assert server.status(moved).pid == started.pid, "the project that was moved keeps it"
        moved.rename(project)

        shutil.rmtree(project / ".newel")
        afresh = server.start(project, environ)
        assert afresh.started is True
        wait_until_gone(started.pid)
        assert afresh.data == place.with_name("postgres-2") / "data", "data is never overwritten"
    finally:
        forget(project)


def test_a_throwaway_server_is_gone_afterwards_whatever_happened() -> None:
    with contextlib.suppress(ZeroDivisionError), server.throwaway(os.environ) as thrown:
        assert run(thrown, "SHOW fsync") == [("off",)]
        raise ZeroDivisionError
    wait_until_gone(thrown.pid)
    assert not thrown.data.parent.exists()


def test_a_throwaway_server_lies_in_memory_where_that_has_room_and_nobody_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ours, disk = cluster.Account(os.geteuid(), os.getegid(), switch=False), Path("/tmp")
    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    monkeypatch.delenv("TMPDIR", raising=False)
    for memory, room, place in (
        (tmp_path, 1, tmp_path),
        (tmp_path, 1 << 62, disk),
        (tmp_path / "there is none", 1, disk),
    ):
        monkeypatch.setattr(places, "MEMORY", memory)
        monkeypatch.setattr(places, "ROOM", room)
        assert places.temporary(ours) == place
    monkeypatch.setattr(places, "MEMORY", tmp_path)
    monkeypatch.setenv("TMPDIR", str(disk))
    assert places.temporary(ours) == disk


def test_a_throwaway_server_goes_when_its_process_is_killed() -> None:
    code = (
        "import os, signal\nfrom newel.database.embedded import server\n"
        "with server.throwaway(os.environ) as s:\n"
        "    print(s.pid, s.data.parent, flush=True)\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, timeout=60
    )
    assert done.returncode == -signal.SIGKILL
    pid, folder = done.stdout.strip().split(" ", 1)
    wait_until_gone(int(pid))
    deadline = time.monotonic() + 20
    while Path(folder).exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("command", "works_in_data", "expected"),
    [
        (None, None, cluster.Holder.NOBODY),
        (("/pg 15/bin/postgres", "-D /srv/a b/data -c port=5432"), None, cluster.Holder.SERVER),
        (("/pg 15/bin/postgres", "-D /srv/a b/data"), False, cluster.Holder.SERVER),
        (("/pg 15/bin/postgres", "-D /srv/a b/data2"), False, cluster.Holder.OTHER),
        (("/pg 15/bin/postgres", "-D /link"), True, cluster.Holder.SERVER),
        (("/pg 15/bin/postgres", "-D /link"), None, cluster.Holder.UNSURE),
        (("postgres", ""), True, cluster.Holder.SERVER),
        (("postgres: checkpointer ", ""), True, cluster.Holder.OTHER),
        (("vi", "/pg 15/bin/postgres"), True, cluster.Holder.OTHER),
        (("sleep", "600"), None, cluster.Holder.OTHER),
    ],
)
def test_a_process_is_the_server_only_by_its_command_line_or_its_folder(
    command: tuple[str, str] | None, works_in_data: bool | None, expected: cluster.Holder
) -> None:
    assert cluster.judge(command, Path("/srv/a b/data"), works_in_data) is expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "/pg 15/bin/postgres -D /srv/a b/data -c port=5432",
            ("/pg 15/bin/postgres", "-D /srv/a b/data -c port=5432"),
        ),
        ("postgres -c port=5433", ("postgres", "-c port=5433")),
        ("postgres", ("postgres", "")),
    ],
)
def test_a_command_line_that_ps_shows_is_taken_apart_behind_the_program(
    line: str, expected: tuple[str, str]
) -> None:
    assert cluster.take_apart(line) == expected
