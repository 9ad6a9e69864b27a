"""Recordings of vehicle positions into a raw day: counts of real files, each oddity, and a model of the whole."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from datetime import UTC, date, datetime, timedelta
from operator import itemgetter
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import metropulse as mp
from answers import REAL_DATA, needs_real_data
from realtime_messages import field, message, narrow, report

pq = pytest.importorskip("pyarrow.parquet")

DAY = "2024-05-01"
NOON = int(datetime(2024, 5, 1, 12, tzinfo=UTC).timestamp())


def ingest(folder: Path, recordings: dict[str, bytes], day: str = DAY, zone: str = "UTC", **more):
    """Write recordings into a folder of their own and ingest it."""
    source = folder / "recordings"
    source.mkdir(exist_ok=True, parents=True)
    for name, content in recordings.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(content)
    return mp.ingest_gtfs_rt(source, folder / "lake", day, time_zone=zone, **more)


def rows(folder: Path, day: str = DAY, dataset: str = "vehicle_positions") -> list[dict]:
    return pq.read_table(folder / "lake" / f"dt={day}" / f"{dataset}.parquet").to_pylist()


def manifest(folder: Path, day: str = DAY) -> dict:
    return json.loads((folder / "lake" / f"dt={day}" / "_manifest.json").read_text())


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@needs_real_data
def test_real_positions_come_with_the_counts_that_an_independent_reader_found(tmp_path):
    real = REAL_DATA / "gtfs" / "ct-vehicle-positions.pb"
    found = mp.ingest_gtfs_rt(real, tmp_path / "lake", "2023-11-07", time_zone="America/Los_Angeles")
    assert found.tables["vehicle_positions"].rows_written == 14
    written = rows(tmp_path, "2023-11-07")
    first = written[0]
    assert (first["vehicle_id"], first["trip_id"], first["route_id"], first["direction_id"]) == ("124", "124", "L1", 1)
    assert (first["lat"], first["lon"]) == (narrow(37.3704605), narrow(-121.99604))
    assert (first["event_ts"], first["provider_ts"]) == (at(1699405549), at(1699405559))
    assert {row["vehicle_label"] for row in written} == {None}


@needs_real_data
@pytest.mark.parametrize(
    ("name", "day", "zone"),
    [
        ("hart-vehicle-positions.pb", "2021-03-07", "America/New_York"),
        ("ct-service-alerts.pb", "2023-11-07", "America/Los_Angeles"),
    ],
)
def test_a_real_message_without_entities_makes_a_day_without_positions(tmp_path, name, day, zone):
    found = mp.ingest_gtfs_rt(REAL_DATA / "gtfs" / name, tmp_path / "lake", day, time_zone=zone)
    assert (found.recordings, found.recordings_empty, found.alerts.alerts) == (1, 1, 0)
    assert rows(tmp_path, day) == []
    assert [file["path"] for file in manifest(tmp_path, day)["files"]] == ["vehicle_positions.parquet"]


def test_every_column_comes_in_its_unit(tmp_path):
    told = report(
        "bus-7",
        at=NOON - 5,
        trip={"trip_id": "t1", "start_date": "20240501", "route_id": "R", "direction_id": 1},
        position={"latitude": 1.5, "longitude": 2.25, "bearing": 90.5, "odometer": 1234.5, "speed": 10.0},
        current_stop_sequence=4,
        current_status=1,
        stop_id="S",
        occupancy_status=3,
    )
    told["vehicle"]["vehicle"]["label"] = "Line 7"
    ingest(tmp_path, {"vp-20240501T120003.250Z.pb": message(NOON, [told])})
    assert rows(tmp_path) == [
        {
            "event_ts": at(NOON - 5),
            "vehicle_id": "bus-7",
            "route_id": "R",
            "lat": 1.5,
            "lon": 2.25,
            "speed": 36.0,
            "heading": 90.5,
            "provider_ts": at(NOON),
            "trip_id": "t1",
            "start_date": date(2024, 5, 1),
            "direction_id": 1,
            "stop_id": "S",
            "current_stop_sequence": 4,
            "current_status": "STOPPED_AT",
            "occupancy_status": "STANDING_ROOM_ONLY",
            "odometer_m": 1234.5,
            "vehicle_label": "Line 7",
            "received_at": datetime(2024, 5, 1, 12, 0, 3, 250_000, UTC),
        }
    ]


def test_a_repeated_report_is_one_row_and_a_changed_one_another(tmp_path):
    still = report("v1", at=NOON)
    polls = [
        message(NOON, [still, report("v2")]),
        message(NOON + 10, [still, report("v2")]),
        message(NOON + 20, [report("v1", at=NOON, stop_id="S"), report("v2", stop_id="S")]),
        message(NOON + 30, [still, report("v2", stop_id="S")]),
    ]
    found = ingest(tmp_path, {f"{n}.pb": poll for n, poll in enumerate(polls)})
    told = [(r["vehicle_id"], r["event_ts"], r["stop_id"], r["provider_ts"]) for r in rows(tmp_path)]
    assert told == [
        ("v1", at(NOON), None, at(NOON)),
        ("v2", at(NOON), None, at(NOON)),
        ("v1", at(NOON), "S", at(NOON + 20)),
        ("v2", at(NOON + 20), "S", at(NOON + 20)),
        ("v1", at(NOON), None, at(NOON + 30)),
    ]
    counts = found.vehicle_positions
    assert (counts.reports, counts.repeated, counts.rows) == (8, 3, 5)


def test_only_the_day_is_written_and_others_are_counted(tmp_path):
    zone = ZoneInfo("America/Los_Angeles")
    late = int(datetime(2024, 5, 2, 1, 30, tzinfo=zone).timestamp())
    reports = [
        report("after midnight", at=late, trip={"trip_id": "t", "start_date": "20240501"}),
        report("next day", at=late),
        report("day before", at=late - 86_400, trip={"trip_id": "t", "start_date": "20240430"}),
        report("by local date", at=late - 2 * 3_600),
        report("no date at all", at=late - 2 * 3_600, trip={"trip_id": "t", "start_date": "tomorrow"}),
    ]
    found = ingest(tmp_path, {"a.pb": message(late, reports)}, zone="America/Los_Angeles")
    assert [r["vehicle_id"] for r in rows(tmp_path)] == ["after midnight", "by local date", "no date at all"]
    assert found.vehicle_positions.other_days == {"2024-04-30": 1, "2024-05-02": 1}
    assert found.vehicle_positions.bad_start_dates == 1
    assert sorted(path.name for path in (tmp_path / "lake").iterdir()) == [f"dt={DAY}"]


def test_a_time_of_zero_is_none_and_one_of_the_future_is_told(tmp_path):
    polls = {
        "1.pb": message(NOON, [report("zero", at=0)]),
        "2.pb": message(0, [report("own", at=NOON + 1), report("neither")]),
        "3.pb": message(NOON + 2, [report("ahead", at=NOON + 86_000, trip={"start_date": "20240501"})]),
        "4.pb": message(4_000_000_000, [report("later", trip={"start_date": "20240501"})]),
    }
    found = ingest(tmp_path, polls)
    told = {r["vehicle_id"]: (r["event_ts"], r["provider_ts"]) for r in rows(tmp_path)}
    assert told == {
        "zero": (at(NOON), at(NOON)),
        "own": (at(NOON + 1), None),
        "ahead": (at(NOON + 86_000), at(NOON + 2)),
        "later": (at(4_000_000_000), at(4_000_000_000)),
    }
    assert (found.recordings_without_time, found.recordings_in_the_future) == (1, 1)
    assert (found.vehicle_positions.without_day, found.vehicle_positions.in_the_future) == (1, 2)


def test_a_vehicle_without_an_id_goes_by_its_label(tmp_path):
    labelled = report(None, at=NOON)
    labelled["vehicle"]["vehicle"] = {"label": "1204"}
    found = ingest(tmp_path, {"a.pb": message(NOON, [labelled, report(None, at=NOON)])})
    assert [r["vehicle_id"] for r in rows(tmp_path)] == ["1204", None]
    assert found.vehicle_positions.without_vehicle == 1


def test_what_cannot_be_read_is_named_and_stops_nothing(tmp_path):
    whole = message(NOON, [report("v1", at=NOON)])
    extension = field(1000, 2, b"whatever") + field(1001, 3, field(5, 0, b"\x01") + b"\xcc\x3e")
    entity = field(4, 2, field(2, 2, b"\x0d\x00")) + field(1, 2, b"broken")
    recordings = {
        "1.pb": whole,
        "2-cut.pb": whole[:-3],
        "3-empty.pb": b"",
        "4-cut.pb.gz": gzip.compress(whole)[:-12],
        "5-html.pb": b"<html>502 Bad Gateway</html>",
        "6-json.json": b'{"header": {"timestamp": "soon"}}',
        "7-extension.pb": message(NOON + 1, [report("v2", at=NOON)]) + extension,
        "8-entity.pb": message(NOON + 2, [report("v3", at=NOON)]) + field(2, 2, entity),
        "9-latin.pb": message(NOON + 3, [report("v4", at=NOON, stop_id=b"Z\xfcrich")]),
        "readme.txt": b"not a recording",
    }
    found = ingest(tmp_path, recordings)
    assert [r["vehicle_id"] for r in rows(tmp_path)] == ["v1", "v2", "v3", "v4"]
    assert rows(tmp_path)[3]["stop_id"] == "Z\N{REPLACEMENT CHARACTER}rich"
    assert (found.recordings, found.recordings_unreadable, found.entities_unreadable) == (4, 5, 1)
    whys = {Path(one.file).name: one.why for one in found.damaged}
    assert whys == {
        "2-cut.pb": "the message is cut short",
        "3-empty.pb": "it is empty",
        "4-cut.pb.gz": "it is cut short",
        "5-html.pb": whys["5-html.pb"],
        "6-json.json": 'header.timestamp is "soon", expected a whole number at line 1 column 31',
        "8-entity.pb": "the message is cut short",
    }


def test_nothing_that_can_be_read_is_an_error_that_names_the_first(tmp_path):
    with pytest.raises(mp.DataError, match=r"none of 2 recordings can be read; the first is .*1\.pb: it is empty"):
        ingest(tmp_path, {"1.pb": b"", "2.pb": b"\xff"})
    assert not (tmp_path / "lake" / f"dt={DAY}").exists()
    with pytest.raises(mp.NotFoundError, match="names no file"):
        mp.ingest_gtfs_rt(tmp_path / "recordings" / "*.tar", tmp_path / "lake", DAY)


def as_json(timestamp: int, entities: list[dict]) -> bytes:
    return json.dumps(
        {"header": {"gtfsRealtimeVersion": "2.0", "timestamp": str(timestamp)}, "entity": entities}
    ).encode()


def packed_alike(polls: list[bytes], zstd) -> dict[str, dict[str, bytes]]:
    """The same polls in every form that is read."""
    names = [f"{n}.pb" for n in range(len(polls))]
    tar, zipped = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        for name, poll in zip(names, polls, strict=True):
            entry = tarfile.TarInfo(f"2024/05/{name}.gz")
            content = gzip.compress(poll)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, poll in reversed(list(zip(names, polls, strict=True))):
            archive.writestr(f"day/{name}", poll)
        archive.writestr("__MACOSX/day/._0.pb", b"nothing")
        archive.writestr("day/._0.pb", b"nothing")
    return {
        "plain": dict(zip(names, polls, strict=True)),
        "gzip": {f"{name}.gz": gzip.compress(poll) for name, poll in zip(names, polls, strict=True)},
        "zstd": {f"{name}.zst": zstd(poll) for name, poll in zip(names, polls, strict=True)},
        "tar": {"day.tar": tar.getvalue()},
        "tgz": {"day.tar.gz": gzip.compress(tar.getvalue())},
        "tar.zst": {"day.tar.zst": zstd(tar.getvalue())},
        "zip": {"day.zip": zipped.getvalue()},
    }


def test_every_form_of_a_recording_gives_the_same_rows(tmp_path):
    import pyarrow as pa

    polls = [(NOON + 10 * n, [report("v1", at=NOON + 7 * n), report("v2", stop_id=f"s{n // 2}")]) for n in range(5)]
    forms = packed_alike([message(*poll) for poll in polls], lambda b: pa.compress(b, "zstd", asbytes=True))
    for ending in (".PB", ".pbf", ".bin"):
        forms[ending] = {f"{n}{ending}": poll for n, poll in enumerate(forms["plain"].values())}
    for form in ("tgz", "zip"):
        ((name, content),) = forms[form].items()
        forms[name.upper()] = {name.upper(): content}
    forms["json"] = {f"{n}.json": as_json(*poll) for n, poll in enumerate(polls)}
    forms["json.gz"] = {f"{n}.json.gz": gzip.compress(as_json(*poll)) for n, poll in enumerate(polls)}
    written = {}
    for form, recordings in forms.items():
        (tmp_path / form).mkdir()
        found = ingest(tmp_path / form, recordings)
        assert (found.recordings, found.recordings_unreadable) == (5, 0), form
        written[form] = rows(tmp_path / form)
    assert len(written["plain"]) == 8
    assert all(found == written["plain"] for found in written.values())


def test_json_with_a_mark_or_with_parts_of_a_second_is_read(tmp_path):
    plain = [{"id": "1", "vehicle": {"vehicle": {"id": "v1"}, "timestamp": NOON}}]
    split = [{"id": "1", "vehicle": {"vehicle": {"id": "v2"}, "timestamp": NOON + 3.75}}]
    found = ingest(
        tmp_path,
        {
            "1.json": b"\xef\xbb\xbf" + as_json(NOON, plain),
            "2.json": json.dumps({"header": {"timestamp": NOON + 10.391}, "entity": split}).encode(),
        },
    )
    assert (found.recordings, found.recordings_unreadable) == (2, 0)
    assert [(row["vehicle_id"], row["event_ts"], row["provider_ts"]) for row in rows(tmp_path)] == [
        ("v1", at(NOON), at(NOON)),
        ("v2", at(NOON + 3), at(NOON + 10)),
    ]


def test_an_entity_of_json_that_cannot_be_read_does_not_stop_the_others(tmp_path):
    good = {"id": "1", "vehicle": {"vehicle": {"id": "v1"}, "timestamp": NOON}}
    bad = [
        {"id": "2", "vehicle": {"vehicle": {"id": "v2"}, "position": {"latitude": "41,1", "longitude": ""}}},
        {"id": "3", "vehicle": {"vehicle": "v3", "timestamp": NOON}},
        {"id": "4", "vehicle": {"vehicle": {"id": "v4"}, "timestamp": ""}},
        7,
    ]
    found = ingest(tmp_path, {"1.json": as_json(NOON, [bad[0], good, *bad[1:], None])})
    assert (found.recordings, found.recordings_unreadable, found.entities_unreadable) == (1, 0, 4)
    assert [row["vehicle_id"] for row in rows(tmp_path)] == ["v1"]
    assert "a value of another type than the standard's" in str(manifest(tmp_path)["files"][0]["origin"])
    with pytest.raises(mp.DataError, match=r'entity\.vehicle\.position\.latitude is "41,1", expected a number'):
        ingest(tmp_path / "bad", {"1.json": as_json(NOON, bad)})


def test_a_header_whose_length_looks_like_a_brace_is_no_json(tmp_path):
    whole = message(NOON, [report("v1", at=NOON)])
    size = whole[1]
    # An extension, as New York's subway has one, makes the header 123 bytes long: `{`, behind the line break that its tag is.
    header = whole[2 : 2 + size] + field(1001, 2, bytes(123 - size - 3))
    ingest(tmp_path, {"1.pb": field(1, 2, header) + whole[2 + size :]})
    assert [row["event_ts"] for row in rows(tmp_path)] == [at(NOON)]


def test_a_page_in_place_of_a_message_is_told_by_how_it_begins(tmp_path):
    page = b"\n<!DOCTYPE html>\n<html><body>502 Bad Gateway</body></html>\n"
    found = ingest(tmp_path, {"1.pb": page, "2.pb": message(NOON, [report("v1", at=NOON)])})
    assert [damaged.why for damaged in found.damaged] == [
        'it is text and no message; it begins with "<!DOCTYPE html> <html><body>502 Bad Gat"'
    ]


def test_a_cut_archive_gives_what_comes_before_the_cut(tmp_path):
    polls = [message(NOON + n, [report(f"v{n}", at=NOON)]) for n in range(3)]
    tar = packed_alike(polls, lambda b: b)["tar"]["day.tar"]
    found = ingest(tmp_path, {"day.tar": tar[: 512 * 3 + 40], "x.zip": b"PK\x03\x04"})
    assert [r["vehicle_id"] for r in rows(tmp_path)] == ["v0"]
    assert {Path(one.file).name for one in found.damaged} == {"1.pb.gz", "day.tar", "x.zip"}


def test_recordings_in_any_order_give_the_same_day(tmp_path):
    polls = [
        message(NOON + 10 * n, [report("v1", at=NOON + 60 * (n // 3)), report("v2", stop_id=f"{n // 2}")])
        for n in range(12)
    ]
    days = []
    for name, order in (
        ("forth", range(12)),
        ("back", range(11, -1, -1)),
        ("mixed", [(7 * n) % 12 for n in range(12)]),
    ):
        (tmp_path / name).mkdir()
        ingest(tmp_path / name, {f"{place:02}.pb": polls[n] for place, n in enumerate(order)})
        days.append([{k: v for k, v in row.items() if k != "received_at"} for row in rows(tmp_path / name)])
    assert len(days[0]) == 4 + 6
    assert days[0] == days[1] == days[2]


def test_the_same_recordings_again_write_nothing(tmp_path):
    recordings = {"1.pb": message(NOON, [report("v1", at=NOON)])}
    assert not ingest(tmp_path, recordings).unchanged
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "lake").rglob("*") if path.is_file()}
    again = ingest(tmp_path, recordings)
    assert again.unchanged
    assert again.rows == 0
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "lake").rglob("*") if path.is_file()}
    assert not ingest(tmp_path, {"2.pb": message(NOON + 9, [report("v1", at=NOON + 9)])}).unchanged
    assert len(rows(tmp_path)) == 2


def test_a_dry_run_reports_and_writes_nothing(tmp_path):
    found = ingest(tmp_path, {"1.pb": message(NOON, [report("v1", at=NOON)])}, dry_run=True)
    assert found.dry_run
    assert found.tables["vehicle_positions"].rows_written == 1
    assert not (tmp_path / "lake").exists()


def test_what_the_day_has_of_other_datasets_stays(tmp_path):
    lake = mp.Pipeline(lake=tmp_path / "lake")
    lake.generate(DAY, scale=0.05)
    kept = {file["path"]: file for file in manifest(tmp_path)["files"]}
    trips = (tmp_path / "lake" / f"dt={DAY}" / "trips.parquet").read_bytes()
    ingest(tmp_path, {"1.pb": message(NOON, [report("v1", at=NOON, trip={"trip_id": "t"})])})
    after = {file["path"]: file for file in manifest(tmp_path)["files"]}
    assert {path for path in after if after[path] != kept.get(path)} == {"vehicle_positions.parquet"}
    assert after.keys() == kept.keys()
    assert (tmp_path / "lake" / f"dt={DAY}" / "trips.parquet").read_bytes() == trips
    assert after["vehicle_positions.parquet"]["origin"]["format"] == "gtfs-rt"


def test_performed_trips_are_first_and_last_report_and_the_way_between(tmp_path):
    run = {"trip_id": "a/b c", "start_date": "20240501", "start_time": "9:05:00", "route_id": "R"}
    places = [(0.0, 10.0), (0.0, 10.01), (0.01, 10.01)]
    reports = [
        report("v1", at=NOON + 60 * n, trip=run, position={"latitude": lat or 1e-9, "longitude": lon})
        for n, (lat, lon) in enumerate(places)
    ]
    polls = {f"{n}.pb": message(NOON + 60 * n, [one, report("v2", at=NOON)]) for n, one in enumerate(reports)}
    ingest(tmp_path, polls)
    (trip,) = rows(tmp_path, dataset="trips")
    assert trip["trip_id"] == "2024-05-01/a%2Fb%20c/09%3A05%3A00/v1"
    assert (trip["scheduled_trip_id"], trip["scheduled_start_time"]) == ("a/b c", "09:05:00")
    assert (trip["start_ts"], trip["end_ts"]) == (at(NOON), at(NOON + 120))
    assert (trip["route_id"], trip["vehicle_id"]) == ("R", "v1")
    # A hundredth of a degree on the equator is 1,111.95 m of a sphere of the earth's mean radius.
    assert trip["distance_m"] == pytest.approx(2 * 1_111.95, abs=0.5)


def scheduled(lake: Path, runs: dict[str, list[tuple[str, str, datetime, datetime]]]) -> None:
    """Write scheduled trips by service date, as the ingest of a schedule does."""
    import pyarrow as pa

    instant = pa.timestamp("us", "UTC")
    kinds = {"trip_id": pa.string(), "start_time": pa.string(), "start_ts": instant, "end_ts": instant}
    for day, rows in runs.items():
        (lake / f"dt={day}").mkdir(parents=True)
        columns = [pa.array(values, kind) for values, kind in zip(zip(*rows, strict=True), kinds.values(), strict=True)]
        pq.write_table(pa.table(columns, names=list(kinds)), lake / f"dt={day}" / "scheduled_trips.parquet")


def test_the_schedule_decides_where_a_report_names_no_date(tmp_path):
    def run(day: int, hour: int, minutes: int = 60):
        start = datetime(2024, 5, day, tzinfo=UTC) + timedelta(hours=hour)
        return ("night", f"{hour:02}:00:00", start, start + timedelta(minutes=minutes))

    scheduled(
        tmp_path / "plan",
        {
            "2024-04-30": [
                ("night", "25:00:00", datetime(2024, 5, 1, 1, tzinfo=UTC), datetime(2024, 5, 1, 2, tzinfo=UTC))
            ],
            DAY: [run(1, 25)],
            "2024-05-02": [run(2, 25)],
        },
    )
    late = int(datetime(2024, 5, 2, 1, 30, tzinfo=UTC).timestamp())
    reports = [
        report("under way", at=late, trip={"trip_id": "night"}),
        report("dated", at=late, trip={"trip_id": "night", "start_date": "20240502"}),
        report("unknown", at=late, trip={"trip_id": "other"}),
        report("nearer to the next", at=late + 50_000, trip={"trip_id": "night"}),
    ]
    recordings = {"a.pb": message(late, reports)}
    found = ingest(tmp_path, recordings, schedule=tmp_path / "plan")
    assert [r["vehicle_id"] for r in rows(tmp_path)] == ["under way"]
    assert found.vehicle_positions.other_days == {"2024-05-02": 3}
    assert found.schedule.days == {"2024-04-30": 1, DAY: 1, "2024-05-02": 1}
    (origin,) = {json.dumps(file["origin"]["schedule"]) for file in manifest(tmp_path)["files"]}
    assert json.loads(origin) == found.schedule.to_dict()
    (trip,) = rows(tmp_path, dataset="trips")
    assert (trip["trip_id"], trip["scheduled_start_time"]) == (f"{DAY}/night/25%3A00%3A00/under%20way", "25:00:00")


@pytest.mark.parametrize("is_folder", [False, True])
def test_the_lakes_own_schedule_is_used_and_stays(tmp_path, is_folder):
    start = datetime(2024, 5, 2, 1, tzinfo=UTC)
    scheduled(tmp_path / "lake", {DAY: [("night", "25:00:00", start, start)]})
    file = tmp_path / "lake" / f"dt={DAY}" / "scheduled_trips.parquet"
    if is_folder:
        (file.parent / "scheduled_trips").mkdir()
        file = file.rename(file.parent / "scheduled_trips" / "tram.parquet")
    found = ingest(tmp_path, {"a.pb": message(int(start.timestamp()), [report("v1", trip={"trip_id": "night"})])})
    assert found.schedule.days == {DAY: 1}
    assert [r["vehicle_id"] for r in rows(tmp_path)] == ["v1"]
    listed = {entry["path"] for entry in manifest(tmp_path)["files"]}
    assert listed == {"trips.parquet", "vehicle_positions.parquet", str(file.relative_to(file.parents[is_folder]))}
    assert file.exists()


def polls_of_a_day():
    """Random polls in the order of time: few vehicles that often say the same again."""
    one = st.builds(
        lambda vehicle, own, stop, start: (vehicle, own, stop, start),
        st.sampled_from("abc"),
        st.sampled_from([None, 0, NOON, NOON + 40_000, NOON + 50_000]),
        st.sampled_from(["", "s", "t"]),
        st.sampled_from(["", "20240501", "20240502", "2024"]),
    )
    poll = st.lists(one, max_size=4, unique_by=lambda report: report[0])
    return st.lists(st.tuples(st.integers(1, 20_000), poll), min_size=1, max_size=8)


def told_by_a_plain_model(polls) -> tuple[list[tuple], dict[str, int]]:
    """What the fine print says, one report at a time."""
    last, written, others = {}, [], {}
    for when, reports in polls:
        for vehicle, own, stop, start in reports:
            said = (own or None, stop, start)
            if last.get(vehicle) == said:
                continue
            last[vehicle] = said
            event = own or when
            dated = len(start) == 8
            day = f"{start[:4]}-{start[4:6]}-{start[6:]}" if dated else at(event).date().isoformat()
            if day == DAY:
                written.append((vehicle, at(event), stop or None, at(when)))
            else:
                others[day] = others.get(day, 0) + 1
    return written, others


@settings(max_examples=60, deadline=None)
@given(polls_of_a_day(), st.randoms())
def test_random_recordings_give_what_a_plain_model_gives(tmp_path_factory, steps, chance):
    when, polls = NOON, []
    for step, reports in steps:
        when += step
        polls.append((when, reports))
    written, others = told_by_a_plain_model(polls)
    encoded = [
        message(
            when,
            [
                report(vehicle, at=own, stop_id=stop, trip={"start_date": start})
                for vehicle, own, stop, start in reports
            ],
        )
        for when, reports in polls
    ]
    names = list(range(len(encoded)))
    chance.shuffle(names)
    for order in (range(len(encoded)), names):
        folder = tmp_path_factory.mktemp("random")
        found = ingest(folder, {f"{name:03}.pb": poll for name, poll in zip(order, encoded, strict=True)})
        got = [(r["vehicle_id"], r["event_ts"], r["stop_id"], r["provider_ts"]) for r in rows(folder)]
        # The order of rows of different vehicles is that of the recordings, and means nothing.
        assert sorted(got, key=itemgetter(3, 0)) == sorted(written, key=itemgetter(3, 0))
        assert found.vehicle_positions.other_days == others
        assert found.vehicle_positions.reports == sum(len(reports) for _, reports in polls)
