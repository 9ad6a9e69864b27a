"""Days of an agency's own feeds, as files, and what the warehouse holds of them without surrogate keys."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq

import metropulse as mp

ZONE = ZoneInfo("America/New_York")
FIRST, SECOND = "2024-05-01", "2024-05-02"

_INSTANT = pa.timestamp("us", tz="UTC")
_TYPES = {
    "stop_sequence": pa.int32(),
    "direction_id": pa.int32(),
    "timepoint": pa.int32(),
    "pickup_type": pa.int32(),
    "drop_off_type": pa.int32(),
    "arrival_delay_sec": pa.int32(),
    "departure_delay_sec": pa.int32(),
    "current_stop_sequence": pa.int32(),
    "exact_times": pa.bool_(),
    "start_date": pa.date32(),
}
_NUMBERS = ("shape_dist", "odometer_m", "lat", "lon", "speed", "heading")


def local(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2024, 5, day, hour, minute, tzinfo=ZONE).astimezone(UTC)


def utc(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2024, 5, day, hour, minute, tzinfo=UTC)


def run(trip: str, start: str, route: str, begins: datetime, **more: Any) -> dict[str, Any]:
    row = {"trip_id": trip, "start_time": start, "route_id": route, "start_ts": begins, "end_ts": None}
    row |= {"service_id": "WEEKDAY", "direction_id": 0, "block_id": "B1", "shape_id": "SH1", "headsign": "Downtown"}
    return row | {"exact_times": None} | more


def call(trip: str, start: str, sequence: int, stop: str, at: datetime | None, **more: Any) -> dict[str, Any]:
    row = {"trip_id": trip, "start_time": start, "stop_sequence": sequence, "stop_id": stop}
    row |= {"arrival_ts": at, "departure_ts": at, "timepoint": int(at is not None), "pickup_type": 0}
    return row | {"drop_off_type": 0, "shape_dist": 100.5 * sequence} | more


def update(trip: str, sequence: int | None, stop: str | None, made: datetime | None, **more: Any) -> dict[str, Any]:
    row = {"trip_id": trip, "start_time": "08:00:00", "stop_sequence": sequence, "stop_id": stop, "route_id": "R1"}
    row |= {"vehicle_id": "V1", "schedule_relationship": "SCHEDULED", "stop_schedule_relationship": None}
    row |= {"arrival_ts": None, "arrival_delay_sec": None, "departure_ts": None, "departure_delay_sec": None}
    return row | {"updated_at": made} | more


def alert(name: str, content: str, **more: Any) -> dict[str, Any]:
    row = {"alert_id": name, "content": content, "cause": "CONSTRUCTION", "effect": "DETOUR", "severity": None}
    row |= {"active_from": local(1, 6), "active_to": None, "header": "Detour", "description": None}
    row |= {"informed_entities": '[{"route_id": "R1"}]', "first_seen": local(1, 7), "last_seen": local(1, 9)}
    return row | more


def write(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    """Write one file, every column of it typed as the feeds' readers type it."""
    kind = {name: _TYPES.get(name, pa.float64() if name in _NUMBERS else pa.string()) for name in rows[0]}
    kind |= {name: _INSTANT for name in rows[0] if name.endswith(("_ts", "_at", "_seen", "active_from", "active_to"))}
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(rows, schema=pa.schema(list(kind.items())))
    pq.write_table(table, folder / f"{name}.parquet")


def schedule(day: int, points: str = "[[40.0, -74.0], [40.1, -74.1]]") -> dict[str, list[dict[str, Any]]]:
    """A day that has nothing but a schedule: two runs of R1 at eight, one of R2 past midnight."""
    return {
        "routes": [{"route_id": "R1", "name": "One", "transport_type": "bus"}, {"route_id": "R2", "name": "Two"}],
        "stops": [{"stop_id": "S1", "name": "Here", "lat": 40.0, "lon": -74.0}],
        "shapes": [{"shape_id": "SH1", "points": points}],
        "scheduled_trips": [
            run("T1", "08:00:00", "R1", local(day, 8), end_ts=local(day, 8, 40)),
            run("T1", "08:30:00", "R1", local(day, 8, 30), exact_times=False),
            run("T2", "25:10:00", "R2", local(day + 1, 1, 10), shape_id="SH9", headsign=None),
        ],
        "scheduled_stop_times": [
            call("T1", "08:00:00", 1, "S1", local(day, 8)),
            call("T1", "08:00:00", 5, "S9", None),
            call("T2", "25:10:00", 1, "S1", local(day + 1, 1, 10)),
        ],
    }


