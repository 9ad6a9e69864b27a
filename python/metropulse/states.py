"""States of an hourly rollup as ordinary columns: for engines that carry rows between machines, and scripts that do.

`partial` and `merge` take and give record batches, which is what ``mapInArrow`` of Spark and Sail calls with, and what
Daft, Ray or a loop over files can hand over. A state describes itself in the column ``rollup_state``, so that nothing
else has to travel with it, and holds only types that every engine knows. These functions need pyarrow.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from metropulse import exceptions
from metropulse.exceptions import ConfigError, DataError, MetropulseError, SchemaError
from metropulse.rollup import Measure, merge_rollups, rollup_hourly
from metropulse.sources import ArrowStream

__all__ = [
    "DESCRIPTION",
    "FAILED",
    "described",
    "failure",
    "failure_of",
    "failure_text",
    "merge",
    "partial",
    "portable_name",
    "raise_failure",
    "state_batches",
]

DESCRIPTION = "rollup_state"
"""The column in which a state says what it is of: JSON with a version."""

FAILED = '{"failed"'
"""How the text of a failure begins, which may stand in the place of a description."""

_METADATA = b"metropulse.rollup"
_BATCH_BYTES = 8 << 20
_MERGED_AT_ONCE_ROWS = 1 << 20


def partial(
    batches: Iterable[Any] | ArrowStream,
    *,
    keys: Sequence[str],
    time: str,
    measures: Mapping[str, Measure],
    time_zone: str = "UTC",
    threads: int | None = 1,
    memory_bytes: int | None = None,
) -> Iterator[Any]:
    """Roll record batches up into a state, as record batches.

    Args:
        batches: Record batches of one schema, or anything with ``__arrow_c_stream__``.
        keys: As for `metropulse.rollup_hourly`.
        time: As for `metropulse.rollup_hourly`.
        measures: As for `metropulse.rollup_hourly`.
        time_zone: As for `metropulse.rollup_hourly`.
        threads: How many threads; an engine that runs a task on each core wants one. All cores when None.
        memory_bytes: Bound on what is kept of distinct values; more goes to a scratch file.

    Yields:
        The state: keys, ``hour_bucket``, the parts of each measure, and ``rollup_state``. Nothing where no batch came.

    Raises:
        MetropulseError: As `metropulse.rollup_hourly`.
    """
    if not isinstance(batches, ArrowStream):
        several = iter(batches)
        first = next(several, None)
        if first is None:
            return
        batches = pa.RecordBatchReader.from_batches(first.schema, itertools.chain([first], several))
    state = rollup_hourly(
        batches,
        keys=keys,
        time=time,
        measures=measures,
        time_zone=time_zone,
        partial=True,
        threads=threads,
        memory_bytes=memory_bytes,
    )
    yield from state_batches(described(state))


def merge(
    states: Iterable[Any] | ArrowStream,
    *,
    partial: bool = False,
    threads: int | None = 1,
    memory_bytes: int | None = None,
) -> Iterator[Any]:
    """Combine states: the result is that of one pass over all their rows.

    Args:
        states: Record batches of states of one rollup, in any order and mixture, or an Arrow stream of them.
        partial: Give their common state instead of the result.
        threads: As for `partial`.
        memory_bytes: As for `partial`.

    Yields:
        What `metropulse.rollup_hourly` returns, as record batches. Nothing where no state came.

    Raises:
        SchemaError: A row is no state, or of another version.
        ConfigError: The states are of different rollups.
        MetropulseError: A worker sent its failure in the place of a state.
    """
    batches: Iterable[Any] = pa.RecordBatchReader.from_stream(states) if isinstance(states, ArrowStream) else states
    known: dict[str, Any] = {}
    bounds: dict[str, Any] = {"threads": threads, "memory_bytes": memory_bytes}
    waiting: list[ArrowStream] = []
    rows = 0
    for batch in batches:
        waiting += _tables(batch, known)
        rows += batch.num_rows
        if rows >= _MERGED_AT_ONCE_ROWS:
            waiting, rows = [merge_rollups(waiting, partial=True, **bounds)], 0
    if waiting:
        found = merge_rollups(waiting, partial=partial, **bounds)
        yield from state_batches(described(found) if partial else pa.table(found))


def described(state: ArrowStream) -> Any:
    """Return a state of `metropulse.rollup_hourly` with its description as a column, in types that every engine knows.

    Args:
        state: A table made with ``partial=True``.

    Returns:
        A ``pyarrow.Table``.

    Raises:
        ConfigError: Two columns would have one name.
    """
    table = pa.table(state)
    description = table.schema.metadata[_METADATA].decode()
    columns = [column.cast(_portable(column.type)) for column in table.columns]
    columns.append(pa.repeat(pa.scalar(description, pa.string()), table.num_rows))
    names = [portable_name(name) for name in table.column_names]
    if len(set(names)) < len(names):
        raise ConfigError(f"columns of the state would share a name: {', '.join(names)}; rename a key or a measure")
    return pa.table(columns, names=[*names, DESCRIPTION])


def portable_name(name: str) -> str:
    """Return the name under which a column of a state travels: a dot means a field of a struct to Spark.

    Args:
        name: The name that `metropulse.rollup_hourly` gives it, such as ``n.count``.

    Returns:
        A name without dots, such as ``n__count``.
    """
    return name.replace(".", "__")


def state_batches(table: Any) -> Iterator[Any]:
    """Cut a table into record batches that an engine's memory has room for.

    Args:
        table: A ``pyarrow.Table``.

    Yields:
        Its record batches.
    """
    each = max(1, table.num_rows * _BATCH_BYTES // max(1, table.nbytes))
    yield from table.combine_chunks().to_batches(max_chunksize=each)


def failure(error: MetropulseError, schema: Any) -> Any:
    """Return the one row that stands for a state which a worker cannot make, however often it is asked.

    Args:
        error: Why.
        schema: The ``pyarrow.Schema`` of the states.

    Returns:
        A record batch; `merge` raises the error.
    """
    row = dict.fromkeys(schema.names) | {DESCRIPTION: failure_text(error)}
    plain = pa.schema([field.with_nullable(True) for field in schema])
    return pa.RecordBatch.from_pylist([row], plain)


def failure_text(error: MetropulseError) -> str:
    """Return an error as text that `failure_of` knows.

    Args:
        error: The error.

    Returns:
        JSON.
    """
    told = {"failed": type(error).__name__, "message": error.message, "context": error.context}
    return json.dumps({**told, "retryable": error.retryable})


def failure_of(text: str | None) -> MetropulseError | None:
    """Return the error that a text stands for, if it does.

    Args:
        text: What `failure_text` returned, or anything else.

    Returns:
        The error, as it was.
    """
    if text is None or not text.startswith(FAILED):
        return None
    told = json.loads(text)
    error: MetropulseError = getattr(exceptions, told["failed"], DataError)(
        told["message"], told["context"], told["retryable"]
    )
    return error


def raise_failure(text: str | None) -> None:
    """Raise the error that a text stands for, if it does.

    Args:
        text: What `failure_text` returned, or anything else.

    Raises:
        MetropulseError: The error, as it was.
    """
    if error := failure_of(text):
        raise error


def _tables(batch: Any, known: dict[str, Any]) -> list[ArrowStream]:
    """Return the states of a batch as the core knows them."""
    if DESCRIPTION not in batch.schema.names:
        raise SchemaError(
            f"the rows are no states: column {DESCRIPTION} is missing, expected what partial gives",
            {"column": DESCRIPTION},
        )
    descriptions = batch.column(DESCRIPTION)
    rows = batch.drop_columns([DESCRIPTION])
    tables: list[ArrowStream] = []
    different = pc.unique(descriptions).to_pylist()
    for description in different:
        raise_failure(description)
        if description is None:
            raise SchemaError("a row is no state: it does not say what it is of", {"column": DESCRIPTION})
        if description not in known:
            empty = pa.schema([], metadata={_METADATA: description.encode()})
            nothing = pa.RecordBatchReader.from_batches(empty, [])
            known[description] = pa.table(merge_rollups([nothing], partial=True)).schema
        native = known[description]
        missing = [name for name in map(portable_name, native.names) if name not in rows.schema.names]
        if missing:
            raise SchemaError(f"a state lacks column {missing[0]}, expected all that partial gives")
        own = rows if len(different) == 1 else rows.filter(pc.equal(descriptions, description))
        columns = [own.column(portable_name(field.name)).cast(field.type) for field in native]
        tables.append(pa.table(columns, schema=native))
    return tables


def _portable(kind: Any) -> Any:
    """Return the type that stands for one which not every engine has, or keeps as it is."""
    if pa.types.is_uint64(kind):
        return pa.decimal128(20, 0)
    # An instant without a zone is read in the one of a session by Spark.
    if pa.types.is_date64(kind) or (pa.types.is_timestamp(kind) and (kind.unit != "us" or kind.tz is None)):
        return pa.int64()
    if pa.types.is_list(kind):
        return pa.list_(_portable(kind.value_type))
    return kind
