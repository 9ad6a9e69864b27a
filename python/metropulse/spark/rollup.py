"""Hourly rollups of files or frames that are larger than one machine."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial as bind
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from metropulse import states
from metropulse.exceptions import ConfigError, MetropulseError
from metropulse.rollup import Measure, merge_rollups, spec_json
from metropulse.settings import resolve
from metropulse.sources import ArrowStream, Name, first_url, stream_or_paths
from metropulse.spark.lifeline import Task
from metropulse.spark.packed import BYTES, AsBytes, from_bytes
from metropulse.spark.shares import own_hours, shared, tasks_for
from metropulse.spark.workers import (
    TASKS_PER_CORE,
    Cargo,
    access,
    context_of,
    lasting,
    mapped,
    numbered,
    numbers,
    plain_table,
    running,
    task_threads,
)

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["rollup_hourly"]


def rollup_hourly(
    spark: SparkSession,
    source: Name | Iterable[Name] | DataFrame,
    *,
    keys: Sequence[str],
    time: str,
    measures: Mapping[str, Measure],
    time_zone: str = "UTC",
    merge: Literal["driver", "shuffle"] = "driver",
    tasks: int | None = None,
    lake_options: Mapping[str, str] | None = None,
    memory_bytes: int | None = None,
) -> DataFrame:
    """Group a table by keys and hour on a cluster; the result is that of `metropulse.rollup_hourly`.

        rollup_hourly(
            spark, "s3://raw/dt=*/vehicle_positions.parquet",
            keys=["route_id"], time="event_ts", measures={"avg_speed": ("avg", "speed"), "n": "count"},
        )

    Files are split over tasks by row groups, and each task reads its own: Spark reads none. A lost executor, a retried
    or a speculative task changes nothing, because a state is all that a task leaves. What no retry can mend (a
    damaged file, an overflow) is not retried: the task sends the error in the place of its state.

    Args:
        spark: The session; not one of Spark Connect.
        source: A path, folder, URL or glob of Parquet files that driver and executors reach, a list of them, or a frame
            for what is not in files.
        keys: As for `metropulse.rollup_hourly`.
        time: As for `metropulse.rollup_hourly`.
        measures: As for `metropulse.rollup_hourly`.
        time_zone: As for `metropulse.rollup_hourly`.
        merge: Where states come together: ``"driver"`` runs the job now and suits up to some million groups;
            ``"shuffle"`` brings each group to one task, and runs when the frame is used.
        tasks: How many tasks share the files. When None one to three for each core of the cluster, by the number of
            rows.
        lake_options: Options of the object store; else ``spark.hadoop.fs.s3a.*`` of the session, else the driver's
            environment.
        memory_bytes: Bound on what a task keeps of distinct values; more goes to a scratch file of its executor.

    Returns:
        Keys, ``hour_bucket`` and measures; sorted by them with ``"driver"``.

    Raises:
        ConfigError: A measure has the wrong form, or a name or zone cannot be used.
        NotFoundError: The source names no file.
        SchemaError: A column is missing or of a type that cannot be used; column and file are named.
        DataError: A file is damaged, or a sum overflows.
        MetropulseError: A task failed in spite of Spark's retries.
    """
    if merge not in {"driver", "shuffle"}:
        raise ConfigError(f"merge is {merge!r}, expected driver or shuffle")
    spec = spec_json(keys, time, measures)
    bounds: dict[str, Any] = {"threads": task_threads(spark), "memory_bytes": memory_bytes}
    asked = {"keys": keys, "time": time, "measures": measures, "time_zone": time_zone}
    if hasattr(source, "mapInArrow"):
        frame, task, schema, nothing = _of_frame(source, spec, {**asked, **bounds})
    else:
        names = stream_or_paths(source)
        if not isinstance(names, list):
            raise ConfigError("the source is an Arrow stream, which no executor can read: give paths or a frame")
        place = first_url(names)
        options = access(spark, place, lake_options)
        settings = resolve(lake=place, time_zone=time_zone, lake_options=options, **bounds).to_json()
        frame, task, schema, nothing = _of_files(spark, settings, names, spec, tasks)
    result = plain_table(merge_rollups([nothing]))
    if merge == "shuffle":
        found = mapped(frame, task, schema)
        together = found.repartition(*(states.portable_name(name) for name in [*keys, "hour_bucket"]))
        return mapped(together, bind(_merged, bounds=bounds), result.schema)
    with running():
        collected = mapped(frame, AsBytes(task), BYTES).toArrow()
    merged = _merged(from_bytes(collected), bounds={**bounds, "threads": None})
    return spark.createDataFrame(pa.Table.from_batches(merged, result.schema))


class FilesTask:
    """Rolls up the pieces of files whose number comes in, each into a state."""

    def __init__(self, cargo: Cargo, schema: pa.Schema) -> None:
        """Keep what the tasks share, and the schema of states."""
        self._cargo, self._schema = cargo, schema

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Give the states."""
        from metropulse import _core

        own = self._cargo.value
        for share, hours in numbered(batches, own["shares"]):
            try:
                pieces = json.dumps(share)
                state = states.described(_core.rollup_pieces(own["settings"], pieces, own["spec"], hours))
            except MetropulseError as error:
                yield states.failure(lasting(error), self._schema)
            else:
                yield from states.state_batches(state.cast(self._schema))


