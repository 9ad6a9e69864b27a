"""Hourly rollups of files or frames that are larger than one machine."""

from __future__ import annotations

import contextlib
import json
import logging
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial as bind
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from metropulse import states
from metropulse.exceptions import ConfigError, MetropulseError
from metropulse.rollup import Measure, merge_rollups, spec_json
from metropulse.settings import resolve
from metropulse.sources import ArrowStream, Name, first_url, stream_or_paths
from metropulse.spark.failures import Telling
from metropulse.spark.lifeline import Lifeline, Task
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
    rows_of,
    running,
    task_threads,
)

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["rollup_hourly"]

_LOG = logging.getLogger("metropulse.spark")

# So much of packed states the driver merges in seconds, beside what else its memory has to hold.
_ON_DRIVER_BYTES = 256 << 20
_LEAST_OF_A_TASK_BYTES = 4 << 20
_DRIVER_IS_FULL = "spark.driver.maxResultSize"

# Kept states whose result nobody has any more. They go with the next rollup: Python lets go of a result at any instant,
# in the middle of a call into Java too, where nothing else can be called.
_NEEDLESS: list[DataFrame] = []


def rollup_hourly(
    spark: SparkSession,
    source: Name | Iterable[Name] | DataFrame,
    *,
    keys: Sequence[str],
    time: str,
    measures: Mapping[str, Measure],
    time_zone: str = "UTC",
    merge: Literal["driver", "shuffle"] | None = None,
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
        merge: Where states come together: on the ``"driver"``, which suits up to some million groups, or by a
            ``"shuffle"`` that brings each group to one task when the frame is used; until then the states are on the
            disks of executors. When None on the driver, and by a shuffle, which reads the source once more, where the
            tasks find more than the driver should take.
        tasks: How many tasks share the files, at least 1. When None one to three for each core of the cluster, by the
            number of rows.
        lake_options: Options of the object store; else ``spark.hadoop.fs.s3a.*`` of the session, else the driver's
            environment.
        memory_bytes: Bound on what a task keeps of distinct values; more goes to a scratch file of its executor.

    Returns:
        Keys, ``hour_bucket`` and measures; sorted by them where the driver merged. What has no zone is
        ``timestamp_ntz``.

    Raises:
        ConfigError: A measure has the wrong form, a name, zone or number of tasks cannot be used, or with ``"driver"``
            states are larger than ``spark.driver.maxResultSize``.
        NotFoundError: The source names no file.
        SchemaError: A column is missing or of a type that cannot be used; column and file are named.
        DataError: A file is damaged, or a sum overflows.
        MetropulseError: A task failed in spite of Spark's retries.
    """
    if merge not in {None, "driver", "shuffle"}:
        raise ConfigError(f"merge is {merge!r}, expected driver or shuffle, or None for what suits")
    if tasks is not None and tasks < 1:
        raise ConfigError(f"tasks is {tasks}, expected 1 or more, or None for what suits")
    spec = spec_json(keys, time, measures)
    if quoted := [name for name in [*keys, *measures, *_columns(spec)] if "`" in name]:
        raise ConfigError(f"the name {quoted[0]!r} has a backtick, which is a quote to Spark: give the column another")
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
    result = plain_table(merge_rollups([nothing])).schema
    collected = None if merge == "shuffle" else _collected(frame, task, merge)
    if collected is None:
        made = _made(frame, task, schema)
        together = made.repartition(*(f"`{states.portable_name(name)}`" for name in [*keys, "hour_bucket"]))
        merging = Lifeline(Telling(bind(_merged, bounds=bounds)), result)
        merged_frame = together.mapInArrow(merging, _spark_schema(result))
        weakref.finalize(merged_frame, _NEEDLESS.append, made).atexit = False
        return merged_frame
    merged = _merged(from_bytes(collected), bounds={**bounds, "threads": None})
    return spark.createDataFrame(pa.Table.from_batches(merged, result), _spark_schema(result))


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

    def __init__(self, asked: dict[str, Any], names: list[str], schema: pa.Schema) -> None:
        """Keep what is asked for, the names of the columns that come in, and the schema of states."""
        self._asked, self._names, self._schema = asked, names, schema

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Give the state."""
        try:
            rows = (batch.rename_columns(self._names) for batch in batches)
            for batch in states.partial(rows, **self._asked):
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
    names = list(dict.fromkeys(_columns(spec)))
    # mapInArrow asks for each column by its name, of which Spark takes a dot for a field's.
    chosen = frame.select(*(f"`{name}`" for name in names)).toDF(*(f"c{number}" for number in range(len(names))))
    return chosen, FrameTask(asked, names, schema), schema, nothing


def _columns(spec: str) -> list[str]:
    """Return the columns that a rollup reads."""
    wanted = json.loads(spec)
    return [wanted["time"], *wanted["keys"], *(m["column"] for m in wanted["measures"] if m["column"])]


def _collected(frame: DataFrame, task: Task, merge: str | None) -> pa.Table | None:
    """Run the tasks and return their states as bytes; None where they are too much for the driver, which may choose."""
    part_bytes = _ON_DRIVER_BYTES // context_of(frame.sparkSession).defaultParallelism
    most_bytes = None if merge == "driver" else max(part_bytes, _LEAST_OF_A_TASK_BYTES)
    try:
        with running():
            collected = mapped(frame, AsBytes(task, most_bytes), BYTES).toArrow()
    except Exception as error:
        if _DRIVER_IS_FULL not in str(error):
            raise
        if merge == "driver":
            raise ConfigError(
                f'states of the groups are larger than {_DRIVER_IS_FULL}: merge="shuffle" brings them to tasks instead'
            ) from error
    else:
        if collected.column("batch").null_count == 0:
            return collected
    _LOG.warning('more groups than suit the driver: a shuffle begins anew, with merge="shuffle" at once')
    return None


def _made(frame: DataFrame, task: Task, schema: pa.Schema) -> DataFrame:
    """Run the tasks and return their states, which stay on the disks of executors; Spark makes lost ones again.

    A task that merges can only fail, and be tried again, on what came in the place of a state: it is looked for first.
    """
    from pyspark import StorageLevel

    while _NEEDLESS:
        # A session that was stopped took its states with it.
        with contextlib.suppress(Exception):
            _NEEDLESS.pop().unpersist()
    made = mapped(frame, task, schema).persist(StorageLevel.DISK_ONLY)
    description = made[f"`{states.DESCRIPTION}`"]
    try:
        rows_of(made.where(description.startswith(states.FAILED)).select(description), states.DESCRIPTION)
    except BaseException:
        made.unpersist()
        raise
    return made


def _spark_schema(schema: pa.Schema) -> Any:
    """Return the columns of a result for Spark; the zone of a session moves nothing that has no zone of its own."""
    from pyspark.sql.pandas.types import from_arrow_schema

    nullable = pa.schema([pa.field(field.name, field.type) for field in schema])
    return from_arrow_schema(nullable, prefer_timestamp_ntz=True)


def _merged(batches: Iterator[pa.RecordBatch], *, bounds: dict[str, Any]) -> Iterator[pa.RecordBatch]:
    for batch in states.merge(batches, **bounds):
        yield from plain_table(pa.Table.from_batches([batch])).to_batches()
