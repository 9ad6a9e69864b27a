"""A day made of recordings, through staging and facts to the mart."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime

from realtime_messages import message, report

DAY = "2024-05-01"
NOON = int(datetime(2024, 5, 1, 12, tzinfo=UTC).timestamp())


def test_a_day_of_recordings_is_loaded_like_any_other(tmp_path, pipeline_on):
    run = {"trip_id": "t1", "start_date": "20240501", "start_time": "12:00:00", "route_id": "R"}
    update = {"trip": run, "stop_time_update": [{"stop_sequence": n, "arrival": {"delay": n}} for n in (1, 2)]}
    alert = {"header_text": {"translation": [{"text": "slow"}]}, "informed_entity": [{"route_id": "R"}]}
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    for n in range(3):
        moving = report("v1", at=NOON + 600 * n, trip=run, position={"latitude": 52.0 + n / 100, "longitude": 13.0})
        entities = [moving, {"id": "u", "trip_update": update}, {"id": "a", "alert": alert}, report(None, at=NOON)]
        (recordings / f"{n}.pb").write_bytes(message(NOON + 600 * n, entities))
    p = pipeline_on(tmp_path / "lake", time_zone="UTC", reject_limit=0.5)
    made = p.ingest_gtfs_rt(recordings, DAY)
    assert {name: table.rows_written for name, table in made.tables.items()} == {
        "alerts": 1,
        "trip_updates": 2,
        "trips": 1,
        "vehicle_positions": 4,
    }
    p.run(DAY)
    (position,) = p.warehouse.query(
        "select count(*) as n, min(trip_id) as trip_id, min(start_date) as start_date from dwh.fact_vehicle_position"
    ).to_pylist()
    assert position == {"n": 3, "trip_id": "t1", "start_date": date(2024, 5, 1)}
    rejected = p.rejected(dt=DAY)
    assert [(row.dataset, tuple(row.reasons)) for row in rejected.rejected] == [("vehicle_positions", ("no_key",))]
    updates = p.warehouse.query(
        "select stop_sequence, arrival_delay_sec from dwh.fact_trip_update order by 1"
    ).to_pylist()
    assert [tuple(row.values()) for row in updates] == [(1, 1), (2, 2)]
    (alerts,) = p.warehouse.query("select header, first_seen, last_seen from dwh.fact_alert").to_pylist()
    assert alerts["header"] == "slow"
    assert (alerts["last_seen"] - alerts["first_seen"]).total_seconds() == 1_200
    (trip,) = p.warehouse.query("select duration_sec, distance_m from dwh.fact_trip").to_pylist()
    assert trip["duration_sec"] == 1_200
    assert round(trip["distance_m"]) == 2_224
    (mart,) = p.mart.query("select toInt64(sum(trip_cnt)) as trips from mart_route_hourly").to_pylist()
    assert mart["trips"] == 1


def test_what_was_odd_about_recordings_is_in_the_ledger_and_in_the_status(tmp_path, pipeline_on):
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    whole = message(NOON, [report("v1", at=NOON)])
    update = {"trip": {"trip_id": "t1", "start_date": "20240501"}, "delay": 60}
    tomorrow = report("v3", at=NOON, trip={"trip_id": "t2", "start_date": "20240502"})
    for name, body in {
        "1.pb": whole,
        "2-cut.pb": whole[:-3],
        "3-empty.pb": message(NOON + 1, []),
        "4-future.pb": message(4_000_000_000, [report("v2", at=NOON)]),
        "5-zero.pb": message(0, [tomorrow, {"id": "u", "trip_update": update}]),
    }.items():
        (recordings / name).write_bytes(body)
    p = pipeline_on(tmp_path / "lake", time_zone="UTC")
    p.ingest_gtfs_rt(recordings, DAY)
    p.run(DAY)

    def ledger() -> dict[str, dict]:
        sql = "SELECT target, origin::text AS origin FROM dwh.load_ledger WHERE target IN ({}) ORDER BY 1"
        tables = "'staging.vehicle_positions_raw', 'staging.trip_updates_raw', 'dwh.fact_vehicle_position'"
        return {row["target"]: json.loads(row["origin"]) for row in p.warehouse.query(sql.format(tables)).to_pylist()}

    odd = {
        "recordings_empty": 1,
        "recordings_without_time": 1,
        "recordings_in_the_future": 1,
        "recordings_unreadable": 1,
    }
    assert len(ledger()) == 3
    for origin in ledger().values():
        assert {name: origin[name] for name in odd} == odd
        assert origin["damaged"] == [{"file": "recordings/2-cut.pb", "why": "the message is cut short"}]
        assert origin["vehicle_positions"]["other_days"] == {"2024-05-02": 1}
        assert (origin["recordings"], origin["trip_updates"]["updates"]) == (4, 1)
    (day,) = p.status().days
    assert day.oddities == odd

    # One more that cannot be read makes no other row: the same bytes are not loaded again, and it is known nevertheless.
    (recordings / "6-html.pb").write_bytes(b"<html>502 Bad Gateway</html>")
    assert not p.ingest_gtfs_rt(recordings, DAY).unchanged
    assert p.run(DAY).unchanged
    assert [origin["recordings_unreadable"] for origin in ledger().values()] == [2, 2, 2]
    assert p.status().days[0].oddities.recordings_unreadable == 2
    assert p.ingest_gtfs_rt(recordings, DAY).unchanged
