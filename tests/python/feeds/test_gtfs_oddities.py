"""GTFS Schedule as it really is: files with oddities, bad rows, archives that are none."""

from __future__ import annotations

import json
import os
import zipfile
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import metropulse as mp
from expansion import DAY, FEED, ZONE, expand, manifest, read, write_zip, written
from http_servers import files_of

pytestmark = pytest.mark.core


@pytest.fixture
def ingest(tmp_path):
    """Ingest a feed with some files changed (None: left out), by default of one day; the report comes back."""

    def run(changed=None, *, day=DAY, folder="", **more):
        files = {name: text for name, text in {**FEED, **(changed or {})}.items() if text is not None}
        source = write_zip(tmp_path / "feed.zip", files, folder)
        return mp.ingest_gtfs(source, tmp_path / "lake", day, **{"time_zone": ZONE, **more})

    return run


@pytest.fixture
def lake(tmp_path) -> Path:
    return tmp_path / "lake"


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


def rejected(lake: Path, day: str = DAY) -> list[tuple]:
    file = lake / f"dt={day}" / "_rejected.parquet"
    rows = pq.read_table(file).to_pylist() if file.is_file() else []
    return [(r["file"], r["row_number"], *r["reasons"]) for r in rows]


def test_a_day_holds_every_column_of_its_five_tables(ingest, lake):
    report = ingest()
    assert read(lake, DAY, "scheduled_trips")[0] == {
        "trip_id": "T1", "start_time": "08:01:00", "route_id": "R1", "service_id": "WK", "direction_id": 0,
        "block_id": "B1", "shape_id": "P", "headsign": "Uptown", "start_ts": utc(2024, 5, 6, 12, 1),
        "end_ts": utc(2024, 5, 6, 12, 20), "exact_times": None,
    }  # fmt: skip
    first, blank, *_ = read(lake, DAY, "scheduled_stop_times")
    assert first == {
        "trip_id": "T1", "start_time": "08:01:00", "stop_sequence": 1, "stop_id": "S1",
        "arrival_ts": utc(2024, 5, 6, 12), "departure_ts": utc(2024, 5, 6, 12, 1), "timepoint": 1, "pickup_type": 0,
        "drop_off_type": 1, "shape_dist": 0.0,
    }  # fmt: skip
    assert [blank[name] for name in ("arrival_ts", "departure_ts", "pickup_type", "shape_dist")] == [None] * 4
    routes = {row["route_id"]: row for row in read(lake, DAY, "routes")}
    assert [(r["name"], r["transport_type"]) for r in routes.values()] == [
        ("1: First Street", "bus"), ("Ferry", "ferry"), ("M", "metro"),
    ]  # fmt: skip
    assert json.loads(routes["R1"]["schema_json"]) == {
        "agency_id": "A", "agency_name": "City Bus", "route_color": "FF0000",
    }  # fmt: skip
    assert [routes["R1"][name] for name in ("base_fare", "active_from", "active_to")] == [None] * 3
    assert [(s["lat"], s["lon"], s["city"]) for s in read(lake, DAY, "stops")][1:] == [
        (40.2, -74.2, None), (None, None, None),
    ]  # fmt: skip
    assert [(s["shape_id"], json.loads(s["points"])) for s in read(lake, DAY, "shapes")] == [
        ("P", [[40.1, -74.1], [40.2, -74.2]])
    ]
    assert (report.rows, report.files, report.unchanged) == (3 + 3 + 2 + 5 + 1, 5, False)


def test_the_manifest_names_the_feed_and_what_the_sensor_waits_for_is_there(ingest, lake):
    ingest({"feed_info.txt": "feed_publisher_name,feed_version,feed_start_date\nA,v7,20240201\n"})
    files = manifest(lake, DAY)["files"]
    origin = files[0]["origin"]
    assert {file["path"] for file in files} == {
        "routes.parquet", "stops.parquet", "scheduled_trips.parquet", "scheduled_stop_times.parquet", "shapes.parquet",
    }  # fmt: skip
    assert (origin["feed_version"], origin["valid_from"], origin["service_date"]) == ("v7", "2024-02-01", DAY)
    assert origin["zone"] == ZONE
    assert len(origin["feed_sha256"]) == 64
    assert mp.Pipeline(lake=lake).partition_ready(DAY, required=["routes", "stops"]).ready


