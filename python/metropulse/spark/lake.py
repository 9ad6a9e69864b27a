"""Cleaned days of the lake as frames."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from metropulse.days import DATASETS, FEED_DATASETS, Day, iso_day
from metropulse.exceptions import ConfigError
from metropulse.settings import Settings, resolve
from metropulse.spark.failures import batches_of
from metropulse.spark.lifeline import opened
from metropulse.spark.workers import Cargo, access, mapped, numbered, numbers, task_threads

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["CleanDays", "clean", "lake_settings"]


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

    The driver lists the days. A dataset of a day is one task: it reads its files twice, to judge and to give out rows,
    in bounded memory. Nothing else runs before a frame is used; a day with too many rejects fails the job that uses it,
    by name, and so does an executor that does not find what was listed.
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
        NotFoundError: The lake is not there, or has no file of one of the days.
    """
    from metropulse import _core

    days, names = [iso_day(day) for day in dates], list(dict.fromkeys(datasets))
    known = (*DATASETS, *FEED_DATASETS)
    if not days or not names or not set(names) <= set(known):
        raise ConfigError(f"expected days, and datasets of {', '.join(known)}; got {days} and {names}")
    settings = lake_settings(spark, lake, lake_options, tuning).to_json()
    listed = _core.Pipeline(settings).listed(days, names)
    cargo = Cargo(spark, settings)

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
