"""Rollups of positions and trips beside Polars and chDB: `.venv/bin/python benches/rollup.py --size small|full`."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from protocol import HERE, Arm, Trial, measure, options, python_of, say

POSITIONS = {"time": "event_ts", "measures": {"speed": ("avg", "speed"), "n": "count"}}
TRIPS = {
    "time": "start_ts",
    "measures": {
        "trips": ("count_distinct", "trip_id"),
        "fares": ("sum", "fare"),
        "seconds": ("avg", "duration_sec"),
        "metres": ("sum", "distance_m"),
    },
}
COLUMNS = {"positions": ("speed", "n"), "trips": ("trips", "fares", "seconds", "metres")}
THREADS = 2
BOUNDED_BY = {
    "positions": (
        "zstd's decompression, which both pay alike, is two thirds of our processor time; keys, hours and sums together "
        "are an eighth, copying pages from the kernel a twelfth"
    ),
    "trips": (
        "zstd's decompression is a third to two fifths of our processor time, packing and binning the ids a fifth, "
        "counting them a twelfth, fresh memory from the kernel a twelfth"
    ),
}


class Ours(Trial):
    """This project."""

    distributions = ("metropulse",)

    def __init__(self, path: str, table: str) -> None:
        """Import; the file is opened in the run."""
        import metropulse

        self._module, self._path, self._table = metropulse, path, table

    def run(self) -> None:
        """Roll up."""
        asked: Any = POSITIONS if self._table == "positions" else TRIPS
        self._found = self._module.rollup_hourly(self._path, keys=["route_id"], threads=THREADS, **asked)

    def result(self) -> list[list[Any]]:
        """Return the rows, sorted by route and hour."""
        names = COLUMNS[self._table]
        return [
            [row["route_id"], int(row["hour_bucket"].timestamp()), *(row[name] for name in names)]
            for row in self._found.to_pylist()
        ]


class Polars(Trial):
    """Polars, lazily, so that only the columns in use are read."""

    distributions = ("polars",)

    def __init__(self, path: str, table: str, engine: str) -> None:
        """Import, with as many threads as ours."""
        os.environ["POLARS_MAX_THREADS"] = str(THREADS)
        import polars

        self._polars, self._path, self._table, self._engine = polars, path, table, engine

    def run(self) -> None:
        """Group by route and hour."""
        c = self._polars.col
        if self._table == "positions":
            time, measures = "event_ts", [c("speed").mean(), self._polars.len().alias("n")]
        else:
            distinct = c("trip_id").n_unique().alias("trips")
            measures = [distinct, c("fare").sum(), c("duration_sec").mean(), c("distance_m").sum()]
            time = "start_ts"
        hour = c(time).dt.truncate("1h").alias("hour")
        grouped = self._polars.scan_parquet(self._path).group_by("route_id", hour).agg(measures)
        self._found = grouped.collect(engine=self._engine)

    def result(self) -> list[list[Any]]:
        """Return the rows, sorted by route and hour."""
        seconds = self._polars.col("hour").dt.epoch("s")
        return [list(row) for row in self._found.with_columns(seconds).sort("route_id", "hour").iter_rows()]


class Chdb(Trial):
    """chDB, whose answer comes as Arrow."""

    distributions = ("chdb",)

    def __init__(self, path: str, table: str) -> None:
        """Import, and write the query."""
        import chdb

        time, measures = (
            ("event_ts", "avg(speed), count()")
            if table == "positions"
            else ("start_ts", "uniqExact(trip_id), sum(fare), avg(duration_sec), sum(distance_m)")
        )
        self._chdb = chdb
        self._sql = (
            f"SELECT route_id, toUnixTimestamp(toStartOfHour({time}, 'UTC')) AS hour, {measures} "
            f"FROM file('{path}', Parquet) GROUP BY route_id, hour SETTINGS max_threads = {THREADS}"
        )

    def run(self) -> None:
        """Run the query."""
        self._found = self._chdb.query(self._sql, "ArrowStream")

    def result(self) -> list[list[Any]]:
        """Return the rows, sorted by route and hour."""
        import pyarrow.ipc

        table = pyarrow.ipc.open_stream(self._found.bytes()).read_all()
        rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
        text = lambda value: value.decode() if isinstance(value, bytes) else value  # noqa: E731
        return sorted([text(route), hour, *values] for route, hour, *values in rows)


def made(kind: str, rows: int, folder: Path) -> Path:
    """Return a file of the data, made at first use."""
    file = folder / f"rollup_{kind}_{rows}.parquet"
    if not file.exists():
        say(f"making {file.name}")
        command = [str(python_of("peers")), str(HERE / "rollup_data.py"), kind, str(file), str(rows)]
        subprocess.run(command, check=True)
    return file


def main() -> None:
    """Print a line for each work and peer."""
    chosen = options(__doc__)
    pick = chosen.pick
    works = [
        ("positions in order of time by route and hour", "positions", "ordered", pick(4_000_000, 32_400_000), 1.8),
        ("positions in random order by route and hour", "positions", "shuffled", pick(2_000_000, 16_000_000), 1.8),
        ("distinct trips by route and hour, UUIDs", "trips", "uuid", pick(500_000, 2_000_000), 1.5),
        ("distinct trips by route and hour, short ids", "trips", "short", pick(500_000, 2_000_000), 1.5),
        ("distinct trips by route and hour, repeated UUIDs", "trips", "repeats", pick(500_000, 2_000_000), 1.5),
        ("distinct trips by route and hour, long ids", "trips", "long", pick(500_000, 2_000_000), 1.0),
    ]  # fmt: skip
    for work, table, kind, rows, required in works:
        file = made(kind, rows, chosen.data)
        arguments = {"path": str(file), "table": table}
        ours = Arm("metropulse", "rollup:Ours", arguments)
        peers = [
            (Arm("polars", "rollup:Polars", {**arguments, "engine": "streaming"}), required),
            # Several times slower on these works, so only where there is time.
            *pick([], [(Arm("polars (in memory)", "rollup:Polars", {**arguments, "engine": "in-memory"}), required)]),
            (Arm("chdb", "rollup:Chdb", arguments), 2.0),
        ]
        for peer, least in peers:
            measure(
                work,
                rows=rows,
                size_bytes=file.stat().st_size,
                ours=ours,
                peer=peer,
                required=least,
                bounded_by=BOUNDED_BY[table],
            )


if __name__ == "__main__":
    main()
