"""Shares of the mart, packed: nothing is lost on the way, and the newest day of a key counts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date, timedelta
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pa = pytest.importorskip("pyarrow")
pytest.importorskip("pandas")

import metropulse as mp
from metropulse.spark.mart import NewestTask
from metropulse.spark.packed import (
    AsBytes,
    bucket_of_key,
    date_of_share,
    failed,
    from_bytes,
    newest,
    of_dates,
    packed,
    unpacked,
)

pytestmark = pytest.mark.core

FIRST = date(2024, 5, 1)
SCHEMA = pa.schema(
    [
        ("dataset", pa.string()),
        ("dt", pa.date32()),
        ("key", pa.string()),
        ("service_date", pa.date32()),
        ("n", pa.int64()),
    ]
)
DAY = st.integers(0, 4).map(lambda n: FIRST + timedelta(days=n))
# Of one dataset, key and raw day there is one share; another dataset may have the same key.
SHARES = st.dictionaries(
    st.tuples(st.sampled_from(["trips", "payments"]), DAY, st.sampled_from(["a", "b", "c", "", "ж"])),
    st.tuples(DAY, st.integers(0, 9)),
    max_size=40,
).map(lambda found: [(*key, *rest) for key, rest in found.items()])


def table(rows: list[tuple]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in rows], SCHEMA)


def rows(shares: list[pa.Table]) -> list[tuple]:
    return sorted(tuple(row.values()) for part in shares for row in part.to_pylist())


@settings(deadline=None)
@given(st.lists(SHARES, max_size=4), st.integers(1, 7))
def test_every_share_arrives_at_its_place(parts, buckets):
    for place in (date_of_share, partial(bucket_of_key, buckets=buckets)):
        batches = [batch for part in parts for batch in packed([table(part)], place)]
        # As Spark does it: by place, whoever sent it.
        every = pa.Table.from_batches(batches) if batches else None
        found = list(unpacked(every.sort_by("place").to_batches(max_chunksize=2))) if every else []
        places = [number for number, _ in found]
        assert places == sorted(set(places))
        assert rows([shares for _, shares in found]) == sorted(row for part in parts for row in part)
        for number, shares in found:
            assert set(place(shares).to_pylist()) == {number}


@settings(deadline=None)
@given(SHARES)
def test_the_newest_day_of_a_dataset_and_key_counts(shares):
    last = {}
    for dataset, dt, key, *_ in shares:
        last[dataset, key] = max(last.get((dataset, key), dt), dt)
    wanted = sorted(row for row in shares if row[1] == last[row[0], row[2]])
    assert rows([newest(table(shares))]) == wanted


def test_what_counts_of_several_buckets_travels_in_one_batch():
    """A row of each service date, and not one of each bucket and date."""
    shares = [("trips", FIRST, key, FIRST + timedelta(days=n % 2), n) for n, key in enumerate("abcdefgh")]
    buckets = [batch for row in shares for batch in packed([table([row])], partial(bucket_of_key, buckets=7))]
    by_place = pa.Table.from_batches(buckets).sort_by("place")
    assert len(set(by_place.column("place").to_pylist())) > 1
    [found] = NewestTask([None, None])(iter(by_place.to_batches(max_chunksize=1)))
    assert found.num_rows == 2
    assert rows([part for _, part in unpacked([found])]) == sorted(shares)


@settings(deadline=None)
@given(SHARES)
def test_a_range_is_half_open(shares):
    found = of_dates(table(shares), ["2024-05-02", "2024-05-04"])
    assert rows([found]) == sorted(row for row in shares if date(2024, 5, 2) <= row[3] < date(2024, 5, 4))
    assert rows([of_dates(table(shares), [None, None])]) == sorted(shares)


def test_one_key_is_in_one_bucket_in_every_process():
    """Python's own hash of text is not: it is salted."""
    program = (
        "import pyarrow as pa; from metropulse.spark.packed import bucket_of_key;"
        "print(bucket_of_key(pa.table({'key': [f'T{n:09}' for n in range(50)]}), buckets=7).to_pylist())"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", program],
            check=True,
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(told) == 1
    assert set(json.loads(told.pop())) == set(range(7))


def test_a_failure_is_raised_where_shares_are_unpacked():
    told = failed(mp.DataError("page 3 is damaged", {"file": "a.parquet"}))
    with pytest.raises(mp.DataError, match=r"page 3 is damaged \[file=a.parquet\]") as caught:
        list(unpacked([told]))
    assert not caught.value.retryable


def test_what_is_more_than_may_travel_ends_with_a_null_and_is_made_no_further():
    made = []

    def task(batches):
        for number in batches:
            made.append(number)
            yield pa.RecordBatch.from_pydict({"n": [number]})

    whole = pa.Table.from_batches(AsBytes(task)(iter(range(5))))
    assert [batch.to_pydict() for batch in from_bytes(whole)] == [{"n": [number]} for number in range(5)]
    each = len(whole.column("batch")[0].as_py())
    made.clear()
    some = pa.Table.from_batches(AsBytes(task, 2 * each)(iter(range(5))))
    assert [row is None for row in some.column("batch").to_pylist()] == [False, False, True]
    assert made == [0, 1, 2]
