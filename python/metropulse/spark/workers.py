"""What driver and executors have in common: settings on their way, schemas, failures."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa

from metropulse import states
from metropulse.exceptions import ConfigError, MetropulseError
from metropulse.spark.failures import Telling, told_by
from metropulse.spark.lifeline import Lifeline, Task
from metropulse.stores import s3_options, store_kind, store_options

if TYPE_CHECKING:
    from pyspark import SparkContext
    from pyspark.sql import DataFrame, Row, SparkSession

__all__ = [
    "TASKS_PER_CORE",
    "Cargo",
    "access",
    "context_of",
    "lasting",
    "mapped",
    "numbered",
    "numbers",
    "plain_table",
    "rows_of",
    "running",
    "task_threads",
]

TASKS_PER_CORE = 3
"""At most so many tasks a core gets where nothing else says it: enough that the last one is short."""

T = TypeVar("T")


def context_of(spark: SparkSession) -> SparkContext:
    """Return the context of a session, which sends values beside the plan.

    Args:
        spark: The session.

    Returns:
        Its context.

    Raises:
        ConfigError: The session is one of Spark Connect, which has none.
    """
    try:
        return spark.sparkContext
    except Exception as error:
        raise ConfigError(
            "a Spark Connect session cannot carry credentials to executors; use a session on the cluster itself, "
            "or metropulse.states.partial and merge inside mapInArrow"
        ) from error


class Cargo:
    """What tasks need beside their rows. It travels as a broadcast variable: in no plan, no log and no repr."""

    def __init__(self, spark: SparkSession, value: Any) -> None:
        """Send it.

        Args:
            spark: The session.
            value: Anything that can be pickled; secrets too.

        Raises:
            ConfigError: The session is one of Spark Connect.
        """
        self._sent = context_of(spark).broadcast(value)

    @property
    def value(self) -> Any:
        """What was sent."""
        return self._sent.value

    def __repr__(self) -> str:
        """Show nothing of it."""
        return "Cargo(***)"


def access(spark: SparkSession, place: str | None, lake_options: Mapping[str, str] | None) -> Mapping[str, str] | None:
    """Return the object store's options for a place, as Spark's users give them.

    Args:
        spark: The session; its ``spark.hadoop.fs.s3a.*``, and ``fs.s3a.*`` of Hadoop's own files, are what an S3 lake
            is reached with. Without keys among them the driver's environment has them.
        place: Path or URL.
        lake_options: Options that were given, in the object store's own words: nothing else is consulted then.

    Returns:
        The options; None leaves them to the driver's environment.
    """
    if lake_options is not None or store_kind(place) != "s3":
        return lake_options
    bucket = (place or "").partition("://")[2].partition("/")[0]
    hadoop = context_of(spark)._jsc.hadoopConfiguration()

    def told(name: str) -> str | None:
        for full in (f"fs.s3a.bucket.{bucket}.{name}", f"fs.s3a.{name}"):
            if found := spark.conf.get(f"spark.hadoop.{full}", None) or _of_hadoop(hadoop, full):
                return found
        return None

    endpoint, access_key = told("endpoint"), told("access.key")
    is_plain_host = endpoint is not None and "://" not in endpoint
    options = s3_options(
        endpoint,
        access_key,
        told("secret.key"),
        secure=told("connection.ssl.enabled") != "false" if is_plain_host else None,
        region=told("endpoint.region"),
    )
    if token := told("session.token"):
        options["aws_session_token"] = token
    # With an endpoint of its own a store is always addressed by path.
    if endpoint is None and (style := told("path.style.access")):
        options["aws_virtual_hosted_style_request"] = "false" if style == "true" else "true"
    if not options:
        return None
    return options if access_key else {**store_options(place, os.environ), **options}


def task_threads(spark: SparkSession) -> int:
    """Return how many threads a task may use.

    Args:
        spark: The session.

    Returns:
        ``spark.task.cpus``.
    """
    return int(spark.conf.get("spark.task.cpus", "1") or 1)


def numbers(spark: SparkSession, count: int, tasks: int | None = None) -> DataFrame:
    """Return the numbers from 0, neighbours together.

    Args:
        spark: The session.
        count: How many.
        tasks: Over how many partitions. None: one each, but at most ``spark.sql.shuffle.partitions``, or three for each
            core of the cluster where that is more; a task costs Spark some hundredths of a second, whatever it does.

    Returns:
        A frame with column ``id``.
    """
    if tasks is None:
        cores = int(context_of(spark).defaultParallelism)
        tasks = min(count, max(TASKS_PER_CORE * cores, int(spark.conf.get("spark.sql.shuffle.partitions"))))
    return spark.range(0, count, 1, max(tasks, 1))


def numbered(batches: Iterator[pa.RecordBatch], work: Sequence[T]) -> Iterator[T]:
    """Give the pieces of work whose numbers come in.

    Args:
        batches: Batches of a frame of `numbers`.
        work: All pieces.

    Yields:
        The pieces.
    """
    for batch in batches:
        for number in batch.column("id").to_pylist():
            yield work[number]


def plain_table(table: Any) -> Any:
    """Return a table in types that Spark has.

    Args:
        table: A ``pyarrow.Table``, or anything with ``__arrow_c_stream__``.

    Returns:
        A ``pyarrow.Table``: unsigned integers are wider, finer instants cut off to microseconds.
    """
    table = pa.table(table)
    fields = [pa.field(field.name, _plain(field.type)) for field in table.schema]
    return table.cast(pa.schema(fields), safe=False)


def mapped(frame: DataFrame, task: Task, schema: pa.Schema) -> DataFrame:
    """Run a task over each partition of a frame; it ends soon after Spark lets go of it.

    Args:
        frame: The frame.
        task: Takes and gives batches.
        schema: Of the batches that it gives, of types that Spark has.

    Returns:
        What the tasks give; any column may be NULL.
    """
    from pyspark.sql.pandas.types import from_arrow_schema

    nullable = pa.schema([pa.field(field.name, field.type) for field in schema])
    without_zone = frame.sparkSession.conf.get("spark.sql.timestampType") == "TIMESTAMP_NTZ"
    return frame.mapInArrow(
        Lifeline(Telling(task), schema), from_arrow_schema(nullable, prefer_timestamp_ntz=without_zone)
    )


@contextmanager
def running() -> Iterator[None]:
    """Run the jobs of the block: what a task raised is raised as what it is.

    Raises:
        MetropulseError: A task's own, with class, context and retryability, and Spark's as its cause.
    """
    from pyspark.errors import PySparkException

    try:
        yield
    except MetropulseError:
        raise
    except (PySparkException, RuntimeError) as error:
        own = told_by(str(error))
        if own is None:
            raise
        raise own from error


def rows_of(frame: DataFrame, failure: str = "failed") -> list[Row]:
    """Run the job of a frame whose tasks send what no retry can mend as rows.

    Args:
        frame: The frame.
        failure: Its column of `metropulse.states.failure_text`.

    Returns:
        Its rows, none of which tells of a failure.

    Raises:
        MetropulseError: What a task sent, or raised in spite of Spark's retries.
    """
    with running():
        rows: list[Row] = frame.collect()
    for row in rows:
        states.raise_failure(row[failure])
    return rows


def lasting(error: MetropulseError) -> MetropulseError:
    """Return the error of a task that a retry by Spark cannot help, to be sent on as a row.

    Args:
        error: The error.

    Returns:
        The same.

    Raises:
        MetropulseError: A retry may help.
    """
    if error.retryable:
        raise error
    return error


def _of_hadoop(hadoop: Any, name: str) -> str | None:
    """Return what somebody told Hadoop: not its own defaults, nor what Spark found in the environment."""
    source = next(iter(hadoop.getPropertySources(name) or ()), "")
    is_told = source == "programmatically" or (source.endswith(".xml") and not source.endswith("-default.xml"))
    found: str | None = hadoop.get(name) if is_told else None
    return found


def _plain(kind: Any) -> Any:
    wider = {
        pa.uint8(): pa.int16(),
        pa.uint16(): pa.int32(),
        pa.uint32(): pa.int64(),
        pa.uint64(): pa.decimal128(20, 0),
    }
    if kind in wider:
        return wider[kind]
    if pa.types.is_date64(kind):
        return pa.date32()
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", kind.tz)
    return kind
