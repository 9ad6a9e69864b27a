"""TIDES packages and raw days in miniature, and what a package must say of a raw day, worked out without us."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq

from answers import REAL_DATA

SCHEMAS = REAL_DATA.parent / "facts" / "tides"
"""The standard's own schemas, which are not part of the repository."""

INSTANT = pa.timestamp("us", "UTC")
COLUMNS = {
    "vehicle_positions": {
        "event_ts": INSTANT, "vehicle_id": pa.string(), "route_id": pa.string(), "lat": pa.float64(),
        "lon": pa.float64(), "speed": pa.float64(), "heading": pa.float64(), "trip_id": pa.string(),
        "stop_id": pa.string(), "current_stop_sequence": pa.int32(), "current_status": pa.string(),
        "odometer_m": pa.float64(),
    },
    "trips": {
        "trip_id": pa.string(), "user_id": pa.string(), "route_id": pa.string(), "vehicle_id": pa.string(),
        "start_ts": INSTANT, "end_ts": INSTANT, "start_stop_id": pa.string(), "end_stop_id": pa.string(),
        "scheduled_trip_id": pa.string(), "scheduled_start_time": pa.string(),
    },
    "payments": {
        "payment_id": pa.string(), "user_id": pa.string(), "trip_id": pa.string(), "amount": pa.decimal128(12, 2),
        "currency": pa.string(), "payment_method": pa.string(), "paid_at": INSTANT,
    },
    "vehicles": {
        "vehicle_id": pa.string(), "capacity": pa.int32(), "commissioned_at": INSTANT, "decommissioned_at": INSTANT,
    },
    "routes": {"route_id": pa.string(), "transport_type": pa.string()},
    "scheduled_trips": {
        "trip_id": pa.string(), "start_time": pa.string(), "direction_id": pa.int32(), "block_id": pa.string(),
        "shape_id": pa.string(), "start_ts": INSTANT, "end_ts": INSTANT,
    },
    "trip_updates": {
        "trip_id": pa.string(), "start_time": pa.string(), "stop_sequence": pa.int32(),
        "schedule_relationship": pa.string(), "updated_at": INSTANT,
    },
}  # fmt: skip
HELD = {
    "vehicle_positions": [
        "event_ts", "vehicle_id", "lat", "lon", "speed", "heading", "trip_id", "stop_id", "current_stop_sequence",
        "current_status", "odometer_m",
    ],
    "trips": [
        "trip_id", "route_id", "vehicle_id", "start_ts", "end_ts", "start_stop_id", "end_stop_id", "scheduled_trip_id",
        "scheduled_start_time",
    ],
    "payments": ["payment_id", "trip_id", "amount", "currency", "payment_method", "paid_at"],
    "vehicles": ["vehicle_id", "commissioned_at", "decommissioned_at"],
}  # fmt: skip
"""The columns of raw days that TIDES has a field for."""

REQUIRED = {
    "vehicle_positions": ["vehicle_id"],
    "trips": ["trip_id", "vehicle_id"],
    "payments": ["payment_id", "amount"],
    "vehicles": ["vehicle_id"],
}
STATUSES = ("INCOMING_AT", "STOPPED_AT", "IN_TRANSIT_TO")
FARE_MEDIA = ("Cash or coins", "Smart card or ticket", "Magnetic-stripe card or ticket", "Bank card", "Mobile NFC")
FILL = {"fare_action": "Enter", "fare_capped": "false"}

Row = dict[str, Any]


def at(text: str, zone: str = "UTC") -> datetime:
    """An instant by the clocks of a zone."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def write_day(lake: Path, day: str, **datasets: list[Row]) -> None:
    """Write a raw day."""
    folder = lake / f"dt={day}"
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in datasets.items():
        schema = pa.schema(list(COLUMNS[name].items()))
        pq.write_table(pa.Table.from_pylist(rows, schema), folder / f"{name}.parquet")


def read_day(lake: Path, day: str, name: str) -> list[Row]:
    """What a raw day has of a dataset, in an order of its own."""
    path = lake / f"dt={day}" / f"{name}.parquet"
    rows = pq.ParquetFile(path).read().to_pylist() if path.exists() else []
    return in_order({column: row.get(column) for column in HELD[name]} for row in rows)


def in_order(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: [str(value) for value in row.values()])


def held(name: str, rows: list[Row]) -> list[Row]:
    """What of a dataset's rows comes back: the columns that TIDES has, the values that it can hold, the rows that it takes."""
    unique = list({tuple(row.get(column) for column in COLUMNS[name]): row for row in rows}.values())
    kept = []
    for row in unique:
        told = {column: _held(column, row.get(column)) for column in HELD[name]}
        if all(told[column] is not None for column in REQUIRED[name]):
            kept.append(told)
    return in_order(kept)


