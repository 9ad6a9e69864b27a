"""GTFS Schedule once more, with csv and zoneinfo alone: what a service date must hold, worked out another way."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

Files = dict[str, str]
"""The text of a feed's files, by name."""


ZONE = "America/New_York"
DAY = "2024-05-06"  # a Monday

FEED: Files = {
    "agency.txt": f"agency_id,agency_name,agency_url,agency_timezone\nA,City Bus,http://a.example,{ZONE}\n",
    "routes.txt": (
        "route_id,agency_id,route_short_name,route_long_name,route_type,route_color\n"
        "R1,A,1,First Street,3,FF0000\nR2,A,,Ferry,4,\nR3,A,M,,401,\n"
    ),
    "stops.txt": "stop_id,stop_name,stop_lat,stop_lon,zone_id\nS1,One,40.1,-74.1,z\nS2,Two,40.2,-74.2,\nS3,Three,,,\n",
    "trips.txt": (
        "route_id,service_id,trip_id,trip_headsign,direction_id,block_id,shape_id\n"
        "R1,WK,T1,Uptown,0,B1,P\nR1,WK,T2,,1,,\nR2,SU,T3,,,,\n"
    ),
    "stop_times.txt": (
        "trip_id,arrival_time,departure_time,stop_id,stop_sequence,pickup_type,drop_off_type,timepoint,shape_dist_traveled\n"
        "T1,08:00:00,08:01:00,S1,1,0,1,1,0.0\nT1,,,S2,2,,,0,\nT1,08:20:00,08:20:00,S3,3,3,,1,7.5\n"
        "T2,23:50:00,23:50:00,S3,5,,,,\nT2,24:30:00,24:30:00,S1,9,,,,\nT3,09:00:00,09:00:00,S1,1,,,,\n"
    ),
    "calendar.txt": (
        "service_id,monday,tuesday,wednesday,thursday,friday,saturday,sunday,start_date,end_date\n"
        "WK,1,1,1,1,1,0,0,20240101,20241231\nSU,0,0,0,0,0,0,1,20240101,20241231\n"
    ),
    "shapes.txt": "shape_id,shape_pt_lat,shape_pt_lon,shape_pt_sequence\nP,40.2,-74.2,2\nP,40.1,-74.1,1\n",
}
"""A feed in miniature."""


def write_zip(path: Path, files: Files, folder: str = "") -> Path:
    """Pack a feed; the same files are the same bytes, whenever they are packed."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, text in files.items():
            packed.writestr(zipfile.ZipInfo(f"{folder}{name}"), text, zipfile.ZIP_DEFLATED)
    return path


def table(files: Files, name: str) -> list[dict[str, str]]:
    text = files.get(name, "").removeprefix("\ufeff")
    return [
        {key.strip(): (value or "").strip() for key, value in row.items()} for row in csv.DictReader(io.StringIO(text))
    ]


def seconds(text: str) -> int | None:
    if not text:
        return None
    hours, minutes, rest = text.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + int(rest)


def clock(at: int) -> str:
    return f"{at // 3600:02}:{at // 60 % 60:02}:{at % 60:02}"


def instant(zone: str, day: date, at: int | None) -> datetime | None:
    """Noon of the service date less twelve hours, plus the time."""
    if at is None:
        return None
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    return noon - timedelta(hours=12) + timedelta(seconds=at)


def services(files: Files, day: date) -> set[str]:
    running = set()
    for row in table(files, "calendar.txt"):
        start, end = (datetime.strptime(row[name], "%Y%m%d").date() for name in ("start_date", "end_date"))
        if start <= day <= end and row[WEEKDAYS[day.weekday()]] == "1":
            running.add(row["service_id"])
    for row in table(files, "calendar_dates.txt"):
        if row["date"] == f"{day:%Y%m%d}":
            (running.add if row["exception_type"] == "1" else running.discard)(row["service_id"])
    return running


def expand(files: Files, zone: str, day: date) -> tuple[dict, dict]:
    """The runs by (trip, start time) with first and last instant and flag; their calls by that and sequence."""
    running = services(files, day)
    calls: dict[str, dict[int, dict[str, str]]] = {}
    for row in table(files, "stop_times.txt"):
        calls.setdefault(row["trip_id"], {})[int(row["stop_sequence"])] = row
    headways: dict[str, list[dict[str, str]]] = {}
    for row in table(files, "frequencies.txt"):
        headways.setdefault(row["trip_id"], []).append(row)
    runs, stops = {}, {}
    for trip_id, trip in {row["trip_id"]: row for row in table(files, "trips.txt")}.items():
        if trip["service_id"] not in running:
            continue
        ordered = sorted(calls.get(trip_id, {}).items())
        times = [(seconds(row["arrival_time"]), seconds(row["departure_time"])) for _, row in ordered]
        timed = [(a if d is None else d, d if a is None else a) for a, d in times if (a, d) != (None, None)]
        first, last = (timed[0][0], timed[-1][1]) if timed else (None, None)
        starts: dict[int, bool | None] = {}
        if trip_id in headways:
            for row in headways[trip_id]:
                span = range(seconds(row["start_time"]), seconds(row["end_time"]), int(row["headway_secs"]))
                starts.update(dict.fromkeys(span, row.get("exact_times") == "1"))
        elif first is not None:
            starts[first] = None
        for start, exact in starts.items():
            shift = 0 if first is None else start - first
            key = (trip_id, clock(start))
            end = None if last is None else last + shift
            runs[key] = (instant(zone, day, start), instant(zone, day, end), exact)
            for (sequence, row), (arrival, departure) in zip(ordered, times, strict=True):
                stops[(*key, sequence)] = (
                    row["stop_id"] or None,
                    instant(zone, day, None if arrival is None else arrival + shift),
                    instant(zone, day, None if departure is None else departure + shift),
                )
    return runs, stops


def read(lake: Path, day: str, name: str) -> list[dict]:
    """The rows of one table of a raw day."""
    return pq.read_table(lake / f"dt={day}" / f"{name}.parquet").to_pylist()


def written(lake: Path, day: str) -> tuple[dict, dict]:
    """What the lake holds of a day, in the form of `expand`."""
    trips = read(lake, day, "scheduled_trips")
    runs = {(r["trip_id"], r["start_time"]): (r["start_ts"], r["end_ts"], r["exact_times"]) for r in trips}
    calls = read(lake, day, "scheduled_stop_times")
    stops = {
        (r["trip_id"], r["start_time"], r["stop_sequence"]): (r["stop_id"], r["arrival_ts"], r["departure_ts"])
        for r in calls
    }
    assert (len(runs), len(stops)) == (len(trips), len(calls)), "a key stands twice"
    return runs, stops


def manifest(lake: Path, day: str) -> dict:
    return json.loads((lake / f"dt={day}" / "_manifest.json").read_text())
