"""Raw days as packages for others, as a function: `export_tides`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from metropulse.ingest import opened

if TYPE_CHECKING:
    from metropulse.days import Day
    from metropulse.pipeline import Pipeline
    from metropulse.results import Progress, Report
    from metropulse.sources import Name

__all__ = ["export_tides"]


def export_tides(
    lake: Name | Pipeline,
    to: Name,
    date_from: Day,
    date_to: Day,
    *,
    file_format: str = "csv",
    fill: Mapping[str, str] | None = None,
    agency: str | None = None,
    time_zone: str | None = None,
    lake_options: Mapping[str, str] | None = None,
    to_options: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Report:
    """Write raw days as a package of TIDES 1.0.

    The package is a folder with one file for each table and day, one for the fleet, and a ``datapackage.json`` that is
    written last. A table of which raw days do not know a required field is left out, and the report says why, unless
    `fill` gives the value. A package that was made of these very days is not written again.

    Args:
        lake: The lake, as a folder or URL; or an open `Pipeline`: its lake, zone and credentials.
        to: Folder of the package, as path or URL.
        date_from: The first raw day.
        date_to: The day after the last one.
        file_format: ``"csv"`` or ``"parquet"``.
        fill: Values of required fields that raw days do not know, by field, such as
            ``{"fare_action": "Enter", "fare_capped": "false"}``; ``table.field`` means that of one table.
        agency: Name of the agency, for the package's description.
        time_zone: Service zone of a lake that is named by a URL; times are written in it, with their offset.
        lake_options: Options of the lake's object store; else those of the environment.
        to_options: Options of the package's object store; else the lake's where it is of the same kind, else those of
            the environment.
        progress: Told about rows done.

    Returns:
        The report: counts by table, the days, the tables, rows and values that were left out.

    Raises:
        ConfigError: The range or a rule of `fill` means nothing, or the folder holds a package of somebody else.
        NotFoundError: The lake has none of the days, or they hold nothing that can be exported.
        DataError: Too many rows of a day are rejected.
    """
    return opened(lake, lake_options, time_zone).export_tides(
        to,
        date_from,
        date_to,
        file_format=file_format,
        fill=fill,
        agency=agency,
        to_options=to_options,
        progress=progress,
    )