def test_the_same_feed_writes_the_same_bytes_and_an_unchanged_day_not_at_all(ingest, lake, tmp_path):
    ingest()
    day = lake / f"dt={DAY}"
    before = {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in day.iterdir()}
    report = ingest()
    assert (report.unchanged, report.rows, report.days[0].trips, report.days[0].stop_times) == (True, 0, 2, 5)
    assert {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in day.iterdir()} == before
    mp.ingest_gtfs(tmp_path / "feed.zip", tmp_path / "other", "2024-05-05", days=4, time_zone=ZONE)
    other = tmp_path / "other" / f"dt={DAY}"
    assert {file.name: file.read_bytes() for file in other.iterdir()} == {n: b for n, (b, _) in before.items()}


def test_a_corrected_feed_replaces_its_files_and_leaves_what_others_brought(ingest, lake):
    pq.write_table(
        pq.read_table(Path(__file__).parents[2] / "data/prototype_raw/dt=2024-05-01/trips.parquet"),
        _made(lake) / "trips.parquet",
    )
    ingest({"stops.txt": FEED["stops.txt"] + "S9,Bad,200,0\n"})
    assert rejected(lake) == [("stops.txt", 5, "coordinates")]
    ingest({"shapes.txt": None})
    assert {file["path"] for file in manifest(lake, DAY)["files"]} == {
        "routes.parquet", "stops.parquet", "scheduled_trips.parquet", "scheduled_stop_times.parquet", "trips.parquet",
    }  # fmt: skip
    assert sorted(file.name for file in (lake / f"dt={DAY}").iterdir()) == [
        "_manifest.json", "routes.parquet", "scheduled_stop_times.parquet", "scheduled_trips.parquet", "stops.parquet",
        "trips.parquet",
    ]  # fmt: skip


def _made(lake: Path) -> Path:
    day = lake / f"dt={DAY}"
    day.mkdir(parents=True)
    return day


def test_a_dry_run_counts_and_writes_nothing(ingest, lake):
    report = ingest(days=7, dry_run=True)
    assert [day.trips for day in report.days] == [2, 2, 2, 2, 2, 0, 1]
    assert not lake.exists() or not list(lake.iterdir())


def _crlf_bom(text: str) -> str:
    return "\ufeff" + text.replace("\n", "\r\n").removesuffix("\r\n")


def _quoted(text: str) -> str:
    return "\n".join(",".join(f'"{value}"' for value in line.split(",")) for line in text.splitlines())


def _padded(text: str) -> str:
    return "\n".join(",".join(f"  {value}\t" for value in line.split(",")) for line in text.splitlines()) + "\n\n  \n"


def _spaced(text: str) -> str:
    return "\n".join(", ".join(f'"{value}"' for value in line.split(",")) for line in text.splitlines())


@pytest.mark.parametrize("odd", [_crlf_bom, _quoted, _padded, _spaced], ids=["BOM, CRLF", "quoted", "padded", "spaced"])
@pytest.mark.parametrize("folder", ["", "feed/2024/"])
def test_how_a_file_is_written_does_not_change_what_it_says(ingest, lake, odd, folder):
    ingest({name: odd(text) for name, text in FEED.items()}, folder=folder)
    assert written(lake, DAY) == expand(FEED, ZONE, date.fromisoformat(DAY))
    assert rejected(lake) == []
    assert [row["name"] for row in read(lake, DAY, "stops")] == ["One", "Two", "Three"]


@pytest.mark.parametrize(
    "files",
    [
        {"frequencies.txt": "trip_id,start_time,end_time,headway_secs\r\n", "calendar_dates.txt": "service_id,date,exception_type"},
        {"__MACOSX/._stops.txt": "\x00\x05", "desktop.ini": "[.ShellClassInfo]", ".DS_Store": "x", "__MACOSX/x/agency.txt": "y"},
        {"stop_times.txt": FEED["stop_times.txt"].replace("08:", "8:").replace("T3,09:", "T3,9:")},
        {"fare_products.txt": "fare_product_id\n", "locations.geojson": "{}", "booking_rules.txt": "booking_rule_id\n"},
        {"frequencies.txt": "", "calendar_dates.txt": "\ufeff\r\n", "feed_info.txt": "\n"},
    ],
    ids=["header-only files", "litter of operating systems", "unpadded hours", "files of extensions", "files without a line"],
)  # fmt: skip
def test_what_has_no_bearing_on_the_timetable_changes_nothing(ingest, lake, files):
    report = ingest(files)
    assert written(lake, DAY) == expand(FEED, ZONE, date.fromisoformat(DAY))
    known = {*FEED, "frequencies.txt", "calendar_dates.txt", "feed_info.txt"}
    extensions = {name for name in files if name not in known and not name.startswith(("__", ".", "desktop"))}
    assert set(report.feeds[0].unread_files) == extensions


