"""A trigger that tells how late the event loop of its triggerer wakes it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

NAP_SECONDS = 0.05


class LatenessTrigger(BaseTrigger):
    """Naps until it is cancelled, and writes down by how many seconds each nap was too long."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what the triggerer makes it of; the module is found by PYTHONPATH."""
        return "event_loop.LatenessTrigger", {}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Nap."""
        with Path(os.environ["METROPULSE_TEST_LATENESS"]).open("a", buffering=1) as file:
            while True:
                began = time.monotonic()
                await asyncio.sleep(NAP_SECONDS)
                file.write(f"{time.monotonic() - began - NAP_SECONDS:.6f}\n")
        yield TriggerEvent(None)
