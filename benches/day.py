"""Makes the raw days that the whole-day rows load: two days of a seeded city, named as the prototype did.

Run by the peers' interpreter, which has numpy and pyarrow:

    .venv-bench/bin/python benches/day.py FOLDER POSITIONS TRIPS [DAYS]

The first day has all dimensions and one fact in a hundred: it fills the warehouse, so that the second one, which the
benchmarks load, meets a history. From one day to the next one route in five and one rider in twenty changes. One row in
a thousand is a repetition of another, one position in a thousand has an impossible speed. With DAYS it makes so many
whole days instead, for the mart of a month.
"""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

FIRST, SECOND = "2024-05-01", "2024-05-02"
ROUTES, STOPS, VEHICLES = 200, 1_000, 2_000
ROW_GROUP = 256 * 1024
_DAY_SECONDS = 86_400
_TIME = pa.timestamp("us", tz="UTC")


def _ids(prefix: str, width: int, numbers: np.ndarray[Any, Any]) -> pa.Array:
    return pa.array([f"{prefix}{number:0{width}d}" for number in numbers.tolist()], pa.string())


def _pick(values: list[str], numbers: np.ndarray[Any, Any]) -> pa.Array:
    return pa.array(values).take(pa.array(numbers % len(values)))


def _times(start: int, seconds: np.ndarray[Any, Any]) -> pa.Array:
    return pa.array(((start + seconds) * 1_000_000).astype("int64"), pa.int64()).cast(_TIME)


def _money(cents: np.ndarray[Any, Any]) -> pa.Array:
    return pa.array(cents / 100.0)


def _repeated(table: pa.Table) -> pa.Table:
    """Add the repetitions."""
    again = np.arange(0, table.num_rows, 1_000) + 7
    return pa.concat_tables([table, table.take(pa.array(again[again < table.num_rows]))]).combine_chunks()


