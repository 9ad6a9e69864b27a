"""Tables on their way through Spark, packed: Spark moves bytes, and makes no row of them.

Of the mart's shares a row of Spark is one place and all that goes there of some shares. A place is a bucket of keys, or
a service date as days since 1970. What no retry can mend travels in the same stream, without a place.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from metropulse import states
from metropulse.exceptions import MetropulseError
from metropulse.spark.lifeline import Task

__all__ = [
    "BYTES",
    "PACKED",
    "AsBytes",
    "Place",
    "bucket_of_key",
    "date_of_share",
    "failed",
    "from_bytes",
    "newest",
    "of_dates",
    "packed",
    "unpacked",
]

PACKED = pa.schema([("place", pa.int32()), ("shares", pa.binary()), ("failed", pa.string())])
"""The columns of packed shares."""

BYTES = pa.schema([("batch", pa.binary())])
"""The columns of what `AsBytes` gives."""

_AT_ONCE_BYTES = 32 << 20

# Every row of a state repeats what the state is of, and each byte passes through the JVM several times.
_SMALLER = pa.ipc.IpcWriteOptions(compression="lz4" if pa.Codec.is_available("lz4") else None)

Place = Callable[[Any], Any]


class AsBytes:
    """A task whose batches travel as bytes."""

    def __init__(self, task: Task, most_bytes: int | None = None) -> None:
        """Keep the task, and how much may travel; None: all of it."""
        self._task, self._most_bytes = task, most_bytes

    def __call__(self, batches: Iterator[Any]) -> Iterator[Any]:
        """Give the batches, each as a row of `BYTES`; NULL, and no more, where they are more than may travel."""
        sent_bytes = 0
        for batch in self._task(batches):
            packed_batch = _bytes_of(batch)
            sent_bytes += len(packed_batch)
            is_too_much = self._most_bytes is not None and sent_bytes > self._most_bytes
            yield pa.RecordBatch.from_pydict({"batch": [None if is_too_much else packed_batch]}, BYTES)
            if is_too_much:
                return


def from_bytes(rows: Any) -> Iterator[Any]:
    """Give the batches that travelled as bytes.

    Args:
        rows: A table of `BYTES`, none of which is NULL.

    Yields:
        Record batches.
    """
    for batch in rows.column("batch"):
        yield from pa.ipc.open_stream(batch.as_buffer())


def packed(shares: Iterable[Any], place: Place) -> Iterator[Any]:
    """Pack shares by place, as many at once as memory has room for.

    Args:
        shares: Tables of shares.
        place: Gives the places of a table's rows, as integers.

    Yields:
        Record batches of `PACKED`.
    """
    waiting: list[Any] = []
    waiting_bytes = 0
    for share in shares:
        waiting.append(share)
        waiting_bytes += share.nbytes
        if waiting_bytes >= _AT_ONCE_BYTES:
            yield _pack(pa.concat_tables(waiting), place)
            waiting, waiting_bytes = [], 0
    if any(table.num_rows for table in waiting):
        yield _pack(pa.concat_tables(waiting), place)


def failed(error: MetropulseError) -> Any:
    """Return what stands for shares that no retry can make.

    Args:
        error: Why.

    Returns:
        A record batch of `PACKED`.
    """
    return pa.RecordBatch.from_pylist([{"failed": states.failure_text(error)}], PACKED)


def unpacked(batches: Iterable[Any]) -> Iterator[tuple[int, Any]]:
    """Unpack what comes in order of place.

    Args:
        batches: Record batches of `PACKED`, in order of place.

    Yields:
        A place, and the table of all shares that go there.

    Raises:
        MetropulseError: What no retry can mend.
    """
    for place, rows in itertools.groupby(_rows(batches), lambda row: row[0]):
        yield place, pa.concat_tables(pa.ipc.open_stream(shares).read_all() for _, shares in rows)


def bucket_of_key(shares: Any, *, buckets: int) -> Any:
    """Return the buckets of keys: the same ones in every process.

    Args:
        shares: A table of shares.
        buckets: How many there are.

    Returns:
        Numbers from 0.
    """
    from pandas.util import hash_array

    keys = shares.column("key").to_numpy().astype(object)
    return pa.array((hash_array(keys, categorize=False) % buckets).astype("int32"))


def date_of_share(shares: Any) -> Any:
    """Return the service dates of shares as places.

    Args:
        shares: A table of shares.

    Returns:
        Days since 1970.
    """
    return shares.column("service_date").combine_chunks().cast(pa.int32())


def newest(shares: Any) -> Any:
    """Return the shares whose raw day is the newest of their dataset and key.

    Args:
        shares: A table with all shares of some keys.

    Returns:
        The table without the others.
    """
    known = shares.group_by(["dataset", "key"]).aggregate([("dt", "max"), ("dt", "min")])
    several = known.filter(pc.not_equal(known.column("dt_max"), known.column("dt_min")))
    if several.num_rows == 0:
        return shares
    last = {(row["dataset"], row["key"]): row["dt_max"] for row in several.to_pylist()}
    # A key of another dataset may have the same name, so these are only those to look at.
    looked_at = pc.is_in(shares.column("key"), value_set=several.column("key").combine_chunks())
    names = shares.filter(looked_at).select(["dataset", "key", "dt"]).to_pylist()
    counts = pa.array([last.get((row["dataset"], row["key"]), row["dt"]) == row["dt"] for row in names])
    return shares.filter(
        pc.replace_with_mask(pc.invert(looked_at).combine_chunks(), looked_at.combine_chunks(), counts)
    )


def of_dates(shares: Any, bounds: list[str | None]) -> Any:
    """Return the shares of a range of service dates.

    Args:
        shares: A table of shares.
        bounds: The first date and the one after the last; None for all.

    Returns:
        The table without the others.
    """
    first, after = bounds
    if first is None or after is None:
        return shares
    dates = shares.column("service_date")
    is_in = pc.and_(
        pc.greater_equal(dates, pa.scalar(first).cast(pa.date32())), pc.less(dates, pa.scalar(after).cast(pa.date32()))
    )
    return shares.filter(is_in)


def _pack(shares: Any, place: Place) -> Any:
    places = pa.chunked_array([place(shares)])
    order = pc.sort_indices(places)
    shares, runs = shares.take(order), pc.run_end_encode(places.take(order).combine_chunks())
    begin, bytes_of = 0, []
    for end in runs.run_ends.to_pylist():
        bytes_of.append(_bytes_of(shares.slice(begin, end - begin)))
        begin = end
    columns = [runs.values, pa.array(bytes_of, pa.binary()), pa.nulls(len(bytes_of), pa.string())]
    return pa.RecordBatch.from_arrays(columns, schema=PACKED)


def _bytes_of(table: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=_SMALLER) as writer:
        writer.write(table)
    return bytes(sink.getvalue())


def _rows(batches: Iterable[Any]) -> Iterator[tuple[int, Any]]:
    for batch in batches:
        for place, shares, failure in zip(*batch.columns, strict=True):
            states.raise_failure(failure.as_py())
            yield place.as_py(), shares.as_buffer()
