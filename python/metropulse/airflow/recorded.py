"""`RecordingsSensor`: waits until the recorder has uploaded what it recorded of a service date."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from metropulse.airflow._compat import AirflowSensorTimeout, BaseSensorOperator, PokeReturnValue
from metropulse.airflow._errors import airflow_errors
from metropulse.airflow.hooks import DEFAULT_CONN_ID, LAKE_CONN_ID, MetropulseHook
from metropulse.airflow.partitions import resolve_partition
from metropulse.airflow.rendering import ShowsDay
from metropulse.airflow.waiting import number

if TYPE_CHECKING:
    from metropulse.airflow._compat import Context

__all__ = ["RecordingsSensor"]


class RecordingsSensor(ShowsDay, BaseSensorOperator):
    """Waits for the archive of a service date's last hour, which `metropulse collect` uploads once the hour is over.

    Archives are uploaded in the order of time, so that one which reaches as far, or farther, says that all before it
    are there. A rescheduled sensor takes no worker meanwhile.

    Args:
        dt: The service date as ``YYYY-MM-DD``; the run's own when None.
        feed: Name of the feed whose recordings are waited for, in a lake of several agencies.
        hours_past: Hours past the end of the date in which its last runs are still reported.
        lake: URL or folder of the lake, over all connections; it must not hold a secret.
        time_zone: Service zone, over all connections.
        metropulse_conn_id: Connection of type ``metropulse``.
        lake_conn_id: Connection of the lake.
        **kwargs: Those of every Airflow sensor (``poke_interval``, ``timeout``, ``mode``, ``soft_fail``, ...).
    """

    template_fields: Sequence[str] = (
        "dt",
        "feed",
        "hours_past",
        "lake",
        "time_zone",
        "metropulse_conn_id",
        "lake_conn_id",
    )
    ui_color = "#e8f0d8"
    _why: str = ""

    def __init__(
        self,
        *,
        dt: str | None = None,
        feed: str | None = None,
        hours_past: float | str = 12.0,
        lake: str | None = None,
        time_zone: str | None = None,
        metropulse_conn_id: str = DEFAULT_CONN_ID,
        lake_conn_id: str = LAKE_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dt = dt
        self.feed = feed
        self.hours_past = hours_past
        self.lake = lake
        self.time_zone = time_zone
        self.metropulse_conn_id = metropulse_conn_id
        self.lake_conn_id = lake_conn_id

    def execute(self, context: Context) -> Any:
        """Wait.

        Args:
            context: The task's context.

        Returns:
            What was found of the recordings, as plain JSON.

        Raises:
            AirflowFailException: The lake is misconfigured.
            AirflowSensorTimeout: The recordings did not come in time; the message says how far they reach.
        """
        try:
            return super().execute(context)
        except AirflowSensorTimeout as error:
            raise AirflowSensorTimeout(f"{error} {self._why}".rstrip()) from error

    def poke(self, context: Context) -> PokeReturnValue:
        """Look at the lake once.

        Args:
            context: The task's context.

        Returns:
            Whether the recordings reach far enough, and how far they do.

        Raises:
            AirflowFailException: The lake is misconfigured.
            MetropulseError: The lake cannot be read now; a retry may help.
        """
        hook = MetropulseHook(
            self.metropulse_conn_id, lake_conn_id=self.lake_conn_id, lake=self.lake, time_zone=self.time_zone
        )
        with airflow_errors(context), hook.lake_pipeline() as pipeline:
            dt = resolve_partition(context, self.dt)
            hours_past = number(self.hours_past, "hours_past")
            found = pipeline.recordings(dt, feed=self.feed or None, hours_past=hours_past)
        if found.complete:
            self.log.info("%s archives of %s are there", found.archives, dt)
            return PokeReturnValue(is_done=True, xcom_value=found.to_dict())
        named = f" of feed {self.feed}" if self.feed else ""
        reach = f"reach until {found.recorded_until}" if found.recorded_until else "have not come"
        self._why = (
            f"The recordings of {dt}{named} are waited for until {found.until}, and {reach}; see the recorder's status."
        )
        self.log.info("%s", self._why)
        return PokeReturnValue(is_done=False)
