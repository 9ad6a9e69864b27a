"""Other engines that carry rows, by the examples of docs/spark.md. Each is tested where it is installed."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("metropulse._core")

import metropulse as mp
from metropulse.states import merge, partial

pytestmark = pytest.mark.core

ASKED = {
    "keys": ["route_id"],
    "time": "event_ts",
    "measures": {"n": "count", "vehicles": ("count_distinct", "vehicle_id"), "speed": ("avg", "speed")},
}
START = datetime(2024, 5, 1, tzinfo=UTC)


@pytest.fixture
def lake(tmp_path) -> Path:
    chance = random.Random(2)
    for number in range(3):
        at = [START + timedelta(seconds=chance.randrange(7_200)) for _ in range(500)]
        table = pa.table(
            {
                "event_ts": pa.array(at, pa.timestamp("us", tz="UTC")),
                "route_id": [f"R{chance.randrange(4)}" for _ in range(500)],
                "vehicle_id": [f"V{chance.randrange(40)}" for _ in range(500)],
                "speed": [float(chance.randrange(90)) for _ in range(500)],
            }
        )
        pq.write_table(table, tmp_path / f"{number}.parquet")
    return tmp_path


def rows(found) -> list[dict]:
    return sorted(found, key=lambda row: (row["route_id"], row["hour_bucket"]))


def test_daft_hands_its_partitions_over(lake):
    daft = pytest.importorskip("daft", reason="daft is not installed")
    frame = daft.read_parquet(f"{lake}/*.parquet").select("route_id", "event_ts", "vehicle_id", "speed")
    states = [state for part in frame.iter_partitions() for state in partial(part.to_arrow().to_batches(), **ASKED)]
    found = [row for batch in merge(states) for row in batch.to_pylist()]
    assert rows(found) == rows(pa.table(mp.rollup_hourly(lake, **ASKED)).to_pylist())
