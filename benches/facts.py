"""One day of trips, payments and positions into keyed, indexed, partitioned facts, beside PostgreSQL's own COPY.

The peers get what ours had to make first: the finished rows of each partition, keys looked up, as a binary file on the
server. What is compared is the day attached, with its primary key, foreign keys and indexes.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from protocol import Arm, Trial, measure, options, python_of

DAY = "2024-05-01"
FACTS = ("fact_trip", "fact_payment", "fact_vehicle_position")
REGISTRIES = ("trip_key", "payment_key", "superseded_trip", "superseded_payment")
MAKE = """
import sys
import duckdb
folder, trips = sys.argv[1], int(sys.argv[2])
start = "TIMESTAMPTZ '2024-05-01 00:00:00+00'"
step = f"INTERVAL (i * 86000000 // {trips}) MILLISECOND"
def put(name, sql):
    duckdb.sql(f"COPY ({sql}) TO '{folder}/{name}.parquet' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 250000)")
put("routes", "SELECT 'R' || lpad(i::VARCHAR, 3, '0') AS route_id, 'Route ' || i AS name, 'bus' AS transport_type, "
    "45.5::DECIMAL(12,2) AS base_fare FROM range(1000) t(i)")
put("stops", "SELECT 'S' || i AS stop_id, 'Stop ' || i AS name, 55.0 + i / 1e5 AS lat, 37.0 AS lon FROM range(3000) t(i)")
put("users", "SELECT 'U' || lpad(i::VARCHAR, 6, '0') AS user_id, 'Moscow' AS city, 'ru' AS lang, true AS is_active "
    "FROM range(20000) t(i)")
put("vehicles", "SELECT 'VR' || lpad(i::VARCHAR, 5, '0') AS vehicle_id, 'R' || lpad((i % 1000)::VARCHAR, 3, '0') AS route_id, "
    "80 AS capacity FROM range(5000) t(i)")
put("trips", f"SELECT 'T' || lpad(i::VARCHAR, 9, '0') AS trip_id, 'U' || lpad((hash(i) % 20000)::VARCHAR, 6, '0') AS user_id, "
    f"'R' || lpad((hash(i + 1) % 1000)::VARCHAR, 3, '0') AS route_id, 'VR' || lpad((hash(i + 2) % 5000)::VARCHAR, 5, '0') "
    f"AS vehicle_id, {start} + {step} AS start_ts, {start} + {step} + INTERVAL (300 + hash(i) % 3000) SECOND AS end_ts, "
    f"'S' || (hash(i + 3) % 3000) AS start_stop_id, 'S' || (hash(i + 4) % 3000) AS end_stop_id, "
    f"(hash(i + 5) % 200000) / 10.0 AS distance_m, ((hash(i + 6) % 20000) / 100)::DECIMAL(12,2) AS fare, "
    f"'completed' AS status FROM range({trips}) t(i)")
put("payments", f"SELECT 'PT' || lpad(i::VARCHAR, 9, '0') AS payment_id, 'U' || lpad((hash(i) % 20000)::VARCHAR, 6, '0') "
    f"AS user_id, 'R' || lpad((hash(i + 1) % 1000)::VARCHAR, 3, '0') AS route_id, 'T' || lpad(i::VARCHAR, 9, '0') AS trip_id, "
    f"((hash(i + 6) % 20000) / 100)::DECIMAL(12,2) AS amount, 'RUB' AS currency, 'captured' AS status, "
    f"'card' AS payment_method, {start} + {step} AS paid_at FROM range({trips}) t(i)")
many = trips * 16
put("vehicle_positions", f"SELECT {start} + INTERVAL (i * 86000000 // {many}) MILLISECOND AS event_ts, "
    f"'VR' || lpad((hash(i) % 5000)::VARCHAR, 5, '0') AS vehicle_id, 'R' || lpad((hash(i) % 1000)::VARCHAR, 3, '0') AS route_id, "
    f"55 + (hash(i + 1) % 1000000) / 1e6 AS lat, 37 + (hash(i + 2) % 1000000) / 1e6 AS lon, (hash(i + 3) % 8000) / 100.0 AS speed, "
    f"(hash(i + 4) % 36000) / 100.0 AS heading FROM range({many}) t(i)")
"""


class Ours(Trial):
    """`Pipeline.load_facts`: reads, cleans, judges, looks keys up, loads aside, indexes, attaches."""

    distributions = ("metropulse",)

    def __init__(self, url: str, lake: str) -> None:
        """Open, with the day's dimensions loaded."""
        import metropulse

        self.pipeline = metropulse.Pipeline(lake=lake, warehouse=url, connections=2)

    def run(self) -> None:
        """Load the day."""
        self.pipeline.load_facts(DAY)

    def result(self) -> Any:
        """Return the rows of each fact and sums of their keys' business side."""
        return _result(self.pipeline, "dwh")


def _result(pipeline: Any, schema: str) -> list[list[str]]:
    found = []
    for fact, measure_of in (("fact_trip", "distance_m"), ("fact_payment", "amount"), ("fact_vehicle_position", "lat")):
        sql = f"SELECT count(*)::text AS n, sum(route_sk)::text AS r, round(sum({measure_of})::numeric, 2)::text AS s FROM {schema}.{fact}"
        found.append(list(pipeline.warehouse.query(sql).to_pylist()[0].values()))
    return found


