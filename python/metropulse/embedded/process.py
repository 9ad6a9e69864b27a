"""Detached server processes: started, recognised again, ended.

A process is known by its number and the moment it began, so that a recycled number is never mistaken for it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from metropulse.embedded.account import Account
from metropulse.embedded.layout import write_private
from metropulse.exceptions import ConfigError, DatabaseError

# The server becomes a child of init: killers of process trees miss it, and no long-lived caller keeps its zombie.
_DETACH = '"$@" >&2 </dev/null & echo $!'


def identity(pid: int) -> str | None:
    """Return what tells this process from a later one of the same number.

    Args:
        pid: Process number.

    Returns:
        A text naming the boot and the moment the process began; None when there is no such process or it is a zombie.
    """
    stat = Path(f"/proc/{pid}/stat")
    if not Path("/proc/self/stat").exists():
        found = subprocess.run(
            ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
        state, _, began = found.stdout.strip().partition(" ")
        return began.strip() if began and not state.startswith("Z") else None
    try:
        fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
    return None if fields[0] in "ZX" else f"{boot}:{fields[19]}"


@dataclass(frozen=True)
class Record:
    """A process as remembered in a file."""

    pid: int
    identity: str

    @classmethod
    def of(cls, pid: int) -> Record | None:
        """Recognise a running process, None when there is none of this number."""
        known = identity(pid)
        return None if known is None else cls(pid, known)

    @classmethod
    def load(cls, path: Path) -> Record | None:
        """Read a record; None when there is none, or none that can be read."""
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            return cls(int(fields["pid"]), str(fields["identity"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def save(self, path: Path) -> None:
        """Write the record."""
        write_private(path, json.dumps({"pid": self.pid, "identity": self.identity}) + "\n")

    def alive(self) -> bool:
        """Whether this very process still runs."""
        return identity(self.pid) == self.identity

    def end(self, sign: signal.Signals, timeout_seconds: float) -> bool:
        """Send a signal and wait for the end.

        Args:
            sign: The signal.
            timeout_seconds: How long to wait.

        Returns:
            Whether the process is gone.

        Raises:
            ConfigError: The process belongs to another user.
        """
        if not self.alive():
            return True
        try:
            os.kill(self.pid, sign)
        except ProcessLookupError:
            return True
        except PermissionError as error:
            raise ConfigError(
                "the server belongs to another user; stop it as that user", {"pid": str(self.pid)}
            ) from error
        deadline = time.monotonic() + timeout_seconds
        while self.alive():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True


def spawn(
    command: Sequence[str], *, log: int, environment: Mapping[str, str], folder: Path, account: Account | None
) -> Record:
    """Start a server in a session of its own, with nothing inherited but its log.

    Args:
        command: Program and arguments.
        log: File descriptor that takes standard output and error.
        environment: The whole environment.
        folder: Working folder.
        account: The account to run as; None for the caller's own.

    Returns:
        The process.

    Raises:
        DatabaseError: The program could not be started.
    """
    started = subprocess.run(
        ["/bin/sh", "-c", _DETACH, "sh", *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=log,
        cwd=folder,
        env=dict(environment),
        start_new_session=True,
        umask=0o077,
        check=False,
        **(account.child() if account else {}),
    )
    text = started.stdout.decode("ascii", "replace").strip()
    if not text.isdigit():
        raise DatabaseError("the server could not be started", {"program": command[0]})
    # One that has ended already is a process of no beginning, which is never alive: its log tells why.
    return Record.of(int(text)) or Record(int(text), "")
