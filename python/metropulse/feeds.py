"""The verbs of `Pipeline` that turn an agency's own feeds into raw days."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from metropulse.days import Day, iso_day
from metropulse.exceptions import ConfigError
from metropulse.results import Progress, Report
from metropulse.sources import Name, Source, first_url, stream_or_paths

if TYPE_CHECKING:
    from metropulse import _core
    from metropulse.settings import Settings

__all__ = ["Feeds", "recording_paths"]


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
            dry_run: Read and count, and write nothing.
            source_options: Options of the sources' object store.
            progress: Told about rows done.

        Returns:
            The report.
        """
        sources = stream_or_paths(source)
        if not isinstance(sources, list):
            raise ConfigError("the source is an Arrow stream, expected paths or URLs of GTFS feeds")
        if not isinstance(days, int) or days < 1:
            raise ConfigError(f"days is {days!r}, expected 1 or more")
        asked = {
            "sources": sources,
            "source_options": self._source_options(sources, source_options),
            "date": iso_day(dt),
            "days": days,
            "feed": feed,
            "folder": folder,
            "dry_run": dry_run,
        }
        return Report.from_json(self._core.ingest_gtfs(json.dumps(asked), progress=progress))

    def ingest_gtfs_rt(
        self,
        sources: Source,
        dt: Day,
        *,
        schedule: Name | None = None,
        dry_run: bool = False,
        source_options: Mapping[str, str] | None = None,
        progress: Progress | None = None,
    ) -> Report:
        """Write what recordings of GTFS-Realtime say of one service date; see `metropulse.ingest_gtfs_rt`.

        Args:
            sources: Recordings, as paths, folders, globs or URLs.
            dt: The service date.
            schedule: Another lake than the pipeline's, whose scheduled trips are used.
            dry_run: Report what would be written, and write nothing.
            source_options: Options of the recordings' object store.
            progress: Told about recordings done.

        Returns:
            The report.
        """
        paths = recording_paths(sources)
        asked = {
            "sources": paths,
            "source_options": self._source_options(paths, source_options),
            "schedule": None if schedule is None else os.fspath(schedule),
            "dry_run": dry_run,
        }
        return Report.from_json(self._core.ingest_gtfs_rt(iso_day(dt), json.dumps(asked), progress=progress))

    def _source_options(self, sources: list[str], given: Mapping[str, str] | None) -> dict[str, str] | None:
        """Return the options that reach the sources; None where the lake's own do."""
        reaching = self._settings.with_access_to(first_url(sources), given)
        return None if reaching is self._settings else dict(reaching.lake_options)


def recording_paths(sources: Source) -> list[str]:
    """Return the sources as names of files.

    Args:
        sources: A path, folder, glob or URL, or a list of them.

    Returns:
        The names.

    Raises:
        ConfigError: They are rows in memory, which are no feed.
    """
    given = stream_or_paths(sources)
    if not isinstance(given, list):
        raise ConfigError("the source is an Arrow stream, expected paths, folders, globs or URLs of recordings")
    return given
