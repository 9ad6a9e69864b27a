"""Rollups inside Spark: our kernels beside Spark SQL, on `local[2]` over the same file, both warm."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from protocol import Arm, Trial, measure, options
from rollup import COLUMNS, POSITIONS, TRIPS, made

CORES = 2
# The JVM goes on compiling what it runs for a dozen runs, ours and Spark's own: until then both get faster.
WARM_UPS = 12


def session() -> Any:
    """Start Spark, as a service that stays up would."""
    from pyspark.sql import SparkSession

    settings = {
        "spark.driver.memory": "2g",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": str(CORES),
        "spark.ui.enabled": "false",
        "spark.log.level": "ERROR",
    }
    builder = SparkSession.builder.master(f"local[{CORES}]").appName("rollup")
    for name, value in settings.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


class InSpark(Trial):
    """What runs in a session of its own."""

    def __init__(self) -> None:
        """Start Spark."""
        # Workers run this interpreter, whichever python stands on the PATH.
        os.environ["PYSPARK_PYTHON"] = sys.executable
        self.spark = session()

    def close(self) -> None:
        """Stop Spark."""
        self.spark.stop()


class Kernels(InSpark):
    """This project, inside Spark."""

    distributions = ("metropulse", "pyspark")

    def __init__(self, path: str, table: str) -> None:
        """Start Spark."""
        super().__init__()
        self.path, self.table = path, table

    def run(self) -> None:
        """Roll up, and bring the result here."""
        from metropulse.spark import rollup_hourly

        asked: Any = POSITIONS if self.table == "positions" else TRIPS
        self.found = rollup_hourly(self.spark, self.path, keys=["route_id"], **asked).toArrow()

    def result(self) -> list[list[Any]]:
        """Return the rows, sorted by route and hour."""
        names = COLUMNS[self.table]
        rows = self.found.to_pylist()
        return [[r["route_id"], int(r["hour_bucket"].timestamp()), *(r[name] for name in names)] for r in rows]


class SparkSql(InSpark):
    """Spark's own engine."""

    distributions = ("pyspark",)

    def __init__(self, path: str, table: str) -> None:
        """Start Spark."""
        super().__init__()
        self.path, self.table = path, table

    def run(self) -> None:
        """Group, and bring the result here."""
        time, measures = (
            ("event_ts", "avg(speed), count(*) AS n")
            if self.table == "positions"
            else ("start_ts", "count(DISTINCT trip_id), sum(fare), avg(duration_sec), sum(distance_m)")
        )
        frame = self.spark.read.parquet(self.path)
        hour = f"unix_timestamp(date_trunc('hour', {time}))"
        frame.selectExpr("*", f"{hour} AS hour").createOrReplaceTempView("rows")
        sql = f"SELECT route_id, hour, {measures} FROM rows GROUP BY route_id, hour ORDER BY route_id, hour"
        self.found = self.spark.sql(sql).toArrow()

    def result(self) -> list[list[Any]]:
        """Return the rows, sorted by route and hour."""
        return [list(row.values()) for row in self.found.to_pylist()]


def main() -> None:
    """Print a line for each work."""
    chosen = options(__doc__)
    # One size: nobody takes less to a cluster, and starting tasks takes Spark the same third of a second for any.
    works = [
        ("rollup of positions inside Spark", "positions", "ordered", 32_400_000),
        ("distinct trips inside Spark, UUIDs", "trips", "uuid", 2_000_000),
    ]
    for work, table, kind, rows in works:
        file: Path = made(kind, rows, chosen.data)
        arguments = {"path": str(file), "table": table}
        measure(
            work,
            rows=rows,
            size_bytes=file.stat().st_size,
            ours=Arm("metropulse", "spark_rollup:Kernels", arguments),
            peer=Arm("pyspark", "spark_rollup:SparkSql", arguments),
            required=4.0,
            warm_ups=WARM_UPS,
            note=f"both sessions have done the work before the first run that counts: {WARM_UPS} times",
            bounded_by=(
                "planning, starting tasks and carrying results through the JVM take Spark 0.14 s, nearly half of our time; "
                "of the rest zstd's decompression is two thirds, which both pay alike"
            ),
        )


if __name__ == "__main__":
    main()
