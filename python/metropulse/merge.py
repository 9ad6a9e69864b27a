"""`merge_snapshot` and `rewind_snapshot`: history of any table, from full snapshots or change feeds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, TypeAlias
from zoneinfo import ZoneInfo

from metropulse.exceptions import ConfigError
from metropulse.pipeline import Pipeline, open_pipeline
from metropulse.results import Report
from metropulse.sources import Source, stream_or_paths

if TYPE_CHECKING:
    from metropulse.results import Progress

Instant: TypeAlias = str | date | datetime
Deleted: TypeAlias = str | Sequence[str | int | bool]

__all__ = ["merge_snapshot", "rewind_snapshot"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def merge_snapshot(
    snapshot: Source,
    dsn: str | Pipeline,
    table: str,
    *,
    key: str | Sequence[str],
    tracked: Sequence[str] | None = None,
    overwritten: Sequence[str] = (),
    effective: Instant | None = None,
    effective_column: str | None = None,
    deleted: Deleted | None = None,
    renamed: Mapping[str, str] | None = None,
    adopt: bool = False,
    absent: str = "close",
    allow_vanishing: bool = False,
    dry_run: bool = False,
    surrogate: str | None = None,
    valid_from: str = "valid_from",
    valid_to: str = "valid_to",
    current: str | None = "is_current",
    plain_files: bool = False,
    folder_columns: bool = True,
    lake_options: Mapping[str, str] | None = None,
    time_zone: str | None = None,
    progress: Progress | None = None,
) -> Report:
    """Merge a full snapshot, or a batch of changes, into a type 2 table of any PostgreSQL database.

    The history depends on what the snapshots state, not on the order of loading them: they may come late, twice, or
    corrected, in any order. A full snapshot of instant d sets every key's value from d up to the next loaded snapshot;
    a row of a change feed sets its key's value up to the key's next row. Neighbours that show the same are one version.

    The table, and its schema, is made when it is missing: surrogate key ``<table>_sk``, key, columns, ``valid_from``,
    ``valid_to`` (NULL while open), ``is_current``. Two small tables stand beside it: ``<table>_loads`` (loaded
    snapshots, rules) and ``<table>_said`` (what was stated of keys whose versions alone do not show it). From
    20,000 keys on (setting ``digest_keys``) the second merge adds ``<table>_digests``, 24 bytes a key: the newest full
    snapshot is then compared with these, not with the table. They hold only while nobody else writes to the table,
    which is looked at every time; that table may be dropped or left out of a backup.

    Everything is one transaction under a lock of the table; the same snapshot again writes nothing.

    Args:
        snapshot: A path, URL, folder or glob of Parquet files, a list of them, or anything with ``__arrow_c_stream__``.
        dsn: PostgreSQL, as a ``postgresql://`` or ``jdbc:postgresql://`` URL; or an open `Pipeline`: its warehouse.
        table: The table as SQL names it; it is made when it is missing.
        key: Column that tells rows apart; several make up the key. Parts of a key may be NULL, not all of them.
        tracked: Column whose changes open a version (type 2), or several. Default: all others of the snapshot.
        overwritten: Column that shows its newest value in every version (type 1), or several.
        effective: When a full snapshot holds from: a date, a time, or their ISO text.
        effective_column: Instead of `effective`: the column that gives each row of a change feed its time.
        deleted: How a change feed says that a key is gone: a boolean column, or a column and the value that means it,
            such as ``("op", "D")``. What else such a row holds is not looked at.
        renamed: Columns that have another name than before, new names by former ones: history is kept, and files that
            still have the former name are read by the new one. May stay in the call.
        adopt: Take over the rows of a table that no merge has written, such as a snapshot table of dbt, as its history
            so far; `key`, `valid_from`, `valid_to`, `surrogate` and `current` name its columns. May stay in the call.
        absent: What it means that a full snapshot lacks a key: ``close`` its open version, ``ignore``, or ``error``.
        allow_vanishing: Accept a snapshot that is empty, or lacks more than 30 % of the keys (and at least 10).
        dry_run: Show counts and sample rows of what would change, and write nothing.
        surrogate: Name of the surrogate key column. Default: ``<table>_sk``.
        valid_from: Name of the column with the first instant of a version.
        valid_to: Name of the column with the first instant after it.
        current: Name of the column that flags open versions; None for no such column.
        plain_files: Read the files of a Delta Lake, Hudi or Iceberg table as they are, deleted rows included.
        folder_columns: Make columns of ``key=value`` folders below the folder, or before the wildcard, that was named.
        lake_options: Options of the object store for URLs; else those of the environment.
        time_zone: The zone of dates and of times without one; else METROPULSE_TIME_ZONE, else UTC. The first merge
            makes it a rule of the table.
        progress: Told about rows done.

    Returns:
        The report: rows_read, rows_duplicate, keys_read, keys_new, keys_changed, keys_vanished, versions_inserted,
        versions_updated, versions_deleted, rows, unchanged, created, and where there are any: added_columns,
        renamed_columns, retired_columns (which the table has lost: they are out of the history), adopted_columns (which
        the table had with values before they took part: these count as what was said), adopted (of a history that was
        taken over: versions, key_count, gaps, gap_keys, opened, changed_columns),
        missing_columns (of the history, which the snapshot lacks; they keep what they showed), unknown_columns (of the
        snapshot, which play no part), changed_rules (`absent` and `overwritten` hold for the whole history; a call
        that says otherwise changes it).

    Raises:
        ConfigError: `merge_snapshot` was given neither or both of `effective` and `effective_column`, a value has the
            wrong form, or key, mode, own columns or zone are not those that the table was made with.
        SchemaError: Columns or types do not fit.
        DataError: Rows contradict each other or have no key, or too many keys vanished; nothing was written.
        ConflictError: Another run holds the table's lock.
    """
    if (effective is None) == (effective_column is None):
        named = "neither" if effective is None else "both"
        raise ConfigError(
            f"{named} of effective and effective_column was given, expected effective for a full snapshot "
            "or effective_column for a change feed"
        )
    if absent not in {"close", "ignore", "error"}:
        raise ConfigError(f"absent is {absent!r}, expected close, ignore or error")
    given = stream_or_paths(snapshot)
    with open_pipeline(dsn, given, lake_options=lake_options, time_zone=time_zone) as pipeline:
        zone = time_zone or pipeline.settings.time_zone
        spec = {
            "table": table,
            "key": [key] if isinstance(key, str) else list(key),
            "tracked": None if tracked is None else list(tracked),
            "overwritten": list(overwritten),
            "effective": {"column": effective_column} if effective is None else {"at": _micros(effective, zone)},
            "deleted": _deleted(deleted),
            "renamed": dict(renamed or {}),
            "adopt": adopt,
            "absent": None if effective is None and absent == "close" else absent,
            "allow_vanishing": allow_vanishing,
            "dry_run": dry_run,
            "names": {"surrogate": surrogate, "valid_from": valid_from, "valid_to": valid_to, "current": current},
        }
        found = pipeline.core.merge_snapshot(
            given, json.dumps(spec), plain_files=plain_files, folder_columns=folder_columns, progress=progress
        )
    return Report.from_json(found)


def rewind_snapshot(
    dsn: str | Pipeline,
    table: str,
    *,
    to: Instant,
    time_zone: str | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Take out exactly what was merged into a table for instants after `to`.

    The table is then as if only the snapshots (of a change feed, the rows) up to `to` had ever been merged; surviving
    versions keep their surrogate keys.

    Args:
        dsn: PostgreSQL, as a ``postgresql://`` or ``jdbc:postgresql://`` URL; or an open `Pipeline`: its warehouse.
        table: The table as SQL names it.
        to: The last instant that stays: a date, a time, or their ISO text.
        time_zone: As for `merge_snapshot`.
        dry_run: Show what would change, and write nothing.
        progress: Told about rows done.

    Returns:
        The report, as of `merge_snapshot`.

    Raises:
        NotFoundError: Nothing was ever merged into the table.
        ConfigError: The zone is another one than the table's.
    """
    with open_pipeline(dsn, time_zone=time_zone) as pipeline:
        zone = time_zone or pipeline.settings.time_zone
        spec = {"table": table, "to": _micros(to, zone), "dry_run": dry_run}
        return Report.from_json(pipeline.core.rewind_snapshot(json.dumps(spec), progress=progress))


