"""Hourly rollups of any table: Parquet files anywhere, or Arrow data of any library."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

from metropulse.exceptions import ConfigError
from metropulse.results import Report
from metropulse.settings import resolve

if TYPE_CHECKING:
    from metropulse._core import ArrowTable
    from metropulse.pipeline import Pipeline
    from metropulse.results import Progress

__all__ = ["merge_rollups", "rollup_hourly", "rollup_into"]

OPERATIONS = ("count", "sum", "avg", "min", "max", "count_distinct")


@runtime_checkable
class ArrowStream(Protocol):
    """Anything that hands out its rows as an Arrow stream: pyarrow, Polars, DuckDB, pandas, our own tables."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return the capsule."""
        ...


Name: TypeAlias = str | os.PathLike[str]
Source: TypeAlias = Name | Sequence[Name] | ArrowStream
Measure: TypeAlias = str | tuple[str, str]


def rollup_hourly(
    source: Source,
    *,
    keys: Sequence[str],
    time: str,
    measures: Mapping[str, Measure],
    time_zone: str = "UTC",
    partial: bool = False,
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

    found = _source(source)
    settings = _settings([found], time_zone, lake_options, threads, memory_bytes)
    return _core.rollup_hourly(settings, found, _spec(keys, time, measures), partial, progress=progress)


def merge_rollups(
    states: Iterable[Source],
    *,
    partial: bool = False,
    lake_options: Mapping[str, str] | None = None,
    threads: int | None = None,
    memory_bytes: int | None = None,
) -> ArrowTable:
    """Put states of `rollup_hourly` together: the result is that of one pass over all their rows.

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
    found = [_source(state) for state in states]
    settings = _settings(found, "UTC", lake_options, threads, memory_bytes)
    return _core.merge_rollups(settings, found, partial)


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
        partial: Write a state for a later merge.
        merge: Put states together instead; neither keys, time nor measures are given then.
        progress: Told the rows done and the rows in all.

    Returns:
        The report: rows, seconds, output.

    Raises:
        ConfigError: Time or measures are missing, or given with `merge`.
    """
    if merge and (keys or time or measures):
        raise ConfigError("states are merged as they are, expected no keys, time or measures")
    if not merge and not (time and measures):
        raise ConfigError("name the time and at least one measure")
    spec = None if merge else _spec(keys, time or "", measures or {})
    core, found = pipeline._core, _source(source)
    return Report.from_json(core.rollup_hourly(found, spec, partial, os.fspath(output), progress=progress))


def _spec(keys: Sequence[str], time: str, measures: Mapping[str, Measure]) -> str:
    return json.dumps({"keys": _columns(keys), "time": time, "measures": [_measure(n, m) for n, m in measures.items()]})


def _settings(
    sources: Sequence[list[str] | ArrowStream],
    time_zone: str,
    lake_options: Mapping[str, str] | None,
    threads: int | None,
    memory_bytes: int | None,
) -> str:
    tuning = {"threads": threads, "memory_bytes": memory_bytes}
    given: dict[str, Any] = {name: value for name, value in tuning.items() if value is not None}
    # The scheme of the first URL says which credentials of the environment matter.
    names = [name for source in sources if isinstance(source, list) for name in source]
    place = next((name for name in names if "://" in name), None)
    return resolve(lake=place, time_zone=time_zone, lake_options=lake_options, **given).to_json()


def _source(source: Source) -> list[str] | ArrowStream:
    if isinstance(source, (str, os.PathLike)):
        return [os.fspath(source)]
    if isinstance(source, ArrowStream):
        return source
    if isinstance(source, Sequence) and all(isinstance(name, (str, os.PathLike)) for name in source):
        return [os.fspath(name) for name in source]
    raise ConfigError(
        f"the source is of type {type(source).__name__}, expected a path, URL or glob, a list of them, "
        "or an Arrow table (with __arrow_c_stream__)"
    )


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
