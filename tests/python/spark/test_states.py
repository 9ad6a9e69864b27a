"""States as ordinary columns: what engines do to rows on their way changes no answer."""

from __future__ import annotations

import json
import random
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pa = pytest.importorskip("pyarrow")
pytest.importorskip("metropulse._core")

import metropulse as mp
from metropulse.states import DESCRIPTION, merge, partial

pytestmark = pytest.mark.core

ASKED = {
    "keys": ["route_id", "number", "seen"],
    "time": "at",
    "measures": {
        "n": "count",
        "speed": ("avg", "speed"),
        "paid": ("sum", "fare"),
        "most": ("max", "number"),
        "riders": ("count_distinct", "user_id"),
        "numbers": ("count_distinct", "number"),
    },
    "time_zone": "Asia/Kolkata",
}
# Types that Spark does not have among them: unsigned numbers, nanoseconds.
SCHEMA = pa.schema(
    [
        ("route_id", pa.string()),
        ("number", pa.uint64()),
        ("seen", pa.timestamp("ns", tz="UTC")),
        ("at", pa.timestamp("us", tz="UTC")),
        ("speed", pa.float64()),
        ("fare", pa.decimal128(12, 2)),
        ("user_id", pa.string()),
    ]
)
START = datetime(2024, 5, 1, tzinfo=UTC)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "route_id": st.none() | st.sampled_from(["R1", "R2", ""]),
            "number": st.none() | st.sampled_from([0, 7, 2**64 - 1]),
            "seen": st.none() | st.just(START),
            "at": st.none() | st.integers(0, 300).map(lambda n: START + timedelta(minutes=n)),
            "speed": st.none() | st.integers(0, 90).map(float),
            "fare": st.none() | st.decimals(-99, 99, places=2),
            "user_id": st.none() | st.integers(0, 9).map("rider {}".format),
        }
    ),
    min_size=1,
    max_size=40,
)


def order(rows: list[dict]) -> list[dict]:
    return sorted(rows, key=lambda row: [(row[k] is not None, row[k]) for k in (*ASKED["keys"], "hour_bucket")])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ROWS, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_rows_of_states_may_be_cut_and_mixed_at_will(parts, chance):
    tables = [pa.Table.from_pylist(part, SCHEMA) for part in parts]
    states = [batch for table in tables for batch in partial(table.to_batches(max_chunksize=7), **ASKED)]
    rows = [batch.slice(n, 1) for batch in states for n in range(batch.num_rows)]
    chance.shuffle(rows)
    cut = chance.randrange(len(rows) + 1)
    # Some are merged before, as a combiner does, into a state again.
    between = list(merge(rows[:cut], partial=True))
    found = [row for batch in merge([*between, *rows[cut:]]) for row in batch.to_pylist()]
    whole = pa.table(mp.rollup_hourly(pa.concat_tables(tables), **ASKED))
    assert order(found) == order(whole.to_pylist())


def test_a_state_holds_only_types_that_every_engine_has():
    rows = [
        {"route_id": "R", "number": 2**64 - 1, "seen": START, "at": START, "speed": 1.0, "fare": None, "user_id": "U"}
    ]
    [state] = partial([pa.RecordBatch.from_pylist(rows, SCHEMA)], **ASKED)
    kinds = {field.type for field in state.schema}
    assert kinds <= {
        pa.string(), pa.int64(), pa.float64(), pa.timestamp("us", tz="UTC"), pa.decimal128(20, 0), pa.decimal128(38, 0),
        pa.decimal128(38, 2), pa.list_(pa.string()), pa.list_(pa.decimal128(20, 0)),
    }  # fmt: skip
    assert json.loads(state.column(DESCRIPTION)[0].as_py())["version"] == 1
    [result] = merge([state])
    assert result.column("number").to_pylist() == [2**64 - 1]
    assert result.column("seen").type == pa.timestamp("ns", tz="UTC")


def test_no_batch_is_no_state_and_no_state_no_result():
    assert list(partial([], **ASKED)) == []
    assert list(merge([])) == []


def state(**changes) -> pa.RecordBatch:
    rows = [{"k": "a", "at": START, "v": 1}]
    asked = {"keys": ["k"], "time": "at", "measures": {"n": "count"}} | changes
    [found] = partial(pa.Table.from_pylist(rows).to_batches(), **asked)
    return found


def test_what_is_no_state_is_refused_by_name():
    with pytest.raises(mp.SchemaError, match="column rollup_state is missing"):
        list(merge([state().drop_columns([DESCRIPTION])]))
    with pytest.raises(mp.SchemaError, match="a state lacks column n__count"):
        list(merge([state().drop_columns(["n__count"])]))
    old = state()
    text = json.loads(old.column(DESCRIPTION)[0].as_py()) | {"version": 9}
    newer = old.drop_columns([DESCRIPTION]).append_column(DESCRIPTION, pa.array([json.dumps(text)]))
    with pytest.raises(mp.SchemaError, match="version 9, expected 1 or 2"):
        list(merge([newer]))
    with pytest.raises(mp.ConfigError, match="same keys, measures and zone"):
        list(merge([state(), state(time_zone="Asia/Tokyo")]))


def test_a_failure_travels_in_the_place_of_a_state():
    from metropulse.states import failure

    told = failure(mp.DataError("page 3 is damaged", {"file": "a.parquet"}), state().schema)
    assert told.schema.names == state().schema.names
    with pytest.raises(mp.DataError, match=r"page 3 is damaged \[file=a.parquet\]") as caught:
        list(merge([state(), told]))
    assert not caught.value.retryable


def test_a_script_adds_up_days_that_it_rolled_up_one_by_one(tmp_path):
    """As docs/spark.md shows it: states kept as files, merged later."""
    import pyarrow.parquet as pq

    chance = random.Random(5)
    days = []
    for n in range(3):
        at = [START + timedelta(days=n, minutes=chance.randrange(1440)) for _ in range(200)]
        days.append(pa.table({"route_id": [f"R{n % 2}"] * 200, "at": pa.array(at, pa.timestamp("us", tz="UTC"))}))
    asked = {"keys": ["route_id"], "time": "at", "measures": {"n": "count"}}
    for n, day in enumerate(days):
        pq.write_table(pa.Table.from_batches(partial(day, **asked)), tmp_path / f"{n}.parquet")
    kept = (pq.read_table(file) for file in sorted(tmp_path.glob("*.parquet")))
    found = [row for batch in merge(b for table in kept for b in table.to_batches()) for row in batch.to_pylist()]
    assert found == pa.table(mp.rollup_hourly(pa.concat_tables(days), **asked)).to_pylist()
    assert sum(row["n"] for row in found) == 600
    assert {row["hour_bucket"].date() for row in found} == {date(2024, 5, n) for n in (1, 2, 3)}