def test_trips_of_a_service_that_no_calendar_names_are_counted(ingest, lake):
    trips = FEED["trips.txt"].splitlines()
    service = trips[0].split(",").index("service_id")
    words = trips[1].split(",")
    words[service] = "NEVER"
    report = ingest({"trips.txt": "\n".join([trips[0], ",".join(words), *trips[2:]]) + "\n"})
    assert report.feeds[0].files["trips.txt"].rows_without_service == 1
    assert words[trips[0].split(",").index("trip_id")] not in {
        row["trip_id"] for row in read(lake, DAY, "scheduled_trips")
    }
    assert "rows_without_service" not in ingest().feeds[0].files["trips.txt"]


def test_ids_with_blanks_commas_and_letters_of_any_script_stay_what_they_are(ingest, lake):
    trip, stop = 'Línea 1, "norte"', "停留所 7"
    quoted = '"' + trip.replace('"', '""') + '"'
    ingest(
        {
            "trips.txt": f"route_id,service_id,trip_id\nR1,WK,{quoted}\n",
            "stops.txt": f"stop_id,stop_name,stop_lat,stop_lon\n{stop},Ñandú,1,1\n",
            "stop_times.txt": f"trip_id,arrival_time,departure_time,stop_id,stop_sequence\n{quoted},1:00:00,1:00:00,{stop},0\n",
        }
    )
    (call,) = read(lake, DAY, "scheduled_stop_times")
    assert (call["trip_id"], call["stop_id"], call["start_time"]) == (trip, stop, "01:00:00")


def test_of_two_rows_of_one_key_the_later_stays_and_is_counted(ingest, lake):
    report = ingest(
        {
            "routes.txt": FEED["routes.txt"] + "R1,A,1,Second Street,3,\n",
            "stops.txt": FEED["stops.txt"] + "S1,Uno,40.1,-74.1,\n",
            "trips.txt": FEED["trips.txt"] + "R2,WK,T1,Downtown,1,,\n",
            "stop_times.txt": FEED["stop_times.txt"] + "T1,,,S1,2,,,,\n",
        }
    )
    assert read(lake, DAY, "routes")[0]["name"] == "1: Second Street"
    assert read(lake, DAY, "stops")[0]["name"] == "Uno"
    trip = read(lake, DAY, "scheduled_trips")[0]
    assert (trip["trip_id"], trip["route_id"], trip["headsign"]) == ("T1", "R2", "Downtown")
    assert [c["stop_id"] for c in read(lake, DAY, "scheduled_stop_times") if c["trip_id"] == "T1"] == ["S1", "S1", "S3"]
    assert {name: table.rows_duplicate for name, table in report.tables.items() if table.rows_duplicate} == {
        "routes": 1, "stops": 1, "scheduled_trips": 1, "scheduled_stop_times": 1,
    }  # fmt: skip


HEAD = "trip_id,arrival_time,departure_time,stop_id,stop_sequence\n"


