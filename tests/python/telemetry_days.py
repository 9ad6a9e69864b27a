"""Raw days as an agency's telemetry feed gives them, generated: positions, vehicles, routes and stops, and nothing else."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq

import metropulse as mp

ZONE = "America/Chicago"
DAYS = ("2016-11-24", "2016-11-25", "2016-11-26", "2016-11-27")
IMPOSSIBLE_SPEED = 291.291


@dataclass(frozen=True)
class Answers:
    """What a deployment must say of the days, worked out from their rows alone."""

    rows_read: list[int]
    utc_dates: dict[str, int]
    local_dates: dict[int, int]
    mart_rows: int
    mean_speed: float
    vehicles: int
    faulty_vehicle: str


def write(lake: Path, days: tuple[str, ...] = DAYS) -> Answers:
    """Write the days, the third of which has one impossible speed (the last one written, where they are fewer).

    Args:
        lake: The folder of the raw days; made.
        days: Which days, a run of them.

    Returns:
        The answers.
    """
    mp.Pipeline(lake=lake, time_zone=ZONE).generate(days[0], days=len(days), seed=24, scale=0.05)
    faulty = days[min(2, len(days) - 1)]
    rows_read, kept, vehicle = [], [], ""
    for dt in days:
        folder = lake / f"dt={dt}"
        for unknown in ("users", "trips", "payments"):
            (folder / f"{unknown}.parquet").unlink()
        (folder / "_manifest.json").unlink()
        file = folder / "vehicle_positions.parquet"
        rows = pq.read_table(file).to_pylist()
        rows_read.append(len(rows))
        if dt == faulty:
            rows[100]["speed"] = IMPOSSIBLE_SPEED
            vehicle = rows[100]["vehicle_id"]
            pq.write_table(pa.Table.from_pylist(rows, pq.read_schema(file)), file)
            del rows[100]
        kept += rows
    speeds = [row["speed"] for row in kept if row["speed"] is not None]
    return Answers(
        rows_read=rows_read,
        utc_dates=dict(Counter(_utc(row["event_ts"]).date().isoformat() for row in kept)),
        local_dates=dict(
            Counter(int(_utc(row["event_ts"]).astimezone(ZoneInfo(ZONE)).strftime("%Y%m%d")) for row in kept)
        ),
        mart_rows=len({(row["route_id"], _utc(row["event_ts"]).replace(minute=0, second=0, microsecond=0)) for row in kept}),
        mean_speed=sum(speeds) / len(speeds),
        vehicles=len({row["vehicle_id"] for row in kept}),
        faulty_vehicle=vehicle,
    )  # fmt: skip


def check(p: mp.Pipeline, answers: Answers) -> None:
    """Hold a deployment that loaded the days against the answers."""
    loaded = sum(answers.rows_read) - 1
    utc = p.warehouse.query(
        "select (event_ts at time zone 'UTC')::date::text as d, count(*) as n from dwh.fact_vehicle_position group by 1"
    ).to_pylist()
    assert {row["d"]: row["n"] for row in utc} == answers.utc_dates
    assert len(answers.utc_dates) == len(answers.rows_read) + 1, "a service day spans two UTC dates"
    assert p.warehouse.query(
        "select reasons, row_json->>'vehicle_id' as vehicle, (row_json->>'speed')::float8 as speed from staging.rejected"
    ).to_pylist() == [{"reasons": ["speed"], "vehicle": answers.faulty_vehicle, "speed": IMPOSSIBLE_SPEED}]
    ledger = p.warehouse.query(
        "select rows_read, rows_loaded from dwh.load_ledger where target = 'dwh.fact_vehicle_position' order by dt"
    ).to_pylist()
    assert [row["rows_read"] for row in ledger] == answers.rows_read
    assert sum(row["rows_loaded"] for row in ledger) == loaded
    local = p.warehouse.query(
        "select event_date_sk as d, count(*) as n from dwh.fact_vehicle_position group by 1"
    ).to_pylist()
    assert {row["d"]: row["n"] for row in local} == answers.local_dates
    [mart] = p.mart.query(
        "select toInt64(count()) as n, toInt64(countIf(trip_cnt > 0)) as with_trips, toInt64(sum(position_cnt)) as positions, "
        "sum(speed_sum) / sum(speed_cnt) as speed, toInt64(uniqExactMerge(vehicles)) as vehicles from mart_route_hourly"
    ).to_pylist()
    assert (mart["n"], mart["with_trips"], mart["positions"]) == (answers.mart_rows, 0, loaded)
    assert mart["vehicles"] == answers.vehicles
    assert abs(mart["speed"] - answers.mean_speed) < 1e-9


def _utc(instant: datetime) -> datetime:
    return instant.replace(tzinfo=ZoneInfo("UTC")) if instant.tzinfo is None else instant.astimezone(ZoneInfo("UTC"))
