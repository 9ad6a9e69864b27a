"""Random small worlds: what the files of a few days say, and in which order they are loaded, repeated and corrected."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from .model import COLUMNS, DIMENSIONS, KEY, Day, Part
from .warehouse import part

UTC = dt.UTC

# (first day, zone): without a change of clocks, with an hour that is missing, with one that comes twice, half hours.
PLACES = (
    (dt.date(2024, 5, 1), "UTC"),
    (dt.date(2024, 3, 9), "America/Chicago"),
    (dt.date(2024, 11, 2), "America/Chicago"),
    (dt.date(2024, 5, 1), "Asia/Kathmandu"),
)
_ROUTES, _USERS, _VEHICLES, _STOPS = ("R1", "R2", "R3"), ("U1", "U2"), ("V1", "V2"), ("S1", "S2")
_TRIPS, _PAYMENTS = ("T1", "T2", "T3", "T4"), ("P1", "P2", "P3")
_REFERRED = {
    "route_id": (*_ROUTES, "R9", None, ""),
    "user_id": (*_USERS, "U9", None),
    "vehicle_id": (*_VEHICLES, "V9", None),
    "stop_id": (*_STOPS, "S9", None),
}


@dataclass(frozen=True)
class Step:
    """What is done: ``dimensions`` or ``facts`` of a day, ``undo`` of it, ``rewind`` to it, or ``write``: new files for it."""

    what: str
    day: int
    dataset: str = ""
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True)
class World:
    """The first state of the lake and the steps that follow."""

    days: tuple[Day, ...]
    zone: str
    absent: tuple[tuple[str, str], ...]
    files: tuple[tuple[int, str, tuple[Part, ...]], ...]
    steps: tuple[Step, ...]


def _pick(draw: Callable[[Any], Any], *values: Any) -> Any:
    return draw(st.sampled_from(values))


class _Draw:
    """Draws files of one world."""

    def __init__(self, draw: Callable[[Any], Any], days: tuple[Day, ...]) -> None:
        self.draw = draw
        self.days = days
        begin = dt.datetime.combine(days[0], dt.time(), UTC)
        # Around the starts of days in every zone used, before the first day, and twice within one hour.
        hours = (-7, 5.5, 5.75, 18.25, 18.5, 24, 30)
        self.instants = tuple(begin + dt.timedelta(hours=h) for h in hours)
        # A flag that flips at the start of a day, in the middle of one, or never.
        self.bounds = (None, *(begin + dt.timedelta(hours=h) for h in (6, 24, 54)))

    def pick(self, *values: Any) -> Any:
        return self.draw(st.sampled_from(values))

    def dimension_row(self, dataset: str, key: str) -> dict[str, Any]:
        pick = self.pick
        if dataset == "routes":
            return {
                "route_id": key,
                "name": pick("a", "b", None),
                "transport_type": "bus",
                # A negative fare is a reject that names its key.
                "base_fare": pick(Decimal("1.50"), Decimal("2.00"), Decimal("-1.00")),
                "schema_json": pick('{"stops": ["S1", "S2"]}', '{ "stops":["S1","S2"] }', None),
                "active_from": pick(*self.bounds),
                "active_to": pick(*self.bounds),
            }
        if dataset == "users":
            return {
                "user_id": key,
                "city": pick("x", "y", None),
                "gender": pick("f", "m", None),
                "is_active": pick("true", "F", "perhaps"),
            }
        if dataset == "vehicles":
            return {"vehicle_id": key, "vendor": pick("v", "w", None), "capacity": pick("40", " 41 ", "many")}
        lat, lon = pick((55.75, 37.61), (1.0, None), (None, None))
        return {"stop_id": key, "name": pick("n", "o"), "lat": lat, "lon": lon}

    def fact_row(self, dataset: str) -> dict[str, Any]:
        pick = self.pick
        at = pick(*self.instants)
        route = pick(*_REFERRED["route_id"])
        if dataset == "trips":
            return {
                "trip_id": pick(*_TRIPS),
                "user_id": pick(*_REFERRED["user_id"]),
                "route_id": route,
                "vehicle_id": pick(*_REFERRED["vehicle_id"]),
                "start_ts": at,
                "end_ts": pick(None, at + dt.timedelta(seconds=90.5), at - dt.timedelta(seconds=1)),
                "start_stop_id": pick(*_REFERRED["stop_id"]),
                "fare": pick(None, Decimal("2.25")),
                "distance_m": 100.25,
            }
        if dataset == "payments":
            return {
                "payment_id": pick(*_PAYMENTS),
                "user_id": pick("U1", "U8"),
                "route_id": route,
                "trip_id": pick(*_TRIPS, None, ""),
                "amount": pick(Decimal("2.25"), Decimal("-2.25"), None),
                "payment_method": pick("card", "cash", "", None),
                "paid_at": at,
            }
        return {
            "event_ts": at,
            "vehicle_id": pick(*_VEHICLES, "V9"),
            "route_id": route,
            "lat": 55.75,
            "lon": 37.61,
            "speed": pick(None, 12.5, 30.0, 201.0),
        }

    def columns(self, dataset: str, rows: list[dict[str, Any]]) -> tuple[str, ...]:
        """Most files have all columns; some lack one that is optional."""
        optional = [c for c in COLUMNS[dataset] if any(c in row for row in rows)]
        for required in (KEY[dataset], "start_ts", "paid_at", "event_ts", "lat", "lon"):
            if required in optional:
                optional.remove(required)
        missing = self.pick(None, None, None, *optional) if optional else None
        return tuple(c for c in COLUMNS[dataset] if c != missing)

    def parts(self, dataset: str, day: Day, *, may_vanish: bool) -> tuple[Part, ...]:
        draw = self.draw
        if may_vanish and self.pick(False, False, False, True):
            return ()
        if dataset in DIMENSIONS:
            keys = {"routes": _ROUTES, "users": _USERS, "vehicles": _VEHICLES, "stops": _STOPS}[dataset]
            # An empty snapshot is refused where absence closes.
            least = 1 if dataset in ("routes", "users") else 0
            named = draw(st.lists(st.sampled_from(keys), unique=True, min_size=least, max_size=len(keys)))
            rows = [self.dimension_row(dataset, key) for key in named]
            rows += rows[:1] if self.pick(False, False, True) else []
            return (part(dataset, day, rows, self.columns(dataset, rows)),)
        rows = [self.fact_row(dataset) for _ in range(draw(st.integers(0, 3)))]
        rows += rows[:1] if self.pick(False, False, True) else []
        columns = self.columns(dataset, rows)
        if len(rows) > 1 and self.pick(False, False, True):
            return (part(dataset, day, rows[:1], columns, "a"), part(dataset, day, rows[1:], name="b"))
        return (part(dataset, day, rows, columns),)


@st.composite
def worlds(draw: Callable[[Any], Any]) -> World:
    """Three to five days; the order of loading is any, steps repeat, files change and vanish in between."""
    first, zone = draw(st.sampled_from(PLACES))
    count = draw(st.sampled_from((3, 3, 3, 4, 5)))
    days = tuple(first + dt.timedelta(days=n) for n in range(count))
    files = _Draw(draw, days)
    absent = draw(st.sampled_from(((), (("routes", "ignore"), ("users", "close")))))
    lake = tuple(
        (number, dataset, files.parts(dataset, day, may_vanish=dataset != "stops"))
        for number, day in enumerate(days)
        for dataset in COLUMNS
    )
    order = [(what, n) for n in draw(st.permutations(range(count))) for what in ("dimensions", "facts")]
    if draw(st.booleans()):
        order = draw(st.permutations(order))
    steps = [Step(what, n) for what, n in order]
    for _ in range(draw(st.integers(0, 3))):
        number = draw(st.integers(0, count - 1))
        dataset = draw(st.sampled_from(tuple(COLUMNS)))
        # Loading needs some file of the day; that of the stops never vanishes.
        may_vanish = dataset != "stops"
        changed = files.parts(dataset, days[number], may_vanish=may_vanish)
        step = "dimensions" if dataset in DIMENSIONS else "facts"
        steps += [Step("write", number, dataset, changed), Step(step, number)]
    if draw(st.booleans()):
        steps.append(Step(*draw(st.sampled_from(order))))
    for _ in range(draw(st.sampled_from((0, 0, 1, 2)))):
        # Anywhere: what is loaded after it meets what it left.
        place = draw(st.integers(1, len(steps)))
        steps.insert(place, Step(draw(st.sampled_from(("undo", "undo", "rewind"))), draw(st.integers(0, count - 1))))
    return World(days, zone, absent, lake, tuple(steps))
