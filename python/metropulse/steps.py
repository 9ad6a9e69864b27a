"""The steps of a day: generate, calendar, stage, dimensions, facts, mart, quality; and the wait before them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import copy_context
from typing import TYPE_CHECKING

from metropulse.days import REQUIRED_DATASETS, Day, dataset_names, iso_day, optional_day
from metropulse.exceptions import ConfigError
from metropulse.results import Progress, Report

if TYPE_CHECKING:
    from metropulse import _core

__all__ = ["Steps"]

# Longer than any file has lain still: without a manifest the day is never complete.
_NEVER_SECONDS = 1e12


class Steps:
    """Part of `Pipeline`: what is done with a raw day, as plain blocking calls that return reports."""

    _core: _core.Pipeline

    def apply_schema(self, *, progress: Progress | None = None) -> Report:
        """Create what is missing of the tables of warehouse and mart. Every other verb does so on demand."""
        return Report.from_json(self._core.apply_schema(progress=progress))

    def generate(
        self, start: Day, days: int = 1, *, seed: int = 7, scale: float = 1.0, progress: Progress | None = None
    ) -> Report:
        """Write raw days of a synthetic city into the lake.

        Args:
            start: The first day.
            days: How many days.
            seed: The same seed gives the same bytes.
            scale: Size of the city.
            progress: Told about rows done.

        Returns:
            Rows and bytes by dataset.
        """
        return Report.from_json(self._core.generate(iso_day(start, "start"), days, seed, scale, progress=progress))

    def load_calendar(self, start: Day, end: Day, *, progress: Progress | None = None) -> Report:
        """Fill `dim_date` from `start` to `end`, both included, and `dim_time`."""
        return Report.from_json(
            self._core.load_calendar(iso_day(start, "start"), iso_day(end, "end"), progress=progress)
        )

    def stage(self, dt: Day, *, progress: Progress | None = None) -> Report:
        """Load the raw day into `staging`; rejected rows are kept with their reasons."""
        return Report.from_json(self._core.stage(iso_day(dt), progress=progress))

    def load_dimensions(self, dt: Day, *, dry_run: bool = False, progress: Progress | None = None) -> Report:
        """Merge the raw day's snapshots into the dimensions and their history.

        Args:
            dt: The raw day.
            dry_run: Show what would change, and keep nothing of it. It takes the locks of a load, and as long.
            progress: Told about rows done.

        Returns:
            The counts of each dimension; of a dry run also a ``sample`` of the versions that would change.
        """
        return Report.from_json(self._core.load_dimensions(iso_day(dt), dry_run, progress=progress))

    def load_facts(self, dt: Day, *, progress: Progress | None = None) -> Report:
        """Load the raw day's trips, payments and positions, keyed as of their own time."""
        return Report.from_json(self._core.load_facts(iso_day(dt), progress=progress))

    def load_telemetry(self, dt: Day, *, progress: Progress | None = None) -> Report:
        """Load the raw day's clean positions straight into ClickHouse, past the warehouse."""
        return Report.from_json(self._core.load_telemetry(iso_day(dt), progress=progress))

    def build_route_hourly(
        self,
        date_from: Day | None = None,
        date_to: Day | None = None,
        *,
        force: bool = False,
        source: str = "warehouse",
        progress: Progress | None = None,
    ) -> Report:
        """Rebuild every dirty service date of the mart, or only those of ``[date_from, date_to)``.

        Args:
            date_from: First service date.
            date_to: The date after the last one.
            force: Rebuild all dates of the range, clean ones too.
            source: ``"warehouse"``, or ``"lake"``: all dates that the raw days touch, or all of the range.
            progress: Told about rows done.

        Raises:
            ConfigError: Only one end of the range is given, or `force` without a range.
        """
        if (date_from is None) != (date_to is None):
            raise ConfigError("date_from and date_to go together: give both, or neither for all dirty dates")
        if force and date_from is None:
            raise ConfigError("force needs date_from and date_to: it rebuilds clean dates of that range")
        first, after = optional_day(date_from, "date_from"), optional_day(date_to, "date_to")
        found = self._core.build_route_hourly(first, after, force, source=source, progress=progress)
        return Report.from_json(found)

    def check_quality(self, dt: Day | None = None, *, progress: Progress | None = None) -> Report:
        """Check what `dt` brought, or all of it, and store the results.

        Args:
            dt: The raw day; None checks everything.
            progress: Told about checks done.

        Returns:
            The report of all checks.

        Raises:
            QualityError: A check of severity *error* failed; its ``report`` lists all.
        """
        return Report.from_json(self._core.check_quality(optional_day(dt), progress=progress))

    def run(self, dt: Day, *, progress: Progress | None = None) -> Report:
        """Run all steps of one raw day in order: calendar, stage, dimensions, facts, mart, quality."""
        return Report.from_json(self._core.run(iso_day(dt), progress=progress))

    def partition_ready(self, dt: Day, *, required: Sequence[str] = REQUIRED_DATASETS) -> Report:
        """Look once whether the raw day has a manifest or all `required` datasets."""
        return Report.from_json(self._core.partition_ready(iso_day(dt), dataset_names(required)))

    async def wait_for_partition(
        self,
        dt: Day,
        *,
        required: Sequence[str] = REQUIRED_DATASETS,
        poll_seconds: float = 30.0,
        stable_seconds: float | None = 60.0,
        watch: Callable[[Report], object] | None = None,
    ) -> Report:
        """Wait, without a thread, until the raw day is complete.

        Args:
            dt: The raw day.
            required: Datasets that must be there when the day has no manifest.
            poll_seconds: Time between two looks at the lake.
            stable_seconds: How long a day without a manifest must stay unchanged; None accepts only a manifest.
            watch: Told in the caller's event loop what a look found, whenever it differs from the look before;
                ``error`` is why the lake did not answer.

        Returns:
            What was found.

        Raises:
            StorageError: The lake cannot be read.
        """
        stable = _NEVER_SECONDS if stable_seconds is None else stable_seconds
        told = None
        if watch is not None:
            import asyncio

            loop, context = asyncio.get_running_loop(), copy_context()

            def told(found: str) -> None:
                # From a thread of the core: the caller's loop, and what its log records carry, are here.
                loop.call_soon_threadsafe(lambda: watch(Report.from_json(found)), context=context)

        found = await self._core.wait_for_partition(
            iso_day(dt), dataset_names(required), poll_seconds, stable, watch=told
        )
        return Report.from_json(found)
