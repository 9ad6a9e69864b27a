"""Which column comes from which: from the core's catalog for staging, dimensions and facts; told here for the mart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

from metropulse.catalog import catalog

__all__ = ["MART_SOURCES", "Columns"]

Place = tuple[str, str]
Source = tuple[str, str, str, str, str]
"""Namespace, dataset, column, and the type and subtype of the transformation."""

_HOURS = (
    ("dwh.fact_trip", "start_ts"), ("dwh.fact_payment", "paid_at"), ("dwh.fact_vehicle_position", "event_ts"),
    ("dwh.fact_scheduled_trip", "start_ts"),
)  # fmt: skip
_FARE, _DURATION = ("dwh.fact_trip", "fare_amount"), ("dwh.fact_trip", "duration_sec")
_DISTANCE, _SPEED = ("dwh.fact_trip", "distance_m"), ("dwh.fact_vehicle_position", "speed")
_AMOUNT, _VEHICLE, _RIDER = (
    ("dwh.fact_payment", "amount"),
    ("dwh.dim_vehicle", "vehicle_id"),
    ("dwh.dim_user", "user_id"),
)

MART_SOURCES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "route_id": (("dwh.dim_route", "route_id"),),
    "name": (("dwh.dim_route", "name"),),
    "transport_type": (("dwh.dim_route", "transport_type"),),
    "hour_bucket": _HOURS,
    "service_date": _HOURS,
    "trip_cnt": (("dwh.fact_trip", "trip_id"),),
    "avg_fare": (_FARE,),
    "fare_sum": (_FARE,),
    "fare_cnt": (_FARE,),
    "avg_duration_sec": (_DURATION,),
    "duration_sum_sec": (_DURATION,),
    "duration_cnt": (_DURATION,),
    "sum_distance_m": (_DISTANCE,),
    "distance_cnt": (_DISTANCE,),
    "avg_speed": (_SPEED,),
    "speed_sum": (_SPEED,),
    "speed_cnt": (_SPEED,),
    "position_cnt": (("dwh.fact_vehicle_position", "event_ts"),),
    "payment_cnt": (("dwh.fact_payment", "payment_id"),),
    "amount_cnt": (_AMOUNT,),
    "revenue": (_AMOUNT,),
    "vehicle_cnt": (_VEHICLE,),
    "vehicles": (_VEHICLE,),
    "rider_cnt": (_RIDER,),
    "riders": (_RIDER,),
    "scheduled_trip_cnt": (("dwh.fact_scheduled_trip", "start_ts"),),
    "snapshot_ts": (),
}
"""The columns of facts and dimensions that each column of the mart is added up from."""

_GROUPS = {"route_id", "name", "transport_type"}
_TELEMETRY = "vehicle_position"


class Columns:
    """The columns of our tables, and where they come from."""

    def __init__(self, raw: Callable[[str], Place], table: Callable[[str], Place]) -> None:
        """Keep how datasets are named.

        Args:
            raw: Gives namespace and name of a raw dataset.
            table: Gives those of a table.
        """
        self._raw = raw
        self._table = table

    @cached_property
    def _known(self) -> dict[str, Any]:
        known = catalog()
        return {each["table"]: each for each in (*known.datasets, *known.dimensions, *known.facts, known.mart)}

    @cached_property
    def _datasets(self) -> dict[str, Any]:
        return {each["dataset"]: each for each in catalog().datasets}

    def dataset_of(self, table: str) -> str | None:
        """Return the raw dataset that feeds a table."""
        return (self._known.get(table) or {}).get("dataset") or None

    def is_raw(self, name: str) -> bool:
        """Return whether this is the name of a raw dataset."""
        return name in self._datasets

    def raw(self, dataset: str) -> list[tuple[str, str]]:
        """Return names and types of the columns of a raw dataset."""
        return [(column["name"], column["type"]) for column in self._datasets[dataset]["columns"]]

    def of(self, table: str) -> list[tuple[str, str]]:
        """Return names and types of a table's columns; none when it is not one of ours."""
        if table == _TELEMETRY:
            return self.raw("vehicle_positions")
        return [(column["name"], column["type"]) for column in (self._known.get(table) or {}).get("columns", ())]

    def tables_read(self, step: str, table: str, source: str | None) -> list[str]:
        """Return the tables that a step reads to write one, beside raw files."""
        if step == "load_facts":
            columns = self._known[table]["columns"]
            return list(dict.fromkeys(column["refers_to"][0] for column in columns if column.get("refers_to")))
        if step == "build_route_hourly" and source != "lake":
            return list(dict.fromkeys(table for sources in MART_SOURCES.values() for table, _ in sources))
        return []

    def datasets_read(self, step: str, source: str | None) -> list[str]:
        """Return the raw datasets that a step reads to write the mart."""
        if step != "build_route_hourly" or source != "lake":
            return []
        tables = dict.fromkeys(table for sources in MART_SOURCES.values() for table, _ in sources)
        return [self._known[table]["dataset"] for table in tables]

    def lineage(self, table: str, *, from_lake: bool) -> dict[str, list[Source]]:
        """Return for each column of a table those it comes from.

        Args:
            table: The table.
            from_lake: Whether the mart was built from the raw files themselves.

        Returns:
            The sources by column; columns that come from none are left out.
        """
        known = self._known.get(table)
        if table == _TELEMETRY:
            name = "vehicle_positions"
            return {column: [(*self._raw(name), column, "DIRECT", "IDENTITY")] for column, _ in self.raw(name)}
        if known is None:
            return {}
        found = {column["name"]: list(self._sources(known, column, from_lake)) for column in known["columns"]}
        return {name: sources for name, sources in found.items() if sources}

    def _sources(self, known: Mapping[str, Any], column: Mapping[str, Any], from_lake: bool) -> Iterator[Source]:
        if not known["dataset"]:
            yield from self._mart_sources(column["name"], from_lake)
            return
        kind = "IDENTITY" if column["is_taken_over"] else "TRANSFORMATION"
        for raw in column["made_from"]:
            yield (*self._raw(known["dataset"]), raw, "DIRECT", kind)
        if key := column.get("refers_to"):
            yield (*self._table(key[0]), key[1], "DIRECT", "IDENTITY")

    def _mart_sources(self, name: str, from_lake: bool) -> Iterator[Source]:
        kind = "IDENTITY" if name in _GROUPS else "AGGREGATION"
        for table, column in MART_SOURCES.get(name, ()):
            if not from_lake:
                yield (*self._table(table), column, "DIRECT", kind)
                continue
            known = self._known[table]
            for raw in next(each["made_from"] for each in known["columns"] if each["name"] == column):
                yield (*self._raw(known["dataset"]), raw, "DIRECT", kind)
