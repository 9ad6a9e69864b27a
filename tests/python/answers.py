"""The known answers of the input in tests/data and of recorded days, and everything a user can see of a deployment, comparable."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

DATA = Path(__file__).parents[1] / "data"
REAL_DATA = Path(os.environ.get("METROPULSE_REAL_DATA", "/METROPULSE_REAL_DATA-is-not-set"))
"""Recorded days, which are not part of the repository; tests/data/README.md describes them."""
needs_real_data = pytest.mark.skipif(
    "METROPULSE_REAL_DATA" not in os.environ, reason="METROPULSE_REAL_DATA does not name a folder of recorded days"
)
PROTOTYPE_DAYS = ("2024-05-01", "2024-05-02", "2024-05-03")
AUSTIN_DAYS = ("2016-11-24", "2016-11-25", "2016-11-26", "2016-11-27")

# What the warehouse says, with surrogate keys resolved to business key and start of version.
HISTORY = """
    select route_id, name, transport_type, base_fare::text as base_fare, schema_json::text as schema_json, active_flag,
           valid_from, valid_to, is_current, is_inferred
    from dwh.dim_route where route_sk <> 0 order by route_id, valid_from
"""
USERS = """
    select user_id, city, lang, gender, birthdate, created_at, is_active, effective_from, effective_to, is_current
    from dwh.dim_user where user_sk <> 0 order by user_id, effective_from
"""
VEHICLES = """
    select vehicle_id, route_id, transport_type, capacity, vendor, commissioned_at, decommissioned_at, is_inferred
    from dwh.dim_vehicle where vehicle_sk <> 0 order by vehicle_id
"""
TRIPS = """
    select f.trip_id, f.dt, f.start_ts, f.end_ts, f.duration_sec, f.distance_m, f.fare_amount::text as fare, f.status,
           u.user_id, u.effective_from, r.route_id, r.valid_from, v.vehicle_id, s.stop_id as start_stop, e.stop_id as end_stop
    from dwh.fact_trip f join dwh.dim_user u using (user_sk) join dwh.dim_route r using (route_sk)
    join dwh.dim_vehicle v using (vehicle_sk)
    join dwh.dim_stop s on s.stop_sk = f.start_stop_sk join dwh.dim_stop e on e.stop_sk = f.end_stop_sk order by f.trip_id
"""
PAYMENTS = """
    select f.payment_id, f.dt, f.paid_at, f.amount::text as amount, f.currency, f.status, u.user_id, u.effective_from,
           r.route_id, r.valid_from, m.code, t.trip_id
    from dwh.fact_payment f join dwh.dim_user u using (user_sk) join dwh.dim_route r using (route_sk)
    join dwh.dim_payment_method m using (payment_method_sk) left join dwh.fact_trip t on t.trip_sk = f.trip_sk
    order by f.payment_id
"""
POSITIONS = """
    select f.dt, v.vehicle_id, r.route_id, r.valid_from, count(*) as n, sum(f.speed::numeric)::text as speed,
           sum(f.lat::numeric)::text as lat, min(f.event_ts) as first_ts, max(f.event_ts) as last_ts,
           sum(f.event_date_sk::bigint)::bigint as dates, sum(f.event_time_sk::bigint)::bigint as times
    from dwh.fact_vehicle_position f join dwh.dim_vehicle v using (vehicle_sk) join dwh.dim_route r using (route_sk)
    group by 1, 2, 3, 4 order by 1, 2, 3, 4
"""
LEDGER = """
    select target, dt, file, sha256, rows_read, rows_loaded, rows_duplicate, rows_superseded, rows_rejected
    from dwh.load_ledger order by 1, 2, 3
"""
MART = """
    select route_id, name, transport_type, toString(hour_bucket) as hour_bucket, toString(service_date) as service_date,
           trip_cnt, avg_fare, avg_duration_sec, sum_distance_m, round(avg_speed, 9) as avg_speed, toString(fare_sum) as fare_sum,
           fare_cnt, duration_sum_sec, duration_cnt, speed_cnt, position_cnt, payment_cnt, toString(revenue) as revenue,
           vehicle_cnt, rider_cnt, finalizeAggregation(vehicles) as vehicles, finalizeAggregation(riders) as riders
    from mart_route_hourly order by route_id, hour_bucket
