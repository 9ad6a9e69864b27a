"""An agency's own feeds into raw days, as functions: `ingest_gtfs`, `ingest_gtfs_rt`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from metropulse.exceptions import ConfigError
from metropulse.pipeline import Pipeline
from metropulse.settings import resolve
from metropulse.sources import Name

if TYPE_CHECKING:
    from metropulse.days import Day
    from metropulse.results import Progress, Report
    from metropulse.sources import Source

__all__ = ["ingest_gtfs", "ingest_gtfs_rt", "ingest_tides", "opened"]


def ingest_gtfs(
    source: Name | Iterable[Name],
    lake: Name | Pipeline,
    dt: Day,
    *,
    days: int = 1,
    feed: str | None = None,
    folder: str | None = None,
    replace_newer: bool = False,
    dry_run: bool = False,
    time_zone: str | None = None,
    lake_options: Mapping[str, str] | None = None,
    source_options: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Report:
    """Write the timetable of service dates into the lake, from GTFS Schedule feeds.

    Each date becomes a raw day with `routes`, `stops`, `scheduled_trips`, `scheduled_stop_times` and `shapes`; what
    else the day holds stays. Rows that cannot be used are kept beside them, with file, line and reason. A date that
    the lake holds as this very feed makes it is not written again, and one that it holds of a newer version is kept.

    Args:
        source: A zip or a folder, as path or URL (``http(s)``, ``s3``, ``gs``, ``az``); or several versions of one
            feed, of which each date takes the one that claims it and begins latest.
        lake: The lake, as a folder or URL; or an open `Pipeline`: its lake, zone and credentials.
        dt: The first service date.
        days: How many service dates.
        feed: Name to set before every id, with a colon, in a lake of several agencies.
        folder: Folder within the archive, when several hold a feed.
        replace_newer: Also replace days that were made of a newer version, or of one that claims the date where this
            one does not; without it they are kept, and named in the report.
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
    return opened(lake, lake_options, time_zone).ingest_gtfs(
        source,
        dt,
        days=days,
        feed=feed,
        folder=folder,
        replace_newer=replace_newer,
        dry_run=dry_run,
        source_options=source_options,
        progress=progress,
    )


def ingest_gtfs_rt(
    sources: Source | None,
    lake: Name | Pipeline,
    dt: Day,
    *,
    schedule: Name | None = None,
    feed: str | None = None,
    dry_run: bool = False,
    time_zone: str | None = None,
    lake_options: Mapping[str, str] | None = None,
    source_options: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Report:
    """Write what recordings of GTFS-Realtime say of one service date into its raw day.

    Recordings are `.pb` files, plain or packed by gzip or zstd, their JSON form, and tars and zips of them, in any
    order and number; memory does not grow with them. A report belongs to the service date that it names, else to that
    of the scheduled run nearest in time, else to its local date. Only rows of `dt` are written, those of other days are
    counted. The datasets of which the recordings say something replace what the day has of them; all else stays.

    Args:
        sources: Recordings: a path, folder, glob or URL, or a list of them. None: those that `collect` brought into the
            lake under this name of a feed, from the start of `dt` until noon of the day after.
        lake: Folder or URL of the raw days; or an open `Pipeline`: its lake and zone.
        dt: The service date.
        schedule: Whose scheduled trips are used instead of the lake's: another lake, or a GTFS feed as a zip of any
            place or a folder of this machine.
        feed: Name to set before every id, with a colon, in a lake of several agencies.
        dry_run: Report what would be written, and write nothing.
        time_zone: Service zone of a lake that is named by a URL; else that of the environment.
        lake_options: Options of the lake's object store; else those of the environment.
        source_options: Options of the recordings' object store; else the lake's where it is of the same kind, else
            those of the environment.
        progress: Told about recordings done.

    Returns:
        The report: rows by dataset; how many recordings were read, empty or damaged, and which; reports that repeat
        the last one, of other days, without a day, or from the future.

    Raises:
        NotFoundError: A source names no recording.
        DataError: Not one recording can be read.
        ConfigError: A source or the day has the wrong form.
    """
    pipeline = opened(lake, lake_options, time_zone)
    return pipeline.ingest_gtfs_rt(
        sources,
        dt,
        schedule=schedule,
        feed=feed,
        dry_run=dry_run,
        source_options=source_options,
        progress=progress,
    )


def ingest_tides(
    source: Name,
    lake: Name | Pipeline,
    *,
    date_from: Day | None = None,
    date_to: Day | None = None,
    dry_run: bool = False,
    time_zone: str | None = None,
    lake_options: Mapping[str, str] | None = None,
    source_options: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Report:
    """Write the rows of a TIDES package into raw days, by service date.

    `vehicle_locations` become `vehicle_positions`, `trips_performed` become `trips`, `fare_transactions` become
    `payments`, and `vehicles` stand in each of the days. These take the place of what a day has of the same datasets;
    all else stays. Rows that cannot be used are kept beside them, with file, row and reason. Other tables are named in
    the report.

    Args:
        source: A folder, a zip or a ``datapackage.json``, as path or URL (``http(s)``, ``s3``, ``gs``, ``az``).
        lake: The lake, as a folder or URL; or an open `Pipeline`: its lake, zone and credentials.
        date_from: The first service date; all of the package without it.
        date_to: The date after the last one.
        dry_run: Read and count, and write nothing.
        time_zone: Service zone of a lake that is named by a URL; times without an offset are of it.
        lake_options: Options of the lake's object store; else those of the environment.
        source_options: Options of the package's object store; else the lake's where it is of the same kind, else
            those of the environment.
        progress: Told about files done.

    Returns:
        The report: counts by dataset, the days, and what of the package was left out.

    Raises:
        NotFoundError: The package, or a file that it lists, is not there.
        SchemaError: A table is none of the standard's, or a required column is missing.
        DataError: A file cannot be read, or too many of its rows cannot be used.
        ConfigError: The package has too many days for one call.
    """
    return opened(lake, lake_options, time_zone).ingest_tides(
        source, date_from=date_from, date_to=date_to, dry_run=dry_run, source_options=source_options, progress=progress
    )


def opened(lake: Name | Pipeline | None, lake_options: Mapping[str, str] | None, time_zone: str | None) -> Pipeline:
    """Open a lake that is named; one that is open keeps its own options and zone.

    Args:
        lake: Folder or URL, else that of the environment; or an open `Pipeline`.
        lake_options: Options of its object store.
        time_zone: Service zone.

    Returns:
        The pipeline.

    Raises:
        ConfigError: An open pipeline is given options that it has itself.
    """
    if not isinstance(lake, Pipeline):
        return Pipeline.from_settings(resolve(lake=lake, lake_options=lake_options, time_zone=time_zone))
    for name, value in (("lake_options", lake_options), ("time_zone", time_zone)):
        if value is not None:
            raise ConfigError(f"the open pipeline has {name} of its own, expected none beside it")
    return lake
