"""Other engines that carry rows, by the examples of docs/spark.md. Each is tested where it is installed."""

from __future__ import annotations

import random
import re
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
    folder = tmp_path / "files"
    folder.mkdir()
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
        pq.write_table(table, folder / f"{number}.parquet")
    return folder


def rows(found) -> list[dict]:
    return sorted(found, key=lambda row: (row["route_id"], row["hour_bucket"]))


def snippet(engine: str) -> str:
    """The lines of docs/spark.md for an engine."""
    page = (Path(__file__).parents[3] / "docs" / "spark.md").read_text(encoding="utf-8")
    [found] = [text for text in re.findall(r"^```text\n(.*?)^```$", page, re.M | re.S) if f"import {engine}\n" in text]
    return found


def test_daft_hands_its_partitions_over(lake, tmp_path, monkeypatch):
    """By the very lines of the page, in a folder that has its files."""
    pytest.importorskip("daft", reason="daft is not installed")
    monkeypatch.chdir(tmp_path)
    for number in range(3):
        day = tmp_path / "raw" / f"dt=2024-05-0{number + 1}"
        day.mkdir(parents=True)
        (lake / f"{number}.parquet").rename(day / "vehicle_positions.parquet")
    found: dict = {}
    exec(snippet("daft"), found)
    wanted = mp.rollup_hourly("raw/dt=*/vehicle_positions.parquet", **found["asked"])
    assert rows(found["hours"].to_pylist()) == rows(pa.table(wanted).to_pylist())


SAIL = "Sail 0.7 needs the client of Spark 4.2 (pip install pysail 'pyspark-client==4.2.*' 'pandas<3'): "


def test_sail_runs_the_functions_in_its_mapinarrow(lake):
    """As docs/spark.md shows it. Sail's functions run in this process, so nothing has to be shipped."""
    sail = pytest.importorskip("pysail.spark", reason=f"{SAIL}pysail is not installed")
    pyspark = pytest.importorskip("pyspark", reason=f"{SAIL}pyspark is not installed")
    if tuple(map(int, pyspark.__version__.split(".")[:2])) >= (4, 3):
        pytest.skip(f"{SAIL}here is {pyspark.__version__}")
    from pyspark.sql import SparkSession

    server = sail.SparkConnectServer()
    server.start(background=True)
    host, port = server.listening_address
    spark = SparkSession.builder.remote(f"sc://{host}:{port}").getOrCreate()

    def states(batches):
        return partial(batches, **ASKED)

    frame = spark.read.parquet(str(lake)).repartition(3)
    # Its columns, as Spark's names of types: of what one row makes.
    [state] = partial(pq.read_table(lake / "0.parquet").slice(0, 1).to_batches(), **ASKED)
    schema = spark.createDataFrame(pa.table(dict(zip(state.schema.names, state.columns, strict=True)))).schema
    together = frame.mapInArrow(states, schema).repartition(2, "route_id", "hour_bucket")
    result = "route_id string, hour_bucket timestamp, n bigint, vehicles bigint, speed double"
    found = together.mapInArrow(merge, result).toArrow().to_pylist()
    spark.stop()
    server.stop()
    assert rows(found) == rows(pa.table(mp.rollup_hourly(lake, **ASKED)).to_pylist())
