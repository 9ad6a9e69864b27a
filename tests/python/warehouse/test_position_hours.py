"""Positions added up by route and hour while they are loaded: what the mart is built from."""

from __future__ import annotations

import pytest

import metropulse as mp

from .city import DAYS, ask, load, state

HOURS = "dwh.agg_position_route_hourly"
DIRTY = "SELECT count(*) FROM dwh.mart_dirty"


@pytest.fixture
def whole(database, lake, mart) -> mp.Pipeline:
    """A pipeline with a mart."""
    return mp.Pipeline(lake=lake, warehouse=database, reject_limit=0.5, allow_vanishing=True, **mart)


def test_they_stand_for_the_positions_of_each_day(pipeline, database):
    load(pipeline, *DAYS)
    rows = ask(
        database,
        f"SELECT dt::text, hour_bucket::text, route_id, position_cnt, speed_sum, speed_cnt, vehicles FROM {HOURS} ORDER BY 1, 2",
    )
    assert rows == [
        (DAYS[0], "2024-05-01 08:00:00+00", "R1", 1, 30.0, 1, ["V1"]),
        (DAYS[0], "2024-05-01 09:00:00+00", "R1", 1, 30.0, 1, ["V9"]),
        # An event of the day before that came late.
        (DAYS[1], "2024-05-01 23:00:00+00", "R3", 1, 30.0, 1, ["V8"]),
        (DAYS[1], "2024-05-02 08:00:00+00", "R2", 1, 30.0, 1, ["V2"]),
        (DAYS[2], "2024-05-03 08:00:00+00", "R2", 1, 30.0, 1, ["V2"]),
        (DAYS[2], "2024-05-03 09:00:00+00", "R1", 1, 30.0, 1, ["V9"]),
    ]
    pipeline.undo(DAYS[1])
    assert ask(database, f"SELECT DISTINCT dt::text FROM {HOURS} ORDER BY 1") == [(DAYS[0],), (DAYS[2],)]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (f"DELETE FROM {HOURS} WHERE dt = '{DAYS[1]}'", "stands for 0 positions, the ledger says 2"),
        (f"DELETE FROM {HOURS} WHERE hour_bucket = '2024-05-01 23:00Z'", "stands for 1 positions, the ledger says 2"),
        (f"UPDATE {HOURS} SET settings_fingerprint = 'x' WHERE dt = '{DAYS[1]}'", "was made under other settings"),
    ],
)
def test_what_is_missing_is_an_error_and_no_gap_in_the_mart(whole, database, spoil, says):
    load(whole, *DAYS)
    marks = ask(database, DIRTY)
    ask(database, spoil)
    with pytest.raises(mp.DataError, match=f"{DAYS[1]} {says}.*metropulse undo {DAYS[1]}") as error:
        whole.build_route_hourly()
    assert not error.value.retryable
    assert ask(database, DIRTY) == marks
    # What the error says to do helps.
    whole.undo(DAYS[1])
    load(whole, DAYS[1])
    assert whole.build_route_hourly().rows > 0


_INSTANTS = {"active_from", "active_to", "created_at", "commissioned_at", "decommissioned_at"}
_LOGS = {
    "route": ["name", "transport_type", "base_fare", "schema_json", "active_from", "active_to"],
    "user": ["created_at", "city", "lang", "gender", "birthdate", "is_active"],
    "vehicle": ["route_id", "transport_type", "capacity", "vendor", "commissioned_at", "decommissioned_at"],
    "stop": ["name", "lat", "lon", "city"],
}


def log_of_version_2(name: str) -> str:
    """SQL that gives a log the shape it had then."""
    columns = _LOGS[name]
    texts = [f"(extract(epoch FROM {c}) * 1000000)::bigint::text" if c in _INSTANTS else f"{c}::text" for c in columns]
    log = f"dwh.dim_{name}_said"
    return (
        f"ALTER TABLE {log} ADD said text[]; UPDATE {log} SET said = CASE WHEN is_mention THEN '{{}}' ELSE ARRAY[{', '.join(texts)}] END;"
        f"ALTER TABLE {log} ALTER said SET NOT NULL, {', '.join(f'DROP {c}' for c in columns)};"
        f"ALTER TABLE {log} RENAME {name}_id TO key;"
        f"ALTER TABLE {log} ALTER stated TYPE int8 USING reverse(rpad(stated::text, 64, '0'))::bit(64)::int8;"
    )


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata"])
def test_a_migration_makes_those_of_days_that_are_loaded(database, lake, zone):
    pipeline = mp.Pipeline(lake=lake, warehouse=database, time_zone=zone, reject_limit=0.5, allow_vanishing=True)
    load(pipeline, *DAYS)
    before = state(database)
    assert before["position hours"]
    # What version 2 had instead: no such table nor shapes, logs of texts, and a number of 64 bits for the columns that a run
    # states.
    numbers = "".join(map(log_of_version_2, _LOGS))
    ask(
        database,
        f"{numbers} DROP TABLE {HOURS}, dwh.dim_shape_said; UPDATE dwh.deployment SET value = '2' WHERE name = 'schema_version'",
    )
    assert pipeline.migrate().applied == (3, 4, 5, 6, 7, 8)
    assert state(database) == before