class FrameTask:
    """Rolls the rows of a partition up into a state."""

    def __init__(self, asked: dict[str, Any], schema: pa.Schema) -> None:
        """Keep what is asked for, and the schema of states."""
        self._asked, self._schema = asked, schema

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Give the state."""
        try:
            for batch in states.partial(batches, **self._asked):
                yield batch.cast(self._schema)
        except MetropulseError as error:
            yield states.failure(lasting(error), self._schema)


def _of_files(
    spark: SparkSession, settings: str, names: list[str], spec: str, tasks: int | None
) -> tuple[DataFrame, Task, pa.Schema, ArrowStream]:
    """Return what gives the states of some files, their schema, and the state of no row."""
    from metropulse import _core

    layout = json.loads(_core.parquet_layout(settings, names, spec))
    shares = shared(layout, tasks or tasks_for(layout, context_of(spark).defaultParallelism, TASKS_PER_CORE))
    # Of an hour that one task has alone, the values need not travel: the task counts them.
    counts = any(measure["op"] == "count_distinct" for measure in json.loads(spec)["measures"])
    hours = own_hours(layout, shares) if counts else [None] * len(shares)
    no_row = json.dumps([{"file": layout[0]["file"], "size_bytes": layout[0]["size_bytes"], "first": 0, "end": 0}])
    nothing = _core.rollup_pieces(settings, no_row, spec, [] if counts else None)
    schema = states.described(nothing).schema
    work = list(zip(shares, hours, strict=True))
    task = FilesTask(Cargo(spark, {"settings": settings, "spec": spec, "shares": work}), schema)
    return numbers(spark, len(shares), len(shares)), task, schema, nothing


def _of_frame(frame: Any, spec: str, asked: dict[str, Any]) -> tuple[DataFrame, Task, pa.Schema, ArrowStream]:
    """Return what gives the states of a frame's partitions, their schema, and the state of no row."""
    from metropulse.rollup import rollup_hourly as here

    nothing = here(frame.limit(0).toArrow(), partial=True, **asked)
    schema = states.described(nothing).schema
    wanted = json.loads(spec)
    names = [wanted["time"], *wanted["keys"], *(m["column"] for m in wanted["measures"] if m["column"])]
    chosen = frame.select(*(f"`{name}`" for name in dict.fromkeys(names)))
    return chosen, FrameTask(asked, schema), schema, nothing


def _merged(batches: Iterator[pa.RecordBatch], *, bounds: dict[str, Any]) -> Iterator[pa.RecordBatch]:
    for batch in states.merge(batches, **bounds):
        yield from plain_table(pa.Table.from_batches([batch])).to_batches()