def realtime(day: int) -> dict[str, list[dict[str, Any]]]:
    """What was predicted and told on a day."""
    return {
        "trip_updates": [
            update("T1", 1, "S1", local(day, 8, 2), arrival_delay_sec=60),
            update("T1", 1, "S1", local(day, 8, 1), arrival_delay_sec=30),
            update("T1", None, "S9", local(day, 8, 1), stop_schedule_relationship="SKIPPED"),
            update("TX", None, None, local(day, 9), schedule_relationship="CANCELED", vehicle_id=None, route_id=None),
        ],
        "alerts": [alert("A1", "digest1"), alert("A1", "digest2", header="Longer detour")],
    }


def write_day(lake: Path, dt: str, *datasets: dict[str, list[dict[str, Any]]]) -> None:
    for name, rows in (pair for these in datasets for pair in these.items()):
        write(lake / f"dt={dt}", name, rows)


def pipeline_on(lake: Path, warehouse: str, **more: Any) -> mp.Pipeline:
    return mp.Pipeline(lake=lake, warehouse=warehouse, time_zone="America/New_York", reject_limit=0.5, **more)


def position(vehicle: str, at: datetime, **more: Any) -> dict[str, Any]:
    row = {"event_ts": at, "vehicle_id": vehicle, "route_id": "R1", "lat": 40.0, "lon": -74.0, "speed": 30.0}
    return row | {"heading": 90.0, "provider_ts": at} | more


REPORT = {
    "trip_id": "T1",
    "start_date": date(2024, 5, 1),
    "direction_id": 1,
    "stop_id": "S1",
    "current_stop_sequence": 4,
    "current_status": "STOPPED_AT",
    "occupancy_status": "FEW_SEATS_AVAILABLE",
    "odometer_m": 1234.5,
    "vehicle_label": "Bus 1",
    "received_at": local(1, 8, 1),
}

_ROUTE = "(SELECT (r.route_id, r.valid_from)::text FROM dwh.dim_route r WHERE r.route_sk = f.route_sk)"
_STOP = "(SELECT s.stop_id FROM dwh.dim_stop s WHERE s.stop_sk = f.stop_sk)"
_SHAPE = "(SELECT (s.shape_id, s.points)::text FROM dwh.dim_shape s WHERE s.shape_sk = f.shape_sk)"
_VEHICLE = "(SELECT v.vehicle_id FROM dwh.dim_vehicle v WHERE v.vehicle_sk = f.vehicle_sk)"

_STATE = {
    "routes": "SELECT route_id, name, valid_from, valid_to, is_inferred FROM dwh.dim_route",
    "stops": "SELECT stop_id, name, is_inferred FROM dwh.dim_stop",
    "vehicles": "SELECT vehicle_id, is_inferred FROM dwh.dim_vehicle",
    "shapes": "SELECT shape_id, points::text, valid_from, valid_to, is_inferred FROM dwh.dim_shape",
    "shape log": "SELECT * FROM dwh.dim_shape_said",
    "runs": f"SELECT trip_id, start_time, {_ROUTE}, {_SHAPE}, start_ts, end_ts, exact_times, headsign, dt, file_no "
    "FROM dwh.fact_scheduled_trip f",
    "calls": f"SELECT trip_id, start_time, stop_sequence, {_STOP}, arrival_ts, departure_ts, timepoint, shape_dist, dt "
    "FROM dwh.fact_scheduled_stop_time f",
    "updates": f"SELECT trip_id, start_time, stop_sequence, {_STOP}, {_ROUTE}, {_VEHICLE}, schedule_relationship, "
    "stop_schedule_relationship, arrival_delay_sec, updated_at, dt FROM dwh.fact_trip_update f",
    "alerts": "SELECT alert_id, content, cause, effect, header, informed_entities::text, first_seen, last_seen, dt "
    "FROM dwh.fact_alert",
    "service dates": "SELECT * FROM dwh.fact_service_date",
    "dirty": "SELECT DISTINCT service_date FROM dwh.mart_dirty",
    "ledger": "SELECT target, dt, file, rows_read, rows_loaded, rows_duplicate, rows_superseded, rows_rejected, purged_at "
    "FROM dwh.load_ledger",
    "tables": "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
    "WHERE n.nspname IN ('dwh', 'staging') AND c.relkind IN ('r', 'p')",
}


def state(url: str) -> dict[str, list[Any]]:
    """Everything a load of feeds leaves behind, but for numbers and times of its own."""
    with psycopg.connect(url) as link:
        return {name: sorted(map(repr, link.execute(sql).fetchall())) for name, sql in _STATE.items()}  # type: ignore[arg-type]
