"""One operator for each verb of `metropulse.Pipeline`, with the same arguments, templated.

The raw day ``dt`` defaults to the run's own: its ``partition`` parameter, its partition key, or its data interval.
Each operator returns the verb's report as XCom. Secrets live in connections alone: no argument takes one.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from metropulse.airflow._compat import AirflowSkipException, BaseOperator
from metropulse.airflow._errors import airflow_errors
from metropulse.airflow.hooks import (
    DEFAULT_CONN_ID,
    LAKE_CONN_ID,
    MART_CONN_ID,
    WAREHOUSE_CONN_ID,
    MetropulseHook,
)
from metropulse.airflow.partitions import resolve_partition
from metropulse.days import calendar_span

if TYPE_CHECKING:
    from metropulse.airflow._compat import Context
    from metropulse.pipeline import Pipeline
    from metropulse.results import Report

__all__ = [
    "BuildRouteHourlyOperator",
    "CheckQualityOperator",
    "GenerateRawOperator",
    "LoadCalendarOperator",
    "LoadDimensionsOperator",
    "LoadFactsOperator",
    "MetropulseOperator",
    "StageRawOperator",
]

_COMMON_FIELDS = (
    "lake",
    "time_zone",
    "metropulse_conn_id",
    "lake_conn_id",
    "warehouse_conn_id",
    "mart_conn_id",
)


class MetropulseOperator(BaseOperator):
    """Base of the operators: opens the pipeline, calls the verb, translates errors, returns the report.

    Args:
        lake: URL or folder of the lake, over all connections; it must not hold a secret.
        time_zone: Service zone, over all connections.
        metropulse_conn_id: Connection of type ``metropulse``.
        lake_conn_id: Connection of the lake.
        warehouse_conn_id: Connection of PostgreSQL.
        mart_conn_id: Connection of ClickHouse.
        skip_if_missing: Skip the task, rather than fail it, when the partition is not there.
        skip_if_unchanged: Mark the task skipped when there was nothing to do.
        **kwargs: Those of every Airflow operator.
    """

    template_fields: Sequence[str] = _COMMON_FIELDS
    ui_color = "#d7e8f7"
    _running: Any = None

    def __init__(
        self,
        *,
        lake: str | None = None,
        time_zone: str | None = None,
        metropulse_conn_id: str = DEFAULT_CONN_ID,
        lake_conn_id: str = LAKE_CONN_ID,
        warehouse_conn_id: str = WAREHOUSE_CONN_ID,
        mart_conn_id: str = MART_CONN_ID,
        skip_if_missing: bool = False,
        skip_if_unchanged: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.lake = lake
        self.time_zone = time_zone
        self.metropulse_conn_id = metropulse_conn_id
        self.lake_conn_id = lake_conn_id
        self.warehouse_conn_id = warehouse_conn_id
        self.mart_conn_id = mart_conn_id
        self.skip_if_missing = skip_if_missing
        self.skip_if_unchanged = skip_if_unchanged

    @property
    def hook(self) -> MetropulseHook:
        """The hook over this operator's connections."""
        return MetropulseHook(
            self.metropulse_conn_id,
            lake_conn_id=self.lake_conn_id,
            warehouse_conn_id=self.warehouse_conn_id,
            mart_conn_id=self.mart_conn_id,
            lake=self.lake,
            time_zone=self.time_zone,
        )

    def execute(self, context: Context) -> dict[str, Any]:
        """Call the verb.

        Args:
            context: The task's context.

        Returns:
            The report, as plain JSON.

        Raises:
            AirflowFailException: A retry cannot help.
            AirflowSkipException: There was nothing to do, and the task asked to be skipped then.
            MetropulseError: A retry may help.
        """
        with airflow_errors(context, skip_if_missing=self.skip_if_missing), self.open() as pipeline:
            self._running = pipeline
            try:
                report = self.call(pipeline, context)
            finally:
                self._running = None
        self.log.info("%s", report)
        if self.skip_if_unchanged and report.get("unchanged"):
            raise AirflowSkipException(f"{report.get('step', self.task_id)}: unchanged, nothing written")
        return report.to_dict()

    def open(self) -> AbstractContextManager[Pipeline]:
        """Open the pipeline this operator needs.

        Returns:
            A context manager.
        """
        return self.hook.pipeline()

    def call(self, pipeline: Pipeline, context: Context) -> Report:
        """Call the operator's verb.

        Args:
            pipeline: The open pipeline.
            context: The task's context.

        Returns:
            The verb's report.
        """
        raise NotImplementedError

    def on_kill(self) -> None:
        """Stop the verb that is running; it rolls back."""
        if self._running is not None:
            self._running.cancel()


