"""Starts, stops and describes both engines of a state folder."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from metropulse.embedded.clickhouse import ClickHouse
from metropulse.embedded.layout import Layout, Use, exclusive, write_private
from metropulse.embedded.postgres import Postgres
from metropulse.exceptions import InternalError

_LOCK_SECONDS = 600.0


class Engines:
    """Both engines of one state folder, running.

    Made by `Engines.start`. As a context manager it ends, on leaving, what it started itself, and nothing that was
    running before; while another process or pipeline uses the engines they go on, and the last user ends them.

    Attributes:
        state: The state folder.
        lake: Folder whose children are the `dt=` folders.
        warehouse_url: PostgreSQL's URL (a unix socket).
        mart_url: ClickHouse's URL (loopback), with its database.
        mart_user: ClickHouse's user.
        mart_password: ClickHouse's password.
        started: Names of the engines that this object started.
    """

    def __init__(self, layout: Layout, started: frozenset[str]) -> None:
        """Describe running engines; use `Engines.start`."""
        postgres, clickhouse = Postgres(layout), ClickHouse(layout)
        mart_url = clickhouse.url
        if mart_url is None:
            raise InternalError("the mart runs but its port is unknown", {"folder": str(layout.run)})
        self._layout = layout
        self._use = Use(layout.run)
        self.state = layout.state
        self.lake = layout.lake
        self.warehouse_url = postgres.url
        self.mart_url = mart_url
        self.mart_user = clickhouse.user
        self.mart_password = clickhouse.password
        self.started = started

    @classmethod
    def start(cls, state_dir: str | Path) -> Self:
        """Start what is not running yet, and describe all of it.

        Processes that start the same folder at once take turns; the later ones find the engines running and share them.

        Args:
            state_dir: The state folder; made when it does not exist.

        Returns:
            The running engines.

        Raises:
            ConfigError: The extra `embedded` is not installed, or the folder cannot be used.
            ConflictError: Another process has been starting or stopping the engines for too long.
            DatabaseError: An engine did not come up.
        """
        layout = Layout.of(state_dir)
        layout.create()
        with exclusive(layout.run / "lock", _LOCK_SECONDS):
            postgres, clickhouse = Postgres(layout), ClickHouse(layout)
            started: set[str] = set()
            try:
                mart = clickhouse.spawn()
                if mart is not None:
                    started.add("mart")
                if postgres.start():
                    started.add("warehouse")
                if mart is not None:
                    clickhouse.wait(mart)
            except BaseException:
                _stop(layout, started)
                raise
            return cls(layout, frozenset(started))

    def stop(self) -> None:
        """Stop both engines, whoever started them."""
        stop(self.state)

    def close(self) -> None:
        """Stop the engines that this object, or a user that left before it, started, unless others still use them.

        Calling it again does nothing.
        """
        started, self.started = self.started, frozenset()
        with exclusive(self._layout.run / "lock", _LOCK_SECONDS):
            left_behind = self._layout.run / "left_behind"
            names = started | (set(left_behind.read_text().split()) if left_behind.exists() else set())
            if not self._use.end():
                if started:
                    write_private(left_behind, " ".join(sorted(names)))
            elif names:
                left_behind.unlink(missing_ok=True)
                _stop(self._layout, names)

    def status(self) -> dict[str, object]:
        """Return what `status` returns for this state folder."""
        return status(self.state)

    def __enter__(self) -> Self:
        """Return the engines themselves."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop what this object started."""
        self.close()

    def __repr__(self) -> str:
        """Name the state folder; the password stays hidden."""
        return f"Engines(state={str(self.state)!r}, started={sorted(self.started)!r})"


def start(state_dir: str | Path) -> Engines:
    """Start both engines of a state folder, see `Engines.start`.

    Args:
        state_dir: The state folder.

    Returns:
        The running engines.

    Raises:
        ConfigError: The extra `embedded` is not installed, or the folder cannot be used.
        ConflictError: Another process has been starting or stopping the engines for too long.
        DatabaseError: An engine did not come up.
    """
    return Engines.start(state_dir)


def stop(state_dir: str | Path) -> dict[str, bool]:
    """Stop both engines of a state folder; engines that do not run are no error.

    Args:
        state_dir: The state folder.

    Returns:
        For `warehouse` and `mart`, whether there was a server to stop.

    Raises:
        ConfigError: A server belongs to another user.
        ConflictError: Another process has been starting or stopping the engines for too long.
        DatabaseError: A server does not stop.
    """
    layout = Layout.of(state_dir)
    if not layout.run.is_dir():
        return {"warehouse": False, "mart": False}
    with exclusive(layout.run / "lock", _LOCK_SECONDS):
        return _stop(layout, {"warehouse", "mart"})


def status(state_dir: str | Path) -> dict[str, object]:
    """Describe the engines of a state folder without changing anything.

    Args:
        state_dir: The state folder; it need not exist.

    Returns:
        JSON-safe: `state`, and for `warehouse` and `mart` whether it is `running`, its `pid` and `url` (without a
        password).
    """
    layout = Layout.of(state_dir)
    absent: dict[str, object] = {"running": False, "pid": None, "url": None}
    if not layout.run.is_dir():
        return {"state": str(layout.state), "warehouse": absent, "mart": dict(absent)}
    return {
        "state": str(layout.state),
        "warehouse": Postgres(layout).status(),
        "mart": ClickHouse(layout).status(),
    }


def _stop(layout: Layout, names: set[str] | frozenset[str]) -> dict[str, bool]:
    """Stop the engines of these names, the second even when the first fails."""
    ended = {"warehouse": False, "mart": False}
    if names >= {"warehouse", "mart"}:
        (layout.run / "left_behind").unlink(missing_ok=True)
    try:
        if "mart" in names:
            ended["mart"] = ClickHouse(layout).stop()
    finally:
        if "warehouse" in names:
            ended["warehouse"] = Postgres(layout).stop()
    return ended