@pytest.mark.parametrize(
    ("name", "row", "reason"),
    [
        ("stop_times.txt", "T1,8:00,8:00:00,S1,7", "unconvertible"),
        ("stop_times.txt", "T1,08:00:00,08:00:00,S1,first", "unconvertible"),
        ("stop_times.txt", "T1,08:00:00,08:00:00,S1,", "unconvertible"),
        ("stop_times.txt", "T1,08:00:00,08:00:00,S1,7,,,,,one comma too many", "unconvertible"),
        ("stop_times.txt", "T1,08:00:00,08:00:00,S1,7,,,,far", "unconvertible"),
        ("stop_times.txt", "NOBODY,08:00:00,08:00:00,S1,7", "orphan"),
        ("stop_times.txt", ",08:00:00,08:00:00,S1,7", "no_key"),
        ("trips.txt", "R1,WK,", "no_key"),
        ("trips.txt", "R1,WK,T9", "no_time"),
        ("stops.txt", ",Nameless,1,1", "no_key"),
        ("stops.txt", "S9,Half,1,", "coordinates"),
        ("stops.txt", "S9,Null Island,0,0", "coordinates"),
        ("stops.txt", "S9,Words,north,west", "unconvertible"),
        ("routes.txt", "R9,A,9,,bus,", "unconvertible"),
        ("calendar.txt", "X,1,1,1,1,1,0,0,2024-01-01,20241231", "unconvertible"),
        ("calendar.txt", "X,yes,1,1,1,1,0,0,20240101,20241231", "unconvertible"),
        ("shapes.txt", "P,91,0,3", "coordinates"),
        ("shapes.txt", "P,1,1,x", "unconvertible"),
    ],
)
def test_a_bad_row_goes_to_quarantine_and_all_others_load(ingest, lake, name, row, reason):
    report = ingest({name: FEED[name] + row + "\n"})
    assert rejected(lake) == [(name, FEED[name].count("\n") + 1, reason)]
    assert written(lake, DAY) == expand(FEED, ZONE, date.fromisoformat(DAY))
    assert sum(table.rows_rejected for table in report.tables.values()) == report.days[0].rejected == 1
    (kept,) = pq.read_table(lake / f"dt={DAY}" / "_rejected.parquet")["row_json"].to_pylist()
    assert set(json.loads(kept).values()) <= {*row.split(","), ""}
    assert manifest(lake, DAY)["rejected"][0]["path"] == "_rejected.parquet"


@pytest.mark.parametrize(
    "row",
    [
        "T2,6:00:00,7:00:00,0",
        "T2,6:00:00,7:00:00,",
        "T2,6:00:00,,600",
        "T2,6:00:00,7:00:00,600,2",
        "T2,22:00:00,02:00:00,600",
    ],
)
def test_a_bad_headway_is_a_reject_and_its_trip_has_no_run_of_its_own(ingest, lake, row):
    ingest({"frequencies.txt": f"trip_id,start_time,end_time,headway_secs,exact_times\n{row}\n"})
    assert rejected(lake) == [("frequencies.txt", 2, "unconvertible")]
    assert [trip["trip_id"] for trip in read(lake, DAY, "scheduled_trips")] == ["T1"]


def test_headways_make_a_run_each_until_before_the_end_and_keep_their_flag(ingest, lake):
    rows = "T2,06:00:00,06:30:00,600,0\nT2,06:20:00,06:50:00,900,1\nT2,25:00:00,24:00:00,600,1\n"
    report = ingest({"frequencies.txt": "trip_id,start_time,end_time,headway_secs,exact_times\n" + rows}, days=2)
    # Of the two runs at 06:20 the later row's stays, on each of the two dates.
    assert report.tables.scheduled_trips.rows_duplicate == 2
    runs = [r for r in read(lake, DAY, "scheduled_trips") if r["trip_id"] == "T2"]
    assert [(r["start_time"], r["exact_times"]) for r in runs] == [
        ("06:00:00", False), ("06:10:00", False), ("06:20:00", True), ("06:35:00", True),
    ]  # fmt: skip
    last = [c for c in read(lake, DAY, "scheduled_stop_times") if c["start_time"] == "06:35:00"]
    assert [(c["stop_sequence"], c["arrival_ts"]) for c in last] == [
        (5, utc(2024, 5, 6, 10, 35)), (9, utc(2024, 5, 6, 11, 15)),
    ]  # fmt: skip


def test_a_headway_of_a_second_over_a_week_is_an_error_and_no_full_disk(ingest):
    rows = "".join(f"T2,0:00:00,{hours}:59:59,1\n" for hours in range(990, 999))
    with pytest.raises(mp.DataError, match=r"more than 5000000 runs on 2024-05-06.*such as 1 s"):
        ingest({"frequencies.txt": "trip_id,start_time,end_time,headway_secs\n" + rows.replace("T2,", "T1,", 1)})


@pytest.mark.parametrize("missing", ["agency.txt", "routes.txt", "trips.txt", "stop_times.txt", "stops.txt"])
def test_a_missing_required_file_is_named(ingest, missing):
    with pytest.raises(mp.SchemaError, match=rf"feed\.zip lacks {missing}"):
        ingest({missing: None})


