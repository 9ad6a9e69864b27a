"""Days big enough that a load takes a while, in several contradictory versions, and what a reader sees of them at once."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq

from .model import COLUMNS, DIMENSIONS, FACTS, Day

UTC = dt.UTC
DAYS = tuple(dt.date(2024, 5, n) for n in (1, 2, 3))

_CONTENT = {
    "dim_route": "SELECT route_id, name, active_flag, valid_from, valid_to, is_inferred FROM dwh.dim_route",
    "dim_user": "SELECT user_id, city, gender, effective_from, effective_to, is_inferred FROM dwh.dim_user",
    "dim_vehicle": "SELECT vehicle_id, vendor, is_inferred FROM dwh.dim_vehicle",
    "dim_stop": "SELECT stop_id, name, is_inferred FROM dwh.dim_stop",
    "fact_trip": "SELECT f.trip_id, f.status, f.dt, r.route_id, r.valid_from, u.user_id, u.effective_from, v.vehicle_id "
    "FROM dwh.fact_trip f JOIN dwh.dim_route r USING (route_sk) JOIN dwh.dim_user u USING (user_sk) "
    "JOIN dwh.dim_vehicle v USING (vehicle_sk)",
    "fact_payment": "SELECT f.payment_id, f.amount, f.dt, r.route_id, r.valid_from, t.trip_id FROM dwh.fact_payment f "
    "JOIN dwh.dim_route r USING (route_sk) LEFT JOIN dwh.fact_trip t ON t.trip_sk = f.trip_sk",
    "fact_vehicle_position": "SELECT f.event_ts, f.speed, f.dt, r.route_id, r.valid_from, v.vehicle_id "
    "FROM dwh.fact_vehicle_position f JOIN dwh.dim_route r USING (route_sk) JOIN dwh.dim_vehicle v USING (vehicle_sk)",
    "ledger": "SELECT target, dt, file, sha256, rows_read, rows_loaded, rows_superseded, rows_rejected "
    "FROM dwh.load_ledger WHERE target LIKE 'dwh.%'",
}
# Everything in one statement: one snapshot, taken when every lock is held.
_SIGNATURE = " UNION ALL ".join(
    f"SELECT '{name}' AS what, md5(coalesce(string_agg(q::text, '|' ORDER BY q::text), '')) AS digest FROM ({content}) q"
    for name, content in _CONTENT.items()
)
_AGREEMENT = (
    "SELECT l.target, l.dt, l.loaded, f.found FROM (SELECT target, dt, sum(rows_loaded) AS loaded FROM dwh.load_ledger "
    "WHERE target LIKE 'dwh.fact%' GROUP BY 1, 2) l FULL JOIN ("
    + " UNION ALL ".join(
        f"SELECT 'dwh.{t}' AS target, dt, count(*) AS found FROM dwh.{t} GROUP BY dt"
        for t in ("fact_trip", "fact_payment", "fact_vehicle_position")
    )
    + ") f USING (target, dt) WHERE coalesce(l.loaded, 0) <> coalesce(f.found, 0)"
)
SAMPLE = (
    f"SELECT (SELECT json_object_agg(what, digest ORDER BY what) FROM ({_SIGNATURE}) s)::text, "
    f"(SELECT json_agg(a)::text FROM ({_AGREEMENT}) a)"
)


def sample(connection: psycopg.Connection) -> tuple[str, str | None]:
    """One snapshot: a digest of dimensions, facts and ledger, and where ledger and facts disagree (None: nowhere)."""
    ((signature, disagreement),) = connection.execute(SAMPLE).fetchall()
    return signature, disagreement


class City:
    """Files of three days; the second has versions ``a``, ``b`` (corrected) and ``c`` (almost everything vanished)."""

    def __init__(self, folder: Path, lake: Path, scale: int) -> None:
        self.folder, self.lake, self.scale = folder, lake, scale
        for name, day in (("1", DAYS[0]), ("a", DAYS[1]), ("b", DAYS[1]), ("c", DAYS[1]), ("3", DAYS[2])):
            self._make(name, day)

    def put(self, name: str, dataset: str | None = None) -> None:
        """Make a version the day's files in the lake, of one dataset or of all."""
        day = {"1": DAYS[0], "3": DAYS[2]}.get(name, DAYS[1])
        for one in [dataset] if dataset else COLUMNS:
            here, there = self.folder / name / f"{one}.parquet", self.lake / f"dt={day}" / f"{one}.parquet"
            there.parent.mkdir(parents=True, exist_ok=True)
            there.unlink(missing_ok=True)
            if here.exists():
                shutil.copy(here, there)

    def _make(self, name: str, day: Day) -> None:
        begin = dt.datetime.combine(day, dt.time(), UTC)
        n, seed = self.scale, {"1": 1, "a": 2, "b": 3, "c": 4, "3": 5}[name]
        when = [begin + dt.timedelta(seconds=(i * 37 * seed) % 90_000 - 1_800) for i in range(n)]
        route = [f"R{(i * seed) % 12}" for i in range(n)]
        tables: dict[str, dict[str, list[Any]]] = {
            "routes": {
                "route_id": [f"R{i}" for i in range(10) if i != seed],
                "name": [f"n{i}{seed if i % 2 else ''}" for i in range(10) if i != seed],
            },
            "stops": {"stop_id": ["S1", "S2"], "name": [f"s{seed}", "t"]},
            "users": {
                "user_id": [f"U{i}" for i in range(50 + seed)],
                "city": [f"c{i % 3}{seed if i % 5 == 0 else ''}" for i in range(50 + seed)],
                "gender": [f"g{seed}"] * (50 + seed),
            },
            "vehicles": {"vehicle_id": [f"V{i}" for i in range(8)], "vendor": [f"v{seed}"] * 8},
            # A third of the keys are those of every version and day.
            "trips": {
                "trip_id": [f"T{i}" if i % 3 == 0 else f"T{name}-{i}" for i in range(n)],
                "user_id": [f"U{i % 70}" for i in range(n)],
                "route_id": route,
                "vehicle_id": [f"V{i % (8 + seed)}" for i in range(n)],
                "start_ts": when,
                "status": [f"s{seed}"] * n,
            },
            "payments": {
                "payment_id": [f"P{i}" if i % 3 == 0 else f"P{name}-{i}" for i in range(n)],
                "route_id": route,
                "trip_id": [f"T{i}" for i in range(n)],
                "amount": [float(seed)] * n,
                "payment_method": ["card"] * n,
                "paid_at": when,
            },
            "vehicle_positions": {
                "event_ts": when * 3,
                "vehicle_id": [f"V{i % (8 + seed)}" for i in range(3 * n)],
                "route_id": route * 3,
                "lat": [55.0 + (i % 1000) / 1000 for i in range(3 * n)],
                "lon": [37.0] * (3 * n),
                "speed": [float(seed)] * (3 * n),
            },
        }
        (self.folder / name).mkdir(parents=True)
        for dataset, columns in tables.items():
            if name != "c" or dataset in ("routes", "stops"):
                # Several row groups, so that several connections copy.
                pq.write_table(
                    pa.table(columns), self.folder / name / f"{dataset}.parquet", row_group_size=max(n // 2, 1)
                )


def states(pipeline: Any, city: City, name: str, reader: psycopg.Connection) -> list[str]:
    """Load a version of the second day dataset by dataset; every state that a reader may see on the way."""
    seen = [sample(reader)[0]]
    for dataset in (*DIMENSIONS, *FACTS):
        city.put(name, dataset)
        (pipeline.load_dimensions if dataset in DIMENSIONS else pipeline.load_facts)(DAYS[1])
        signature, disagreement = sample(reader)
        assert disagreement is None
        seen.append(signature)
    return seen
