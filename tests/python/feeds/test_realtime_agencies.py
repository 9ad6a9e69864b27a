"""Recordings beside others: several agencies in one lake, and schedules as agencies publish them."""

from __future__ import annotations

import json
import zipfile
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq
import pytest

import metropulse as mp
from expansion import DAY, FEED, ZONE, write_zip
from realtime_messages import message, report

pytestmark = pytest.mark.core

NEXT_DAY = "2024-05-07"
NOON = int(datetime(2024, 5, 6, 12, tzinfo=ZoneInfo(ZONE)).timestamp())
# T2 leaves at 23:50 and arrives at half past midnight.
AFTER_MIDNIGHT = int(datetime(2024, 5, 7, 0, 10, tzinfo=ZoneInfo(ZONE)).timestamp())


def recording(folder: Path, at: int, *entities: dict) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{at}.pb"
    path.write_bytes(message(at, list(entities)))
    return path


def of_all_kinds(folder: Path, vehicle: str) -> Path:
    """A recording with a vehicle on a run, a prediction and an alert."""
    run = {"trip_id": "T1", "route_id": "R1", "start_date": DAY.replace("-", "")}
    update = {"trip": run, "vehicle": {"id": vehicle}, "stop_time_update": [{"stop_id": "S2", "arrival": {"delay": 5}}]}
    about = [{"agency_id": "A", "route_id": "R1", "stop_id": "S1", "trip": {"trip_id": "T1", "start_time": "08:01:00"}}]
    told = report(vehicle, at=NOON, trip=run, stop_id="S1")
    told["vehicle"]["vehicle"]["label"] = "Tram 7"
    alert = {"header_text": {"translation": [{"text": "slow"}]}, "informed_entity": about}
    return recording(folder, NOON, told, {"id": "u", "trip_update": update}, {"id": "a", "alert": alert})


def ingest(folder: Path, sources: Path, day: str = DAY, **more):
    return mp.ingest_gtfs_rt(sources, folder / "lake", day, time_zone=ZONE, **more)


def rows(folder: Path, path: str, day: str = DAY) -> list[dict]:
    # Read as the file alone: `dt=` in its folder's name is no column of it.
    return pq.ParquetFile(folder / "lake" / f"dt={day}" / path).read().to_pylist()


def listed(folder: Path, day: str = DAY) -> dict[str, dict]:
    files = json.loads((folder / "lake" / f"dt={day}" / "_manifest.json").read_text())["files"]
    return {file["path"]: file for file in files}


def test_a_named_feed_has_its_name_before_every_id_and_nowhere_else(tmp_path):
    ingest(tmp_path, of_all_kinds(tmp_path / "tram", "v1"), feed="tram")
    (position,) = rows(tmp_path, "vehicle_positions/tram.parquet")
    assert {name: position[name] for name in ("vehicle_id", "trip_id", "route_id", "stop_id", "vehicle_label")} == {
        "vehicle_id": "tram:v1", "trip_id": "tram:T1", "route_id": "tram:R1", "stop_id": "tram:S1", "vehicle_label": "Tram 7",
    }  # fmt: skip
    (trip,) = rows(tmp_path, "trips/tram.parquet")
    assert trip["trip_id"] == f"{DAY}/tram%3AT1//tram%3Av1"
    assert (trip["scheduled_trip_id"], trip["vehicle_id"], trip["route_id"]) == ("tram:T1", "tram:v1", "tram:R1")
    (update,) = rows(tmp_path, "trip_updates/tram.parquet")
    assert [update[name] for name in ("trip_id", "route_id", "vehicle_id", "stop_id", "schedule_relationship")] == [
        "tram:T1", "tram:R1", "tram:v1", "tram:S2", None,
    ]  # fmt: skip
    (alert,) = rows(tmp_path, "alerts/tram.parquet")
    assert (alert["alert_id"], alert["header"]) == ("tram:a", "slow")
    assert json.loads(alert["informed_entities"]) == [{
        "agency_id": "tram:A", "route_id": "tram:R1", "stop_id": "tram:S1",
        "trip": {"trip_id": "tram:T1", "start_time": "08:01:00"},
    }]  # fmt: skip


def test_what_names_nothing_gets_no_name(tmp_path):
    path = recording(tmp_path / "r", NOON, report(None, at=NOON), {"id": "", "alert": {"cause": 1}})
    ingest(tmp_path, path, feed="tram")
    (position,) = rows(tmp_path, "vehicle_positions/tram.parquet")
    assert [position[name] for name in ("vehicle_id", "trip_id", "route_id", "stop_id")] == [None] * 4
    (alert,) = rows(tmp_path, "alerts/tram.parquet")
    assert (alert["alert_id"], alert["informed_entities"]) == ("", "[]")


