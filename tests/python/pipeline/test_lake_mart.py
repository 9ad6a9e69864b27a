"""The mart built from the lake has the rows that it has when built from the warehouse."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

import metropulse as mp
import telemetry_days
from answers import AUSTIN_DAYS, DATA, PROTOTYPE_DAYS, REAL_DATA, mart_rows, needs_real_data, same_rows

pytestmark = [pytest.mark.core, pytest.mark.embedded]


def compare(pipeline_on, lake: Path, days, **settings) -> None:
    """From the warehouse, from the lake beside it, and from a lake without any warehouse."""
    p = pipeline_on(lake, **settings)
    for dt in days:
        p.run(dt)
    wanted = mart_rows(p)
    dates = sorted({row["service_date"] for row in wanted})

    report = p.build_route_hourly(source="lake")
    assert report.source == "lake"
    same_rows(mart_rows(p), wanted)
    assert p.build_route_hourly(source="lake").unchanged

    other = pipeline_on(lake, **settings)
    alone = mp.Pipeline.from_settings(
        type(other.settings)(
            lake=other.settings.lake,
            mart=other.settings.mart,
            mart_user=other.settings.mart_user,
            mart_password=other.settings.mart_password,
            time_zone=other.settings.time_zone,
            tuning=other.settings.tuning,
        )
    )
    first, after_last = dates[0], dates[-1] + timedelta(days=1)
    alone.build_route_hourly(first, first + timedelta(days=1), source="lake")
    same_rows(mart_rows(alone), [row for row in wanted if row["service_date"] == first])
    alone.build_route_hourly(first, after_last, source="lake")
    same_rows(mart_rows(alone), wanted)


def test_the_prototypes_days(pipeline_on):
    compare(pipeline_on, DATA / "prototype_raw", PROTOTYPE_DAYS)


def test_days_of_telemetry_alone_in_their_own_zone(pipeline_on, tmp_path):
    telemetry_days.write(tmp_path / "raw")
    compare(pipeline_on, tmp_path / "raw", telemetry_days.DAYS, time_zone=telemetry_days.ZONE)


@needs_real_data
def test_austins_days_in_their_own_zone(pipeline_on):
    compare(pipeline_on, REAL_DATA / "austin_raw", AUSTIN_DAYS, time_zone="America/Chicago")


def change(lake: Path, dt: str, dataset: str, edit) -> None:
    file = lake / f"dt={dt}" / f"{dataset}.parquet"
    pq.write_table(pa.Table.from_pylist(edit(pq.read_table(file).to_pylist()), pq.read_schema(file)), file)
    (lake / f"dt={dt}" / "_manifest.json").unlink(missing_ok=True)


def test_a_generated_city_with_dirt(pipeline_on, tmp_path):
    """Repeats, rejects, trips and payments in two days, a route renamed, closed and back, events over midnight."""
    lake = tmp_path / "raw"
    city = mp.Pipeline(lake=lake, time_zone="Asia/Kolkata")
    city.generate("2024-05-01", days=4, seed=11, scale=0.05)
    days = [f"2024-05-0{n}" for n in (1, 2, 3, 4)]
    trips = pq.read_table(lake / "dt=2024-05-01" / "trips.parquet").to_pylist()
    payments = pq.read_table(lake / "dt=2024-05-02" / "payments.parquet").to_pylist()

    def late_trips(rows):
        moved = [{**trip, "fare": trip["fare"] + 1, "start_ts": trip["start_ts"]} for trip in trips[:40]]
        return [*rows, *moved, *rows[:5], {**rows[6], "status": "cancelled"}, {**rows[7], "route_id": None}]

    def late_payments(rows):
        return [*rows, *payments[:30], *rows[:3], {**rows[4], "amount": -rows[4]["amount"]}]

    def dirty_positions(rows):
        rows[3]["speed"] = 500.0
        rows[4]["lat"] = None
        rows[5]["speed"] = None
        rows[6]["route_id"] = "R-unknown"
        rows[7]["vehicle_id"] = "V-unknown"
        for row in rows[8:20]:
            row["event_ts"] += timedelta(hours=20)
        return [*rows, *rows[30:60]]

    def renamed(rows):
        rows[0]["name"] = "a new name"
        return rows[:1] + rows[2:]

    change(lake, days[2], "trips", late_trips)
    change(lake, days[3], "payments", late_payments)
    change(lake, days[1], "vehicle_positions", dirty_positions)
    change(lake, days[2], "routes", renamed)
    shutil.rmtree(lake / "dt=2024-05-04" / "routes.parquet", ignore_errors=True)
    compare(pipeline_on, lake, days, time_zone="Asia/Kolkata")


def test_a_date_that_lost_its_events_goes(pipeline_on, tmp_path):
    lake = tmp_path / "raw"
    shutil.copytree(DATA / "prototype_raw", lake)
    p = pipeline_on(lake)
    p.build_route_hourly(source="lake")
    dates = {row["service_date"] for row in mart_rows(p)}
    shutil.rmtree(lake / "dt=2024-05-03")
    last = max(dates)
    p.build_route_hourly(last, last + timedelta(days=1), source="lake")
    assert last not in {row["service_date"] for row in mart_rows(p)}


def test_an_unknown_source_is_refused(pipeline_on):
    with pytest.raises(mp.ConfigError, match="expected warehouse or lake"):
        pipeline_on(DATA / "prototype_raw").build_route_hourly(source="attic")
