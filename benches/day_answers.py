"""What both sides of the whole-day rows must agree on: the same questions to either warehouse and either mart."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from decimal import Decimal
from typing import Any

_FACTS = {
    "fact_trip": "sum(f.fare_amount), sum(f.duration_sec), sum(f.distance_m::numeric), count(DISTINCT f.trip_id)",
    "fact_payment": "sum(f.amount), count(DISTINCT f.payment_id), count(f.trip_sk), count(DISTINCT f.trip_sk)",
    "fact_vehicle_position": "sum(f.speed::numeric), sum(f.heading::numeric), sum(f.lat::numeric), "
    "sum(f.event_date_sk::bigint), sum(f.event_time_sk::bigint)",
}
# Each fact by the version of its route, and of its rider: a wrong as-of key shows.
_BY_ROUTE = """SELECT r.route_id, r.base_fare, r.valid_from, count(*), {sums}
  FROM dwh.{table} f JOIN dwh.dim_route r USING (route_sk) GROUP BY 1, 2, 3 ORDER BY 1, 3"""
_BY_RIDER = """SELECT u.city, u.effective_from, count(*), count(DISTINCT u.user_id)
  FROM dwh.{table} f JOIN dwh.dim_user u USING (user_sk) GROUP BY 1, 2 ORDER BY 1, 2"""
_VERSIONS = {
    "dim_route": "SELECT route_id, name, transport_type, base_fare, schema_json, valid_from, valid_to, is_current "
    "FROM dwh.dim_route WHERE route_id IS NOT NULL ORDER BY 1, 6",
    "dim_user": "SELECT count(*), md5(string_agg(concat_ws(',', user_id, city, lang, is_active, gender, birthdate, "
    "created_at, effective_from, effective_to), ';' ORDER BY user_id, effective_from)) "
    "FROM dwh.dim_user WHERE user_id IS NOT NULL",
    "dim_vehicle": "SELECT count(*), md5(string_agg(concat_ws(',', vehicle_id, route_id, transport_type, capacity, "
    "vendor, commissioned_at), ';' ORDER BY vehicle_id)) FROM dwh.dim_vehicle WHERE vehicle_id IS NOT NULL",
    "dim_stop": "SELECT count(*), md5(string_agg(concat_ws(',', stop_id, name, lat, lon, city), ';' ORDER BY stop_id)) "
    "FROM dwh.dim_stop WHERE stop_id IS NOT NULL",
}
_MART = """SELECT route_id, name, transport_type, toString(hour_bucket), trip_cnt, avg_fare, avg_duration_sec,
  sum_distance_m, avg_speed FROM {table} WHERE toDate(hour_bucket) = '{dt}' ORDER BY route_id, hour_bucket
  FORMAT JSONCompactEachRow SETTINGS output_format_json_quote_64bit_integers = 0"""


def clickhouse(url: str, sql: str) -> str:
    """Run a statement on ClickHouse; the URL names the database as its path and carries user and password."""
    address = url.replace("/default?", "/?database=default&")
    with urllib.request.urlopen(urllib.request.Request(address, data=sql.encode())) as answer:
        return str(answer.read().decode())


# The same of positions that ClickHouse keeps: their sums, and the version of the route that the registry has for them.
_SUMS_BY_ROUTE = """SELECT toString(toDate(event_ts)), route_id, count(), toString(sum(toDecimal64(toString(speed), 2))),
  toString(sum(toDecimal64(toString(heading), 1))), toString(sum(toDecimal64(toString(lat), 6))), sum(toYYYYMMDD(event_ts)),
  sum(intDiv(event_us, 1000000) % 86400) FROM vehicle_position GROUP BY 1, 2 FORMAT TSV"""
_VERSION_OF = """SELECT DISTINCT local_date, g.route_id, r.route_id, r.base_fare, r.valid_from
  FROM dwh.telemetry_reference g JOIN dwh.dim_route r USING (route_sk)"""
_DIGITS = (0, 2, 1, 6, 0, 0)


def _positions_by_route(versions: list[list[str]], shown: str) -> list[list[str]]:
    """Add up what ClickHouse has by the versions of the registry, as PostgreSQL would show it."""
    version_of = {(day, route): tuple(version) for day, route, *version in versions}
    sums: dict[tuple[str, ...], list[Decimal]] = {}
    for line in shown.splitlines():
        day, route, *numbers = line.split("\t")
        total = sums.setdefault(version_of[day, route], [Decimal(0)] * len(_DIGITS))
        total[:] = [known + Decimal(number) for known, number in zip(total, numbers, strict=True)]
    rows = sorted(sums.items(), key=lambda row: (row[0][0], row[0][2]))
    return [[*version, *(f"{n:.{d}f}" for n, d in zip(total, _DIGITS, strict=True))] for version, total in rows]


def answers(psql: str, warehouse: str, mart: str, table: str, dt: str, positions: str = "warehouse") -> dict[str, Any]:
    """Ask everything.

    Args:
        psql: Path of psql.
        warehouse: URL of the warehouse.
        mart: URL of ClickHouse.
        table: The mart's table.
        dt: The day of the mart.
        positions: Where positions are kept.

    Returns:
        The answers, as plain JSON values.
    """

    def ask(sql: str) -> list[list[str]]:
        command = [psql, "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", warehouse, "-c", "SET timezone = 'UTC'", "-c", sql]
        shown = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        return [line.split("|") for line in shown.splitlines()]

    found: dict[str, Any] = {name: ask(sql) for name, sql in _VERSIONS.items()}
    for name, sums in _FACTS.items():
        found[f"{name} by route"] = ask(_BY_ROUTE.format(table=name, sums=sums))
    if positions == "telemetry":
        by_route = _positions_by_route(ask(_VERSION_OF), clickhouse(mart, _SUMS_BY_ROUTE))
        found["fact_vehicle_position by route"] = by_route
    for name in ("fact_trip", "fact_payment"):
        found[f"{name} by rider"] = ask(_BY_RIDER.format(table=name))
    rows = clickhouse(mart, _MART.format(table=table, dt=dt)).splitlines()
    found["mart"] = [json.loads(row) for row in rows]
    return found
