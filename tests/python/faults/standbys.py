"""A streaming replica of PostgreSQL, which a test may let take over."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

import services
from waiting import until


@dataclass(frozen=True)
class Pair:
    """A primary and the standby that follows it, both running."""

    primary: str
    standby: str
    primary_folder: Path
    standby_folder: Path

    def wait_until_even(self) -> None:
        """Wait until the standby shows all that the primary has committed."""
        with psycopg.connect(self.primary) as link:
            [reached] = link.execute("select pg_current_wal_lsn()::text").fetchone()
        with psycopg.connect(self.standby, autocommit=True) as link:
            ask = "select pg_last_wal_replay_lsn() >= %s::pg_lsn"
            until(lambda: link.execute(ask, [reached]).fetchone()[0], 60, "the standby does not follow", every=0.1)

    def kill_primary(self) -> None:
        """Take the primary away as a power cut does: the server and all of its sessions at once."""
        postmaster = int((self.primary_folder / "postmaster.pid").read_text().split()[0])
        os.killpg(postmaster, signal.SIGKILL)

    def promote(self) -> None:
        """Let the standby take over."""
        services.run_postgres("pg_ctl", "-D", str(self.standby_folder), "-w", "promote")


@contextlib.contextmanager
def followed(primary: str, primary_folder: Path, folder: Path) -> Iterator[Pair]:
    """Run a standby behind a server of the distribution.

    Args:
        primary: The server's URL, of a user that may replicate.
        primary_folder: Its data.
        folder: Where the standby's data is made.

    Yields:
        Both.
    """
    services.folder_of_account(folder)
    folder.chmod(0o700)
    services.run_postgres("pg_basebackup", "-d", primary, "-D", str(folder), "-R", "-X", "stream", "-c", "fast")
    port, parts = services.free_port(), urlsplit(primary)
    services.start_postgres(folder, port)
    try:
        standby = urlunsplit(parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{port}"))
        yield Pair(primary, standby, primary_folder, folder)
    finally:
        services.stop_postgres(folder)
