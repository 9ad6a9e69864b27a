"""Where things lie under a state folder, and how its small files are written."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from metropulse.exceptions import ConfigError, ConflictError

_LOG_BYTES = 10 << 20


@dataclass(frozen=True)
class Layout:
    """The folders and files of one state folder."""

    state: Path

    @classmethod
    def of(cls, state_dir: str | Path) -> Layout:
        """Name the layout of a state folder without touching it.

        Args:
            state_dir: The state folder; it need not exist.

        Returns:
            The layout, with symbolic links resolved so that every process names the folder alike.
        """
        return cls(Path(state_dir).expanduser().resolve())

    @property
    def lake(self) -> Path:
        """Folder whose children are the `dt=` folders."""
        return self.state / "lake" / "raw"

    @property
    def warehouse(self) -> Path:
        """Folder of PostgreSQL, owned by the account it runs as."""
        return self.state / "warehouse"

    @property
    def mart(self) -> Path:
        """Data folder of ClickHouse."""
        return self.state / "mart"

    @property
    def run(self) -> Path:
        """Folder of locks, process records, port, password and logs."""
        return self.state / "run"

    def create(self) -> None:
        """Create the folders that every engine needs.

        Raises:
            ConfigError: The state folder cannot be created or written.
        """
        try:
            self.state.parent.mkdir(parents=True, exist_ok=True)
            # Whatever the caller's umask: PostgreSQL's account, which is not root, must pass through.
            for folder in (self.state, self.state / "lake", self.lake):
                _make(folder, 0o755 if os.geteuid() == 0 else 0o777)
            for folder in (self.warehouse, self.mart, self.run):
                _make(folder, 0o700)
        except OSError as error:
            raise ConfigError(
                f"the state folder cannot be written: {error.strerror}; name a folder that you may write",
                {"folder": str(error.filename or self.state)},
            ) from error


def _make(folder: Path, mode: int) -> None:
    """Make a folder that is not there yet."""
    try:
        folder.mkdir(mode=mode)
    except FileExistsError:
        # It was there, or a process that starts the same engines made it a moment ago.
        if not folder.is_dir():
            raise
        return
    adopt(folder)
    if os.geteuid() == 0:
        folder.chmod(mode)


def adopt(path: Path) -> None:
    """As root, give a new file to the owner of its folder, so that root's visit locks nobody out.

    Args:
        path: A file or folder just created.
    """
    if os.geteuid() == 0:
        owner = path.parent.stat()
        if owner.st_uid != 0:
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all.

    Args:
        path: The file.
        text: Its content.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        adopt(Path(name))
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def open_log(path: Path) -> int:
    """Open a server's log for appending; a long one is set aside as `.old` first.

    Args:
        path: The log file.

    Returns:
        A file descriptor, to be closed by the caller.
    """
    if path.exists() and path.stat().st_size > _LOG_BYTES:
        path.replace(path.with_suffix(".old"))
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    adopt(path)
    return handle


def tail(path: Path, lines: int = 12, *, since: int = 0) -> str:
    """Return the last lines of a log.

    Args:
        path: The log file.
        lines: How many lines at most.
        since: Byte offset to begin at, so that an earlier start's words are not quoted.

    Returns:
        The lines, or an empty text when there is no log.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(since, size - 65536) if since <= size else 0)
            return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-lines:]).strip()
    except OSError:
        return ""


class Use:
    """A mark that this process uses the engines of a state folder; it goes with the process at the latest."""

    def __init__(self, run: Path) -> None:
        """Take the mark.

        Args:
            run: The folder of locks and process records.
        """
        self._path = run / "in_use"
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        adopt(self._path)
        fcntl.flock(handle, fcntl.LOCK_SH)
        self._handle: int | None = handle

    def end(self) -> bool:
        """Give the mark back; ending twice is fine.

        Returns:
            Whether nobody else uses the engines.
        """
        handle, self._handle = self._handle, None
        if handle is None:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(handle)
        return True


@contextlib.contextmanager
def exclusive(path: Path, timeout_seconds: float) -> Iterator[None]:
    """Hold a file lock, so that two processes never start or stop the same engines at once.

    Args:
        path: The lock file.
        timeout_seconds: How long to wait for another holder.

    Yields:
        Nothing; the lock is held inside the block.

    Raises:
        ConfigError: The lock file cannot be opened.
        ConflictError: Another process held the lock for too long.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(
            f"the lock of the state folder cannot be opened: {error.strerror}; does it belong to another user?",
            {"file": str(path)},
        ) from error
    try:
        adopt(path)
        deadline = time.monotonic() + timeout_seconds
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ConflictError(
                        f"another process has been starting or stopping the engines for {timeout_seconds:.0f} s",
                        {"file": str(path)},
                    ) from None
                time.sleep(0.02)
        yield
    finally:
        os.close(handle)