def test_a_feed_needs_one_of_the_two_calendars_and_no_more(ingest, lake):
    with pytest.raises(mp.SchemaError, match=r"lacks both calendar\.txt and calendar_dates\.txt"):
        ingest({"calendar.txt": None})
    ingest({"calendar.txt": None, "calendar_dates.txt": "service_id,date,exception_type\nSU,20240506,1\n"})
    assert [trip["trip_id"] for trip in read(lake, DAY, "scheduled_trips")] == ["T3"]


def test_a_missing_column_is_named_with_its_file(ingest):
    with pytest.raises(mp.SchemaError, match=r"stop_times\.txt has no column stop_sequence"):
        ingest({"stop_times.txt": "trip_id,arrival_time\n"})


def test_an_agency_without_a_zone_has_that_of_the_others(ingest, lake):
    ingest({"agency.txt": FEED["agency.txt"] + "W,West,http://w,\n"})
    assert written(lake, DAY) == expand(FEED, ZONE, date.fromisoformat(DAY))
    with pytest.raises(mp.DataError, match="names no agency with its agency_timezone"):
        ingest({"agency.txt": FEED["agency.txt"].replace(ZONE, "")})
    with pytest.raises(mp.DataError, match=r"names no agency .*; line 2 cannot be read, expected UTF-8"):
        ingest({"agency.txt": FEED["agency.txt"].replace("City", "Cité").encode("cp1252")})


def test_a_zip_with_the_backslashes_of_windows_is_the_zip_with_slashes(tmp_path, lake):
    source = tmp_path / "feed.zip"
    with zipfile.ZipFile(source, "w") as packed:
        for name, text in FEED.items():
            entry = zipfile.ZipInfo()
            entry.filename = f"feed\\{name}"
            packed.writestr(entry, text)
    report = mp.ingest_gtfs(source, lake, DAY, time_zone=ZONE)
    assert written(lake, DAY) == expand(FEED, ZONE, date.fromisoformat(DAY))
    assert report.feeds[0].unread_files == ()


def test_of_several_zips_in_a_zip_one_is_to_be_chosen(tmp_path, lake):
    inner = write_zip(tmp_path / "inner.zip", FEED).read_bytes()
    outer = tmp_path / "outer.zip"
    with zipfile.ZipFile(outer, "w") as packed:
        for mode in ("1", "2"):
            packed.writestr(f"{mode}/google_transit.zip", inner)
    with pytest.raises(mp.SchemaError, match=r"1/google_transit\.zip, 2/google_transit\.zip.*by folder \(--folder"):
        mp.ingest_gtfs(outer, lake, DAY, time_zone=ZONE)
    mp.ingest_gtfs(outer, lake, DAY, time_zone=ZONE, folder="2/google_transit.zip")
    assert written(lake, DAY) == expand(FEED, ZONE, date.fromisoformat(DAY))


def test_of_a_folder_only_files_are_read_and_a_broken_link_is_named(tmp_path, lake):
    folder = tmp_path / "feed"
    folder.mkdir()
    for name, text in FEED.items():
        (folder / name).write_text(text)
    os.mkfifo(folder / "pipe")
    mp.ingest_gtfs(folder, lake, DAY, time_zone=ZONE)
    assert written(lake, DAY) == expand(FEED, ZONE, date.fromisoformat(DAY))
    (folder / "gone.txt").symlink_to("nowhere")
    with pytest.raises(mp.DataError, match=r"cannot be read: gone\.txt: No such file"):
        mp.ingest_gtfs(folder, lake, DAY, time_zone=ZONE)


def test_agencies_of_different_zones_are_named(ingest):
    with pytest.raises(mp.DataError, match=r"America/Chicago \(West\), America/New_York \(City Bus\)"):
        ingest({"agency.txt": FEED["agency.txt"] + "W,West,http://w,America/Chicago\n"})


