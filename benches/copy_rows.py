"""COPY in both directions: Parquet into a table beside pgpq, rows of a fact out into Arrow beside connectorx and ADBC."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from protocol import Arm, Trial, measure, options, python_of

COLUMNS = "event_ts, vehicle_id, route_id, lat, lon, speed, heading, provider_ts"
DDL = """
    event_ts timestamptz, vehicle_id text, route_id text, lat float8, lon float8, speed float8, heading float8,
    provider_ts timestamptz
"""
DIGEST = "count(*), sum(hashtext(t::text)::bigint)"
FACT = """
    CREATE TABLE fact (position_sk bigint, event_ts timestamptz, vehicle_sk bigint, route_sk bigint, lat float8,
        lon float8, speed float8, heading float8);
    INSERT INTO fact SELECT i, timestamptz '2024-05-01' + i * interval '5 ms', i % 5000, i % 1000,
        55 + i % 1000 / 1000.0, 37 + i % 777 / 777.0, CASE WHEN i % 10 > 0 THEN i % 80 END, i % 360
    FROM generate_series(1, {rows}) i;
"""
OUT = "SELECT position_sk, event_ts, vehicle_sk, route_sk, lat, lon, speed, heading FROM fact"
MAKE = """
import sys
import duckdb
duckdb.sql(f'''
    COPY (
        SELECT TIMESTAMPTZ '2024-05-01 00:00:00+00' + INTERVAL (i * 5) MILLISECOND AS event_ts,
            'VR' || lpad((hash(i) % 5000)::VARCHAR, 5, '0') AS vehicle_id,
            'R' || lpad((hash(i) % 1000)::VARCHAR, 3, '0') AS route_id,
            55 + (hash(i + 1) % 1000000) / 1e6 AS lat, 37 + (hash(i + 2) % 1000000) / 1e6 AS lon,
            (hash(i + 3) % 8000) / 100.0 AS speed, (hash(i + 4) % 36000) / 100.0 AS heading,
            TIMESTAMPTZ '2024-05-01 00:00:01+00' + INTERVAL (i * 5) MILLISECOND AS provider_ts
        FROM range({sys.argv[2]}) t(i)
    ) TO '{sys.argv[1]}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 250000)
''')
"""


class Ours(Trial):
    """`metropulse.copy_parquet`."""

    distributions = ("metropulse",)

    def __init__(self, url: str, path: str, connections: int) -> None:
        """Remember what to copy."""
        import metropulse

        self.copy, self.url, self.path, self.connections = metropulse.copy_parquet, url, path, connections

    def run(self) -> None:
        """Copy."""
        self.copy(self.path, self.url, "ours", connections=self.connections)

    def result(self) -> Any:
        """Return rows and checksum."""
        import metropulse

        with metropulse.Pipeline(warehouse=self.url) as p:
            return [int(v) for v in p.warehouse.query(f"SELECT {DIGEST} FROM ours t").to_pylist()[0].values()]


class Pgpq(Trial):
    """pgpq's encoder over pyarrow's reader, sent by psycopg, as its page shows."""

    distributions = ("pgpq", "psycopg", "pyarrow")

    def __init__(self, url: str, path: str) -> None:
        """Connect."""
        import psycopg

        self.connection, self.path = psycopg.connect(url), path

    def run(self) -> None:
        """Copy in one transaction."""
        import pyarrow.parquet as pq
        from pgpq import ArrowToPostgresBinaryEncoder

        file = pq.ParquetFile(self.path)
        encoder = ArrowToPostgresBinaryEncoder(file.schema_arrow)
        statement = f"COPY theirs ({COLUMNS}) FROM STDIN WITH (FORMAT BINARY)"
        with self.connection.cursor() as cursor, cursor.copy(statement) as copy:
            copy.write(encoder.write_header())
            for batch in file.iter_batches(65_536):
                copy.write(encoder.write_batch(batch))
            copy.write(encoder.finish())
        self.connection.commit()

    def result(self) -> Any:
        """Return rows and checksum."""
        found = self.connection.execute(f"SELECT {DIGEST} FROM theirs t").fetchone()
        self.connection.commit()
        return [int(v) for v in found]


class _Out(Trial):
    """Rows of a fact as an Arrow table."""

    table: Any

    def result(self) -> Any:
        """Return rows and the sums of some columns."""
        import pyarrow as pa
        import pyarrow.compute as pc

        table = pa.table(self.table)
        sums = [float(pc.sum(table[name]).as_py()) for name in ("position_sk", "vehicle_sk", "lat", "speed", "heading")]
        return [table.num_rows, table["speed"].null_count, *sums]


class OursOut(_Out):
    """`Pipeline.warehouse.read_table`."""

    distributions = ("metropulse",)

    def __init__(self, url: str) -> None:
        """Open."""
        import metropulse

        self.pipeline = metropulse.Pipeline(warehouse=url)

    def run(self) -> None:
        """Read."""
        import pyarrow as pa

        self.table = pa.table(self.pipeline.warehouse.read_table("fact", connections=2))


class ConnectorxOut(_Out):
    """connectorx, in two partitions over two threads."""

    distributions = ("connectorx",)

    def __init__(self, url: str, partitions: int) -> None:
        """Remember the URL."""
        self.url, self.partitions = url, partitions

    def run(self) -> None:
        """Query."""
        import connectorx

        parts = {"partition_on": "position_sk", "partition_num": self.partitions} if self.partitions > 1 else {}
        self.table = connectorx.read_sql(self.url, OUT, return_type="arrow", **parts)


class AdbcOut(_Out):
    """ADBC's PostgreSQL driver."""

    distributions = ("adbc-driver-postgresql",)

    def __init__(self, url: str) -> None:
        """Connect."""
        from adbc_driver_postgresql import dbapi

        self.connection = dbapi.connect(url)

    def run(self) -> None:
        """Query."""
        with self.connection.cursor() as cursor:
            cursor.execute(OUT)
            self.table = cursor.fetch_arrow_table()


