"""The embedded mart, seen from outside: one process that owns ClickHouse's folder and answers HTTP on loopback."""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import secrets
import signal
import sys
import time
from pathlib import Path

from metropulse.embedded.account import account_for
from metropulse.embedded.layout import Layout, open_log, tail, write_private
from metropulse.embedded.process import Record, spawn
from metropulse.exceptions import ConfigError, DatabaseError

_USER = "metropulse"
_START_SECONDS = 120.0


class ClickHouse:
    """The mart's server of one state folder.

    Not locked by itself: `Engines` calls it under the lock of the state folder.
    """

    def __init__(self, layout: Layout) -> None:
        """Name the server of a state folder; nothing is touched."""
        self._layout = layout
        self._record = layout.run / "clickhouse.json"
        self._port_file = layout.run / "clickhouse.port"
        self._password_file = layout.run / "clickhouse.password"
        self._log = layout.run / "clickhouse.log"
        self._since = 0

    @property
    def user(self) -> str:
        """The user the server knows."""
        return _USER

    @property
    def port(self) -> int | None:
        """The port the server listens on, or last did; None before its first start."""
        try:
            return int(json.loads(self._port_file.read_text(encoding="ascii"))["port"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @property
    def url(self) -> str | None:
        """The server's URL with its database; None before its first start."""
        port = self.port
        return None if port is None else f"http://127.0.0.1:{port}/default"

    @property
    def password(self) -> str:
        """The password of this state folder, made at the first use."""
        try:
            return self._password_file.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            write_private(self._password_file, secrets.token_urlsafe(24) + "\n")
            return self._password_file.read_text(encoding="ascii").strip()

    def answers(self, timeout_seconds: float = 30.0) -> bool:
        """Whether the server runs a query for our password."""
        port = self.port
        if port is None or not self._password_file.exists():
            return False
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_seconds)
        try:
            headers = {"X-ClickHouse-User": _USER, "X-ClickHouse-Key": self.password}
            link.request("POST", "/", body=b"SELECT 1", headers=headers)
            reply = link.getresponse()
            return reply.read() == b"1\n" and reply.status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            link.close()

    def spawn(self) -> Record | None:
        """Start the process unless the server answers already; `wait` tells when it is ready.

        Returns:
            The process, None when there was nothing to start.

        Raises:
            ConfigError: The extra is not installed.
            DatabaseError: The process could not be started.
        """
        record = self._process()
        if record is not None:
            if self.answers():
                return None
            self.stop()
        for module in ("chdb", "lz4"):
            if importlib.util.find_spec(module) is None:
                raise ConfigError(f"the embedded mart needs {module}: pip install 'metropulse[embedded]'")
        self.password  # noqa: B018  made before the server reads it
        command = [sys.executable, "-P", "-m", "metropulse.embedded.clickhouse_server"]
        command += ["--data", str(self._layout.mart), "--port-file", str(self._port_file)]
        command += ["--user", _USER, "--password-file", str(self._password_file)]
        account = account_for(self._layout.mart) if self._layout.mart.stat().st_uid != 0 else None
        if account is not None and account.blocked_by(Path(sys.executable).resolve()):
            raise ConfigError(
                f"the mart belongs to {account.name!r}, who may not reach this interpreter; run as that user",
                {"folder": str(self._layout.mart), "interpreter": sys.executable},
            )
        log = open_log(self._log)
        try:
            self._since = os.fstat(log).st_size
            record = spawn(command, log=log, environment=_environment(), folder=self._layout.run, account=account)
        finally:
            os.close(log)
        record.save(self._record)
        return record

    def wait(self, record: Record) -> None:
        """Wait until a process just started answers.

        Args:
            record: What `spawn` returned.

        Raises:
            ConfigError: Another process holds the mart's folder.
            DatabaseError: The server did not come up.
        """
        deadline = time.monotonic() + _START_SECONDS
        while not (self._announced(record) and self.answers()):
            if not record.alive() or time.monotonic() > deadline:
                record.end(signal.SIGKILL, 10.0)
                self._explain(tail(self._log, 40, since=self._since))
            time.sleep(0.02)

    def stop(self) -> bool:
        """Stop the server; running queries are killed.

        Returns:
            Whether there was one to stop.

        Raises:
            DatabaseError: It would not stop.
        """
        record = self._process()
        if record is None:
            return False
        for sign, seconds in ((signal.SIGTERM, 30.0), (signal.SIGKILL, 10.0)):
            if record.end(sign, seconds):
                self._record.unlink(missing_ok=True)
                return True
        raise DatabaseError("the mart's process does not stop", {"pid": str(record.pid)})

    def status(self) -> dict[str, object]:
        """Return whether it runs, its process and its URL."""
        record = self._process()
        running = record is not None and self.answers()
        return {"running": running, "pid": record.pid if record else None, "url": self.url}

    def _process(self) -> Record | None:
        """Return the process as recorded, else (a lost record) as the port file of a server that answers has it."""
        record = Record.load(self._record)
        if record is not None and record.alive():
            return record
        try:
            pid = int(json.loads(self._port_file.read_text(encoding="ascii"))["pid"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        record = Record.of(pid)
        if record is None or not self.answers():
            return None
        record.save(self._record)
        return record

    def _announced(self, record: Record) -> bool:
        """Whether the port file is this process's."""
        try:
            return int(json.loads(self._port_file.read_text(encoding="ascii"))["pid"]) == record.pid
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def _explain(self, said: str) -> None:
        """Raise what a server that did not start had to say."""
        if "Cannot lock file" in said:
            raise ConfigError(
                "the mart's folder is held by another process; one process at a time may open it: end that one first",
                {"folder": str(self._layout.mart), "log": str(self._log)},
            )
        raise DatabaseError(f"the mart did not start: {said or 'it said nothing'}", {"log": str(self._log)})


def _environment() -> dict[str, str]:
    """The server's environment: UTC, this very metropulse in reach, and none of the caller's secrets."""
    kept = ("HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "PYTHONHOME", "TMPDIR", "VIRTUAL_ENV")
    home = str(Path(__file__).resolve().parents[2])
    inherited = os.environ.get("PYTHONPATH")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    return {**environment, "TZ": "UTC", "PYTHONPATH": f"{home}{os.pathsep}{inherited}" if inherited else home}
