"""A warehouse whose positions are in ClickHouse, read as if they were a fact: rows from there, keys from the registry."""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import metropulse as mp

from .warehouse import UTC, Truth

_REFERENCES = (
    "SELECT g.dt, g.local_date, g.vehicle_id, g.route_id, g.position_cnt, v.vehicle_id, r.route_id, r.valid_from "
    "FROM dwh.telemetry_reference g JOIN dwh.dim_vehicle v USING (vehicle_sk) JOIN dwh.dim_route r USING (route_sk)"
)
_ROWS = "SELECT toString(dt) AS day, event_us, vehicle_id, route_id, lat, lon, speed, heading, provider_us FROM vehicle_position"


class TelemetryTruth(Truth):
    """One database of the engines, and one of ClickHouse."""

    mart_database = "truth_telemetry"
    zone = "UTC"

    def open(self, **settings: Any) -> mp.Pipeline:
        """A pipeline that keeps its positions in ClickHouse."""
        self.zone = settings.get("time_zone", "UTC")
        return super().open(**{"positions": "telemetry"} | settings)

    def empty(self) -> None:
        """Forget every loaded day there, too."""
        super().empty()
        for table in ("vehicle_position", "vehicle_position_load"):
            self.clickhouse(f"TRUNCATE TABLE IF EXISTS {table}")

    def facts(self, fact: str) -> list[dict[str, Any]]:
        """The rows of a fact; of positions each with the keys that the registry has of its vehicle, route and day."""
        if fact != "vehicle_positions":
            return super().facts(fact)
        assert super().facts(fact) == []
        keys, left = {}, {}
        for day, local, vehicle, route, count, vehicle_key, route_key, since in self.rows(_REFERENCES):
            assert (day, local, vehicle, route) not in keys
            keys[day, local, vehicle, route] = {"vehicle_id": (vehicle_key, None), "route_id": (route_key, since)}
            left[day, local, vehicle, route] = count
        rows = []
        for row in self.clickhouse(_ROWS):
            day, at = dt.date.fromisoformat(row["day"]), _instant(row["event_us"])
            local = at.astimezone(ZoneInfo(self.zone))
            place = (day, local.date(), row["vehicle_id"], row["route_id"])
            left[place] -= 1
            floats = {
                name: None if row[name] is None else float(row[name]) for name in ("lat", "lon", "speed", "heading")
            }
            dates = {
                "event_date_sk": local.year * 10_000 + local.month * 100 + local.day,
                "event_time_sk": local.hour * 3600 + local.minute * 60 + local.second,
            }
            times = {
                "event_ts": at,
                "provider_ts": None if row["provider_us"] is None else _instant(row["provider_us"]),
            }
            rows.append(keys[place] | floats | dates | times | {"dt": day})
        assert set(left.values()) <= {0}, "the registry stands for exactly the rows"
        return rows

    def seen(self, fact: str, row: dict[str, Any]) -> dict[str, Any]:
        """ClickHouse does not say which file of a day a position is from."""
        return {name: value for name, value in row.items() if fact != "vehicle_positions" or name != "file"}


def _instant(micros: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(0, UTC) + dt.timedelta(microseconds=micros)