def made(rows: int, folder: Path) -> Path:
    """Return a file of positions, made at first use."""
    path = folder / f"positions_{rows}.parquet"
    if not path.exists():
        partial = Path(f"{path}.partial")
        subprocess.run([str(python_of("duckdb")), "-c", MAKE, str(partial), str(rows)], check=True)
        partial.rename(path)
    return path


def main() -> None:
    """Run the rows."""
    from servers import postgres

    chosen = options(__doc__)
    rows = chosen.pick(1_000_000, 4_000_000)
    path = made(rows, chosen.data)
    size = path.stat().st_size
    with postgres() as server:
        server.recreate("copy")
        url = server.url("copy")
        for table in ("ours", "theirs"):
            server.execute(f"CREATE TABLE {table} ({DDL})", "copy")

        def empty(arm: Arm) -> None:
            table = "ours" if arm.name == "metropulse" else "theirs"
            server.execute(f"TRUNCATE {table}", "copy")
            server.execute("CHECKPOINT", "copy")

        for connections, required in ((1, 0.95), (2, 1.6)):
            measure(
                f"COPY in, Parquet of 8 columns, {connections} connection{'s' if connections > 1 else ''}",
                rows=rows,
                size_bytes=size,
                ours=Arm("metropulse", "copy_rows:Ours", {"url": url, "path": str(path), "connections": connections}),
                peer=Arm("pgpq", "copy_rows:Pgpq", {"url": url, "path": str(path)}),
                required=required,
                before=empty,
                note="into a logged table without keys; the peer has one connection",
                bounded_by=(
                    "PostgreSQL itself takes about 0.9 s of processor time a million rows, we 0.25 s: with two connections "
                    "both cores are busy, and the server is the limit"
                ),
            )
        server.execute("DROP TABLE ours, theirs", "copy")
        server.execute(FACT.format(rows=rows), "copy")
        server.execute("VACUUM (FREEZE, ANALYZE) fact", "copy")
        server.execute("CHECKPOINT", "copy")
        heap = int(server.execute("SELECT pg_table_size('fact')", "copy"))
        ours = Arm("metropulse", "copy_rows:OursOut", {"url": url})
        peers = (
            (
                Arm("connectorx", "copy_rows:ConnectorxOut", {"url": url, "partitions": 2}),
                2.0,
                "two connections; the peer in two partitions",
            ),
            (Arm("adbc", "copy_rows:AdbcOut", {"url": url}), 0.95, "two connections; the peer has one"),
        )
        for peer, required, note in peers:
            measure(
                "COPY out, a fact of 8 columns into Arrow",
                rows=rows,
                size_bytes=heap,
                ours=ours,
                peer=peer,
                required=required,
                note=note,
                bounded_by="the server's backends and our decoding keep both cores busy",
            )


if __name__ == "__main__":
    main()