def test_another_name_of_the_zone_is_the_zone(ingest, lake):
    ingest({"agency.txt": FEED["agency.txt"] + "W,West,http://w,US/Eastern\n"})
    assert written(lake, DAY) == expand(FEED, ZONE, date.fromisoformat(DAY))
    assert ingest(time_zone="US/Eastern").feeds
    assert ingest({"agency.txt": FEED["agency.txt"].replace(ZONE, "US/Eastern")}, day="2024-05-07").feeds
    assert written(lake, "2024-05-07") == expand(FEED, ZONE, date(2024, 5, 7))
    # In Chisinau clocks change at other hours than in Bucharest.
    both = FEED["agency.txt"].replace(ZONE, "Europe/Chisinau") + "W,West,http://w,Europe/Bucharest\n"
    with pytest.raises(mp.DataError, match="have different zones"):
        ingest({"agency.txt": both}, time_zone="Europe/Chisinau")


def test_another_zone_than_the_services_is_a_setting_to_change(ingest):
    said = r"are in America/New_York, the service zone is Europe/Moscow; add --time-zone America/New_York, or set"
    with pytest.raises(mp.ConfigError, match=said):
        ingest(time_zone="Europe/Moscow")


def test_what_is_no_feed_is_refused_in_words(tmp_path):
    def message(source: Path) -> str:
        with pytest.raises(mp.MetropulseError) as caught:
            mp.ingest_gtfs(source, tmp_path / "lake", DAY, time_zone=ZONE)
        assert not caught.value.retryable or isinstance(caught.value, mp.NotFoundError)
        return str(caught.value)

    whole = write_zip(tmp_path / "whole.zip", FEED)
    cut = tmp_path / "cut.zip"
    cut.write_bytes(whole.read_bytes()[:-200])
    assert "is no zip, or one that was cut short" in message(cut)
    page = tmp_path / "page.zip"
    page.write_text("<html>404</html>")
    assert "is no zip" in message(page)
    damaged = tmp_path / "damaged.zip"
    bytes_ = bytearray(whole.read_bytes())
    bytes_[60:90] = bytes(30)
    damaged.write_bytes(bytes_)
    assert "damaged.zip" in message(damaged) or "cannot be read" in message(damaged)
    assert "holds no GTFS feed" in message(write_zip(tmp_path / "other.zip", {"readme.txt": "x"}))
    assert "is not there" in message(tmp_path / "nothing.zip")


def test_a_file_that_unpacks_without_end_is_stopped(tmp_path):
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, text in FEED.items():
            if name != "stop_times.txt":
                packed.writestr(name, text)
        with packed.open("stop_times.txt", "w", force_zip64=True) as out:
            out.write(FEED["stop_times.txt"].encode())
            for _ in range(400):
                out.write(b"T3,09:00:00,09:00:00,S1,1,,,,\n" * 34_000)
    with pytest.raises(mp.DataError, match="unpacks to more than"):
        mp.ingest_gtfs(bomb, tmp_path / "lake", DAY, time_zone=ZONE)


def test_a_quote_that_is_never_closed_is_an_error_with_its_file(ingest):
    with pytest.raises(mp.DataError, match=r"stops\.txt has a row of more than 1048576 bytes"):
        ingest({"stops.txt": FEED["stops.txt"] + 'S9,"open,1,1\n' + "S8,Eight,1,1\n" * 100_000})
    line = FEED["stops.txt"].count("\n") + 1
    for rest in ("S8,Eight,1,1\n", "", "S8,Eight,1,1"):
        with pytest.raises(
            mp.DataError, match=rf"stops\.txt has a quote in the row that begins on line {line} that is never"
        ):
            ingest({"stops.txt": FEED["stops.txt"] + 'S9,"open,1,1\n' + rest})
    with pytest.raises(
        mp.DataError, match=r"stop_times\.txt has a quote in the row that begins on line \d+ that is never closed"
    ):
        ingest({"stop_times.txt": FEED["stop_times.txt"] + '"T1'})


def test_rows_that_a_missing_quote_makes_one_are_a_reject(ingest, lake):
    """The quote opens a value that ends where the next row opens one of its own."""
    line = FEED["stops.txt"].count("\n") + 1
    ingest({"stops.txt": FEED["stops.txt"] + 'S9,"Nine,1,1\nS8,"Eight",1,1\nS7,"Se\nven",1,1\nS6,"Six" ,1,1\n'})
    assert rejected(lake) == [("stops.txt", line, "unconvertible")]
    assert {stop["stop_id"]: stop["name"] for stop in read(lake, DAY, "stops")[-2:]} == {"S7": "Se\nven", "S6": "Six"}


