"""A small city of three days that clash on purpose, and the whole state of a warehouse without surrogate keys."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq

DAYS = ("2024-05-01", "2024-05-02", "2024-05-03")


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2024, 5, day, hour, minute, tzinfo=UTC)


def trip(
    number: int, day: int, hour: int, *, route="R1", vehicle="V1", user="U1", fare=2.5, **more: Any
) -> dict[str, Any]:
    row = {
        "trip_id": f"T{number}",
        "user_id": user,
        "route_id": route,
        "vehicle_id": vehicle,
        "start_ts": at(day, hour),
    }
    row |= {"end_ts": at(day, hour, 30), "start_stop_id": "S1", "end_stop_id": "S2", "distance_m": 900.0, "fare": fare}
    return row | {"status": "completed"} | more


def payment(number: int, day: int, hour: int, *, method: str = "card", amount: float = 2.5) -> dict[str, Any]:
    row = {"payment_id": f"P{number}", "user_id": "U1", "route_id": "R1", "trip_id": f"T{number}", "amount": amount}
    return row | {"currency": "RUB", "status": "captured", "payment_method": method, "paid_at": at(day, hour, 20)}


def position(day: int, hour: int, vehicle: str, *, speed: float | None = 30.0, route: str = "R1") -> dict[str, Any]:
    row = {"event_ts": at(day, hour, 5), "vehicle_id": vehicle, "route_id": route, "lat": 55.7, "lon": 37.6}
    return row | {"speed": speed, "heading": 90.0}


def routes(**fares: float) -> list[dict[str, Any]]:
    return [
        {"route_id": r, "name": f"Route {r}", "transport_type": "bus", "base_fare": fare} for r, fare in fares.items()
    ]


def users(*named: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"user_id": user, "city": city, "lang": "en", "is_active": True} for user, city in named]


WORLD: dict[str, dict[str, list[dict[str, Any]]]] = {
    # T2 comes again on day 2 and day 3; P4 is paid before its trip T4 comes; V9 is known from facts alone.
    DAYS[0]: {
        "routes": routes(R1=10, R2=20, R3=5),
        "users": users(("U1", "Moscow"), ("U2", "Tver")),
        "vehicles": [{"vehicle_id": "V1", "capacity": 80}],
        "trips": [trip(1, 1, 8), trip(2, 1, 9, fare=3.0), trip(3, 1, 10, vehicle="V9", route="R3")],
        "payments": [payment(1, 1, 8), payment(2, 1, 9), payment(4, 1, 11)],
        "vehicle_positions": [position(1, 8, "V1"), position(1, 9, "V9"), position(1, 10, "V1", speed=900.0)],
    },
    # R3 is gone and R2's fare rises; an event of day 1 comes late; a method nobody knew.
    DAYS[1]: {
        "routes": routes(R1=10, R2=25),
        "users": users(("U1", "Riga")),
        "vehicles": [{"vehicle_id": "V1", "capacity": 90}, {"vehicle_id": "V2", "capacity": 40}],
        "trips": [
            trip(2, 1, 9, fare=3.5),
            trip(4, 2, 8, route="R2", user="U2"),
            trip(5, 2, 9, route="R3", vehicle="V8"),
        ],
        "payments": [payment(5, 2, 9, method="coin"), payment(1, 1, 8, amount=9.0)],
        "vehicle_positions": [position(2, 8, "V2", route="R2"), position(1, 23, "V8", route="R3")],
    },
    # Day 2 was a bad day: R2 has its old fare again, R3 is back.
    DAYS[2]: {
        "routes": routes(R1=10, R2=20, R3=5),
        "users": users(("U1", "Moscow"), ("U3", "Tver")),
        "trips": [trip(2, 3, 9, fare=4.0), trip(6, 3, 8, route="R2", user="U3"), trip(7, 2, 22, route="R3")],
        "payments": [payment(6, 3, 8), payment(4, 3, 11, amount=7.0)],
        "vehicle_positions": [position(3, 8, "V2", route="R2"), position(3, 9, "V9")],
    },
}


def write_day(lake: Path, day: str, datasets: dict[str, list[dict[str, Any]]]) -> None:
    folder = lake / f"dt={day}"
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in datasets.items():
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet")


def write_world(lake: Path) -> Path:
    for day, datasets in WORLD.items():
        write_day(lake, day, datasets)
    return lake


def load(pipeline: Any, *days: str) -> None:
    for day in days:
        pipeline.stage(day)
        pipeline.load_dimensions(day)
        pipeline.load_facts(day)


_ROUTE = "(SELECT (r.route_id, r.valid_from)::text FROM dwh.dim_route r WHERE r.route_sk = f.route_sk)"
_USER = "(SELECT (u.user_id, u.effective_from)::text FROM dwh.dim_user u WHERE u.user_sk = f.user_sk)"
_VEHICLE = "(SELECT v.vehicle_id FROM dwh.dim_vehicle v WHERE v.vehicle_sk = f.vehicle_sk)"
_TRIP = "(SELECT t.trip_id FROM dwh.fact_trip t WHERE t.trip_sk = f.trip_sk)"

_STATE = {
    "routes": "SELECT route_id, name, transport_type, base_fare, active_flag, valid_from, valid_to, is_inferred FROM dwh.dim_route",
    "users": "SELECT user_id, city, lang, is_active, effective_from, effective_to, is_inferred FROM dwh.dim_user",
    "vehicles": "SELECT vehicle_id, capacity, is_inferred FROM dwh.dim_vehicle",
    "stops": "SELECT stop_id, is_inferred FROM dwh.dim_stop",
    "route log": "SELECT * FROM dwh.dim_route_said",
    "user log": "SELECT * FROM dwh.dim_user_said",
    "vehicle log": "SELECT * FROM dwh.dim_vehicle_said",
    "trips": f"SELECT trip_id, {_USER}, {_ROUTE}, {_VEHICLE}, start_ts, end_ts, fare_amount, status, dt, file_no FROM dwh.fact_trip f",
    "payments": f"SELECT payment_id, {_USER}, {_ROUTE}, {_TRIP}, trip_id, (SELECT code FROM dwh.dim_payment_method m "
    "WHERE m.payment_method_sk = f.payment_method_sk), amount, paid_at, dt, file_no FROM dwh.fact_payment f",
    "positions": f"SELECT event_ts, {_VEHICLE}, {_ROUTE}, lat, lon, speed, dt FROM dwh.fact_vehicle_position f",
    "position hours": "SELECT dt, hour_bucket, route_id, position_cnt, speed_sum, speed_cnt, vehicles, settings_fingerprint "
    "FROM dwh.agg_position_route_hourly",
    "trip keys": "SELECT trip_id, dt FROM dwh.trip_key",
    "payment keys": "SELECT payment_id, dt FROM dwh.payment_key",
    "waiting trips": "SELECT trip_id, user_id, route_id, vehicle_id, fare_amount, dt, file_no FROM dwh.superseded_trip",
    "waiting payments": "SELECT payment_id, user_id, route_id, trip_id, amount, dt, file_no FROM dwh.superseded_payment",
    "ledger": "SELECT target, dt, file, file_no, size_bytes, sha256, rows_read, rows_loaded, rows_duplicate, rows_superseded, "
    "rows_rejected, settings_fingerprint, purged_at FROM dwh.load_ledger",
    "service dates": "SELECT * FROM dwh.fact_service_date",
    "rejects": "SELECT dataset, dt, file, row_number, reasons, row_json::text FROM staging.rejected",
    "repaired": "SELECT dataset, dt, file, row_number, repaired::text FROM staging.repaired",
    "staged": "SELECT 'trips', count(*), min(dt), max(dt) FROM staging.trips_raw UNION ALL SELECT 'routes', count(*), min(dt), "
    "max(dt) FROM staging.routes_raw UNION ALL SELECT 'positions', count(*), min(dt), max(dt) FROM staging.vehicle_positions_raw",
    "zone": "SELECT value FROM dwh.deployment WHERE name = 'time_zone'",
    "tables": "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
    "WHERE n.nspname IN ('dwh', 'staging') AND c.relkind IN ('r', 'p')",
}


def state(url: str) -> dict[str, list[Any]]:
    """Everything a load leaves behind, but for numbers and times of its own."""
    with psycopg.connect(url) as link:
        return {name: sorted(map(repr, link.execute(sql).fetchall())) for name, sql in _STATE.items()}  # type: ignore[arg-type]


def ask(url: str, sql: str) -> list[Any]:
    with psycopg.connect(url, autocommit=True) as link:
        cursor = link.execute(sql)  # type: ignore[arg-type]
        return cursor.fetchall() if cursor.description else []
