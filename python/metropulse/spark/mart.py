"""The mart from the lake, by executors that leave shadow tables and a driver that swaps them in."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from metropulse import states
from metropulse.days import Day, optional_day
from metropulse.exceptions import ConfigError, MetropulseError
from metropulse.results import Report
from metropulse.spark.failures import batches_of
from metropulse.spark.lake import lake_settings
from metropulse.spark.lifeline import opened
from metropulse.spark.packed import (
    PACKED,
    Place,
    bucket_of_key,
    date_of_share,
    failed,
    newest,
    of_dates,
    packed,
    unpacked,
)
from metropulse.spark.workers import Cargo, lasting, mapped, numbered, numbers, rows_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["build_route_hourly"]

# Of these the newest day of a key counts; the others add up whatever the day.
_KEYED = ("trips", "payments")
_UNKEYED = ("vehicle_positions", "scheduled_trips")
_DONE = pa.schema([("filled", pa.string()), ("failed", pa.string())])


def build_route_hourly(
    spark: SparkSession,
    lake: str | os.PathLike[str] | None = None,
    date_from: Day | None = None,
    date_to: Day | None = None,
    *,
    mart: str | None = None,
    mart_user: str | None = None,
    mart_password: str | None = None,
    warehouse: str | None = None,
    time_zone: str | None = None,
    lake_options: Mapping[str, str] | None = None,
    **tuning: Any,
) -> Report:
    """Build the hourly route mart from the lake on a cluster: the rows of ``build_route_hourly(source="lake")``.

    Each dataset of a raw day is judged by one task. Of a trip or payment that several days bring the newest counts:
    Spark decides that by a shuffle on the key. A second shuffle brings each service date to one task, which fills a
    shadow table in ClickHouse; the driver verifies and swaps. A lost executor, a retried or a speculative task leaves a
    shadow table that nobody swaps in. What no retry can mend is not retried.

    Where there is a warehouse, its lock keeps other builds away from beginning to end. Before anything is swapped the
    driver verifies every shadow table, and that nobody else wrote one of the dates meanwhile: on failure until then the
    mart is as it was. Where ClickHouse goes away during the swap, each service date is as it was or as it becomes, and
    running again completes them. A task that is still on its way when a build fails may leave a shadow table behind; a
    build a day later drops it.

    Args:
        spark: The session; not one of Spark Connect.
        lake: Folder or URL whose children are the ``dt=`` folders, reached by all executors; else as `resolve` says.
        date_from: First service date; all dates that the lake touches when there is no range.
        date_to: The date after the last one.
        mart: ClickHouse, reached by all executors; else ``CH_JDBC_URL``.
        mart_user: ClickHouse user where the URL names none.
        mart_password: ClickHouse password where the URL names none.
        warehouse: PostgreSQL, whose routes and repaired rows are used, reached by all executors; else ``PG_URL``.
        time_zone: IANA name of the service zone.
        lake_options: As for `metropulse.spark.rollup_hourly`.
        **tuning: Other settings: ``memory_bytes``, ``reject_limit``, ``spool``, ...

    Returns:
        The report of `metropulse.Pipeline.build_route_hourly`.

    Raises:
        ConfigError: Only one end of the range is given, or a place is missing.
        ConflictError: Another build holds the lock, or wrote one of the dates meanwhile.
        DataError: A file is damaged or has too many rejects; file and day are named.
        NotFoundError: The lake is not there, or an executor does not find what the driver listed.
        MetropulseError: A task failed in spite of Spark's retries.
    """
    from metropulse import _core

    if (date_from is None) != (date_to is None):
        raise ConfigError("date_from and date_to go together: give both, or neither for all dates of the lake")
    bounds = [optional_day(day) for day in (date_from, date_to)]
    if bounds[0] is not None and bounds[1] is not None and bounds[0] >= bounds[1]:
        raise ConfigError(f"the dates run from {bounds[0]} to {bounds[1]}; the end is exclusive and must be later")
    settings = lake_settings(
        spark, lake, lake_options, tuning, mart=mart, mart_user=mart_user, mart_password=mart_password,
        warehouse=warehouse, time_zone=time_zone,
    )  # fmt: skip
    build = json.dumps(
        {
            # Above any process id: the names of other shadow tables have one in its place.
            "build": secrets.randbits(48) | 1 << 48,
            "snapshot_ts": datetime.now(UTC).isoformat(),
            "date_from": bounds[0],
            "date_to": bounds[1],
        }
    )
    driver = _core.Pipeline(settings.to_json())
    routes = pa.table(driver.begin_mart())
    try:
        shared = Cargo(spark, {"settings": settings.to_json(), "build": build, "routes": routes})
        listed = driver.listed(None, [*_KEYED, *_UNKEYED])
        filled = _filled(spark, shared, listed, bounds)
        return Report.from_json(driver.swap_mart(json.dumps(filled), build))
    except BaseException:
        # What cannot be removed now is an orphan, and goes with a later build.
        with contextlib.suppress(MetropulseError):
            driver.abandon_mart(build)
        raise


def _filled(
    spark: SparkSession, shared: Cargo, listed: list[tuple[str, str]], bounds: list[str | None]
) -> list[dict[str, Any]]:
    """Return what the tasks filled, by service date."""
    buckets = int(spark.conf.get("spark.sql.shuffle.partitions"))

    def shares(datasets: Iterable[str], place: Place) -> DataFrame:
        work = [one for name in datasets for one in listed if one[1] == name]
        task = SharesTask(shared, work, place)
        return mapped(numbers(spark, len(work)), task, PACKED)

    def together(frame: DataFrame) -> DataFrame:
        return frame.repartition("place").sortWithinPartitions("place")

    keyed = together(shares(_KEYED, partial(bucket_of_key, buckets=buckets)))
    counting = mapped(keyed, NewestTask(bounds), PACKED)
    every = together(counting.unionByName(shares(_UNKEYED, date_of_share)))
    done = rows_of(mapped(every, FillTask(shared), _DONE))
    return [date for row in done for date in json.loads(row["filled"])]


class SharesTask:
    """Gives the mart's shares of datasets and days."""

    def __init__(self, shared: Cargo, work: list[tuple[str, str]], place: Place) -> None:
        """Keep what the tasks share, and where the shares go."""
        self._shared, self._work, self._place = shared, work, place

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Give the shares; what no retry can mend goes on as a row."""
        own = self._shared.value
        core = opened(own["settings"])
        for day, dataset in numbered(batches, self._work):
            try:
                found = batches_of(core.mart_shares(day, dataset, own["build"]))
                yield from packed((pa.Table.from_batches([batch]) for batch in found), self._place)
            except MetropulseError as error:
                error.context.setdefault("dt", day)
                yield failed(lasting(error))


class NewestTask:
    """Gives those shares of keys that count, by service date."""

    def __init__(self, bounds: list[str | None]) -> None:
        """Keep the range of service dates."""
        self._bounds = bounds

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Give the shares."""
        counting = (of_dates(newest(shares), self._bounds) for _, shares in unpacked(batches))
        try:
            yield from packed(counting, date_of_share)
        except MetropulseError as error:
            yield failed(error)


class FillTask:
    """Fills shadow tables with the service dates of a partition."""

    def __init__(self, shared: Cargo) -> None:
        """Keep what the tasks share."""
        self._shared = shared

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Give what was filled."""
        own = self._shared.value
        filled, failure = "[]", None
        try:
            dates = unpacked(batches)
            first = next(dates, None)
            if first is not None:
                rows = (batch for _, shares in itertools.chain([first], dates) for batch in _in_order(shares))
                reader = pa.RecordBatchReader.from_batches(first[1].schema, rows)
                filled = opened(own["settings"]).fill_mart(reader, own["routes"], own["build"])
        except MetropulseError as error:
            failure = states.failure_text(lasting(error))
        yield pa.RecordBatch.from_pylist([{"filled": filled, "failed": failure}], _DONE)


def _in_order(shares: pa.Table) -> list[pa.RecordBatch]:
    """Sort the shares of a date the same way whoever sent first, so that a second build finds the very sums."""
    order = [(name, "ascending") for name in ("dataset", "dt", "key", "hour_bucket", "route_id")]
    return list(shares.sort_by(order).to_batches())