"""


def state(p) -> dict[str, list]:
    """Everything a user can see, surrogate numbers aside."""
    queries = {
        "routes": HISTORY, "users": USERS, "vehicles": VEHICLES, "trips": TRIPS, "payments": PAYMENTS,
        "positions": POSITIONS, "ledger": LEDGER,
    }  # fmt: skip
    found = {name: p.warehouse.query(sql).to_pylist() for name, sql in queries.items()}
    return {**found, "mart": p.mart.query(MART).to_pylist()}


def one(table) -> dict:
    rows = table.to_pylist()
    assert len(rows) == 1
    return rows[0]


def check_prototype(p) -> None:
    """Every known answer of prototype_raw."""
    routes = one(p.warehouse.query(
        "select count(*) as versions, count(distinct route_id) as routes, count(*) filter (where is_current) as current, "
        "count(*) filter (where route_id = 'R003') as r003 from dwh.dim_route where route_sk <> 0"
    ))  # fmt: skip
    assert routes == {"versions": 25, "routes": 20, "current": 20, "r003": 3}
    users = p.warehouse.query("select count(*) as n from dwh.dim_user where user_sk <> 0").to_pylist()
    assert users == [{"n": 121}], "120 riders, one of whom moved"
    trips = one(p.warehouse.query(
        "select count(*) as n, sum(fare_amount)::text as fares, sum(distance_m) as metres, "
        "sum(duration_sec)::bigint as seconds from dwh.fact_trip"
    ))  # fmt: skip
    assert trips == {"n": 272, "fares": "14944.40", "metres": 3_555_537.0, "seconds": 545_160}
    payments = one(p.warehouse.query(
        "select count(*) as n, sum(amount)::text as amounts, count(trip_sk) as resolved from dwh.fact_payment"
    ))  # fmt: skip
    assert payments == {"n": 272, "amounts": "14944.40", "resolved": 272}
    assert p.warehouse.query("select count(*) as n from dwh.fact_vehicle_position").to_pylist() == [{"n": 54_516}]
    assert p.warehouse.query("select count(*) as n from staging.rejected").to_pylist() == [{"n": 0}]
    by_date = p.mart.query(
        "select toString(service_date) as d, toInt64(count()) as n from mart_route_hourly group by d order by d"
    ).to_pylist()
    assert [(r["d"], r["n"]) for r in by_date] == [
        ("2024-05-01", 98), ("2024-05-02", 135), ("2024-05-03", 140), ("2024-05-04", 1)
    ]  # fmt: skip
    mart = one(p.mart.query(
        "select toInt64(count()) as n, toInt64(countIf(trip_cnt > 0)) as with_trips, toInt64(sum(trip_cnt)) as trips, "
        "round(avg(avg_speed), 6) as speed from mart_route_hourly"
    ))  # fmt: skip
    assert mart == {"n": 374, "with_trips": 249, "trips": 272, "speed": 32.496989}


def check_austin(p) -> None:
    """Every known answer of austin_raw."""
    facts = one(p.warehouse.query(
        "select count(*) as n, count(distinct vehicle_sk) as vehicles, avg(speed) as speed, min(event_ts)::text as first, "
        "max(event_ts)::text as last from dwh.fact_vehicle_position"
    ))  # fmt: skip
    assert (facts["n"], facts["vehicles"], round(facts["speed"], 6)) == (115_087, 247, 19.472473)
    assert (facts["first"], facts["last"]) == ("2016-11-24 06:00:01+00", "2016-11-28 05:57:42+00")
    assert p.warehouse.query(
        "select dataset, dt::text as dt, reasons, row_json->>'vehicle_id' as vehicle, (row_json->>'speed')::float8 as speed "
        "from staging.rejected"
    ).to_pylist() == [
        {"dataset": "vehicle_positions", "dt": facts_dt(p), "reasons": ["speed"], "vehicle": "2305", "speed": 291.291}
    ]  # fmt: skip
    days = p.warehouse.query(
        "select dt::text as dt, rows_read, rows_loaded, rows_rejected from dwh.load_ledger "
        "where target = 'dwh.fact_vehicle_position' order by dt"
    ).to_pylist()
    assert [row["rows_read"] for row in days] == [24_490, 32_038, 33_140, 25_420]
    assert sum(row["rows_loaded"] for row in days) == 115_087
    utc = p.warehouse.query(
        "select (event_ts at time zone 'UTC')::date::text as d, count(*) as n from dwh.fact_vehicle_position group by 1 order by 1"
    ).to_pylist()
    counts = [row["n"] for row in utc]
    assert sum(counts) == 115_087
    assert [a - b for a, b in zip((18_524, 29_320, 32_854, 27_921, 6_469), counts, strict=True)].count(1) == 1
    assert p.warehouse.query(
        "select count(*) filter (where event_date_sk <> to_char(dt, 'YYYYMMDD')::int) as n from dwh.fact_vehicle_position"
    ).to_pylist() == [{"n": 0}], "a service day of Austin lies within its local date"
    mart = one(p.mart.query(
        "select toInt64(count()) as n, toInt64(countIf(trip_cnt > 0)) as with_trips, sum(speed_sum) / sum(speed_cnt) as speed, "
        "toInt64(uniqExact(service_date)) as dates, toInt64(uniqExactMerge(vehicles)) as vehicles from mart_route_hourly"
    ))  # fmt: skip
    assert (mart["n"], mart["with_trips"], mart["dates"], mart["vehicles"]) == (2_728, 0, 4, 247)
    assert round(mart["speed"], 6) == 19.472473


def facts_dt(p) -> str:
    """The day of the one rejected row, as the ledger has it."""
    rows = p.warehouse.query(
        "select dt::text as dt from dwh.load_ledger where target like 'dwh.%' and rows_rejected > 0"
    )
    return one(rows)["dt"]


# Everything but the time of the build; states as the values they hold.
MART_ROWS = """
    select service_date, route_id, name, transport_type, hour_bucket, trip_cnt, avg_fare, avg_duration_sec, sum_distance_m,
           avg_speed, fare_sum, fare_cnt, duration_sum_sec, duration_cnt, distance_cnt, speed_sum, speed_cnt, position_cnt,
           payment_cnt, amount_cnt, revenue, vehicle_cnt, rider_cnt, finalizeAggregation(vehicles) as vehicles,
           finalizeAggregation(riders) as riders
    from mart_route_hourly order by route_id, hour_bucket
"""


def mart_rows(p) -> list[dict]:
    return p.mart.query(MART_ROWS).to_pylist()


def same_rows(found: list[dict], wanted: list[dict]) -> None:
    assert len(found) == len(wanted) > 0
    for mine, theirs in zip(found, wanted, strict=True):
        for name, value in theirs.items():
            if isinstance(value, float):
                assert mine[name] == pytest.approx(value, rel=1e-9), (name, mine)
            else:
                assert mine[name] == value, (name, mine)
