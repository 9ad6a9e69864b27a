"""Operators that turn an agency's own feeds into raw days, and raw days into packages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from metropulse.airflow.assets import files_of, names_of
from metropulse.airflow.lineage import Namespaces, Trace
from metropulse.airflow.operators.base import COMMON_FIELDS, MetropulseOperator, PartitionOperator

if TYPE_CHECKING:
    from metropulse.airflow._compat import Context
    from metropulse.pipeline import Pipeline
    from metropulse.results import Report

__all__ = ["ExportTidesOperator", "IngestGtfsOperator", "IngestGtfsRtOperator", "IngestTidesOperator"]


class IngestGtfsOperator(PartitionOperator):
    """Write the timetable of the raw day, from GTFS Schedule.

    Args:
        source: A zip or a folder, as path or URL within reach of the lake's connection; or several versions of a feed.
        dt: The first service date; the run's own when None.
        days: How many service dates.
        feed: Name to set before every id, with a colon, in a lake of several agencies.
        folder: Folder within the archive, when several hold a feed.
        replace_newer: Also replace days that were made of a newer version of the feed; without it they are kept, which
            is no error.
        dry_run: Read and count, and write nothing.
        **kwargs: Those of `PartitionOperator`.
    """

    writes = ("raw",)
    lake_only = True

    template_fields: Sequence[str] = ("source", "dt", "days", "feed", "folder", *COMMON_FIELDS)

    def __init__(
        self,
        *,
        source: str | Sequence[str],
        dt: str | None = None,
        days: int | str = 1,
        feed: str | None = None,
        folder: str | None = None,
        replace_newer: bool = False,
        dry_run: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(dt=dt, **kwargs)
        self.source = source
        self.days = days
        self.feed = feed
        self.folder = folder
        self.replace_newer = replace_newer
        self.only_report = dry_run
        self.declare(files_of(source), ())

    def call(self, pipeline: Pipeline, context: Context) -> Report:
        """Ingest the feed."""
        return pipeline.ingest_gtfs(
            self.source,
            self.partition(context),
            days=int(self.days),
            feed=self.feed or None,
            folder=self.folder,
            replace_newer=self.replace_newer,
            dry_run=self.only_report,
            progress=self.progress,
        )

    def trace(self, namespaces: Namespaces) -> Trace:
        """Return what is kept of the task for its lineage."""
        return Trace(namespaces, files_read=names_of(self.source))


class IngestGtfsRtOperator(PartitionOperator):
    """Write what recordings of GTFS-Realtime say of the raw day.

    Args:
        sources: Recordings: a path, folder, glob or URL, or a list of them, within reach of the lake's connection.
            None: those that `metropulse collect` brought into the lake under this name of a feed.
        schedule: Whose scheduled trips are used instead of the lake's: another lake, or a GTFS feed.
        feed: Name to set before every id, with a colon, in a lake of several agencies.
        dry_run: Report what would be written, and write nothing.
        dt: The service date; the run's own when None.
        **kwargs: Those of `PartitionOperator`.
    """

    writes = ("raw",)
    lake_only = True

    template_fields: Sequence[str] = ("sources", "schedule", "feed", "dt", *COMMON_FIELDS)

    def __init__(
        self,
        *,
        sources: str | Sequence[str] | None = None,
        schedule: str | None = None,
        feed: str | None = None,
        dry_run: bool = False,
        dt: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(dt=dt, **kwargs)
        self.sources = sources
        self.schedule = schedule
        self.feed = feed
        self.only_report = dry_run
        self.declare(files_of(sources), ())

    def call(self, pipeline: Pipeline, context: Context) -> Report:
        """Ingest the recordings."""
        return pipeline.ingest_gtfs_rt(
            self.sources or None,
            self.partition(context),
            schedule=self.schedule,
            feed=self.feed or None,
            dry_run=self.only_report,
            progress=self.progress,
        )

    def trace(self, namespaces: Namespaces) -> Trace:
        """Return what is kept of the task for its lineage."""
        return Trace(namespaces, files_read=names_of(self.sources))


class IngestTidesOperator(MetropulseOperator):
    """Write the rows of a TIDES package into raw days.

    Args:
        source: A folder, a zip or a ``datapackage.json``, as path or URL within reach of the lake's connection.
        date_from: The first service date; all of the package when None.
        date_to: The date after the last one.
        dry_run: Read and count, and write nothing.
        **kwargs: Those of `MetropulseOperator`.
    """

    writes = ("raw",)
    lake_only = True

    template_fields: Sequence[str] = ("source", "date_from", "date_to", *COMMON_FIELDS)

    def __init__(
        self,
        *,
        source: str,
        date_from: str | None = None,
        date_to: str | None = None,
        dry_run: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.date_from = date_from
        self.date_to = date_to
        self.only_report = dry_run
        self.declare(files_of(source), ())

    def call(self, pipeline: Pipeline, _context: Context) -> Report:
        """Ingest the package."""
        return pipeline.ingest_tides(
            self.source,
            date_from=self.date_from or None,
            date_to=self.date_to or None,
            dry_run=self.only_report,
            progress=self.progress,
        )

    def trace(self, namespaces: Namespaces) -> Trace:
        """Return what is kept of the task for its lineage."""
        return Trace(namespaces, files_read=names_of(self.source))


class ExportTidesOperator(MetropulseOperator):
    """Write raw days as a package of TIDES 1.0.

    Args:
        to: Folder of the package, as path or URL within reach of the lake's connection.
        date_from: The first raw day.
        date_to: The day after the last one.
        file_format: ``"csv"`` or ``"parquet"``.
        fill: Values of required fields that raw days do not know, by field.
        agency: Name of the agency, for the package's description.
        **kwargs: Those of `MetropulseOperator`.
    """

    reads = ("raw",)
    lake_only = True

    template_fields: Sequence[str] = ("to", "date_from", "date_to", "file_format", "fill", "agency", *COMMON_FIELDS)

    def __init__(
        self,
        *,
        to: str,
        date_from: str,
        date_to: str,
        file_format: str = "csv",
        fill: Mapping[str, str] | None = None,
        agency: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.to = to
        self.date_from = date_from
        self.date_to = date_to
        self.file_format = file_format
        self.fill = fill
        self.agency = agency
        self.declare((), files_of(to))

    def call(self, pipeline: Pipeline, _context: Context) -> Report:
        """Export the days."""
        return pipeline.export_tides(
            self.to,
            self.date_from,
            self.date_to,
            file_format=self.file_format,
            fill=self.fill,
            agency=self.agency,
            progress=self.progress,
        )

    def trace(self, namespaces: Namespaces) -> Trace:
        """Return what is kept of the task for its lineage."""
        return Trace(namespaces, file_written=self.to)
