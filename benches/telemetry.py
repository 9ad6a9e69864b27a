"""One raw day of positions, Parquet into ClickHouse: beside the engine reading the file itself, and its own client."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from copy_rows import MAKE
from protocol import ROOT, Arm, Trial, measure, options, python_of, say

DAY = "2024-05-01"
COLUMNS = "dt, event_ts, event_us, vehicle_id, route_id, lat, lon, speed, heading, provider_us"
DDL = """CREATE TABLE IF NOT EXISTS theirs (dt Date, event_ts DateTime('UTC'), event_us Int64, vehicle_id String,
    route_id String, lat Float64, lon Float64, speed Nullable(Float64), heading Nullable(Float64),
    provider_us Nullable(Int64)) ENGINE = MergeTree PARTITION BY dt ORDER BY (vehicle_id, event_ts)"""
FROM_FILE = """INSERT INTO theirs SELECT toDate('2024-05-01'), toDateTime(event_ts, 'UTC'),
    toUnixTimestamp64Micro(event_ts), vehicle_id, route_id, lat, lon, speed, heading,
    toUnixTimestamp64Micro(provider_ts) FROM file('{path}', Parquet)"""
DIGEST = """SELECT toInt64(count()), toString(sum(cityHash64(event_us, toUInt32(event_ts), vehicle_id, route_id, lat, lon,
    ifNull(speed, toFloat64(0)), ifNull(heading, toFloat64(0)), ifNull(provider_us, toInt64(0))))) FROM {table}"""


def ask(url: str, sql: str, user: str = "", password: str = "") -> str:
    """Run one statement over HTTP."""
    request = urllib.request.Request(url.rsplit("/", 1)[0] + "/", data=sql.encode())
    if user:
        request.add_header("X-ClickHouse-User", user)
        request.add_header("X-ClickHouse-Key", password)
    with urllib.request.urlopen(request, timeout=600) as answer:
        return answer.read().decode().strip()


class Ours(Trial):
    """`Pipeline.load_telemetry`: cleans and judges every row, loads, verifies the checksum, swaps the day in."""

    distributions = ("metropulse",)

    def __init__(self, lake: str, url: str, user: str = "", password: str = "") -> None:
        """Open."""
        import metropulse

        self.server = (url, user, password)
        self.pipeline = metropulse.Pipeline(
            lake=lake, mart=url, mart_user=user or None, mart_password=password or None, connections=2
        )

    def _ask(self, sql: str) -> str:
        url, user, password = self.server
        return ask(url, sql, user, password)

    def prepare(self) -> None:
        """Forget the day."""
        for table in ("vehicle_position", "vehicle_position_load"):
            self._ask(f"DROP TABLE IF EXISTS {table}")

    def run(self) -> None:
        """Load the day."""
        self.pipeline.load_telemetry(DAY)

    def result(self) -> Any:
        """Return rows and checksum."""
        return self._ask(DIGEST.format(table="vehicle_position")).split("\t")


class FromFile(Trial):
    """chdb: INSERT ... SELECT FROM file()."""

    distributions = ("chdb",)

    def __init__(self, path: str) -> None:
        """Open a folder of its own."""
        import chdb

        self.folder = tempfile.mkdtemp(prefix="metropulse-bench-chdb-")
        self.connection = chdb.connect(self.folder)
        self.path = path

    def prepare(self) -> None:
        """Make the table anew."""
        self.connection.query("DROP TABLE IF EXISTS theirs")
        self.connection.query(DDL)

    def run(self) -> None:
        """Load the file."""
        self.connection.query(FROM_FILE.format(path=self.path))

    def result(self) -> Any:
        """Return rows and checksum."""
        return str(self.connection.query(DIGEST.format(table="theirs"), "TSV")).strip().split("\t")

    def close(self) -> None:
        """Leave nothing behind."""
        self.connection.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class NativeClient(Trial):
    """clickhouse-client sending a file in its own format; the file is made beforehand, and its making is not timed."""

    def __init__(self, native: str, url: str, port: int) -> None:
        """Remember where."""
        self.native, self.url = native, url
        self.command = ["clickhouse-client", "--host=127.0.0.1", f"--port={port}"]

    def prepare(self) -> None:
        """Make the table anew."""
        ask(self.url, "DROP TABLE IF EXISTS theirs")
        ask(self.url, DDL)

    def run(self) -> None:
        """Load the file."""
        insert = f"INSERT INTO theirs ({COLUMNS}) FORMAT Native"
        with open(self.native, "rb") as data:  # noqa: PTH123
            subprocess.run([*self.command, f"--query={insert}"], stdin=data, check=True)

    def result(self) -> Any:
        """Return rows and checksum."""
        return ask(self.url, DIGEST.format(table="theirs")).split("\t")


def services() -> ModuleType:
    """Load the module that starts Debian's server for the tests."""
    spec = importlib.util.spec_from_file_location("services", ROOT / "tests" / "services.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def old_server() -> Iterator[tuple[str, int] | None]:
    """Run ClickHouse 18.16 with an empty folder; None where it is not installed."""
    folder = Path(tempfile.mkdtemp(prefix="metropulse-bench-ch18-"))
    try:
        with services().clickhouse_18(folder) as url:
            yield (url, int(os.environ["METROPULSE_TEST_CLICKHOUSE_18_TCP_PORT"])) if url else None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


NATIVE = """
import sys
import chdb
select = f"SELECT toDate('2024-05-01') AS dt, toDateTime(event_ts, 'UTC') AS event_ts, " \\
    f"toUnixTimestamp64Micro(x.event_ts) AS event_us, assumeNotNull(vehicle_id) AS vehicle_id, " \\
    f"assumeNotNull(route_id) AS route_id, assumeNotNull(lat) AS lat, assumeNotNull(lon) AS lon, speed, heading, " \\
    f"toUnixTimestamp64Micro(provider_ts) AS provider_us FROM file('{sys.argv[1]}', Parquet) AS x"
select = select.replace("toDateTime(event_ts", "toDateTime(x.event_ts")
casts = "dt, assumeNotNull(event_ts) AS event_ts, assumeNotNull(event_us) AS event_us, vehicle_id, route_id, lat, lon, " \\
    "CAST(speed AS Nullable(Float64)) AS speed, CAST(heading AS Nullable(Float64)) AS heading, " \\
    "CAST(provider_us AS Nullable(Int64)) AS provider_us"
chdb.query(f"SELECT {casts} FROM ({select}) INTO OUTFILE '{sys.argv[2]}' TRUNCATE FORMAT Native")
"""


def main() -> None:
    """Run the rows."""
    from servers import clickhouse

    chosen = options(__doc__)
    rows = chosen.pick(2_000_000, 16_000_000)
    lake = chosen.data / f"telemetry_{rows}"
    path = lake / f"dt={DAY}" / "vehicle_positions.parquet"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([str(python_of("duckdb")), "-c", MAKE, str(path), str(rows)], check=True)
    size = path.stat().st_size
    with clickhouse() as server:
        arguments = {"lake": str(lake), "url": server.url, "user": server.user, "password": server.password}
        measure(
            "telemetry of a day into ClickHouse 26.9",
            rows=rows,
            size_bytes=size,
            ours=Arm("metropulse", "telemetry:Ours", arguments),
            peer=Arm("chdb", "telemetry:FromFile", {"path": str(path)}),
            required=0.7,
            note="ours hashes the file, cleans, finds duplicates, verifies and swaps; the peer's engine reads the file",
            bounded_by=(
                "hashing, cleaning and the search for duplicates come before a row is sent, and the server works out a checksum "
                "of all that it stored before the day is swapped in"
            ),
        )
    with old_server() as old:
        if old is None or shutil.which("clickhouse-client") is None:
            say("ClickHouse 18.16 is not installed: its row is left out")
            return
        url, port = old
        native = lake / "positions.native"
        if not native.exists():
            subprocess.run([str(python_of("chdb")), "-c", NATIVE, str(path), str(native)], check=True)
        measure(
            "telemetry of a day into ClickHouse 18.16",
            rows=rows,
            size_bytes=size,
            ours=Arm("metropulse", "telemetry:Ours", {"lake": str(lake), "url": url}),
            peer=Arm("clickhouse-client", "telemetry:NativeClient", {"native": str(native), "url": url, "port": port}),
            required=1.0,
            note="the peer sends a file that is in its own format already",
        )


if __name__ == "__main__":
    main()
