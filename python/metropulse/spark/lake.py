"""Cleaned days of the lake as frames."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from metropulse import states
from metropulse.days import DATASETS, FEED_DATASETS, Day, iso_day
from metropulse.exceptions import ConfigError, MetropulseError
from metropulse.settings import Settings, resolve
from metropulse.spark.failures import batches_of
from metropulse.spark.lifeline import opened
from metropulse.spark.workers import Cargo, access, lasting, mapped, numbered, numbers, rows_of, task_threads

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["CleanDays", "clean", "lake_settings"]

_JUDGED = pa.schema([("failed", pa.string())])


@dataclass(frozen=True)
class CleanDays:
    """Cleaned raw days.

    Attributes:
        datasets: By name of the dataset its rows, with their raw day ``dt``: typed, judged, each key once a day.
        rejected: The rows that break a rule, as ``staging.rejected`` holds them.
    """

    datasets: Mapping[str, DataFrame]
    rejected: DataFrame


def clean(
    spark: SparkSession,
    lake: str | os.PathLike[str] | None,
    dates: Iterable[Day],
    *,
    datasets: Iterable[str] = DATASETS,
    lake_options: Mapping[str, str] | None = None,
    **tuning: Any,
) -> CleanDays:
    """Clean raw days on a cluster, by the rules of staging.

        days = clean(spark, "s3://raw", ["2024-05-01", "2024-05-02"])
        days.datasets["trips"].groupBy("dt").count().show()

    The driver lists the days, and a first job judges them all: what no retry can mend is found by it, once, and raised
    here. The frames run when they are used. A dataset of a day is one task then: it reads its files twice, to judge
    them and to give out rows, in bounded memory.
    Repaired rows take the place of rejected ones where ``PG_URL`` names a warehouse, which executors must reach then.

    Args:
        spark: The session; not one of Spark Connect.
        lake: Folder or URL whose children are the ``dt=`` folders, reached by all executors; else as `resolve` says.
        dates: The raw days.
        datasets: Which datasets.
        lake_options: As for `metropulse.spark.rollup_hourly`.
        **tuning: Other settings: ``memory_bytes``, ``reject_limit``, ``spool``, ...

    Returns:
        The frames.

    Raises:
        ConfigError: There is no lake, no day or no such dataset.
        DataError: A file is damaged or has too many rejects; file and day are named.
        NotFoundError: The lake is not there, has no file of one of the days, or an executor does not find what the
            driver listed.
        MetropulseError: A task failed in spite of Spark's retries.
    """
    from metropulse import _core

    days, names = [iso_day(day) for day in dates], list(dict.fromkeys(datasets))
    known = (*DATASETS, *FEED_DATASETS)
    if not days or not names or not set(names) <= set(known):
        raise ConfigError(f"expected days, and datasets of {', '.join(known)}; got {days} and {names}")
    settings = lake_settings(spark, lake, lake_options, tuning).to_json()
    listed = _core.Pipeline(settings).listed(days, names)
    cargo = Cargo(spark, settings)
    rows_of(mapped(numbers(spark, len(listed)), JudgeTask(cargo, listed), _JUDGED))

    def frame(kind: str, work: list[tuple[str, str]]) -> DataFrame:
        task = CleanTask(cargo, work, rejects=kind == "rejected")
        return mapped(numbers(spark, len(work)), task, _schema(kind))

    rows = {name: frame(name, [one for one in listed if one[1] == name]) for name in names}
    return CleanDays(rows, frame("rejected", listed))


def lake_settings(
    spark: SparkSession,
    lake: str | os.PathLike[str] | None,
    lake_options: Mapping[str, str] | None,
    tuning: Mapping[str, Any],
    **places: Any,
) -> Settings:
    """Return the settings of tasks over a lake.

    Args:
        spark: The session.
        lake: As `metropulse.settings.resolve`.
        lake_options: As for `metropulse.spark.rollup_hourly`.
        tuning: Other settings; ``threads`` are those of a task when it names none.
        **places: Other arguments of `metropulse.settings.resolve`.

    Returns:
        The settings; a relative lake is that of the driver, whatever folder a worker is started in.

    Raises:
        ConfigError: The lake's name has the wrong form.
    """
    from metropulse import _core

    given = {"threads": task_threads(spark), **tuning}
    found = resolve(lake=lake, lake_options=lake_options, **places, **given)
    found = replace(found, lake=found.lake and _core.absolute_place(found.lake))
    return found.with_access_to(found.lake, access(spark, found.lake, lake_options))


class JudgeTask:
    """Judges datasets and days, and gives what no retry can mend."""

    def __init__(self, settings: Cargo, work: list[tuple[str, str]]) -> None:
        """Keep what the tasks share."""
        self._settings, self._work = settings, work

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Give failures alone."""
        core = opened(self._settings.value)
        for day, dataset in numbered(batches, self._work):
            try:
                core.clean_rejects(day, dataset)
            except MetropulseError as error:
                yield pa.RecordBatch.from_pylist([{"failed": states.failure_text(lasting(error))}], _JUDGED)


class CleanTask:
    """Gives the cleaned rows, or the rejects, of datasets and days."""

    def __init__(self, settings: Cargo, work: list[tuple[str, str]], *, rejects: bool) -> None:
        """Keep what the tasks share."""
        self._settings, self._work, self._rejects = settings, work, rejects

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Give the rows."""
        core = opened(self._settings.value)
        for day, dataset in numbered(batches, self._work):
            found = core.clean_rejects(day, dataset) if self._rejects else core.clean(day, dataset)
            yield from batches_of(found)


def _schema(name: str) -> pa.Schema:
    """Return the columns that the tasks of a dataset, or of ``rejected``, stream."""
    from metropulse import _core

    return pa.table(_core.worker_schema(name)).schema
