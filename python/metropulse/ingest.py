"""An agency's own feeds into raw days, as functions: `ingest_gtfs`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from metropulse.pipeline import Pipeline
from metropulse.settings import resolve
from metropulse.sources import Name

if TYPE_CHECKING:
    from metropulse.days import Day
    from metropulse.results import Progress, Report

__all__ = ["ingest_gtfs"]


def ingest_gtfs(
    source: Name | Iterable[Name],
    lake: Name | Pipeline,
    dt: Day,
    *,
    days: int = 1,
    feed: str | None = None,
    folder: str | None = None,
    dry_run: bool = False,
    time_zone: str | None = None,
    lake_options: Mapping[str, str] | None = None,
    source_options: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Report:
    """Write the timetable of service dates into the lake, from GTFS Schedule feeds.

    Each date becomes a raw day with `routes`, `stops`, `scheduled_trips`, `scheduled_stop_times` and `shapes`; what
    else the day holds stays. Rows that cannot be used are kept beside them, with file, line and reason. A date that
    the lake holds as this very feed makes it is not written again.

    Args:
        source: A zip or a folder, as path or URL (``http(s)``, ``s3``, ``gs``, ``az``); or several versions of one
            feed, of which each date takes the one that claims it and begins latest.
        lake: The lake, as a folder or URL; or an open `Pipeline`: its lake, zone and credentials.
        dt: The first service date.
        days: How many service dates.
        feed: Name to set before every id, with a colon, in a lake of several agencies.
        folder: Folder within the archive, when several hold a feed.
        dry_run: Read and count, and write nothing.
        time_zone: Service zone of a lake that is named by a URL; the agencies' zone must be this one.
        lake_options: Options of the lake's object store; else those of the environment.
        source_options: Options of the sources' object store; else the lake's where it is of the same kind, else
            those of the environment.
        progress: Told about rows done.

    Returns:
        The report: counts by table, the feeds with version and files that were left out, the days.

    Raises:
        ConfigError: The agencies' zone is not the service zone, or the call leaves a choice open.
        SchemaError: A required file or column is missing.
        DataError: A source is no feed, is cut short, or too many of its rows cannot be used.
        NotFoundError: A source is not there, or no version claims a date.
    """
    if isinstance(lake, Pipeline):
        pipeline = lake
    else:
        pipeline = Pipeline.from_settings(resolve(lake=lake, lake_options=lake_options, time_zone=time_zone))
    return pipeline.ingest_gtfs(
        source,
        dt,
        days=days,
        feed=feed,
        folder=folder,
        dry_run=dry_run,
        source_options=source_options,
        progress=progress,
    )
