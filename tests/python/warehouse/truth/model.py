"""The warehouse as its promises describe it, in plain Python: raw days are kept, everything is rebuilt from scratch.

Nothing here is taken from the product's code: no intervals are split or joined, no row is moved, no key is kept. A
`Model` holds the raw files that each load read, by day; `dimension`, `facts`, `ledger` and `mart` say what must follow.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

UTC = dt.UTC
Row = Mapping[str, Any]
Day = dt.date


class Part(NamedTuple):
    """One file: its path below the lake, the columns it has, and its rows."""

    path: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


Files = Mapping[str, Sequence[Part]]
"""The files of a day by dataset."""

COLUMNS: dict[str, tuple[str, ...]] = {
    "routes": ("route_id", "name", "transport_type", "base_fare", "schema_json", "active_from", "active_to"),
    "stops": ("stop_id", "name", "lat", "lon", "city"),
    "users": ("user_id", "created_at", "city", "lang", "gender", "birthdate", "is_active"),
    "vehicles": (
        "vehicle_id",
        "route_id",
        "transport_type",
        "capacity",
        "vendor",
        "commissioned_at",
        "decommissioned_at",
    ),
    "trips": (
        "trip_id",
        "user_id",
        "route_id",
        "vehicle_id",
        "start_ts",
        "end_ts",
        "start_stop_id",
        "end_stop_id",
        "distance_m",
        "fare",
        "status",
    ),
    "payments": (
        "payment_id",
        "user_id",
        "route_id",
        "trip_id",
        "amount",
        "currency",
        "status",
        "payment_method",
        "paid_at",
    ),
    "vehicle_positions": (
        "event_ts",
        "vehicle_id",
        "route_id",
        "lat",
        "lon",
        "speed",
        "heading",
        "provider_ts",
    ),
}
KEY = {
    "routes": "route_id",
    "stops": "stop_id",
    "users": "user_id",
    "vehicles": "vehicle_id",
    "trips": "trip_id",
    "payments": "payment_id",
    "vehicle_positions": "vehicle_id",
}
TIME = {"trips": "start_ts", "payments": "paid_at", "vehicle_positions": "event_ts"}
TARGET = {
    "routes": "dwh.dim_route",
    "stops": "dwh.dim_stop",
    "users": "dwh.dim_user",
    "vehicles": "dwh.dim_vehicle",
    "trips": "dwh.fact_trip",
    "payments": "dwh.fact_payment",
    "vehicle_positions": "dwh.fact_vehicle_position",
}
DIMENSIONS = ("routes", "stops", "users", "vehicles")
FACTS = ("trips", "payments", "vehicle_positions")
TRACKED = {
    "routes": ("name", "transport_type", "base_fare", "schema_json"),
    "users": ("city", "lang", "is_active"),
    "stops": (),
    "vehicles": (),
}
OVERWRITTEN = {
    "routes": (),
    "users": ("gender", "birthdate", "created_at"),
    "stops": COLUMNS["stops"][1:],
    "vehicles": COLUMNS["vehicles"][1:],
}
REFERENCES = {
    "trips": {
        "user_id": "users",
        "route_id": "routes",
        "vehicle_id": "vehicles",
        "start_stop_id": "stops",
        "end_stop_id": "stops",
    },
    "payments": {"user_id": "users", "route_id": "routes"},
    "vehicle_positions": {"vehicle_id": "vehicles", "route_id": "routes"},
}


class Version(NamedTuple):
    """One row of a dimension; an inferred member and a member without history have no interval."""

    key: str
    valid_from: dt.datetime | None
    valid_to: dt.datetime | None
    values: tuple[Any, ...]
    is_inferred: bool = False


class Kept(NamedTuple):
    """A clean row that stayed within its day."""

    day: Day
    path: str
    row: Row


@dataclass
class Fates:
    """What became of the rows of one dataset and day."""

    kept: list[Kept] = field(default_factory=list)
    named: set[str] = field(default_factory=set)
    read: Counter[str] = field(default_factory=Counter)
    duplicate: Counter[str] = field(default_factory=Counter)
    superseded: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    rejects: dict[tuple[str, int], set[str]] = field(default_factory=dict)
    staged: list[Kept] = field(default_factory=list)


_BOOLEANS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


def _convert(dataset: str, part: Part, raw: Row) -> tuple[dict[str, Any], bool]:
    """Return the row over all known columns, and whether every value could be read."""
    row: dict[str, Any] = {}
    fine = True
    for column in COLUMNS[dataset]:
        value = raw.get(column) if column in part.columns else None
        if value is not None and column == "is_active":
            value = _BOOLEANS.get(value.strip().lower())
            fine &= value is not None
        elif value is not None and column == "capacity":
            fine &= value.strip().lstrip("+-").isdigit()
            value = int(value) if fine else None
        elif value is not None and column == "schema_json":
            value = json.dumps(json.loads(value), sort_keys=True)
        row[column] = value
    return row, fine


def _reasons(dataset: str, row: Row, fine: bool) -> set[str]:
    """Return every reason that speaks against a row."""
    reasons = set() if fine else {"unconvertible"}
    if not row[KEY[dataset]]:
        reasons.add("no_key")
    if dataset in TIME and row[TIME[dataset]] is None:
        reasons.add("no_time")
    for column in {"routes": ("base_fare",), "trips": ("fare", "distance_m")}.get(dataset, ()):
        if row[column] is not None and row[column] < 0:
            reasons.add("negative")
    if dataset in ("stops", "vehicle_positions"):
        lat, lon = row["lat"], row["lon"]
        neither_is_fine = dataset == "stops" and lat is None and lon is None
        if not neither_is_fine and (
            lat is None or lon is None or abs(lat) > 90 or abs(lon) > 180 or (lat == 0 and lon == 0)
        ):
            reasons.add("coordinates")
    if dataset == "vehicle_positions" and row["speed"] is not None and not 0 <= row["speed"] <= 200:
        reasons.add("speed")
    if dataset == "trips" and None not in (row["start_ts"], row["end_ts"]) and row["end_ts"] < row["start_ts"]:
        reasons.add("end_before_start")
    return reasons


def fates(dataset: str, day: Day, parts: Sequence[Part]) -> Fates:
    """Judge the rows of one dataset and day."""
    result = Fates()
    clean: list[Kept] = []
    for part in sorted(parts, key=lambda p: p.path.encode()):
        result.read[part.path] += len(part.rows)
        for number, raw in enumerate(part.rows, 1):
            row, fine = _convert(dataset, part, raw)
            reasons = _reasons(dataset, row, fine)
            if reasons:
                result.rejected[part.path] += 1
                result.rejects[part.path, number] = reasons
                if row[KEY[dataset]]:
                    result.named.add(row[KEY[dataset]])
                continue
            # A dimension's row states only the columns that its file has.
            stated = {c: row[c] for c in row if c in part.columns} if dataset in DIMENSIONS else row
            clean.append(Kept(day, part.path, stated))
    last = {tuple(sorted(kept.row.items())): index for index, kept in enumerate(clean)}
    by_key: dict[str, int] = {}
    for index, kept in enumerate(clean):
        if last[tuple(sorted(kept.row.items()))] != index:
            result.duplicate[kept.path] += 1
            continue
        result.staged.append(kept)
        if dataset not in ("trips", "payments"):
            result.kept.append(kept)
            continue
        if (before := by_key.pop(kept.row[KEY[dataset]], None)) is not None:
            result.superseded[clean[before].path] += 1
        by_key[kept.row[KEY[dataset]]] = index
    result.kept += [clean[index] for index in by_key.values()]
    return result


class Model:
    """Raw days as they were loaded, and what must follow from them."""

    def __init__(self, time_zone: str = "UTC", absent: Mapping[str, str] | None = None) -> None:
        self.zone = ZoneInfo(time_zone)
        self.absent = {"routes": "close", "users": "ignore", "stops": "ignore", "vehicles": "ignore", **(absent or {})}
        self.loaded: dict[str, dict[Day, tuple[Part, ...]]] = {dataset: {} for dataset in COLUMNS}
        self.codes = {"card", "wallet", "promo"}

    def load(self, datasets: Iterable[str], day: Day, files: Files) -> None:
        """Load a day; a dataset without files is taken out."""
        for dataset in datasets:
            if files.get(dataset):
                self.loaded[dataset][day] = tuple(files[dataset])
            else:
                self.loaded[dataset].pop(day, None)
            if dataset == "payments":
                kept = fates(dataset, day, files.get(dataset, ())).kept
                self.codes |= {k.row["payment_method"] for k in kept} - {None, ""}

    def forget(self, day: Day) -> None:
        """Take a day out; a payment method that it named first stays known."""
        for days in self.loaded.values():
            days.pop(day, None)

    def fates(self, dataset: str) -> dict[Day, Fates]:
        """Return what became of the rows of every loaded day, oldest first."""
        return {day: fates(dataset, day, parts) for day, parts in sorted(self.loaded[dataset].items())}

    def start_of(self, day: Day) -> dt.datetime:
        """Return the first instant of a local day (the zones of the tests change their clocks after midnight)."""
        return dt.datetime(day.year, day.month, day.day, tzinfo=self.zone).astimezone(UTC)

    # -- dimensions ---------------------------------------------------------------------------------------------

    def _said(self, dataset: str) -> tuple[list[Day], dict[str, dict[Day, dict[str, Any] | None]]]:
        """Return the loaded days, and by key and day what was stated; None where the key was only mentioned."""
        said: dict[str, dict[Day, dict[str, Any] | None]] = defaultdict(dict)
        by_day = self.fates(dataset)
        for day, judged in by_day.items():
            for key in judged.named:
                said[key][day] = None
            for kept in judged.kept:
                row = dict(kept.row)
                key = row.pop(KEY[dataset])
                said[key][day] = (said[key].get(day) or {}) | row
        return list(by_day), said

    def observed(self, dataset: str) -> set[str]:
        """Return the keys that some loaded day describes."""
        return {key for key, by_day in self._said(dataset)[1].items() if any(s is not None for s in by_day.values())}

    def versions(self, dataset: str) -> dict[str, list[Version]]:
        """Return the versions of every observed key, oldest first."""
        days, said = self._said(dataset)
        result: dict[str, list[Version]] = {}
        for key, by_day in said.items():
            stated = [by_day[day] for day in sorted(by_day) if by_day[day] is not None]
            if not stated:
                continue
            newest: dict[str, Any] = {}
            for statement in stated:
                newest |= statement or {}
            if dataset in ("stops", "vehicles"):
                values = tuple(newest.get(column) for column in OVERWRITTEN[dataset])
                result[key] = [Version(key, None, None, values)]
            else:
                result[key] = self._history(dataset, key, days, by_day, newest)
        return result

    def _history(
        self,
        dataset: str,
        key: str,
        days: list[Day],
        by_day: dict[Day, dict[str, Any] | None],
        newest: dict[str, Any],
    ) -> list[Version]:
        """Walk the loaded days: what holds on each, up to the next; then join what touches and is equal."""
        carried: dict[str, Any] = {}
        is_open = False
        pieces: list[Version] = []
        for index, day in enumerate(days):
            statement = by_day.get(day)
            if statement is not None:
                carried |= statement
                is_open = True
            elif day not in by_day and self.absent[dataset] != "ignore":
                is_open = False
            if not is_open:
                continue
            start = self.start_of(day)
            end = self.start_of(days[index + 1]) if index + 1 < len(days) else None
            values = [carried.get(column) for column in TRACKED[dataset]]
            values += [newest.get(column) for column in OVERWRITTEN[dataset]]
            if dataset == "routes":
                begins, ends = carried.get("active_from"), carried.get("active_to")
                values.append(not ((begins is not None and start < begins) or (ends is not None and start >= ends)))
            pieces.append(Version(key, start, end, tuple(values)))
        joined: list[Version] = []
        for piece in pieces:
            if joined and joined[-1].valid_to == piece.valid_from and joined[-1].values == piece.values:
                joined[-1] = joined[-1]._replace(valid_to=piece.valid_to)
            else:
                joined.append(piece)
        return joined

    def dimension(self, dataset: str) -> list[Version]:
        """Return every row of a dimension but the unknown member."""
        versions = self.versions(dataset)
        rows = [version for key in versions for version in versions[key]]
        width = len(TRACKED[dataset]) + len(OVERWRITTEN[dataset]) + (dataset == "routes")
        referred = {
            kept.row[column]
            for fact in FACTS
            for kept in self.winners(fact)
            for column, target in REFERENCES[fact].items()
            if target == dataset and kept.row[column]
        }
        rows += [Version(key, None, None, (None,) * width, True) for key in referred - set(versions)]
        return sorted(rows, key=lambda v: (v.key, str(v.valid_from)))

    # -- facts --------------------------------------------------------------------------------------------------

    def winners(self, fact: str) -> list[Kept]:
        """Return the rows of a fact: of trips and payments those of the newest day."""
        kept = [k for judged in self.fates(fact).values() for k in judged.kept]
        if fact == "vehicle_positions":
            return kept
        return list({k.row[KEY[fact]]: k for k in kept}.values())

    @staticmethod
    def as_of(versions: Sequence[Version], at: dt.datetime) -> Version | None:
        """Return the version that answers for an instant."""
        begun = [v for v in versions if v.valid_from is None or v.valid_from <= at]
        return begun[-1] if begun else versions[0] if versions else None

    def facts(self, fact: str) -> Iterator[dict[str, Any]]:
        """Yield the rows of a fact; a reference is (business key, valid_from), (None, None) for the unknown member."""
        versions = {dataset: self.versions(dataset) for dataset in DIMENSIONS}
        trips = {kept.row["trip_id"] for kept in self.winners("trips")} if fact == "payments" else set()
        for day, path, raw in self.winners(fact):
            row = dict(raw)
            at = row[TIME[fact]]
            for column, target in REFERENCES[fact].items():
                key = row[column] or None
                found = self.as_of(versions[target].get(key, ()), at) if key else None
                row[column] = (key, found.valid_from if found else None)
            if fact == "trips":
                seconds = row["end_ts"] and (row["end_ts"] - at).total_seconds()
                row["duration_sec"] = None if seconds is None else int(seconds)
            elif fact == "payments":
                row["payment_method"] = row["payment_method"] or None
                row["trip_id"] = row["trip_id"] or None
                row["trip"] = row["trip_id"] if row["trip_id"] in trips else None
            else:
                local = at.astimezone(self.zone)
                row["event_date_sk"] = local.year * 10_000 + local.month * 100 + local.day
                row["event_time_sk"] = local.hour * 3600 + local.minute * 60 + local.second
            yield row | {"dt": day, "file": path}

    # -- ledger -------------------------------------------------------------------------------------------------

    def ledger(self) -> dict[tuple[str, Day, str], tuple[int, int, int, int, int]]:
        """Return read, loaded, duplicate, superseded and rejected rows of every line."""
        lines = {}
        for dataset in COLUMNS:
            by_day = self.fates(dataset)
            won = Counter((k.day, k.path) for k in self.winners(dataset)) if dataset in FACTS else None
            for day, judged in by_day.items():
                stayed = Counter(k.path for k in judged.kept)
                for path, read in judged.read.items():
                    loaded = stayed[path] if won is None else won[day, path]
                    lost = judged.superseded[path] + stayed[path] - loaded
                    lines[TARGET[dataset], day, path] = (
                        read,
                        loaded,
                        judged.duplicate[path],
                        lost,
                        judged.rejected[path],
                    )
        return lines

    # -- mart ---------------------------------------------------------------------------------------------------

    def hour_of(self, at: dt.datetime) -> dt.datetime:
        """Return the start of the local clock hour: the event minus its local minutes and seconds."""
        local = at.astimezone(self.zone)
        return at - dt.timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)

    def mart(self) -> dict[tuple[str, dt.datetime], dict[str, Any]]:
        """Return the mart's rows by route and hour."""
        cells: dict[tuple[str, dt.datetime], dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
        for fact in FACTS:
            for kept in self.winners(fact):
                cell = cells[kept.row["route_id"] or "", self.hour_of(kept.row[TIME[fact]])]
                cell[fact].append(kept.row)
        versions = self.versions("routes")
        return {place: self._cell(versions.get(place[0], []), place[1], cell) for place, cell in cells.items()}

    def _cell(self, versions: list[Version], hour: dt.datetime, cell: dict[str, list[Any]]) -> dict[str, Any]:
        at_start = [v for v in versions if v.valid_from <= hour and (v.valid_to is None or hour < v.valid_to)]
        within = [v for v in versions if hour <= v.valid_from < hour + dt.timedelta(hours=1)]
        answer = self.as_of(versions, hour)
        shown = (at_start or within or ([answer] if answer else []))[:1]
        trips, payments, positions = cell["trips"], cell["payments"], cell["vehicle_positions"]
        fares = [t["fare"] for t in trips if t["fare"] is not None]
        durations = [int((t["end_ts"] - t["start_ts"]).total_seconds()) for t in trips if t["end_ts"] is not None]
        distances = [t["distance_m"] for t in trips if t["distance_m"] is not None]
        speeds = [p["speed"] for p in positions if p["speed"] is not None]
        amounts = [p["amount"] for p in payments if p["amount"] is not None]
        vehicles = {r["vehicle_id"] for r in [*trips, *positions]} - {None, ""}
        return {
            "name": (shown[0].values[0] or "") if shown else "",
            "transport_type": (shown[0].values[1] or "") if shown else "",
            "service_date": hour.astimezone(self.zone).date(),
            "trip_cnt": len(trips),
            "avg_fare": float(sum(fares)) / len(fares) if fares else None,
            "avg_duration_sec": sum(durations) / len(durations) if durations else None,
            "sum_distance_m": sum(distances, 0.0),
            "avg_speed": sum(speeds) / len(speeds) if speeds else None,
            "fare_sum": sum(fares, Decimal(0)),
            "fare_cnt": len(fares),
            "duration_sum_sec": sum(durations),
            "duration_cnt": len(durations),
            "distance_cnt": len(distances),
            "speed_sum": sum(speeds, 0.0),
            "speed_cnt": len(speeds),
            "position_cnt": len(positions),
            "payment_cnt": len(payments),
            "amount_cnt": len(amounts),
            "revenue": sum(amounts, Decimal(0)),
            "vehicle_cnt": len(vehicles),
            "rider_cnt": len({t["user_id"] for t in trips} - {None, ""}),
        }
