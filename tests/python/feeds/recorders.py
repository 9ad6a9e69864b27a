"""Recorders in threads, and what they say of themselves."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import metropulse as mp
from waiting import until


def wait_for(condition: Callable[[], Any], seconds: float = 60.0) -> None:
    until(condition, seconds, "it does not come to it", every=0.05)


def status(folder: Path) -> mp.Report | None:
    try:
        return mp.collect_status(folder / "spool")
    except mp.NotFoundError:
        return None


def wait_for_status(folder: Path, is_as_asked: Callable[[mp.Report], Any]) -> mp.Report:
    """The recorder's state, once it is as asked."""
    found: list[mp.Report] = []

    def look() -> bool:
        found[:] = [state for state in [status(folder)] if state is not None and is_as_asked(state)]
        return bool(found)

    wait_for(look)
    return found[0]


def wait_for_counts(folder: Path, feed: str = "vehicle_positions", **least: int) -> None:
    """Wait until so many polls of a feed have come to this."""
    wait_for_status(folder, lambda found: all(found.feeds[feed][count] >= number for count, number in least.items()))


class Running:
    """A recorder in a thread, until the block ends. What it leaves in the spool is uploaded by one of no duration."""

    def __init__(self, server: Any, folder: Path, pipeline: mp.Pipeline | None = None, **more: Any) -> None:
        self._pipeline = pipeline or mp.Pipeline(lake=folder / "lake")
        self.error: BaseException | None = None
        asked = {"every": "100ms", "timeout": "60s", "spool": folder / "spool", **more}

        def work() -> None:
            try:
                self._pipeline.collect(vehicle_positions=server.url("vehicle_positions"), **asked)
            except BaseException as error:
                self.error = error

        self._thread = threading.Thread(target=work)

    def __enter__(self) -> Running:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._pipeline.cancel()
        self._thread.join(30)
        assert not self._thread.is_alive(), "it does not stop within thirty seconds"
        assert self.error is None or isinstance(self.error, mp.CancelledError), self.error
