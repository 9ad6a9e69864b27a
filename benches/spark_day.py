"""A whole day, and its mart alone, beside the prototype's steps in PySpark 4 over JDBC.

Both sides load the second of two days into a warehouse that holds the first (the same PostgreSQL 18, each side its own
database, put back to the first day before every run) and write the mart into the same ClickHouse 26.9. Needs Java 17
and, once, Maven for the JDBC drivers.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from day_answers import answers, clickhouse
from protocol import HERE, Arm, Trial, measure, options, python_of, running, say

FIRST, SECOND, AFTER = "2024-05-01", "2024-05-02", "2024-05-03"
NOTE = (
    "Ours also keeps rejects, a ledger, foreign keys, dirty dates and exact states of vehicles and riders in the mart; "
    "the peer's tables have a primary key, BRIN and B-trees, no foreign keys, and only the prototype's mart columns."
)
DAY_BOUND = (
    "PostgreSQL's own processor time is three quarters of ours: a third of it copies positions into staging and facts, a seventh "
    "builds their indexes, a tenth registers keys of trips and payments; the peer's rows go through the same server"
)
TELEMETRY_NOTE = (
    "Positions in ClickHouse (positions = telemetry): the peer loads them into PostgreSQL, as the prototype does. "
    "Ours verifies every row in ClickHouse and keeps a registry of what they refer to."
)
TELEMETRY_BOUND = (
    "reading and cleaning the positions, ClickHouse's sort and checksum of them, and PostgreSQL's work on trips and payments keep "
    "both cores busy"
)
MART_BOUND = "both let PostgreSQL scan and group the day's facts, and that is two thirds of our time"


class Ours(Trial):
    """One day, all steps or only the mart."""

    distributions = ("metropulse",)

    def __init__(
        self,
        *,
        lake: str,
        dt: str,
        url: str,
        psql: str,
        mart: str,
        after: str = AFTER,
        only_mart: bool = False,
        positions: str = "warehouse",
    ) -> None:
        """Open the pipeline."""
        import metropulse

        self.positions = positions
        self.dt, self.after, self.url, self.psql, self.mart, self.only_mart = dt, after, url, psql, mart, only_mart
        address, _, user = mart.partition("?")
        names = dict(part.split("=", 1) for part in user.split("&"))
        self.pipeline = metropulse.Pipeline(
            lake=lake, warehouse=url, mart=address, mart_user=names["user"], mart_password=names["password"],
            positions=positions,
        )  # fmt: skip

    def run(self) -> None:
        """Do the steps."""
        started = time.perf_counter()
        took = {}
        if not self.only_mart:
            for verb in (self.pipeline.stage, self.pipeline.load_dimensions, self.pipeline.load_facts):
                verb(self.dt)
                took[verb.__name__] = time.perf_counter() - started
        self.pipeline.build_route_hourly(self.dt, self.after, force=True)
        took["mart"] = time.perf_counter() - started
        say(", ".join(f"{name} at {seconds:.2f} s" for name, seconds in took.items()))

    def result(self) -> Any:
        """Ask the warehouse and the mart."""
        return answers(self.psql, self.url, self.mart, "mart_route_hourly", self.dt, self.positions)


def drivers(folder: Path) -> str:
    """Return the JDBC drivers that Spark loads, fetched with Maven when they are not there yet."""
    if not list(folder.glob("postgresql-*.jar")):
        say("fetching the JDBC drivers (once)")
        command = ["mvn", "-q", "-f", str(HERE / "pom.xml"), "dependency:copy-dependencies"]
        subprocess.run([*command, f"-DoutputDirectory={folder}"], check=True, stdout=sys.stderr)
    return ",".join(str(path) for path in sorted(folder.glob("*.jar")))


def day_of(data: Path, positions: int, trips: int) -> Path:
    """Return the lake with both days, made when it is not there yet."""
    lake = data / f"day-{positions}-{trips}"
    command = [str(python_of("peers")), str(HERE / "day.py"), str(lake), str(positions), str(trips)]
    subprocess.run(command, check=True)
    return lake


def main() -> None:
    """Measure all rows."""
    from servers import clickhouse as run_clickhouse
    from servers import postgres
    from spark_peer import ddl

    chosen = options(__doc__)
    positions, trips = chosen.pick((100_000, 10_000), (2_000_000, 200_000))
    lake = day_of(chosen.data, positions, trips)
    jars = drivers(chosen.data.parent / "jars")
    size_bytes = sum(path.stat().st_size for path in (lake / f"dt={SECOND}").iterdir())
    with postgres() as server, run_clickhouse() as engine:
        mart = f"{engine.url}?user={engine.user}&password={engine.password}"
        place: dict[str, Any] = {"lake": str(lake), "psql": str(server.programs / "psql"), "mart": mart}

        def arms(**more: Any) -> tuple[Arm, Arm]:
            cold = more.pop("cold", False)
            ours = {**place, "dt": SECOND, "url": server.url("ours"), **more}
            spark = {**place, "dt": SECOND, "url": server.url("spark"), "jars": jars, **more}
            return (
                Arm("metropulse", "spark_day:Ours", ours, cold),
                Arm("pyspark", "spark_peer:SparkDay", spark, cold),
            )

        ours, spark = arms()
        telemetry = {**ours.arguments, "url": server.url("ours_telemetry"), "positions": "telemetry"}
        apart = Arm("metropulse", "spark_day:Ours", telemetry)
        for arm in (ours, apart, spark):
            name = arm.arguments["url"].rpartition("/")[2]
            server.recreate(name)
            if arm is spark:
                server.execute(ddl([FIRST, SECOND]), name)
            after = {} if arm is spark else {"after": SECOND}
            with running(Arm(arm.name, arm.trial, {**arm.arguments, "dt": FIRST, **after})) as process:
                say(f"{arm.name}: the first day took {process.run():.1f} s")
            server.execute("VACUUM ANALYZE", name)
            server.execute(f'ALTER DATABASE "{name}" RENAME TO "{name}_first"')

        def forget_mart() -> None:
            for table in ("mart_route_hourly", "mart_spark"):
                clickhouse(mart, f"TRUNCATE TABLE IF EXISTS {table}")

        def first_day_again(arm: Arm) -> None:
            name = arm.arguments["url"].rpartition("/")[2]
            server.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            server.execute(f'CREATE DATABASE "{name}" TEMPLATE "{name}_first" STRATEGY file_copy')
            server.execute("CHECKPOINT")
            forget_mart()

        def first_day_again_there(arm: Arm) -> None:
            first_day_again(arm)
            if arm is apart:
                clickhouse(mart, f"ALTER TABLE vehicle_position DROP PARTITION '{SECOND}'")

        rows = positions + 2 * trips
        work = f"a whole day, warm: {positions:,} positions, {trips:,} trips"
        for name, pair, required, repeats in (
            (work, (ours, spark), 10.0, chosen.pick(2, 5)),
            (work.replace("warm", "cold"), arms(cold=True), 20.0, chosen.pick(1, 5)),
        ):
            measure(
                name, rows=rows, size_bytes=size_bytes, ours=pair[0], peer=pair[1], required=required,
                repeats=repeats, before=first_day_again, note=NOTE, bounded_by=DAY_BOUND,
            )  # fmt: skip
        measure(
            work.replace("a whole day", "a whole day with positions in ClickHouse"),
            rows=rows, size_bytes=size_bytes, ours=apart, peer=spark, required=10.0, repeats=chosen.pick(2, 5),
            before=first_day_again_there, note=TELEMETRY_NOTE, bounded_by=TELEMETRY_BOUND,
        )  # fmt: skip
        for name in ("ours", "spark"):
            server.execute("VACUUM ANALYZE", name)
        ours, spark = arms(only_mart=True)
        measure(
            f"mart of one day from the warehouse: {positions:,} positions, {trips:,} trips",
            rows=rows, size_bytes=size_bytes, ours=ours, peer=spark, required=10.0, repeats=chosen.pick(3, 5),
            before=lambda _: forget_mart(), note=NOTE, bounded_by=MART_BOUND,
        )  # fmt: skip


if __name__ == "__main__":
    main()
