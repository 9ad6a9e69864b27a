"""Recordings of trip updates and alerts into a raw day: counts of real files, the last word, and a model of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import metropulse as mp
from answers import REAL_DATA, needs_real_data
from metropulse.cli import cli
from realtime_messages import message, report

pq = pytest.importorskip("pyarrow.parquet")

DAY = "2024-05-01"
NOON = int(datetime(2024, 5, 1, 12, tzinfo=UTC).timestamp())


def ingest(folder: Path, polls: list[bytes], day: str = DAY, zone: str = "UTC"):
    source = folder / "recordings"
    source.mkdir(exist_ok=True)
    for number, poll in enumerate(polls):
        (source / f"{number:03}.pb").write_bytes(poll)
    return mp.ingest_gtfs_rt(source, folder / "lake", day, time_zone=zone)


def rows(folder: Path, dataset: str, day: str = DAY) -> list[dict]:
    return pq.read_table(folder / "lake" / f"dt={day}" / f"{dataset}.parquet").to_pylist()


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def update(trip: str, *stops: dict, timestamp: int | None = None, delay: int | None = None, **named) -> dict:
    """An entity with a trip update of the day."""
    told: dict = {"trip": {"trip_id": trip, "start_date": "20240501", **named}}
    if stops:
        told["stop_time_update"] = list(stops)
    if timestamp is not None:
        told["timestamp"] = timestamp
    if delay is not None:
        told["delay"] = delay
    return {"id": f"u-{trip}", "trip_update": told}


@needs_real_data
@pytest.mark.parametrize(
    ("name", "day", "trips", "stops", "repeated"),
    # Eight of BART's trips give two stops one stop_sequence: the later word counts.
    [("ct-trip-updates.pb", "2023-11-07", 19, 220, 0), ("bart-trip-updates.pb", "2019-08-07", 91, 1_060, 8)],
)
def test_real_trip_updates_come_with_the_counts_that_an_independent_reader_found(
    tmp_path, name, day, trips, stops, repeated
):
    found = mp.ingest_gtfs_rt(REAL_DATA / "gtfs" / name, tmp_path / "lake", day, time_zone="America/Los_Angeles")
    assert (found.trip_updates.updates, found.trip_updates.stop_updates) == (trips, stops)
    assert found.trip_updates.other_days == {}
    written = rows(tmp_path, "trip_updates", day)
    assert len(written) == stops - repeated
    assert len({(row["trip_id"], row["start_time"]) for row in written}) == trips
    if name.startswith("ct"):
        first = written[0]
        assert (first["trip_id"], first["start_time"], first["stop_sequence"]) == ("124", "15:37:00", 20)
        assert (first["arrival_ts"], first["departure_ts"]) == (None, at(1699405504))
        assert (first["route_id"], first["vehicle_id"], first["updated_at"]) == ("L1", "124", at(1699405520))
    else:
        assert (written[0]["arrival_ts"], written[0]["arrival_delay_sec"]) == (at(1565201526), 29)
        assert {row["schedule_relationship"] for row in written} == {"SCHEDULED", "ADDED"}


@needs_real_data
def test_a_real_alert_is_one_row(tmp_path):
    real = REAL_DATA / "gtfs" / "bart-alerts.pb"
    found = mp.ingest_gtfs_rt(real, tmp_path / "lake", "2019-08-07", time_zone="America/Los_Angeles")
    assert found.alerts.alerts == 1
    (alert,) = rows(tmp_path, "alerts", "2019-08-07")
    assert (alert["alert_id"], alert["cause"], alert["effect"]) == (
        "BSA_187874",
        "MEDICAL_EMERGENCY",
        "SIGNIFICANT_DELAYS",
    )
    assert alert["header"].startswith("There is a major delay at Montgomery St.")
    assert (alert["description"], alert["severity"], alert["active_from"], alert["active_to"]) == (None,) * 4
    assert json.loads(alert["informed_entities"]) == [{"agency_id": "BART"}]
    assert alert["first_seen"] == alert["last_seen"] == at(1565199942)


def test_the_last_word_on_each_stop_counts_and_stops_that_are_behind_stay(tmp_path):
    first = update("t", {"stop_sequence": 1, "arrival": {"delay": 60}}, {"stop_sequence": 2, "arrival": {"time": NOON}})
    second = update("t", {"stop_sequence": 2, "departure": {"delay": -30}, "schedule_relationship": 0})
    found = ingest(tmp_path, [message(NOON + 10, [second]), message(NOON, [first])])
    told = [
        (r["stop_sequence"], r["arrival_ts"], r["arrival_delay_sec"], r["departure_delay_sec"], r["updated_at"])
        for r in sorted(rows(tmp_path, "trip_updates"), key=lambda r: r["stop_sequence"])
    ]
    assert told == [(1, None, 60, None, at(NOON)), (2, None, None, -30, at(NOON + 10))]
    assert found.tables["trip_updates"].rows_written == 2


def test_every_kind_of_update_stays_what_it_is(tmp_path):
    updates = [
        update("cancelled", schedule_relationship=3),
        update("added", {"stop_id": "A", "arrival": {"time": NOON}}, {"stop_id": "B"}, schedule_relationship=1),
        update("skipping", {"stop_sequence": 4, "stop_id": "C", "schedule_relationship": 1}, start_time="8:00:00"),
        update("delayed", delay=-90),
        update("skipping", {"stop_sequence": 4, "schedule_relationship": 2}, start_time="9:00:00"),
        update("other day", start_date="20240502"),
        {"id": "u", "trip_update": {"trip": {"route_id": "R"}}},
    ]
    found = ingest(tmp_path, [message(NOON, updates)])
    told = {
        (r["trip_id"], r["start_time"], r["stop_id"]): (
            r["schedule_relationship"],
            r["stop_schedule_relationship"],
            r["stop_sequence"],
            r["arrival_delay_sec"],
        )
        for r in rows(tmp_path, "trip_updates")
    }
    assert told == {
        ("cancelled", None, None): ("CANCELED", None, None, None),
        ("added", None, "A"): ("ADDED", None, None, None),
        ("added", None, "B"): ("ADDED", None, None, None),
        ("skipping", "08:00:00", "C"): (None, "SKIPPED", 4, None),
        ("delayed", None, None): (None, None, None, -90),
        ("skipping", "09:00:00", None): (None, "NO_DATA", 4, None),
    }
    assert (found.trip_updates.other_days, found.trip_updates.without_trip) == ({"2024-05-02": 1}, 1)


def test_a_copy_of_a_trip_says_nothing_of_the_trip_that_it_copies(tmp_path):
    properties = {"trip_id": "T-copy", "start_date": "20240501", "start_time": "9:30:00"}
    copy = update("T", {"stop_sequence": 1, "arrival": {"delay": 5}}, start_time="08:00:00", schedule_relationship=6)
    copy["trip_update"]["trip_properties"] = properties
    scheduled = update("T", {"stop_sequence": 1, "arrival": {"delay": 60}}, start_time="08:00:00")
    scheduled["trip_update"]["trip_properties"] = properties
    ingest(tmp_path, [message(NOON, [scheduled, copy])])
    assert [
        (row["trip_id"], row["start_time"], row["schedule_relationship"], row["arrival_delay_sec"])
        for row in rows(tmp_path, "trip_updates")
    ] == [("T", "08:00:00", None, 60), ("T-copy", "09:30:00", "DUPLICATED", 5)]


def test_an_alert_is_a_row_for_each_content_that_it_had(tmp_path):
    def alert(text: str, **more) -> dict:
        return {"id": "a1", "alert": {"header_text": {"translation": [{"text": text, "language": "en"}]}, **more}}

    period = [{"start": NOON, "end": NOON + 60}, {"start": NOON + 600}]
    trip = {"trip_id": "t", "route_id": "R"}
    polls = [
        message(NOON, [alert("slow", active_period=period, informed_entity=[{"stop_id": "S", "trip": trip}])]),
        message(NOON + 10, [alert("slower", severity_level=4)]),
        message(NOON + 20, [alert("slow", active_period=period, informed_entity=[{"stop_id": "S", "trip": trip}])]),
        message(NOON + 86_400, [alert("tomorrow")]),
    ]
    found = ingest(tmp_path, polls)
    slow, slower = rows(tmp_path, "alerts")
    assert (slow["header"], slow["first_seen"], slow["last_seen"]) == ("slow", at(NOON), at(NOON + 20))
    assert (slow["active_from"], slow["active_to"]) == (at(NOON), None)
    assert json.loads(slow["informed_entities"]) == [{"stop_id": "S", "trip": trip}]
    assert (slower["header"], slower["severity"], slower["first_seen"]) == ("slower", "SEVERE", at(NOON + 10))
    assert slow["alert_id"] == slower["alert_id"] == "a1"
    assert slow["content"] != slower["content"]
    assert (found.alerts.alerts, found.alerts.other_days) == (4, {"2024-05-02": 1})


def test_what_is_not_written_is_told_by_date_of_every_kind(tmp_path):
    alert = {"id": "a", "alert": {"header_text": {"translation": [{"text": "slow"}]}}}
    nameless = {"id": "u", "trip_update": {"trip": {"route_id": "R"}}}
    dateless = {"id": "d", "trip_update": {"trip": {"trip_id": "t"}}}
    polls = [
        message(NOON, [update("t", start_date="20240502"), update("t", start_date="20240503"), nameless]),
        message(NOON + 86_400, [report("v1", at=NOON + 86_400), alert]),
        message(NOON, [update("t"), report("v1", at=NOON), alert]),
        message(None, [report("v1"), alert, dateless]),
    ]
    found = ingest(tmp_path, polls)
    assert found.vehicle_positions.other_days == found.alerts.other_days == {"2024-05-02": 1}
    assert found.trip_updates.other_days == {"2024-05-02": 1, "2024-05-03": 1}
    assert [found[kind].without_day for kind in ("vehicle_positions", "trip_updates", "alerts")] == [1, 1, 1]

    words = ["ingest", "gtfs-rt", str(tmp_path / "recordings"), "--date", DAY, "--lake", str(tmp_path / "lake")]
    said = CliRunner().invoke(cli, [*words, "--dry-run", "--quiet"])
    assert said.exit_code == 0, said.output
    assert [line for line in said.output.splitlines() if "not written:" in line] == [
        "vehicle_positions not written: 1 of 2024-05-02, 1 without a day",
        "trip_updates not written: 1 of 2024-05-02, 1 of 2024-05-03, 1 without a day, 1 without a trip",
        "alerts not written: 1 of 2024-05-02, 1 without a day",
    ]


def test_what_is_not_kept_of_the_standard_makes_no_row_of_its_own(tmp_path):
    def poll(at: int, *, is_fuller: bool) -> bytes:
        def fuller(**fields) -> dict:
            return fields if is_fuller else {}

        text = {"translation": [{"text": "more"}]}
        vehicle = {"id": "v1", **fuller(license_plate="B-MP 1", wheelchair_accessible=2)}
        carriages = [{"id": "c1", "occupancy_percentage": 20}]
        seen = report(
            "v1", at=NOON, **fuller(congestion_level=3, occupancy_percentage=40, multi_carriage_details=carriages)
        )
        seen["vehicle"]["vehicle"] = vehicle
        arrival = {"delay": 60, **fuller(uncertainty=30, scheduled_time=NOON)}
        stop = {"stop_sequence": 1, "arrival": arrival, **fuller(departure_occupancy_status=2)}
        stop |= fuller(stop_time_properties={"assigned_stop_id": "other"})
        moved = update("t", stop, timestamp=NOON, **fuller(direction_id=1))
        moved["trip_update"] |= fuller(trip_properties={"trip_id": "other"}, delay=90)
        alert = {"header_text": {"translation": [{"text": "slow"}]}}
        for name in ("url", "tts_header_text", "tts_description_text", "image_alternative_text", "cause_detail"):
            alert |= fuller(**{name: text})
        alert |= fuller(effect_detail=text, image={"localized_image": {"url": "u", "media_type": "image/png"}})
        return message(at, [seen, moved, {"id": "a", "alert": alert}])

    found = ingest(tmp_path, [poll(NOON, is_fuller=False), poll(NOON + 10, is_fuller=True)])
    assert found.vehicle_positions.repeated == 1
    kinds = ("vehicle_positions", "trip_updates", "alerts")
    both = {kind: rows(tmp_path, kind) for kind in kinds}
    assert [len(both[kind]) for kind in kinds] == [1, 1, 1]
    ingest(tmp_path, [poll(NOON, is_fuller=False), poll(NOON + 10, is_fuller=False)])
    assert {kind: rows(tmp_path, kind) for kind in kinds} == both


def test_languages_and_periods_of_which_no_column_tells_make_another_content(tmp_path):
    def alert(texts: list[tuple[str, str]], *periods: tuple[int, int]) -> dict:
        spoken = [{"text": text, "language": language} for text, language in texts]
        active = [{"start": start, "end": end} for start, end in periods]
        return {"id": "a", "alert": {"header_text": {"translation": spoken}, "active_period": active}}

    whole, halves = [(NOON, NOON + 60)], [(NOON, NOON + 10), (NOON + 50, NOON + 60)]
    said = [
        alert([("slow", "en")], *whole),
        alert([("slow", "en"), ("langsam", "de")], *whole),
        alert([("slow", "en")], *halves),
    ]
    ingest(tmp_path, [message(NOON + n, [one]) for n, one in enumerate(said)])
    found = rows(tmp_path, "alerts")
    assert len({row["content"] for row in found}) == 3
    assert {(row["header"], row["active_from"], row["active_to"]) for row in found} == {
        ("slow", at(NOON), at(NOON + 60))
    }


def test_each_feed_replaces_its_own_datasets_alone(tmp_path):
    ingest(tmp_path, [message(NOON, [update("t", delay=1)])])
    (tmp_path / "recordings" / "000.pb").unlink()
    ingest(tmp_path, [message(NOON, [report("v1", at=NOON)])])
    listed = json.loads((tmp_path / "lake" / f"dt={DAY}" / "_manifest.json").read_text())["files"]
    assert [file["path"] for file in listed] == ["trip_updates.parquet", "vehicle_positions.parquet"]
    assert len(rows(tmp_path, "trip_updates")) == len(rows(tmp_path, "vehicle_positions")) == 1


said = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 3), st.lists(st.integers(0, 4), max_size=4, unique=True)),
    max_size=3,
)


@settings(max_examples=40, deadline=None)
@given(st.lists(said, min_size=1, max_size=6), st.randoms())
def test_random_updates_give_what_a_plain_model_gives(tmp_path_factory, polls, chance):
    """Of each run and stop the update with the latest time; polls come in any order, and no two have one time."""
    expected, encoded = {}, []
    for number, told in enumerate(polls):
        when, entities = NOON + 10 * number, []
        for trip, delay, stops in {trip: (trip, delay, stops) for trip, delay, stops in told}.values():
            calls = [{"stop_sequence": stop, "arrival": {"delay": delay}} for stop in stops]
            entities.append(update(trip, *calls))
            for stop in stops or [None]:
                expected[trip, stop] = (delay if stops else None, at(when))
        encoded.append(message(when, entities))
    chance.shuffle(encoded)
    folder = tmp_path_factory.mktemp("random")
    ingest(folder, encoded)
    if not expected:
        return
    got = {
        (r["trip_id"], r["stop_sequence"]): (r["arrival_delay_sec"], r["updated_at"])
        for r in rows(folder, "trip_updates")
    }
    assert got == expected