class Server(Trial):
    """COPY FROM a binary file on the server, into tables with the same keys and indexes.

    `how`: `in place` (everything is there while rows come in), `recreate` (dropped before, made again after) or `bare`
    (a bare table, then the same primary key and indexes; the floor, which checks no foreign key).
    """

    distributions = ("psycopg",)

    def __init__(self, url: str, how: str, folder: str, statements: dict[str, list[list[str]]]) -> None:
        """Connect."""
        import psycopg

        self.connection = psycopg.connect(url, autocommit=True)
        self.how, self.folder, self.statements = how, folder, statements

    def prepare(self) -> None:
        """Make the tables anew."""
        self.connection.execute("DROP SCHEMA IF EXISTS theirs CASCADE; CREATE SCHEMA theirs")
        for fact in FACTS:
            self.connection.execute(f"CREATE TABLE theirs.{fact} (LIKE dwh.{fact})")
            if self.how != "bare":
                for _, make in self.statements[fact]:
                    self.connection.execute(make)

    def run(self) -> None:
        """Load all three facts."""
        for fact in FACTS:
            if self.how == "recreate":
                for drop, _ in self.statements[fact]:
                    self.connection.execute(drop)
            self.connection.execute(f"COPY theirs.{fact} FROM '{self.folder}/{fact}.bin' (FORMAT BINARY)")
            if self.how != "in place":
                for _, make in self.statements[fact]:
                    if self.how == "recreate" or "FOREIGN KEY" not in make:
                        self.connection.execute(make)

    def result(self) -> Any:
        """Return what ours returns."""
        found = []
        for fact, column in (("fact_trip", "distance_m"), ("fact_payment", "amount"), ("fact_vehicle_position", "lat")):
            sql = (
                f"SELECT count(*)::text, sum(route_sk)::text, round(sum({column})::numeric, 2)::text FROM theirs.{fact}"
            )
            found.append(list(self.connection.execute(sql).fetchone()))
        return found


def statements(server: Any, database: str) -> dict[str, list[list[str]]]:
    """The keys and indexes of each fact, as statements that drop and make them on a table of schema `theirs`."""
    found = {}
    for fact in FACTS:
        table = f"theirs.{fact}"
        constraints = server.execute(
            f"SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'dwh.{fact}'::regclass "
            "AND contype IN ('p', 'f') ORDER BY contype DESC, conname",
            database,
        ).splitlines()
        indexes = server.execute(
            f"SELECT regexp_replace(pg_get_indexdef(i.indexrelid), '^.* USING', 'USING') FROM pg_index i "
            f"WHERE i.indrelid = 'dwh.{fact}'::regclass AND NOT i.indisprimary ORDER BY i.indexrelid",
            database,
        ).splitlines()
        pairs = []
        for number, text in enumerate(constraints):
            name = f"{fact}_c{number}"
            pairs.append(
                [f"ALTER TABLE {table} DROP CONSTRAINT {name}", f"ALTER TABLE {table} ADD CONSTRAINT {name} {text}"]
            )
        for number, text in enumerate(indexes):
            name = f"{fact}_i{number}"
            pairs.append([f"DROP INDEX theirs.{name}", f"CREATE INDEX {name} ON {table} {text}"])
        found[fact] = pairs
    return found


def main() -> None:
    """Run the rows."""
    from servers import postgres

    import metropulse

    chosen = options(__doc__)
    trips = chosen.pick(50_000, 2_000_000)
    lake = chosen.data / f"facts_{trips}"
    folder = lake / f"dt={DAY}"
    if not (folder / "vehicle_positions.parquet").exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([str(python_of("duckdb")), "-c", MAKE, str(folder), str(trips)], check=True)
    size = sum((folder / f"{name}.parquet").stat().st_size for name in ("trips", "payments", "vehicle_positions"))
    with postgres() as server:
        server.recreate("facts")
        url = server.url("facts")
        with metropulse.Pipeline(lake=lake, warehouse=url) as pipeline:
            pipeline.load_calendar("2023-12-01", "2025-01-31")
            pipeline.load_dimensions(DAY)
            pipeline.load_facts(DAY)
        files = Path(server.execute("SHOW data_directory", "facts"))
        for fact in FACTS:
            # The partition has the parent's columns in the parent's order.
            server.execute(f"COPY (SELECT * FROM dwh.{fact}) TO '{files}/{fact}.bin' (FORMAT BINARY)", "facts")
        made = statements(server, "facts")

        def forget(arm: Arm) -> None:
            if arm.name == "metropulse":
                for fact in FACTS:
                    server.execute(f"DROP TABLE IF EXISTS dwh.{fact}_20240501", "facts")
                server.execute(f"TRUNCATE {', '.join('dwh.' + name for name in REGISTRIES)}", "facts")
                server.execute("DELETE FROM dwh.load_ledger WHERE target LIKE 'dwh.fact%'", "facts")
                server.execute("TRUNCATE dwh.fact_service_date", "facts")
            server.execute("CHECKPOINT", "facts")

        ours = Arm("metropulse", "facts:Ours", {"url": url, "lake": str(lake)})
        for how, name, required in (
            ("in place", "COPY into the keyed tables", 5.0),
            ("recreate", "COPY between dropping and making keys and indexes", 1.3),
            ("bare", "COPY into bare tables, then primary keys and indexes", 0.6),
        ):
            measure(
                "a day of facts, keyed, indexed, attached",
                rows=trips * 18,
                size_bytes=size,
                ours=ours,
                peer=Arm(name, "facts:Server", {"url": url, "how": how, "folder": str(files), "statements": made}),
                required=required,
                repeats=chosen.pick(3, 3),
                before=forget,
                note="the peer's rows are finished and lie on the server as a binary file",
                bounded_by=(
                    "the index builds and the checks of foreign keys are the peer's too, and two cores are busy through "
                    "both; on top ours reads and judges Parquet, looks keys up, encodes, and writes the registries of trip "
                    "and payment keys, which the peer has not"
                ),
            )


if __name__ == "__main__":
    main()