def test_a_comma_between_quotes_behind_a_blank_leaves_nobody_knowing_which_value_is_whose(ingest, lake):
    ingest({"stops.txt": FEED["stops.txt"] + 'S8, "Eight", 1,1\nS9, "Elm, North",1,1\n'})
    assert rejected(lake) == [("stops.txt", FEED["stops.txt"].count("\n") + 2, "unconvertible")]
    assert read(lake, DAY, "stops")[-1]["name"] == "Eight"


def test_what_follows_a_trip_that_cannot_be_used_goes_with_it(ingest, lake):
    """One bad row of trips.txt is one reject, however many stop times its trip has."""
    bad, line = "R1,WK,T9,Zürich,0,,\n".encode("cp1252"), FEED["trips.txt"].count("\n") + 1
    calls = "".join(f"T9,08:{n:02}:00,08:{n:02}:00,S1,{n}\n" for n in range(30))
    files = {
        "trips.txt": FEED["trips.txt"].encode() + bad,
        "stop_times.txt": FEED["stop_times.txt"] + calls,
        "frequencies.txt": "trip_id,start_time,end_time,headway_secs\nT9,6:00:00,7:00:00,600\n",
    }
    report = ingest(files)
    assert rejected(lake) == [("trips.txt", line, "unconvertible")]
    assert written(lake, DAY) == expand(FEED, ZONE, date.fromisoformat(DAY))
    told = report.feeds[0].files
    assert (told["stop_times.txt"].rows_of_rejected_trips, told["frequencies.txt"].rows_of_rejected_trips) == (30, 1)
    ingest({**files, "trips.txt": FEED["trips.txt"].encode() + bad + b"R1,WK,T9,Zurich,0,,\n"})
    assert len([call for call in read(lake, DAY, "scheduled_stop_times") if call["trip_id"] == "T9"]) == 6 * 30


def test_a_service_whose_dates_cannot_be_never_runs_and_its_trips_are_counted(ingest):
    reversed_dates = FEED["calendar.txt"].replace(
        "WK,1,1,1,1,1,0,0,20240101,20241231", "WK,1,1,1,1,1,0,0,20241231,20240101"
    )
    no_date = FEED["calendar.txt"].replace("20240101,20241231\nSU", "20240101,20240931\nSU")
    for calendar in (reversed_dates, no_date):
        assert calendar != FEED["calendar.txt"]
        report = ingest({"calendar.txt": calendar})
        trips = sum(",WK," in trip for trip in FEED["trips.txt"].splitlines())
        assert report.feeds[0].files["trips.txt"].rows_without_service == trips > 0


def test_text_that_is_no_utf8_is_told_as_that(ingest):
    rows = "".join(f"S{n},Plâce,1,1\n" for n in range(10, 30)).encode("cp1252")
    with pytest.raises(mp.DataError, match=r"20 of 23 rows of stops\.txt .*text is no UTF-8: save it as that"):
        ingest({"stops.txt": FEED["stops.txt"].encode() + rows})


def test_of_two_columns_of_one_name_the_second_is_named_as_left_out(ingest):
    header, *rows = FEED["stops.txt"].splitlines()
    rows = [f"{header},stop_name", *(f"{row},again" for row in rows)]
    report = ingest({"stops.txt": "\n".join(rows) + "\n"})
    assert report.feeds[0].files["stops.txt"].unknown_columns == ("zone_id", "stop_name")


def test_a_feed_that_is_mostly_bad_is_refused_with_its_first_bad_row(ingest, lake):
    bad = "".join(f"T1,late,late,S1,{n}\n" for n in range(10, 30))
    with pytest.raises(mp.DataError, match=r"20 of 26 rows of stop_times\.txt cannot be used.*line 8"):
        ingest({"stop_times.txt": FEED["stop_times.txt"] + bad})
    assert not (lake / f"dt={DAY}").exists()


