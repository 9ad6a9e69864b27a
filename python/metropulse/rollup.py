"""Hourly rollups of any table: Parquet files anywhere, or Arrow data of any library."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from metropulse.exceptions import ConfigError
from metropulse.results import Report
from metropulse.settings import resolve
from metropulse.sources import ArrowStream, Name, Source, first_url, stream_or_paths

if TYPE_CHECKING:
    from metropulse._core import ArrowTable
    from metropulse.pipeline import Pipeline
    from metropulse.results import Progress

__all__ = ["Measure", "merge_rollups", "rollup_hourly", "rollup_into", "spec_json"]

OPERATIONS = ("count", "sum", "avg", "min", "max", "count_distinct")

Measure: TypeAlias = str | tuple[str, str]


def rollup_hourly(
    source: Source,
    *,
    keys: Sequence[str],
    time: str,
    measures: Mapping[str, Measure],
    time_zone: str = "UTC",
    partial: bool = False,
    plain_files: bool = False,
    folder_columns: bool = True,
    lake_options: Mapping[str, str] | None = None,
    threads: int | None = None,
    memory_bytes: int | None = None,
    progress: Progress | None = None,
) -> ArrowTable:
    """Group a table by keys and hour, on all cores and in bounded memory.

        mp.rollup_hourly(
            "raw/dt=*/vehicle_positions.parquet",
            keys=["route_id"], time="event_ts",
            measures={"avg_speed": ("avg", "speed"), "vehicles": ("count_distinct", "vehicle_id"), "n": "count"},
        )

    NULLs follow SQL: a NULL key is a group, NULL values are left out, the sum of nothing is NULL. Rows without a time
    are in no group. Sums of integers and decimals, and distinct counts, are exact; an overflow is an error.

    Args:
        source: A path, folder, URL or glob of Parquet files, a list of them, or anything with ``__arrow_c_stream__``.
        keys: Columns to group by: text, integers, booleans, dates, times.
        time: The timestamp column; without a zone it is UTC.
        measures: By name of the result: ``"count"``, or a pair of operation and column. Operations: ``count``, ``sum``,
            ``avg``, ``min``, ``max``, ``count_distinct``.
        time_zone: IANA name of the zone on whose wall clock hours are cut. ``hour_bucket`` is their start in UTC.
        partial: Return a state for `merge_rollups` instead: of one shard, one day, one machine.
        plain_files: Read the files of a Delta Lake, Hudi or Iceberg table as they are, deleted rows included.
        folder_columns: Make columns of ``key=value`` folders below the folder, or before the wildcard, that was named.
        lake_options: Options of the object store; what is not given comes from the environment.
        threads: How many threads; all cores when None.
        memory_bytes: Bound on what is kept of distinct values; more goes to a scratch file.
        progress: Told the rows done and the rows in all.

    Returns:
        Keys, ``hour_bucket`` and measures, sorted by keys (NULL first) and hour.

    Raises:
        ConfigError: A measure has the wrong form, or a name or zone cannot be used.
        NotFoundError: The source names no file.
        SchemaError: A column is missing or of a type that cannot be used; it is named.
        DataError: A file is damaged, or a sum overflows.
    """
    from metropulse import _core

    given, spec = stream_or_paths(source), spec_json(keys, time, measures)
    settings = _settings([given], time_zone, lake_options, threads, memory_bytes)
    return _core.rollup_hourly(
        settings, given, spec, partial, plain_files=plain_files, folder_columns=folder_columns, progress=progress
    )


def merge_rollups(
    states: Iterable[Source],
    *,
    partial: bool = False,
    lake_options: Mapping[str, str] | None = None,
    threads: int | None = None,
    memory_bytes: int | None = None,
) -> ArrowTable:
    """Combine states of `rollup_hourly`: the result is that of one pass over all their rows.

    Args:
        states: Tables made with ``partial=True``, or Parquet files of such tables.
        partial: Return their common state instead of the result.
        lake_options: Options of the object store.
        threads: How many threads; all cores when None.
        memory_bytes: Bound on what is kept of distinct values; more goes to a scratch file.

    Returns:
        What `rollup_hourly` returns.

    Raises:
        ConfigError: The states are of different rollups, or there is none.
        SchemaError: A table is no state.
    """
    from metropulse import _core

    if isinstance(states, (str, os.PathLike, ArrowStream)):
        raise ConfigError("merge_rollups takes a list of states, got a single one")
    given = [stream_or_paths(state) for state in states]
    settings = _settings(given, "UTC", lake_options, threads, memory_bytes)
    return _core.merge_rollups(settings, given, partial)


def rollup_into(
    pipeline: Pipeline,
    source: Source,
    output: Name,
    *,
    keys: Sequence[str] = (),
    time: str | None = None,
    measures: Mapping[str, Measure] | None = None,
    partial: bool = False,
    merge: bool = False,
    plain_files: bool = False,
    folder_columns: bool = True,
    progress: Progress | None = None,
) -> Report:
    """Write what `rollup_hourly`, or with `merge` what `merge_rollups` returns, to one Parquet file.

    Args:
        pipeline: Names the zone on whose wall clock hours are cut, and the access to remote files.
        source: As for `rollup_hourly`; states with `merge`.
        output: The path or URL of the file; it is replaced as a whole, missing folders are made.
        keys: As for `rollup_hourly`.
        time: As for `rollup_hourly`.
        measures: As for `rollup_hourly`.
        partial: Write a state for a later `merge` instead of the result.
        merge: The sources are such states: combine them; keys, time and measures are not given then.
        plain_files: As for `rollup_hourly`.
        folder_columns: As for `rollup_hourly`.
        progress: Told the rows done and the rows in all.

    Returns:
        The report: rows, seconds, output.

    Raises:
        ConfigError: Time or measures are missing, or given with `merge`.
    """
    if merge and (keys or time or measures):
        raise ConfigError("states are combined as they are, expected no keys, time or measures")
    if not merge and not (time and measures):
        raise ConfigError("name the time and at least one measure")
    spec = None if merge else spec_json(keys, time or "", measures or {})
    given = stream_or_paths(source)
    with pipeline.with_access_to(given, output) as reaching:
        found = reaching.core.rollup_hourly(
            given,
            spec,
            partial,
            os.fspath(output),
            plain_files=plain_files,
            folder_columns=folder_columns,
            progress=progress,
        )
    return Report.from_json(found)


def spec_json(keys: Sequence[str], time: str, measures: Mapping[str, Measure]) -> str:
    """Return what to roll up as the JSON the native core reads.

    Args:
        keys: As for `rollup_hourly`.
        time: As for `rollup_hourly`.
        measures: As for `rollup_hourly`.

    Returns:
        One JSON object.

    Raises:
        ConfigError: A measure has the wrong form.
    """
    return json.dumps({"keys": _columns(keys), "time": time, "measures": [_measure(n, m) for n, m in measures.items()]})


def _settings(
    sources: Sequence[Source],
    time_zone: str,
    lake_options: Mapping[str, str] | None,
    threads: int | None,
    memory_bytes: int | None,
) -> str:
    settings = resolve(
        lake=first_url(*sources),
        time_zone=time_zone,
        lake_options=lake_options,
        threads=threads,
        memory_bytes=memory_bytes,
    )
    return settings.to_json()


def _columns(keys: Sequence[str]) -> list[str]:
    if isinstance(keys, str):
        raise ConfigError(f'keys is the text {keys!r}, expected a list of columns such as ["{keys}"]')
    return list(keys)


def _measure(name: str, measure: Measure) -> dict[str, str | None]:
    column: str | None = None
    match measure:
        case str(operation):
            pass
        case (str(operation), str(column)):
            pass
        case _:
            raise ConfigError(f'measure {name} is {measure!r}, expected "count" or a pair such as ("avg", "speed")')
    if operation not in OPERATIONS:
        raise ConfigError(f"measure {name} asks for {operation!r}, expected one of {', '.join(OPERATIONS)}")
    if column is None and operation != "count":
        raise ConfigError(f'measure {name} needs a column: ("{operation}", "column")')
    return {"name": name, "op": operation, "column": column}