class PartitionOperator(MetropulseOperator):
    """Base of the operators that work on one raw day.

    Args:
        dt: The raw day as ``YYYY-MM-DD``; the run's own when None.
        **kwargs: Those of `MetropulseOperator`.
    """

    template_fields: Sequence[str] = ("dt", *_COMMON_FIELDS)

    def __init__(self, *, dt: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dt = dt

    def partition(self, context: Context) -> str:
        """Return the raw day of this run.

        Args:
            context: The task's context.

        Returns:
            The day as ``YYYY-MM-DD``.

        Raises:
            ConfigError: Nothing names it.
        """
        return resolve_partition(context, self.dt)


class GenerateRawOperator(PartitionOperator):
    """Write raw days of a synthetic city into the lake.

    Args:
        dt: The first day; the run's own when None.
        days: How many days.
        seed: Same seed, same bytes.
        scale: Size of the city.
        **kwargs: Those of `MetropulseOperator`.
    """

    template_fields: Sequence[str] = ("dt", "days", "seed", "scale", *_COMMON_FIELDS)

    def __init__(
        self,
        *,
        dt: str | None = None,
        days: int | str = 1,
        seed: int | str = 7,
        scale: float | str = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(dt=dt, **kwargs)
        self.days = days
        self.seed = seed
        self.scale = scale

    def open(self) -> AbstractContextManager[Pipeline]:
        """Open the lake alone."""
        return self.hook.lake_pipeline()

    def call(self, pipeline: Pipeline, context: Context) -> Report:
        """Generate the days."""
        return pipeline.generate(self.partition(context), int(self.days), seed=int(self.seed), scale=float(self.scale))


class LoadCalendarOperator(PartitionOperator):
    """Fill `dim_date` and `dim_time`.

    Args:
        start: First day; with `end` None, the years around ``dt``.
        end: Last day, included.
        **kwargs: Those of `PartitionOperator`.
    """

    template_fields: Sequence[str] = ("dt", "start", "end", *_COMMON_FIELDS)

    def __init__(self, *, start: str | None = None, end: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.start = start
        self.end = end

    def call(self, pipeline: Pipeline, context: Context) -> Report:
        """Load the calendar."""
        start, end = self.start, self.end
        if not start or not end:
            first, last = calendar_span(self.partition(context))
            start, end = start or first, end or last
        return pipeline.load_calendar(start, end)


class StageRawOperator(PartitionOperator):
    """Load the raw day into `staging`, with rejects and ledger."""

    def call(self, pipeline: Pipeline, context: Context) -> Report:
        """Stage the day."""
        return pipeline.stage(self.partition(context))


class LoadDimensionsOperator(PartitionOperator):
    """Merge the raw day's snapshots into the dimensions and their history."""

    def call(self, pipeline: Pipeline, context: Context) -> Report:
        """Load the dimensions."""
        return pipeline.load_dimensions(self.partition(context))


class LoadFactsOperator(PartitionOperator):
    """Load the raw day's trips, payments and positions."""

    def call(self, pipeline: Pipeline, context: Context) -> Report:
        """Load the facts."""
        return pipeline.load_facts(self.partition(context))


class BuildRouteHourlyOperator(MetropulseOperator):
    """Rebuild the service dates of the mart that changed.

    Args:
        date_from: First service date; without both ends every dirty date is rebuilt.
        date_to: The date after the last one.
        force: Rebuild clean dates of the range too.
        **kwargs: Those of `MetropulseOperator`.
    """

    template_fields: Sequence[str] = ("date_from", "date_to", *_COMMON_FIELDS)

    def __init__(
        self, *, date_from: str | None = None, date_to: str | None = None, force: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.date_from = date_from
        self.date_to = date_to
        self.force = force

    def call(self, pipeline: Pipeline, _context: Context) -> Report:
        """Build the mart."""
        return pipeline.build_route_hourly(self.date_from or None, self.date_to or None, force=self.force)


class CheckQualityOperator(PartitionOperator):
    """Check what the raw day brought; a failed check of severity *error* fails the task without retry.

    Args:
        everything: Check all days instead of one.
        **kwargs: Those of `PartitionOperator`.
    """

    def __init__(self, *, everything: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.everything = everything

    def call(self, pipeline: Pipeline, context: Context) -> Report:
        """Check the day."""
        return pipeline.check_quality(None if self.everything else self.partition(context))