def test_a_folder_and_a_web_server_give_what_the_zip_gives(ingest, lake, tmp_path):
    ingest()
    folder = tmp_path / "unpacked"
    folder.mkdir()
    for name, text in FEED.items():
        (folder / name).write_text(text)
    mp.ingest_gtfs(folder, tmp_path / "a", DAY, time_zone=ZONE)
    with files_of(tmp_path) as www:
        url = f"{www}/feed.zip?api_key=not-to-be-shown"
        report = mp.ingest_gtfs(url, tmp_path / "b", DAY, time_zone=ZONE)
        with pytest.raises(mp.NotFoundError) as caught:
            mp.ingest_gtfs(url.replace("feed", "none"), tmp_path / "b", DAY, time_zone=ZONE)
    assert written(tmp_path / "a", DAY) == written(tmp_path / "b", DAY) == written(lake, DAY)
    assert "not-to-be-shown" not in f"{report}{caught.value}{caught.value.__cause__}"


def test_named_feeds_share_a_lake_and_keep_their_ids_apart(ingest, lake):
    ingest(feed="tram")
    report = ingest({"stop_times.txt": FEED["stop_times.txt"] + "T1,x,x,S1,9\n"}, feed="bus")
    day = lake / f"dt={DAY}"
    assert sorted(path.name for path in (day / "routes").iterdir()) == ["bus.parquet", "tram.parquet"]
    (trip, _) = pq.read_table(day / "scheduled_trips" / "bus.parquet").to_pylist()
    assert [trip[n] for n in ("trip_id", "route_id", "service_id", "block_id", "shape_id", "headsign")] == [
        "bus:T1", "bus:R1", "bus:WK", "bus:B1", "bus:P", "Uptown",
    ]  # fmt: skip
    assert pq.read_table(day / "scheduled_stop_times" / "tram.parquet")["stop_id"][0].as_py() == "tram:S1"
    assert (day / "_rejected.bus.parquet").is_file()
    assert report.days[0].rejected == 1
    assert ingest({"stop_times.txt": FEED["stop_times.txt"] + "T1,x,x,S1,9\n"}, feed="bus").unchanged
    with pytest.raises(mp.ConfigError, match="give every feed of a lake a name, or none"):
        ingest()
    for wrong in ("a/b", "", "_a", "a:b", "ä"):
        with pytest.raises(mp.ConfigError, match="expected a short name"):
            ingest(feed=wrong)


def test_of_versions_the_one_that_begins_latest_holds_then_the_higher_version(tmp_path, lake):
    def version(name: str, start: str, number: str, headsign: str) -> Path:
        info = f"feed_publisher_name,feed_version,feed_start_date,feed_end_date\nA,{number},{start},20241231\n"
        trips = FEED["trips.txt"].replace("Uptown", headsign)
        return write_zip(tmp_path / f"{name}.zip", {**FEED, "feed_info.txt": info, "trips.txt": trips})

    old = version("old", "20240101", "9", "old")
    newer = version("newer", "20240506", "9", "newer")
    newest = version("newest", "20240506", "10", "newest")
    rival = version("rival", "20240506", "10", "rival")

    def headsign(*sources: Path, day: str = DAY) -> str:
        mp.ingest_gtfs(sources, lake, day, time_zone=ZONE)
        return read(lake, day, "scheduled_trips")[0]["headsign"]

    assert headsign(newer, old) == headsign(old, newer) == "newer"
    assert headsign(newest, newer, old) == headsign(old, newer, newest) == "newest"
    assert headsign(newest, newer, old, day="2024-05-03") == "old"
    assert headsign(newest, newest) == "newest"
    with pytest.raises(mp.ConfigError, match=r"both claim 2024-05-06.*feed_version 10; give the one that holds"):
        headsign(newest, rival)
    assert headsign(rival) == "rival"
    with pytest.raises(mp.NotFoundError, match="no version of the feed claims 2025-01-01"):
        headsign(old, newer, day="2025-01-01")


def test_the_command_line_writes_days_and_says_what_was_left_out(tmp_path, capsys):
    from metropulse.cli import main

    source = write_zip(tmp_path / "feed.zip", {**FEED, "fares.txt": "x\n"})
    words = [
        "ingest",
        "gtfs",
        str(source),
        "--date",
        DAY,
        "--days",
        "2",
        "--lake",
        str(tmp_path / "lake"),
        "--time-zone",
        ZONE,
    ]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--quiet"])
    shown = capsys.readouterr().out
    assert ended.value.code == 0
    assert "files left out: fares.txt" in shown
    assert "2024-05-07" in shown
    with pytest.raises(SystemExit):
        main([*words, "--quiet", "--json"])
    assert json.loads(capsys.readouterr().out)["unchanged"] is True
