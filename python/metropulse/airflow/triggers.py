"""The wait for a raw day, in the triggerer: thousands of them at once, without a thread each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

from metropulse.airflow._compat import BaseTrigger, TriggerEvent
from metropulse.airflow.hooks import DEFAULT_CONN_ID, LAKE_CONN_ID, MetropulseHook
from metropulse.airflow.lineage import Namespaces
from metropulse.airflow.waiting import why_waiting
from metropulse.days import REQUIRED_DATASETS
from metropulse.exceptions import MetropulseError

if TYPE_CHECKING:
    from metropulse.results import Report

__all__ = ["RawPartitionTrigger"]


class RawPartitionTrigger(BaseTrigger):
    """Fires once the raw day is complete, or cannot be read.

    What it is built from is stored in Airflow's database, so it names connections and holds no secret.
    """

    def __init__(
        self,
        *,
        dt: str,
        required: Sequence[str] = REQUIRED_DATASETS,
        poll_seconds: float = 30.0,
        stable_seconds: float | None = 60.0,
        deadline: float | None = None,
        lake: str | None = None,
        metropulse_conn_id: str = DEFAULT_CONN_ID,
        lake_conn_id: str = LAKE_CONN_ID,
    ) -> None:
        """Keep the arguments of `metropulse.Pipeline.wait_for_partition` and the ids of the connections.

        Args:
            dt: The raw day.
            required: Datasets that must be there when the day has no manifest.
            poll_seconds: Time between two looks at the lake.
            stable_seconds: How long a day without a manifest must stay unchanged; None accepts only a manifest.
            deadline: When to give up, in seconds since the epoch, so that a triggerer that starts anew keeps it.
            lake: URL or folder of the lake, over all connections.
            metropulse_conn_id: Connection of type ``metropulse``.
            lake_conn_id: Connection of the lake.
        """
        super().__init__()
        self.dt = dt
        self.required = list(required)
        self.poll_seconds = poll_seconds
        self.stable_seconds = stable_seconds
        self.deadline = deadline
        self.lake = lake
        self.metropulse_conn_id = metropulse_conn_id
        self.lake_conn_id = lake_conn_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments, for Airflow's database."""
        return (
            "metropulse.airflow.triggers.RawPartitionTrigger",
            {
                "dt": self.dt,
                "required": self.required,
                "poll_seconds": self.poll_seconds,
                "stable_seconds": self.stable_seconds,
                "deadline": self.deadline,
                "lake": self.lake,
                "metropulse_conn_id": self.metropulse_conn_id,
                "lake_conn_id": self.lake_conn_id,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait for the day and fire once.

        Yields:
            ``{"partition": ...}``; ``{"timeout": ...}`` with what it still waits for; or ``{"error": ...}`` with the
            parts of the error.
        """
        why = "it was not looked at yet"

        def watch(found: Report) -> None:
            nonlocal why
            if not (found.get("ready") and found.get("has_manifest")):
                why = why_waiting(found, self.stable_seconds)
                self.log.info("waiting for %s: %s", self.dt, why)

        hook = MetropulseHook(self.metropulse_conn_id, lake_conn_id=self.lake_conn_id, lake=self.lake)
        place: dict[str, Any] = {}
        try:
            pipeline = await hook.alake_pipeline()
            place = {"lake": list(Namespaces.of(pipeline.settings).lake)}
            waiting = pipeline.wait_for_partition(
                self.dt,
                required=self.required,
                poll_seconds=self.poll_seconds,
                stable_seconds=self.stable_seconds,
                watch=watch,
            )
            # The wait is cut off here rather than by Airflow, whose message knows nothing of the day.
            left = None if self.deadline is None else max(self.deadline - time.time(), 0.0)
            found = await asyncio.wait_for(waiting, left)
        except TimeoutError:
            yield TriggerEvent({"timeout": why, **place})
        except MetropulseError as error:
            yield TriggerEvent({"error": error.to_dict(), **place})
        else:
            yield TriggerEvent({"partition": found.to_dict(), **place})
