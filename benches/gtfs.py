"""A timetable of 435,000 stop times into a raw day, beside what merely reads it: `.venv/bin/python benches/gtfs.py`."""

from __future__ import annotations

import io
import os
import random
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from protocol import Arm, Trial, measure, options, say

DAY, ZONE = "2024-05-06", "America/New_York"
THREADS = 2
# The size and the shape of a real feed of a city: every trip of some seven services, one of which runs on a day.
TRIPS, CALLS, STOPS, SHAPES, SERVICES = 14_700, 435_000, 2_350, 180, 5
TABLES = ("routes.txt", "stops.txt", "trips.txt", "stop_times.txt", "shapes.txt")


def clock(at: int) -> str:
    """Write a time as agencies do: hours without padding, past midnight counted on."""
    return f"{at // 3600}:{at // 60 % 60:02}:{at % 60:02}"


def pattern(chance: random.Random, calls: int) -> Iterator[tuple[int, int, float]]:
    """Draw the calls of a shape: stop, seconds since the first, distance."""
    seconds, metres = 0, 0.0
    for _ in range(calls):
        yield chance.randrange(STOPS), seconds, metres
        seconds, metres = seconds + chance.randrange(20, 200), metres + chance.random()


def make_feed(path: Path, scale: int) -> int:
    """Write the feed; return its stop times.

    The trips of a shape stand together and call at its stops, at its distances, as in real feeds: the zip is as small.
    """
    chance = random.Random(7)
    trips, calls = [], []
    shapes = [list(pattern(chance, CALLS // TRIPS + shape % 2)) for shape in range(SHAPES)]
    for n in range(TRIPS * scale):
        shape = n * SHAPES // (TRIPS * scale)
        trips.append(f"{n % 45},W{n % SERVICES},{300_000 + n},Downtown via {n % 90}th Street,{n % 2},{n // 9},{shape}")
        start = chance.randrange(4 * 3600, 24 * 3600)
        for sequence, (stop, seconds, metres) in enumerate(shapes[shape], 1):
            at = clock(start + seconds)
            calls.append(f"{300_000 + n},{at},{at},{stop},{sequence},0,0,{metres:.4f},{sequence % 5 == 1:d}")
    days = "1,1,1,1,1,1,1,20240101,20241231"
    points = [
        f"{shape},{40 + chance.random():.6f},{-74 - chance.random():.6f},{n},{n * 0.012:.4f}"
        for shape in range(SHAPES)
        for n in range(300)
    ]
    tables = {
        "agency.txt": ["agency_name,agency_url,agency_timezone", f"City,http://a.example,{ZONE}"],
        "routes.txt": [
            "route_id,route_short_name,route_long_name,route_type",
            *(f"{n},{n},{n}th Avenue,3" for n in range(45)),
        ],
        "stops.txt": [
            "stop_id,stop_code,stop_name,stop_lat,stop_lon",
            *(f"{n},{n},{n}th St @ Main,{40 + chance.random():.6f},{-74 - chance.random():.6f}" for n in range(STOPS)),
        ],
        "calendar.txt": [
            "service_id,monday,tuesday,wednesday,thursday,friday,saturday,sunday,start_date,end_date",
            *(f"W{n},{days if n == 0 else days.replace('1,1,1,1,1,1,1', '0,0,0,0,0,1,1')}" for n in range(SERVICES)),
        ],
        "trips.txt": ["route_id,service_id,trip_id,trip_headsign,direction_id,block_id,shape_id", *trips],
        "stop_times.txt": [
            "trip_id,arrival_time,departure_time,stop_id,stop_sequence,pickup_type,drop_off_type,shape_dist_traveled,timepoint",
            *calls,
        ],
        "shapes.txt": ["shape_id,shape_pt_lat,shape_pt_lon,shape_pt_sequence,shape_dist_traveled", *points],
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, lines in tables.items():
            packed.writestr(name, "\r\n".join(lines) + "\r\n")
    return len(calls)


class Ours(Trial):
    """This project: the whole feed read, one date expanded and written as a raw day."""

    distributions = ("metropulse",)

    def __init__(self, path: str, folder: str) -> None:
        """Import; the feed is opened in the run."""
        import metropulse

        self._module, self._path, self._folder = metropulse, path, Path(folder)

    def prepare(self) -> None:
        """Forget the day, which would be unchanged."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def run(self) -> None:
        """Write the day."""
        self._report = self._module.ingest_gtfs(self._path, self._folder, DAY, time_zone=ZONE)

    def result(self) -> dict[str, int]:
        """Return how many rows each file had."""
        files = self._report.feeds[0].files
        return {name: files[name].rows_read for name in TABLES}


class Polars(Trial):
    """Polars, reading every file as text, and nothing else."""

    distributions = ("polars",)

    def __init__(self, path: str) -> None:
        """Import, with as many threads as ours."""
        os.environ["POLARS_MAX_THREADS"] = str(THREADS)
        import polars

        self._polars, self._path = polars, path

    def run(self) -> None:
        """Read."""
        with zipfile.ZipFile(self._path) as packed:
            self._tables = {
                name: self._polars.read_csv(io.BytesIO(packed.read(name)), infer_schema=False)
                for name in packed.namelist()
            }

    def result(self) -> dict[str, int]:
        """Return how many rows each file had."""
        return {name: self._tables[name].height for name in TABLES}


class GtfsKit(Trial):
    """gtfs_kit, reading the feed into pandas."""

    distributions = ("gtfs-kit", "pandas")

    def __init__(self, path: str) -> None:
        """Import."""
        import gtfs_kit

        self._module, self._path = gtfs_kit, Path(path)

    def run(self) -> None:
        """Read."""
        self._feed: Any = self._module.read_feed(self._path, dist_units="km")

    def result(self) -> dict[str, int]:
        """Return how many rows each file had."""
        return {name: len(getattr(self._feed, name.removesuffix(".txt"))) for name in TABLES}


def main() -> None:
    """Measure a day beside both readers."""
    found = options(__doc__)
    path = found.data / "gtfs.zip"
    scale = 10 if found.size == "full" else 1
    rows_file = path.with_suffix(".rows")
    if not rows_file.exists():
        say(f"making {path}")
        rows_file.write_text(str(make_feed(path, scale)))
    rows = int(rows_file.read_text())
    ours = Arm("metropulse", "gtfs:Ours", {"path": str(path), "folder": str(found.data / "gtfs-lake")})
    for peer, trial, required in (("polars", "gtfs:Polars", 1.5), ("gtfs_kit", "gtfs:GtfsKit", 5.0)):
        measure(
            "a GTFS timetable into a raw day" if peer == "polars" else "the same feed",
            rows=rows,
            size_bytes=path.stat().st_size,
            ours=ours,
            peer=Arm(peer, trial, {"path": str(path)}),
            required=required,
            bounded_by="inflating the zip is a third of our processor time, lines and numbers a fifth, Parquet a sixth; both cores "
            "are busy",
            note=f"{peer} only reads the files; ours reads them, expands one date and writes its five Parquet files",
        )


if __name__ == "__main__":
    main()
