"""Tasks that suffer something between their shadow table and its swap; as a job, on the cluster of test_recipe.py."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pyarrow as pa

from metropulse.spark import build_route_hourly, mart, rollup_hourly

ASKED = {
    "keys": ["route_id"],
    "time": "event_ts",
    "measures": {"n": "count", "avg_speed": ("avg", "speed"), "vehicles": ("count_distinct", "vehicle_id")},
}


def once(marker: str) -> bool:
    """Whether nobody was here before."""
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


class Suffering(mart.FillTask):
    """Fills shadow tables; of the first attempt that filled one nobody hears, or too late."""

    def __init__(self, shared, how: str, marker: str) -> None:
        super().__init__(shared)
        self._how, self._marker = how, marker

    def __call__(self, batches):
        found = list(super().__call__(batches))
        is_filled = any(row["filled"] != "[]" for batch in found for row in batch.to_pylist())
        suffers = is_filled and once(self._marker)
        if suffers and self._how == "is overtaken":
            time.sleep(90)
        if suffers and self._how == "loses its executor":
            daemon = Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()[1]
            os.kill(int(daemon), 9)
            time.sleep(90)
        yield from found
        if suffers:
            raise RuntimeError("the machine went")


def places(batches):
    """Tell what a worker has and uses."""
    import metropulse

    for _ in batches:
        used = Path("/proc/self/maps").read_text() + "\n".join(sys.path)
        used += "\n".join(str(getattr(module, "__file__", None)) for module in list(sys.modules.values()))
        row = {"package": [metropulse.__file__], "home": [os.environ["HOME"]], "used": [used]}
        yield pa.RecordBatch.from_pydict(row)


def main(lake: str, marker: str, mart_url: str, user: str, password: str) -> None:
    """Say where a worker's modules lie; roll the lake's positions up; build the mart, whose first filler is overtaken."""
    from functools import partial

    from pyspark.sql import SparkSession

    spark = SparkSession.builder.getOrCreate()
    told = spark.range(0, 4, 1, 4).mapInArrow(places, "package string, home string, used string").collect()
    print(json.dumps({"places": [row.asDict() for row in told]}))
    frame = rollup_hourly(spark, f"{lake}/dt=*/vehicle_positions.parquet", **ASKED)
    rows = frame.orderBy("route_id", "hour_bucket").toArrow().to_pylist()
    print(json.dumps({"rollup": rows}, default=lambda at: at.isoformat()))
    frame.explain("extended")
    mart.FillTask = partial(Suffering, how="is overtaken", marker=marker)
    report = build_route_hourly(spark, lake, mart=mart_url, mart_user=user, mart_password=password)
    print(json.dumps({"dates": report.service_dates_rebuilt}))
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