def test_agencies_of_one_lake_replace_their_own_parts_alone(tmp_path):
    tram, bus = of_all_kinds(tmp_path / "tram", "v1"), of_all_kinds(tmp_path / "bus", "v1")
    ingest(tmp_path, tram, feed="tram")
    before = listed(tmp_path)
    ingest(tmp_path, bus, feed="bus")
    both = listed(tmp_path)
    names = ("alerts", "trip_updates", "trips", "vehicle_positions")
    assert set(both) == {f"{name}/{feed}.parquet" for name in names for feed in ("tram", "bus")}
    assert {path: both[path] for path in before} == before
    assert ingest(tmp_path, tram, feed="tram").unchanged
    changed = recording(tmp_path / "bus", NOON + 60, report("v2", at=NOON + 60))
    ingest(tmp_path, changed, feed="bus")
    assert [row["vehicle_id"] for row in rows(tmp_path, "vehicle_positions/bus.parquet")] == ["bus:v2"]
    assert {path: listed(tmp_path)[path] for path in before} == before


def test_a_name_beside_none_is_refused_before_anything_changes(tmp_path):
    tram, other = of_all_kinds(tmp_path / "tram", "v1"), of_all_kinds(tmp_path / "other", "v2")
    ingest(tmp_path, tram, feed="tram")
    before = listed(tmp_path)
    with pytest.raises(mp.ConfigError, match=r"already, of a named feed; give every feed of a lake a name, or none"):
        ingest(tmp_path, other)
    assert listed(tmp_path) == before
    with pytest.raises(mp.ConfigError, match="expected a short name"):
        ingest(tmp_path, other, feed="no/way")
    alone = tmp_path / "alone"
    ingest(alone, tram)
    with pytest.raises(mp.ConfigError, match=r"already, of a feed without a name"):
        ingest(alone, other, feed="tram")
    assert ingest(alone, tram).unchanged


def test_a_named_feed_is_held_against_its_own_trips_of_the_lake(tmp_path):
    """Both agencies have a T2; that of the ferry leaves at eleven in the morning."""
    noon = FEED["stop_times.txt"].replace("23:50:00", "11:00:00").replace("24:30:00", "11:40:00")
    tram, ferry = (
        write_zip(tmp_path / "tram.zip", FEED),
        write_zip(tmp_path / "ferry.zip", {**FEED, "stop_times.txt": noon}),
    )
    for name, feed in (("tram", tram), ("ferry", ferry)):
        mp.ingest_gtfs(feed, tmp_path / "lake", "2024-05-06", days=2, feed=name, time_zone=ZONE)
    night = recording(tmp_path / "r", AFTER_MIDNIGHT, report("v1", at=AFTER_MIDNIGHT, trip={"trip_id": "T2"}))
    found = ingest(tmp_path, night, feed="tram")
    assert (found.vehicle_positions.rows, found.vehicle_positions.other_days) == (1, {})
    assert found.schedule.days == {"2024-05-06": 2, "2024-05-07": 2}
    # Ten past midnight lies eleven hours before the ferry of that day, and more than twelve after that of the day before.
    assert ingest(tmp_path, night, feed="ferry", dry_run=True).vehicle_positions.other_days == {NEXT_DAY: 1}


@pytest.mark.parametrize("form", ["zip", "folder", "folder within", "lake"])
def test_a_schedule_is_a_feed_as_published_or_a_lake_and_decides_the_service_date(tmp_path, form):
    feed = write_zip(tmp_path / "feed.zip", FEED)
    plan = {"zip": feed, "folder": tmp_path / "plan", "folder within": tmp_path / "plan", "lake": tmp_path / "plan"}[
        form
    ]
    if form in ("folder", "folder within"):
        with zipfile.ZipFile(feed) as packed:
            packed.extractall(plan / "gtfs" if form == "folder within" else plan)
    if form == "lake":
        mp.ingest_gtfs(feed, plan, "2024-05-06", days=2, time_zone=ZONE)
    night = recording(tmp_path / "r", AFTER_MIDNIGHT, report("v1", at=AFTER_MIDNIGHT, trip={"trip_id": "T2"}))
    assert ingest(tmp_path, night, dry_run=True).vehicle_positions.other_days == {NEXT_DAY: 1}
    found = ingest(tmp_path, night, schedule=plan)
    # A feed has the Sunday before as well, a lake the days that were written.
    sunday = {} if form == "lake" else {"2024-05-05": 1}
    assert found.schedule.days == {**sunday, "2024-05-06": 2, "2024-05-07": 2}
    (trip,) = rows(tmp_path, "trips.parquet")
    assert (trip["trip_id"], trip["scheduled_start_time"]) == (f"{DAY}/T2/23%3A50%3A00/v1", "23:50:00")
    schedule = listed(tmp_path)["trips.parquet"]["origin"]["schedule"]
    if form == "lake":
        assert set(schedule) == {"lake", "days", "versions"}
        (made_of,) = schedule["versions"]
        origin = json.loads((plan / f"dt={DAY}" / "_manifest.json").read_text())["files"][0]["origin"]
        assert made_of == {
            "feed": None, "sha256": origin["feed_sha256"], "feed_version": None, "days": [DAY, NEXT_DAY],
        }  # fmt: skip
    else:
        assert set(schedule) == {"feed", "days"}
        assert len(schedule["feed"]["sha256"]) == 64


