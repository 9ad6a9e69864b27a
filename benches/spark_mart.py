"""The mart of thirty days from raw files: ours by executors, beside the prototype's Spark jobs, both on `local[2]`.

The prototype has one way from raw files to the mart: its job for a day, thirty times (staging, dimensions, facts in
PostgreSQL), then its job for the mart over the range. A second row times that last job alone, over facts that are loaded,
while ours begins with raw files there too.
"""

from __future__ import annotations

import json
import subprocess
from datetime import date, timedelta
from typing import Any

from day_answers import clickhouse
from protocol import HERE, Arm, measure, options, python_of
from spark_peer import SparkDay
from spark_rollup import InSpark

DAYS = 30
FIRST = "2024-05-01"
AFTER = str(date.fromisoformat(FIRST) + timedelta(days=DAYS))
NOTE = (
    "each run is a new process, which starts Spark; ours cleans and judges the files, finds duplicates over days and keeps exact "
    "states of vehicles and riders; the peer loads each day into PostgreSQL first, and fills the prototype's columns of the mart"
)
ALONE = "the peer's facts were loaded before, and that is not counted; ours begins with raw files"
_ROWS = """SELECT route_id, name, transport_type, toString(hour_bucket), trip_cnt, avg_fare, avg_duration_sec,
  sum_distance_m, avg_speed FROM {table} ORDER BY route_id, hour_bucket
  FORMAT JSONCompactEachRow SETTINGS output_format_json_quote_64bit_integers = 0"""


def days() -> list[str]:
    """Return the raw days."""
    return [str(date.fromisoformat(FIRST) + timedelta(days=day)) for day in range(DAYS)]


def rows_of(mart: str, table: str) -> list[Any]:
    """Return the rows of a mart."""
    return [json.loads(row) for row in clickhouse(mart, _ROWS.format(table=table)).splitlines()]


class Ours(InSpark):
    """This project, inside Spark."""

    distributions = ("metropulse", "pyspark")

    def __init__(self, lake: str, mart: str) -> None:
        """Start Spark."""
        super().__init__()
        self.lake, self.mart = lake, mart

    def run(self) -> None:
        """Build the mart."""
        from metropulse.spark import build_route_hourly

        address, _, user = self.mart.partition("?")
        names = dict(part.split("=", 1) for part in user.split("&"))
        report = build_route_hourly(
            self.spark, self.lake, FIRST, AFTER, mart=address, mart_user=names["user"], mart_password=names["password"]
        )
        assert len(report.service_dates_rebuilt) == DAYS

    def result(self) -> list[Any]:
        """Return the mart's rows."""
        return rows_of(self.mart, "mart_route_hourly")


class Prototype(SparkDay):
    """The prototype's jobs over the same days."""

    def run(self) -> None:
        """Load each day as its job does, and build the mart of all of them once."""
        if not self.only_mart:
            first = self.dt
            for day in days():
                self.dt = day
                self.load()
            self.dt = first
        self.build_mart()

    def result(self) -> list[Any]:
        """Return the mart's rows."""
        return rows_of(self.mart, "mart_spark")


def main() -> None:
    """Measure."""
    from servers import clickhouse as run_clickhouse
    from servers import postgres
    from spark_day import drivers
    from spark_peer import ddl

    chosen = options(__doc__)
    positions, trips = chosen.pick((20_000, 2_000), (500_000, 50_000))
    lake = chosen.data / f"month-{positions}-{trips}"
    maker = [str(python_of("peers")), str(HERE / "day.py"), str(lake), str(positions), str(trips), str(DAYS)]
    subprocess.run(maker, check=True)
    jars = drivers(chosen.data.parent / "jars")
    rows = DAYS * (positions + 2 * trips)
    size_bytes = sum(file.stat().st_size for file in lake.rglob("*.parquet"))
    with postgres() as server, run_clickhouse() as engine:
        mart = f"{engine.url}?user={engine.user}&password={engine.password}"
        peer = {
            "lake": str(lake), "dt": FIRST, "after": AFTER, "url": server.url("spark"), "mart": mart, "jars": jars,
            "psql": str(server.programs / "psql"),
        }  # fmt: skip

        def forget_mart(_: Arm) -> None:
            for table in ("mart_route_hourly", "mart_spark"):
                clickhouse(mart, f"TRUNCATE TABLE IF EXISTS {table}")

        def forget_all(arm: Arm) -> None:
            forget_mart(arm)
            if arm.name == "pyspark":
                server.recreate("spark")
                server.execute(ddl(days()), "spark")

        for work, ours_is_cold, required, repeats, before, more in (
            ("from raw files, cold", True, 10.0, chosen.pick(1, 2), forget_all, {}),
            ("the peer from loaded facts", False, None, chosen.pick(3, 5), forget_mart, {"only_mart": True}),
        ):
            measure(
                f"mart of {DAYS} days inside Spark, {work}: {positions:,} positions, {trips:,} trips a day",
                rows=rows,
                size_bytes=size_bytes,
                ours=Arm("metropulse", "spark_mart:Ours", {"lake": str(lake), "mart": mart}, ours_is_cold),
                peer=Arm("pyspark", "spark_mart:Prototype", peer | more, ours_is_cold),
                required=required,
                repeats=repeats,
                before=before,
                note=ALONE if more else NOTE,
            )
            server.execute("VACUUM ANALYZE", "spark")


if __name__ == "__main__":
    main()
