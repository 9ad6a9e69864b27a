"""The servers that both sides load into: PostgreSQL 18 and ClickHouse 26.9, out of the wheels, on loopback.

PostgreSQL runs with the settings of the embedded warehouse, but as a server that somebody depends on does, with
`wal_level = replica` and `shared_buffers` of 2 GB (a quarter of a small server's memory, where PostgreSQL's manual begins),
and it listens on TCP as well, because JDBC knows no unix socket.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from metropulse.embedded.account import account_for
from metropulse.embedded.clickhouse import ClickHouse
from metropulse.embedded.layout import Layout
from metropulse.embedded.postgres import _SETTINGS
from metropulse.embedded.postgres_files import Programs
from metropulse.embedded.postgres_probe import probe

POSTGRES = "18"
CLICKHOUSE = "26.9"
_SERVER = {
    **_SETTINGS,
    "wal_level": "replica",
    "max_wal_senders": "10",
    "listen_addresses": "127.0.0.1",
    "shared_buffers": "2GB",
}
_USER = "bench"


@dataclass(frozen=True)
class PostgresServer:
    """A running PostgreSQL whose superuser `bench` needs no password."""

    host: str
    port: int
    programs: Path

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database, for libpq, tokio-postgres and the rest."""
        return f"postgresql://{_USER}@{self.host}:{self.port}/{database}"

    def jdbc(self, database: str = "postgres") -> str:
        """Return the URL of a database for JDBC; the user is `bench`."""
        return f"jdbc:postgresql://{self.host}:{self.port}/{database}?user={_USER}"

    def recreate(self, database: str) -> None:
        """Make an empty database, in place of one that may be there, and write everything dirty out."""
        self.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')
        self.execute(f'CREATE DATABASE "{database}"')
        self.execute("CHECKPOINT")

    def execute(self, sql: str, database: str = "postgres") -> str:
        """Run one statement (or several, in one transaction) with psql and return its rows, `|` between values."""
        command = [str(self.programs / "psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", self.url(database), "-c", sql]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def free_port() -> int:
    """Find a port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def postgres() -> Iterator[PostgresServer]:
    """Run PostgreSQL with an empty data folder for as long as the block lasts."""
    programs = Programs.find()
    folder = Path(tempfile.mkdtemp(prefix="metropulse-bench-pg-"))
    folder.chmod(0o755)
    account = account_for(folder / "data")
    if account is not None:
        account.own(folder)
        programs = programs.within_reach(account, folder)
    child = account.child() if account else {}
    environment = {"PATH": os.environ["PATH"], "TZ": "UTC", "LC_ALL": "C"}
    port = free_port()
    made = ["--auth=trust", f"--username={_USER}", "--encoding=UTF8", "--locale=C", "-D", str(folder / "data")]
    subprocess.run(
        [str(programs.initdb), *made], check=True, stdout=subprocess.DEVNULL, cwd=folder, env=environment, **child
    )
    settings = {**_SERVER, "port": str(port), "unix_socket_directories": str(folder)}
    command = [str(programs.postgres), "-D", str(folder / "data")]
    command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=environment, **child)
    try:
        deadline = time.monotonic() + 60
        while not probe(folder / f".s.PGSQL.{port}", user=_USER, database="postgres", timeout_seconds=5).up:
            if server.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"PostgreSQL did not start: {(folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)
        yield PostgresServer("127.0.0.1", port, programs.folder)
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class MartServer:
    """A running ClickHouse; its HTTP interface."""

    url: str
    user: str
    password: str


@contextlib.contextmanager
def clickhouse() -> Iterator[MartServer]:
    """Run ClickHouse 26.9 (chdb behind its HTTP interface) with an empty folder for as long as the block lasts."""
    folder = Path(tempfile.mkdtemp(prefix="metropulse-bench-ch-"))
    layout = Layout.of(folder / "state")
    layout.create()
    engine = ClickHouse(layout)
    try:
        record = engine.spawn()
        assert record is not None
        engine.wait(record)
        assert engine.url is not None
        yield MartServer(engine.url, engine.user, engine.password)
    finally:
        engine.stop()
        shutil.rmtree(folder, ignore_errors=True)
