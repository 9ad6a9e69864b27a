"""Operators for the steps of a day.

The raw day ``dt`` defaults to the run's own: its ``partition`` parameter, its partition key, or its data interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from metropulse.airflow.assets import assets_of
from metropulse.airflow.operators.base import COMMON_FIELDS, MetropulseOperator, PartitionOperator
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
    "LoadTelemetryOperator",
    "StageRawOperator",
]


class GenerateRawOperator(PartitionOperator):
    """Write raw days of a synthetic city into the lake.

    Args:
        dt: The first day; the run's own when None.
        days: How many days.
        seed: The same seed gives the same bytes.
        scale: Size of the city.
        **kwargs: Those of `MetropulseOperator`.
    """

    writes = ("raw",)
    lake_only = True

    template_fields: Sequence[str] = ("dt", "days", "seed", "scale", *COMMON_FIELDS)

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

    def call(self, pipeline: Pipeline, context: Context) -> Report:
        """Generate the days."""
        return pipeline.generate(
            self.partition(context),
            int(self.days),
            seed=int(self.seed),
            scale=float(self.scale),
            progress=self.progress,
        )


class LoadCalendarOperator(PartitionOperator):
    """Fill `dim_date` and `dim_time`.

    Args:
        start: First day; without it, or without `end`, the year of ``dt`` and a month before and after it.
        end: Last day, included.
        **kwargs: Those of `PartitionOperator`.
    """

    writes = ("calendar",)

    template_fields: Sequence[str] = ("dt", "start", "end", *COMMON_FIELDS)

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
        return pipeline.load_calendar(start, end, progress=self.progress)


class StageRawOperator(PartitionOperator):
    """Load the raw day into `staging`; rejected rows are kept with their reasons."""

    reads = ("raw",)
    writes = ("staging",)

    def call(self, pipeline: Pipeline, context: Context) -> Report:
        """Stage the day."""
        return pipeline.stage(self.partition(context), progress=self.progress)


class LoadDimensionsOperator(PartitionOperator):
    """Merge the raw day's snapshots into the dimensions and their history.

    Args:
        dry_run: Show what would change, and keep nothing of it.
        **kwargs: Those of `PartitionOperator`.
    """

    reads = ("raw",)
    writes = ("dimensions",)

    def __init__(self, *, dry_run: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.only_report = dry_run

    def call(self, pipeline: Pipeline, context: Context) -> Report:
        """Load the dimensions."""
        return pipeline.load_dimensions(self.partition(context), dry_run=self.only_report, progress=self.progress)


class LoadFactsOperator(PartitionOperator):
    """Load the raw day's trips, payments and positions."""

    reads = ("raw", "dimensions")
    writes = ("facts",)

    def call(self, pipeline: Pipeline, context: Context) -> Report:
        """Load the facts."""
        return pipeline.load_facts(self.partition(context), progress=self.progress)


class LoadTelemetryOperator(PartitionOperator):
    """Load the raw day's clean positions straight into ClickHouse, past the warehouse, replacing the day whole."""

    reads = ("raw",)
    writes = ("telemetry",)

    def call(self, pipeline: Pipeline, context: Context) -> Report:
        """Load the day."""
        return pipeline.load_telemetry(self.partition(context), progress=self.progress)


class BuildRouteHourlyOperator(MetropulseOperator):
    """Rebuild the service dates of the mart that changed.

    Args:
        date_from: First service date; without both ends every dirty date is rebuilt.
        date_to: The date after the last one.
        force: Rebuild all dates of the range, clean ones too.
        source: ``"warehouse"``, or ``"lake"`` for the raw files themselves.
        **kwargs: Those of `MetropulseOperator`.
    """

    reads = ("dimensions", "facts")
    writes = ("mart",)

    template_fields: Sequence[str] = ("date_from", "date_to", "source", *COMMON_FIELDS)

    def __init__(
        self,
        *,
        date_from: str | None = None,
        date_to: str | None = None,
        force: bool = False,
        source: str = "warehouse",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.date_from = date_from
        self.date_to = date_to
        self.force = force
        self.source = source
        if source == "lake" and not kwargs.get("inlets"):
            self.inlets = assets_of(("raw",), self.places)

    def call(self, pipeline: Pipeline, _context: Context) -> Report:
        """Build the mart."""
        date_from, date_to = self.date_from or None, self.date_to or None
        return pipeline.build_route_hourly(
            date_from, date_to, force=self.force, source=self.source, progress=self.progress
        )


class CheckQualityOperator(PartitionOperator):
    """Check what the raw day brought; a failed check of severity *error* fails the task without retry.

    Args:
        everything: Check all days instead of one.
        **kwargs: Those of `PartitionOperator`.
    """

    reads = ("staging", "dimensions", "facts")
    writes = ("quality",)

    def __init__(self, *, everything: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.everything = everything

    def call(self, pipeline: Pipeline, context: Context) -> Report:
        """Check the day."""
        return pipeline.check_quality(None if self.everything else self.partition(context), progress=self.progress)
