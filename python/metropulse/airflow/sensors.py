"""`RawPartitionSensor`: waits until a raw day is complete."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from metropulse.airflow._compat import AirflowSensorTimeout, BaseSensorOperator, PokeReturnValue, conf
from metropulse.airflow._errors import airflow_errors, error_from_dict
from metropulse.airflow.hooks import DEFAULT_CONN_ID, LAKE_CONN_ID, MetropulseHook
from metropulse.airflow.lineage import Namespaces, Trace, facets_of
from metropulse.airflow.partitions import resolve_partition
from metropulse.airflow.rendering import ShowsDay
from metropulse.airflow.triggers import RawPartitionTrigger
from metropulse.airflow.waiting import number, why_waiting
from metropulse.days import REQUIRED_DATASETS, dataset_names
from metropulse.exceptions import ConfigError, InternalError, MetropulseError

if TYPE_CHECKING:
    from metropulse.airflow._compat import Context
    from metropulse.results import Report

__all__ = ["RawPartitionSensor"]


# What Airflow gives the triggerer beyond the sensor's own timeout, which knows what is missing.
_TRIGGERER_GRACE = timedelta(minutes=5)


class RawPartitionSensor(ShowsDay, BaseSensorOperator):
    """Waits for ``_manifest.json`` of the raw day, or for all required files, unchanged for a while.

    It looks once at first; only when the day is not complete yet does it defer to the triggerer, or poke.

    Args:
        dt: The raw day as ``YYYY-MM-DD``; the run's own when None.
        required: Datasets that must be there when the day has no manifest: names, or one string with commas.
        stable_seconds: How long a day without a manifest must stay unchanged; None accepts only a manifest.
        deferrable: Wait in the triggerer; False pokes in a worker. None: as ``[operators] default_deferrable`` says.
        lake: URL or folder of the lake, over all connections; it must not hold a secret.
        metropulse_conn_id: Connection of type ``metropulse``.
        lake_conn_id: Connection of the lake.
        **kwargs: Those of every Airflow sensor (``poke_interval``, ``timeout``, ``mode``, ``soft_fail``, ...).
    """

    template_fields: Sequence[str] = (
        "dt",
        "required",
        "stable_seconds",
        "lake",
        "metropulse_conn_id",
        "lake_conn_id",
    )
    ui_color = "#e8f0d8"
    _seen: Any = None
    _why: str = ""
    _trace: Trace | None = None

    def __init__(
        self,
        *,
        dt: str | None = None,
        required: Sequence[str] | str = REQUIRED_DATASETS,
        stable_seconds: float | str | None = 60.0,
        deferrable: bool | None = None,
        lake: str | None = None,
        metropulse_conn_id: str = DEFAULT_CONN_ID,
        lake_conn_id: str = LAKE_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dt = dt
        self.required = required
        self.stable_seconds = stable_seconds
        self.deferrable = (
            conf.getboolean("operators", "default_deferrable", fallback=False) if deferrable is None else deferrable
        )
        self.lake = lake
        self.metropulse_conn_id = metropulse_conn_id
        self.lake_conn_id = lake_conn_id

    def execute(self, context: Context) -> Any:
        """Look once, then wait.

        Args:
            context: The task's context.

        Returns:
            What was found of the partition, as plain JSON.

        Raises:
            AirflowFailException: The lake is misconfigured.
            AirflowSensorTimeout: The day was not complete in time; the message says what it lacks.
            TaskDeferred: The day is not complete and `deferrable` is set.
        """
        if not self.deferrable:
            try:
                return super().execute(context)
            except AirflowSensorTimeout as error:
                raise AirflowSensorTimeout(f"{error} {self._still(self._why)}") from error
        look = self.poke(context)
        if look.is_done:
            return look.xcom_value
        with airflow_errors(context):
            trigger = RawPartitionTrigger(
                dt=resolve_partition(context, self.dt),
                required=dataset_names(self.required),
                poll_seconds=float(self.poke_interval),
                stable_seconds=self._stable_seconds(),
                deadline=time.time() + self.timeout,
                lake=self.lake or None,
                metropulse_conn_id=self.metropulse_conn_id,
                lake_conn_id=self.lake_conn_id,
            )
        patience = timedelta(seconds=self.timeout) + _TRIGGERER_GRACE
        self.defer(trigger=trigger, method_name="execute_complete", timeout=patience)

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> Any:
        """Return what the trigger found, or raise its error.

        Args:
            context: The task's context.
            event: The payload of the trigger's event.

        Returns:
            What was found of the partition.

        Raises:
            AirflowFailException: A retry cannot help.
            AirflowSensorTimeout: The day was not complete in time; the message says what it lacks.
            MetropulseError: A retry may help.
        """
        event = event or {}
        with airflow_errors(context):
            if lake := event.get("lake"):
                self._trace = self._waited_for(Namespaces(lake=(lake[0], lake[1])), self.dt)
        if why := event.get("timeout"):
            raise AirflowSensorTimeout(f"Sensor has timed out after {self.timeout:g} seconds. {self._still(why)}")
        with airflow_errors(context), self._tracing_errors():
            if error := event.get("error"):
                raise error_from_dict(error)
            if "partition" not in event:
                raise InternalError("the trigger fired without a partition")
        return event["partition"]

    def poke(self, context: Context) -> PokeReturnValue:
        """Look at the lake once.

        Args:
            context: The task's context.

        Returns:
            Whether the day is complete, and what was found.

        Raises:
            AirflowFailException: The lake is misconfigured.
            MetropulseError: The lake cannot be read now; a retry may help.
        """
        hook = MetropulseHook(self.metropulse_conn_id, lake_conn_id=self.lake_conn_id, lake=self.lake)
        with airflow_errors(context), self._tracing_errors(), hook.lake_pipeline() as pipeline:
            dt = resolve_partition(context, self.dt)
            self._trace = self._waited_for(Namespaces.of(pipeline.settings), dt)
            found = pipeline.partition_ready(dt, required=self.required)
            done = self._complete(found)
            self._why = why_waiting(found, self._stable_seconds())
        if done:
            self.log.info("raw day %s is complete%s", dt, " by its manifest" if found.get("has_manifest") else "")
        else:
            self.log.info("waiting for %s: %s", dt, self._why)
        return PokeReturnValue(is_done=done, xcom_value=found.to_dict() if done else None)

    def get_openlineage_facets_on_complete(self, _task_instance: Any) -> Any:
        """Return the raw datasets that were waited for, for Airflow's OpenLineage provider."""
        return facets_of(self._trace)

    def get_openlineage_facets_on_failure(self, _task_instance: Any) -> Any:
        """Return the raw datasets that were waited for and the error, for Airflow's OpenLineage provider."""
        return facets_of(self._trace)

    def _waited_for(self, namespaces: Namespaces, dt: str | None) -> Trace:
        return Trace(namespaces, {"step": "wait", "dt": dt, "datasets": dataset_names(self.required)})

    @contextmanager
    def _tracing_errors(self) -> Iterator[None]:
        try:
            yield
        except MetropulseError as error:
            self._trace = replace(self._trace or Trace(Namespaces()), error=error.to_dict())
            raise

    def _still(self, why: str) -> str:
        return f"The raw day {self.dt or ''} is not complete: {why}".replace("  ", " ")

    def _complete(self, found: Report) -> bool:
        if not found.get("ready"):
            self._seen = None
            return False
        stable = self._stable_seconds()
        if found.get("has_manifest") or stable == 0:
            return True
        if stable is None:
            return False
        if not self.deferrable and self.mode == "reschedule":
            raise ConfigError("a rescheduled sensor forgets what it saw, expected deferrable=True or stable_seconds=0")
        now = time.monotonic()
        if self._seen is None or self._seen[0] != found.get("fingerprint"):
            self._seen = (found.get("fingerprint"), now)
        return bool(now - self._seen[1] >= stable)

    def _stable_seconds(self) -> float | None:
        if self.stable_seconds in (None, "", "None"):
            return None
        return number(self.stable_seconds, "stable_seconds")
