"""The verbs of `Pipeline` that turn an agency's own feeds into raw days."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from metropulse.days import Day, iso_day, optional_day
from metropulse.durations import Duration, seconds
from metropulse.exceptions import ConfigError
from metropulse.results import Progress, Report
from metropulse.sources import Name, Source, first_url, stream_or_paths
from metropulse.stores import variable

if TYPE_CHECKING:
    from metropulse import _core
    from metropulse.settings import Settings

__all__ = ["SPOOL_LIMIT_BYTES", "Feeds", "default_spool"]

SPOOL_LIMIT_BYTES = 20_000_000_000
"""How much a recorder keeps for its upload when nobody says otherwise."""


def default_spool(feed: str | None = None) -> Path:
    """Return the folder in which recordings wait when nobody names one; it outlives a restart of the machine.

    Args:
        feed: The name of the feed: recorders of several feeds run side by side, each on a spool of its own.

    Returns:
        ``$XDG_STATE_HOME/metropulse/recorder``, by default below ``~/.local/state``; that of a named feed is
        ``recorder-<feed>``.
    """
    home = variable(os.environ, "XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "metropulse" / (f"recorder-{feed}" if feed else "recorder")


class Feeds:
    """Part of `Pipeline`: what turns an agency's own feeds into raw days of the lake."""

    _core: _core.Pipeline
    _settings: Settings

    def ingest_gtfs(
        self,
        source: Name | Iterable[Name],
        dt: Day,
        *,
        days: int = 1,
        feed: str | None = None,
        folder: str | None = None,
        replace_newer: bool = False,
        dry_run: bool = False,
        source_options: Mapping[str, str] | None = None,
        progress: Progress | None = None,
    ) -> Report:
        """Write the timetable of service dates into the lake; see `metropulse.ingest_gtfs`.

        Args:
            source: A zip or a folder, as path or URL; or several versions of one feed.
            dt: The first service date.
            days: How many service dates.
            feed: Name to set before every id, with a colon, in a lake of several agencies.
            folder: Folder within the archive, when several hold a feed.
            replace_newer: Also replace days that were made of a newer version of the feed.
            dry_run: Read and count, and write nothing.
            source_options: Options of the sources' object store.
            progress: Told about rows done.

        Returns:
            The report.
        """
        sources = _paths(source, "paths or URLs of GTFS feeds")
        if not isinstance(days, int) or days < 1:
            raise ConfigError(f"days is {days!r}, expected 1 or more")
        asked = {
            "sources": sources,
            "source_options": self._source_options(sources, source_options),
            "date": iso_day(dt),
            "days": days,
            "feed": feed,
            "folder": folder,
            "replace_newer": replace_newer,
            "dry_run": dry_run,
        }
        return Report.from_json(self._core.ingest_gtfs(json.dumps(asked), progress=progress))

    def describe_gtfs(
        self, source: Name, *, recordings: Source = (), source_options: Mapping[str, str] | None = None
    ) -> Report:
        """Look at what a GTFS Schedule feed says of itself, before a day is made of it.

        Args:
            source: A zip or a folder, as path or URL.
            recordings: Recordings of the agency's GTFS-Realtime feeds.
            source_options: Options of the sources' object store.

        Returns:
            ``zone``, ``feed_version``, ``valid_from`` and ``valid_to``; ``recorded``: how many recordings say anything,
            by local date; ``first_day``, a date to begin with, and ``first_day_is``: ``recorded``, ``today``,
            ``weekday`` or ``beginning``.
        """
        paths = _paths(recordings, "paths, folders, globs or URLs of recordings") if recordings else []
        options = self._source_options([os.fspath(source), *paths], source_options)
        asked = {"source": os.fspath(source), "recordings": paths, "source_options": options}
        return Report.from_json(self._core.describe_gtfs(json.dumps(asked)))

    def ingest_gtfs_rt(
        self,
        sources: Source | None,
        dt: Day,
        *,
        schedule: Name | None = None,
        feed: str | None = None,
        dry_run: bool = False,
        source_options: Mapping[str, str] | None = None,
        progress: Progress | None = None,
    ) -> Report:
        """Write what recordings of GTFS-Realtime say of one service date; see `metropulse.ingest_gtfs_rt`.

        Args:
            sources: Recordings, as paths, folders, globs or URLs; None for those that `collect` brought into the lake
                under this name of a feed.
            dt: The service date.
            schedule: Whose scheduled trips are used instead of the lake's: another lake, or a GTFS feed.
            feed: Name to set before every id, with a colon, in a lake of several agencies.
            dry_run: Report what would be written, and write nothing.
            source_options: Options of the recordings' object store.
            progress: Told about recordings done.

        Returns:
            The report.
        """
        paths = [] if sources is None else _paths(sources, "paths, folders, globs or URLs of recordings")
        asked = {
            "sources": paths,
            "source_options": self._source_options(paths, source_options) if paths else None,
            "schedule": None if schedule is None else os.fspath(schedule),
            "feed": feed,
            "dry_run": dry_run,
        }
        return Report.from_json(self._core.ingest_gtfs_rt(iso_day(dt), json.dumps(asked), progress=progress))

    def collect(
        self,
        *,
        vehicle_positions: str | None = None,
        trip_updates: str | None = None,
        alerts: str | None = None,
        feed: str | None = None,
        every: Duration = "10s",
        headers: Mapping[str, str] | None = None,
        secrets: Name | None = None,
        spool: Name | None = None,
        spool_limit_bytes: int = SPOOL_LIMIT_BYTES,
        archive_every: Duration = "1h",
        timeout: Duration = "30s",
        duration: Duration | None = None,
        progress: Progress | None = None,
    ) -> Report:
        """Record GTFS-Realtime feeds into the lake until it is stopped; see `metropulse.collect`.

        Args:
            vehicle_positions: URL of the vehicle positions.
            trip_updates: URL of the trip updates.
            alerts: URL of the alerts.
            feed: Name of the feed, in a lake of several agencies.
            every: Time between two polls of a feed.
            headers: Headers of each request.
            secrets: File of NAME=value lines, read anew for each request.
            spool: Folder in which recordings wait for their upload.
            spool_limit_bytes: How many bytes may wait there.
            archive_every: Time that goes into one archive.
            timeout: Time until a request is given up.
            duration: Time after which the call ends by itself.
            progress: Told what happens.

        Returns:
            The report.
        """
        feeds = {"vehicle_positions": vehicle_positions, "trip_updates": trip_updates, "alerts": alerts}
        asked = {
            "feed": feed,
            "feeds": {name: url for name, url in feeds.items() if url},
            "headers": dict(headers or {}),
            "secrets": None if secrets is None else os.fspath(secrets),
            "every_seconds": seconds(every, "every"),
            "timeout_seconds": seconds(timeout, "timeout"),
            "archive_seconds": round(seconds(archive_every, "archive_every")),
            "spool": os.fspath(spool or default_spool(feed)),
            "spool_limit_bytes": spool_limit_bytes,
            "duration_seconds": None if duration is None else seconds(duration, "duration"),
        }
        return Report.from_json(self._core.collect(json.dumps(asked), progress=progress))

    def recordings(self, dt: Day, *, feed: str | None = None, hours_past: float | None = None) -> Report:
        """Look how far the lake's recordings of a service date have come.

        Args:
            dt: The service date.
            feed: Name of the feed that is looked for, in a lake of several agencies.
            hours_past: Hours past its end in which its last runs are still reported; the 12 that `ingest_gtfs_rt` reads
                when None.

        Returns:
            ``complete``: whether all that was recorded up to then has been uploaded; ``archives`` and ``bytes`` of that
            time, ``until`` and ``recorded_until``.
        """
        return Report.from_json(self._core.recordings(iso_day(dt), feed, hours_past))

    def ingest_tides(
        self,
        source: Name,
        *,
        date_from: Day | None = None,
        date_to: Day | None = None,
        dry_run: bool = False,
        source_options: Mapping[str, str] | None = None,
        progress: Progress | None = None,
    ) -> Report:
        """Write the rows of a TIDES package into raw days; see `metropulse.ingest_tides`.

        Args:
            source: A folder, a zip or a ``datapackage.json``, as path or URL.
            date_from: The first service date; all of the package without it.
            date_to: The date after the last one.
            dry_run: Read and count, and write nothing.
            source_options: Options of the package's object store.
            progress: Told about files done.

        Returns:
            The report.
        """
        asked = {
            "source": os.fspath(source),
            "source_options": self._source_options([os.fspath(source)], source_options),
            "date_from": optional_day(date_from, "date_from"),
            "date_to": optional_day(date_to, "date_to"),
            "dry_run": dry_run,
        }
        return Report.from_json(self._core.ingest_tides(json.dumps(asked), progress=progress))

    def export_tides(
        self,
        to: Name,
        date_from: Day,
        date_to: Day,
        *,
        file_format: str = "csv",
        fill: Mapping[str, str] | None = None,
        agency: str | None = None,
        to_options: Mapping[str, str] | None = None,
        progress: Progress | None = None,
    ) -> Report:
        """Write raw days as a TIDES package; see `metropulse.export_tides`.

        Args:
            to: Folder of the package, as path or URL.
            date_from: The first raw day.
            date_to: The day after the last one.
            file_format: ``"csv"`` or ``"parquet"``.
            fill: Values of required fields that raw days do not know, by field.
            agency: Name of the agency, for the package's description.
            to_options: Options of the package's object store.
            progress: Told about rows done.

        Returns:
            The report.
        """
        if file_format not in ("csv", "parquet"):
            raise ConfigError(f"file_format is {file_format!r}, expected 'csv' or 'parquet'")
        asked = {
            "date_from": iso_day(date_from, "date_from"),
            "date_to": iso_day(date_to, "date_to"),
            "to": os.fspath(to),
            "to_options": self._source_options([os.fspath(to)], to_options),
            "format": file_format,
            "fill": {field: str(value) for field, value in (fill or {}).items()},
            "agency": agency,
        }
        return Report.from_json(self._core.export_tides(json.dumps(asked), progress=progress))

    def _source_options(self, sources: list[str], given: Mapping[str, str] | None) -> dict[str, str] | None:
        """Return the options that reach the sources; None where the lake's own do."""
        reaching = self._settings.with_access_to(first_url(sources), given)
        return None if reaching is self._settings else dict(reaching.lake_options)


def _paths(source: Source, expected: str) -> list[str]:
    """Return a source as names of files; rows in memory are no feed."""
    given = stream_or_paths(source)
    if not isinstance(given, list):
        raise ConfigError(f"the source is an Arrow stream, expected {expected}")
    return given