def _held(column: str, value: Any) -> Any:
    if isinstance(value, str) and value in ("", "NA", "NaN"):
        return None
    if column == "current_status" and value not in STATUSES:
        return None
    if column == "payment_method" and value not in FARE_MEDIA:
        return None
    if column == "scheduled_start_time" and value is not None:
        hours = value.partition(":")[0]
        return value if hours == f"{int(hours):02}" else None
    if column == "heading" and value is not None and not 0 <= value <= 360:
        return None
    if column in ("odometer_m", "current_stop_sequence") and value is not None and value < 0:
        return None
    return value


def position(vehicle: str, time: datetime, **more: Any) -> Row:
    return {"vehicle_id": vehicle, "event_ts": time, "lat": 41.5, "lon": -87.5, **more}


def trip(name: str, start: datetime, **more: Any) -> Row:
    return {"trip_id": name, "vehicle_id": "bus 1", "start_ts": start, "end_ts": start + timedelta(minutes=20), **more}


def payment(name: str, time: datetime, amount: str | None = "2.50", **more: Any) -> Row:
    return {"payment_id": name, "paid_at": time, "amount": None if amount is None else Decimal(amount), **more}


def descriptor(folder: Path) -> dict[str, Any]:
    """The package's own description."""
    return json.loads((folder / "datapackage.json").read_text())


LOCATIONS = (
    "location_ping_id,service_date,event_timestamp,trip_id_scheduled,vehicle_id,current_status,latitude,longitude,speed\n"
    "p1,2024-05-01,2024-05-01T08:00:00-05:00,T1,bus 1,Stopped at,41.5,-87.5,10\n"
    "p2,2024-05-02,2024-05-02T00:30:00,T1,bus 1,,41.6,-87.6,\n"
)
TRIPS = (
    "service_date,trip_id_performed,vehicle_id,trip_id_scheduled,actual_trip_start,actual_trip_end,schedule_trip_start\n"
    "2024-05-01,run 1,bus 1,T1,2024-05-02T01:10:00-05:00,2024-05-02T01:40:00-05:00,2024-05-02T01:05:00-05:00\n"
)
FARES = (
    "transaction_id,service_date,event_timestamp,amount,currency_type,fare_action,fare_capped,trip_id_performed,fare_media_id\n"
    "f1,2024-05-01,2024-05-01T08:00:01-05:00,2.5,USD,Enter,false,run 1,Bank card\n"
)
FLEET = (
    "vehicle_id,vehicle_start,vehicle_end,capacity_seated\n"
    "bus 1,2019-01-01T00:00:00-06:00,2024-06-30T00:00:00-05:00,40\n"
)
PACKAGE = {"vehicle_locations": LOCATIONS, "trips_performed": TRIPS, "fare_transactions": FARES, "vehicles": FLEET}
"""A package of somebody else, by table."""


def describe(tables: Iterable[str], **more: Any) -> dict[str, Any]:
    """The description of a package with one CSV file for each table."""
    resources = [
        {
            "name": name,
            "profile": "tabular-data-resource",
            "path": f"{name}.csv",
            "schema": f"https://spec/{name}.schema.json",
        }
        for name in tables
    ]
    return {"profile": "https://spec/profile.json", "title": "A package", "resources": resources, **more}


def write_package(folder: Path, tables: dict[str, str] = PACKAGE, described: dict[str, Any] | None = None) -> Path:
    """Write a package into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in tables.items():
        (folder / f"{name}.csv").write_text(text, newline="")
    (folder / "datapackage.json").write_text(json.dumps(described or describe(tables)))
    return folder


def pack(folder: Path, path: Path, below: str = "") -> Path:
    """Pack a package's folder."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in sorted(folder.iterdir()):
            packed.write(file, f"{below}{file.name}")
        packed.writestr("__MACOSX/datapackage.json", "litter")
    return path


def days_of(first: str, count: int) -> list[str]:
    return [(date.fromisoformat(first) + timedelta(days=n)).isoformat() for n in range(count)]
