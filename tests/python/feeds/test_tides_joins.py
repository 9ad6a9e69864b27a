"""What other datasets of a raw day know of a trip or a report stands in its row of TIDES: random days against a plain join."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import metropulse as mp
from tides_packages import Row, write_day

pytestmark = pytest.mark.core

DAY, NEXT = "2024-05-01", "2024-05-02"
EIGHT = datetime(2024, 5, 1, 8, tzinfo=UTC)
RELATIONSHIPS = {
    "SCHEDULED": "Scheduled", "ADDED": "Added", "UNSCHEDULED": "Unscheduled", "CANCELED": "Canceled",
    "DUPLICATED": "Duplicated",
}  # fmt: skip
ROUTE_TYPES = {"bus": "Bus", "tram": "Tram / Streetcar / Light rail", "coach": "Coach Service"}

# Few of each, so that they meet often.
trip_ids = st.sampled_from(["T1", "T2", "T3"])
start_times = st.sampled_from(["08:00:00", "08:30:00"])
route_ids = st.sampled_from(["R1", "R2", "R3"])
vehicle_ids = st.sampled_from(["bus 1", "bus 2"])
minutes = st.integers(0, 60)
labels = st.sampled_from([None, "A", "NA"])


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), values)


def rows(most: int, key: tuple[str, ...] = (), **columns: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Row]]:
    """Rows of a dataset, of which no two have one key."""
    unique = (lambda row: tuple(row[name] for name in key)) if key else None
    return st.lists(st.fixed_dictionaries(columns), max_size=most, unique_by=unique)


def spans(length: int | None, minute: int) -> Row:
    """A run's first and last instant."""
    start = EIGHT + timedelta(minutes=minute)
    return {"start_ts": start, "end_ts": None if length is None else start + timedelta(minutes=length)}


span = st.builds(spans, maybe(st.integers(0, 30)), minutes)
RUNS = rows(
    5, ("trip_id", "start_time"), trip_id=trip_ids, start_time=start_times, span=span,
    direction_id=st.sampled_from([None, 0, 1, 2]), block_id=labels, shape_id=labels,
)  # fmt: skip
UPDATES = rows(
    6, trip_id=trip_ids, start_time=maybe(start_times),
    schedule_relationship=st.sampled_from([None, "REPLACEMENT", *RELATIONSHIPS]),
)  # fmt: skip
TRIPS = rows(
    5, scheduled_trip_id=maybe(trip_ids), scheduled_start_time=maybe(start_times), span=span, vehicle_id=vehicle_ids,
    route_id=maybe(route_ids),
)  # fmt: skip
ROUTES = rows(3, ("route_id",), route_id=route_ids, transport_type=st.sampled_from([None, "other", *ROUTE_TYPES]))
REPORTS = rows(8, trip_id=maybe(trip_ids), vehicle_id=vehicle_ids, minute=minutes)


@st.composite
def days(draw: st.DrawFn) -> dict[str, list[Row]]:
    def spanned(found: list[Row]) -> list[Row]:
        return [{name: value for name, value in row.items() if name != "span"} | row["span"] for row in found]

    updates = draw(UPDATES)
    order = draw(st.permutations(range(len(updates))))
    return {
        "routes": draw(ROUTES),
        "scheduled_trips": spanned(draw(RUNS)),
        "trip_updates": [
            row | {"stop_sequence": number, "updated_at": EIGHT + timedelta(seconds=order[number])}
            for number, row in enumerate(updates)
        ],
        "trips": [row | {"trip_id": f"run {number}"} for number, row in enumerate(spanned(draw(TRIPS)))],
        # Each with an odometer of its own, by which it is known.
        "vehicle_positions": [
            {"trip_id": row["trip_id"], "vehicle_id": row["vehicle_id"], "lat": 1.5, "lon": 2.5, "odometer_m": float(number),
             "event_ts": EIGHT + timedelta(minutes=row["minute"])}
            for number, row in enumerate(draw(REPORTS))
        ],
    }  # fmt: skip


def known_of(trip: Row, day: dict[str, list[Row]]) -> Row:
    """What is told of a performed trip that stands in other datasets of the day."""
    planned, start = trip["scheduled_trip_id"], trip["scheduled_start_time"]
    starts = [run["start_time"] for run in day["scheduled_trips"] if run["trip_id"] == planned]

    def named(time: str | None) -> str | None:
        return starts[0] if time is None and len(starts) == 1 else time

    runs = [run for run in day["scheduled_trips"] if run["trip_id"] == planned and run["start_time"] == named(start)]
    run = runs[0] if runs else {}
    said = [said for said in day["trip_updates"] if said["trip_id"] == planned and said["schedule_relationship"]]
    said = [said for said in said if named(start) is not None and named(said["start_time"]) == named(start)]
    last = max(said, key=lambda said: said["updated_at"])["schedule_relationship"] if said else None
    kinds = {route["route_id"]: route["transport_type"] for route in day["routes"]}
    direction, shape, block = (run.get(name) for name in ("direction_id", "shape_id", "block_id"))
    return {
        "trip_id_performed": trip["trip_id"],
        "direction_id": direction if direction in (0, 1) else None,
        # That text means that there is none.
        "shape_id": None if shape == "NA" else shape,
        "block_id": None if block == "NA" else block,
        "schedule_trip_end": run.get("end_ts"),
        "schedule_relationship": RELATIONSHIPS.get(last),
        "route_type": ROUTE_TYPES.get(kinds.get(trip["route_id"])),
    }


def performed_of(report: Row, trips: list[Row]) -> str | None:
    """The performed trip that a report is of, where one alone can be."""
    fitting = [
        trip["trip_id"]
        for trip in trips
        if report["trip_id"] is not None
        and (trip["scheduled_trip_id"], trip["vehicle_id"]) == (report["trip_id"], report["vehicle_id"])
        and trip["start_ts"] <= report["event_ts"]
        and (trip["end_ts"] is None or report["event_ts"] <= trip["end_ts"])
    ]
    return fitting[0] if len(fitting) == 1 else None


def told(path: Path, *fields: str) -> list[Row]:
    """Some fields of a table, in the order of the first."""
    found = pq.ParquetFile(path).read(list(fields)).to_pylist() if path.exists() else []
    return sorted(({name: row[name] for name in fields} for row in found), key=lambda row: row[fields[0]])


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(day=days().filter(lambda day: day["trips"] or day["vehicle_positions"]))
def test_what_other_datasets_know_of_a_row_stands_in_it(day: dict[str, list[Row]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        lake, package = Path(folder, "lake"), Path(folder, "package")
        write_day(lake, DAY, **{name: found for name, found in day.items() if found})
        mp.export_tides(lake, package, DAY, NEXT, time_zone="UTC", file_format="parquet")
        trips = [known_of(trip, day) for trip in day["trips"]]
        fields = list(
            known_of(dict.fromkeys(["trip_id", "scheduled_trip_id", "scheduled_start_time", "route_id"]), day)
        )
        assert told(package / f"trips_performed-{DAY}.parquet", *fields) == trips
        reports = [
            {"odometer": report["odometer_m"], "trip_id_performed": performed_of(report, day["trips"])}
            for report in day["vehicle_positions"]
        ]
        assert told(package / f"vehicle_locations-{DAY}.parquet", "odometer", "trip_id_performed") == reports