def _dimensions(rng: np.random.Generator, day: int, riders: int) -> dict[str, pa.Table]:
    routes, stops, vehicles, users = (np.arange(n) for n in (ROUTES, STOPS, VEHICLES, riders))
    born = 1_600_000_000
    fares = 4_000 + (routes * 37) % 5_000 + np.where((routes % 5 == 0) & (day > 0), 500 * day, 0)
    moved = (users % 20 == 0) * day
    return {
        "routes": pa.table(
            {
                "route_id": _ids("R", 3, routes),
                "name": pa.array([f"Route {number}" for number in routes.tolist()]),
                "transport_type": _pick(["bus", "tram", "metro"], routes),
                "base_fare": _money(fares),
                "schema_json": pa.array([f'{{"stops": ["S{n}", "S{n + 1}"]}}' for n in routes.tolist()]),
                "active_from": _times(born, routes),
                "active_to": pa.nulls(ROUTES, _TIME),
            }
        ),
        "stops": pa.table(
            {
                "stop_id": _ids("S", 1, stops),
                "name": pa.array([f"Stop {number}" for number in stops.tolist()]),
                "lat": pa.array(55.5 + rng.random(STOPS) * 0.5),
                "lon": pa.array(37.3 + rng.random(STOPS) * 0.6),
                "city": _pick(["Moscow"], stops),
            }
        ),
        "vehicles": pa.table(
            {
                "vehicle_id": _ids("VR", 5, vehicles),
                "route_id": _ids("R", 3, vehicles % ROUTES),
                "transport_type": _pick(["bus", "tram", "metro"], vehicles % ROUTES),
                "capacity": pa.array(60 + vehicles % 90),
                "vendor": _pick(["MAZ", "PESA", "Metrowagonmash"], vehicles),
                "commissioned_at": _times(born, vehicles),
                "decommissioned_at": pa.nulls(VEHICLES, _TIME),
            }
        ),
        "users": pa.table(
            {
                "user_id": _ids("U", 6, users),
                "created_at": _times(born, users),
                "city": _pick(["Moscow", "Khimki", "Mytishchi"], users + moved),
                "lang": _pick(["ru", "en"], users),
                "gender": _pick(["f", "m"], users // 2),
                "birthdate": pa.array((users % 15_000).astype("int32"), pa.int32()).cast(pa.date32()),
                "is_active": pa.array(users % 50 != 0),
            }
        ),
    }


def _events(rng: np.random.Generator, day: int, start: int, sizes: tuple[int, int, int]) -> dict[str, pa.Table]:
    positions, trips, riders = sizes
    number = np.arange(trips) + day * 100_000_000
    route = rng.integers(0, ROUTES, trips)
    begin = rng.integers(0, _DAY_SECONDS, trips)
    cents = rng.integers(3_000, 9_000, trips)
    user = rng.integers(0, riders, trips)
    vehicle = rng.integers(0, VEHICLES, positions)
    seen = rng.integers(0, _DAY_SECONDS, positions)
    speed = np.round(rng.random(positions) * 80, 2)
    speed[::1_000] = 999.0
    return {
        "trips": pa.table(
            {
                "trip_id": _ids("T", 9, number),
                "user_id": _ids("U", 6, user),
                "route_id": _ids("R", 3, route),
                "vehicle_id": _ids("VR", 5, route + ROUTES * rng.integers(0, VEHICLES // ROUTES, trips)),
                "start_ts": _times(start, begin),
                "end_ts": _times(start, begin + rng.integers(300, 5_000, trips)),
                "start_stop_id": _ids("S", 1, rng.integers(0, STOPS, trips)),
                "end_stop_id": _ids("S", 1, rng.integers(0, STOPS, trips)),
                "distance_m": pa.array(np.round(rng.random(trips) * 20_000, 1)),
                "fare": _money(cents),
                "status": _pick(["completed"], number),
            }
        ),
        "payments": pa.table(
            {
                "payment_id": _ids("PT", 9, number),
                "user_id": _ids("U", 6, user),
                "route_id": _ids("R", 3, route),
                "trip_id": _ids("T", 9, number),
                "amount": _money(cents),
                "currency": _pick(["RUB"], number),
                "status": _pick(["captured"], number),
                "payment_method": _pick(["card", "wallet", "promo"], number),
                "paid_at": _times(start, begin),
            }
        ),
        "vehicle_positions": pa.table(
            {
                "event_ts": _times(start, seen),
                "vehicle_id": _ids("VR", 5, vehicle),
                "route_id": _ids("R", 3, vehicle % ROUTES),
                "lat": pa.array(np.round(55.5 + rng.random(positions) * 0.5, 6)),
                "lon": pa.array(np.round(37.3 + rng.random(positions) * 0.6, 6)),
                "speed": pa.array(speed),
                "heading": pa.array(np.round(rng.random(positions) * 360, 1)),
                "provider_ts": _times(start, seen + 1),
            }
        ),
    }


def make(lake: Path, positions: int, trips: int) -> None:
    """Write both days under a folder, unless they are there."""
    if (lake / "_made").exists():
        return
    for day, dt in enumerate((FIRST, SECOND)):
        share = 100 if day == 0 else 1
        _write(lake, day, dt, (positions // share, trips // share, max(trips // 2, 1_000)))
    (lake / "_made").touch()


def make_days(lake: Path, positions: int, trips: int, days: int) -> None:
    """Write so many whole days from the first on under a folder, unless they are there."""
    if (lake / "_made").exists():
        return
    for day in range(days):
        dt = str(date.fromisoformat(FIRST) + timedelta(days=day))
        _write(lake, day, dt, (positions, trips, max(trips // 2, 1_000)))
    (lake / "_made").touch()


def _write(lake: Path, day: int, dt: str, sizes: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(seed=20_240_501 + day)
    start = int(datetime.fromisoformat(dt).replace(tzinfo=UTC).timestamp())
    tables = _dimensions(np.random.default_rng(1), day, sizes[2])
    for name, table in _events(rng, day, start, sizes).items():
        tables[name] = _repeated(table)
    folder = lake / f"dt={dt}"
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        pq.write_table(table, folder / f"{name}.parquet", compression="zstd", row_group_size=ROW_GROUP)


if __name__ == "__main__":
    if len(sys.argv) > 4:
        make_days(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    else:
        make(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