def _deleted(deleted: Deleted | None) -> dict[str, str | None] | None:
    """Return how a change feed says that a key is gone, as the core takes it."""
    if deleted is None or isinstance(deleted, str):
        return None if deleted is None else {"column": deleted, "equals": None}
    if len(deleted) != 2 or not isinstance(deleted[0], str):
        raise ConfigError(f"deleted is {deleted!r}, expected a boolean column, or a column and the value that means it")
    column, value = deleted
    # As Arrow writes it.
    return {"column": str(column), "equals": str(value).lower() if isinstance(value, bool) else str(value)}


def _micros(instant: Instant, zone: str) -> int:
    """Return an instant in microseconds since 1970; a date is the start of that day in `zone`."""
    if isinstance(instant, str):
        try:
            instant = datetime.fromisoformat(instant.strip())
        except ValueError:
            raise ConfigError(f"the instant is {instant!r}, expected a date or a time in ISO 8601") from None
    elif not isinstance(instant, date):
        raise ConfigError(f"the instant is {instant!r}, expected a date, a datetime or their ISO text")
    elif not isinstance(instant, datetime):
        # A day that begins twice begins the first time; one whose midnight is skipped begins at the gap's end.
        instant = datetime.combine(instant, time.min)
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=ZoneInfo(zone))
    return (instant.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1)