def test_a_published_schedule_has_the_feeds_own_ids_whatever_its_name(tmp_path):
    feed = write_zip(tmp_path / "feed.zip", FEED)
    night = recording(tmp_path / "r", AFTER_MIDNIGHT, report("v1", at=AFTER_MIDNIGHT, trip={"trip_id": "T2"}))
    ingest(tmp_path, night, schedule=feed, feed="tram")
    (trip,) = rows(tmp_path, "trips/tram.parquet")
    assert trip["trip_id"] == f"{DAY}/tram%3AT2/23%3A50%3A00/tram%3Av1"


def test_the_schedule_of_a_lake_names_the_versions_of_the_feed_that_is_asked_for(tmp_path):
    info = "feed_publisher_name,feed_version,feed_start_date,feed_end_date\nA,{},20240101,20241231\n"
    for name, number in (("tram", "7"), ("bus", "8")):
        feed = write_zip(tmp_path / f"{name}.zip", {**FEED, "feed_info.txt": info.format(number)})
        mp.ingest_gtfs(feed, tmp_path / "lake", DAY, feed=name, time_zone=ZONE)
    later = write_zip(tmp_path / "later.zip", {**FEED, "feed_info.txt": info.format("9")})
    mp.ingest_gtfs(later, tmp_path / "lake", NEXT_DAY, feed="tram", time_zone=ZONE)
    night = recording(tmp_path / "r", AFTER_MIDNIGHT, report("v1", at=AFTER_MIDNIGHT, trip={"trip_id": "T2"}))
    used = ingest(tmp_path, night, feed="tram").schedule
    assert [(v.feed, v.feed_version, v.days) for v in used.versions] == [
        ("tram", "7", (DAY,)), ("tram", "9", (NEXT_DAY,)),
    ]  # fmt: skip
    assert {v.feed for v in ingest(tmp_path, night, feed="bus").schedule.versions} == {"bus"}


def test_a_schedule_of_the_lake_that_was_made_in_another_zone_is_refused_unless_its_day_does_not_tell(tmp_path):
    mp.ingest_gtfs(write_zip(tmp_path / "feed.zip", FEED), tmp_path / "lake", DAY, time_zone=ZONE)
    night = recording(tmp_path / "r", NOON, report("v1", at=NOON))
    with pytest.raises(
        mp.ConfigError, match=rf"{DAY} in .*lake are in {ZONE}, the service zone is UTC; add --time-zone"
    ):
        mp.ingest_gtfs_rt(night, tmp_path / "lake", DAY)
    assert ingest(tmp_path, night).vehicle_positions.rows == 1
    listed = tmp_path / "lake" / f"dt={DAY}" / "_manifest.json"
    told = json.loads(listed.read_text())
    for file in told["files"]:
        file["origin"].pop("zone", None)
    listed.write_text(json.dumps(told))
    assert mp.ingest_gtfs_rt(night, tmp_path / "lake", DAY).vehicle_positions.rows == 1


def test_a_published_schedule_of_another_zone_is_refused(tmp_path):
    feed = write_zip(tmp_path / "feed.zip", FEED)
    night = recording(tmp_path / "r", NOON, report("v1", at=NOON))
    with pytest.raises(mp.ConfigError, match=f"{ZONE}, the service zone is UTC"):
        mp.ingest_gtfs_rt(night, tmp_path / "lake", DAY, schedule=feed, time_zone="UTC")
    with pytest.raises(mp.DataError, match="cannot be read"):
        ingest(tmp_path, night, schedule=night)
