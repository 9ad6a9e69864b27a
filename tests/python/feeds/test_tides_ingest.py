"""TIDES packages of somebody else into raw days: every form, times, days, and packages with something wrong."""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

import metropulse as mp
from http_servers import files_of
from tides_packages import (
    FARES,
    FLEET,
    LOCATIONS,
    PACKAGE,
    TRIPS,
    at,
    describe,
    pack,
    read_day,
    write_day,
    write_package,
)

pytestmark = pytest.mark.core

ZONE = "America/Chicago"


def ingest(package, lake, **more):
    return mp.ingest_tides(package, lake, time_zone=ZONE, **more)


def rejected(lake, day):
    return pq.read_table(lake / f"dt={day}" / "_rejected.tides.parquet").to_pylist()


def expect_package(lake):
    assert read_day(lake, "2024-05-01", "vehicle_positions") == [{
        "event_ts": at("2024-05-01T13:00:00"), "vehicle_id": "bus 1", "lat": 41.5, "lon": -87.5, "speed": 36.0,
        "heading": None, "trip_id": "T1", "stop_id": None, "current_stop_sequence": None,
        "current_status": "STOPPED_AT", "odometer_m": None,
    }]  # fmt: skip
    # Without an offset a time is on the clocks of the zone.
    assert [row["event_ts"] for row in read_day(lake, "2024-05-02", "vehicle_positions")] == [at("2024-05-02T05:30:00")]
    assert read_day(lake, "2024-05-01", "trips") == [{
        "trip_id": "run 1", "route_id": None, "vehicle_id": "bus 1", "start_ts": at("2024-05-02T06:10:00"),
        "end_ts": at("2024-05-02T06:40:00"), "start_stop_id": None, "end_stop_id": None, "scheduled_trip_id": "T1",
        "scheduled_start_time": "25:05:00",
    }]  # fmt: skip
    assert read_day(lake, "2024-05-01", "payments") == [{
        "payment_id": "f1", "trip_id": "run 1", "amount": Decimal("2.50"), "currency": "USD",
        "payment_method": "Bank card", "paid_at": at("2024-05-01T13:00:01"),
    }]  # fmt: skip
    for day in ("2024-05-01", "2024-05-02"):
        assert read_day(lake, day, "vehicles") == [{
            "vehicle_id": "bus 1", "commissioned_at": at("2019-01-01T06:00:00"),
            "decommissioned_at": at("2024-06-30T05:00:00"),
        }]  # fmt: skip


@pytest.mark.parametrize("form", ["folder", "zip", "zip in a folder", "descriptor", "file url"])
def test_a_package_of_every_form_becomes_raw_days(form, tmp_path):
    folder = write_package(tmp_path / "package")
    source = {
        "folder": lambda: folder,
        "zip": lambda: pack(folder, tmp_path / "p.zip"),
        "zip in a folder": lambda: pack(folder, tmp_path / "p.zip", "some/where/"),
        "descriptor": lambda: folder / "datapackage.json",
        "file url": lambda: folder.as_uri(),
    }[form]()
    report = ingest(source, tmp_path / "lake")
    expect_package(tmp_path / "lake")
    assert [(day.dt, day.rejected) for day in report.days] == [("2024-05-01", 0), ("2024-05-02", 0)]
    assert report.tables["vehicle_positions"].rows_written == 2
    assert report.tables["vehicles"].rows_written == 2
    assert ingest(source, tmp_path / "lake").unchanged


@pytest.mark.parametrize("name", ["p.zip", "package/datapackage.json"])
def test_a_package_of_a_web_server_becomes_raw_days(name, tmp_path):
    pack(write_package(tmp_path / "www" / "package"), tmp_path / "www" / "p.zip")
    with files_of(tmp_path / "www") as url:
        ingest(f"{url}/{name}", tmp_path / "lake")
    expect_package(tmp_path / "lake")


def test_parquet_says_the_same_as_text(tmp_path):
    folder = write_package(tmp_path / "package")
    described = describe(PACKAGE)
    for resource in described["resources"]:
        # pyarrow finds dates, instants, numbers and booleans by itself.
        table = pa.csv.read_csv(
            folder / resource["path"], convert_options=pa.csv.ConvertOptions(strings_can_be_null=True)
        )
        resource["path"] = resource["path"].replace(".csv", ".parquet")
        pq.write_table(table, folder / resource["path"])
    write_package(folder, {}, described)
    ingest(folder, tmp_path / "lake")
    assert "double" in str(pq.read_schema(folder / "fare_transactions.parquet").field("amount").type)
    expect_package(tmp_path / "lake")


def test_other_delimiters_a_bom_and_several_files_of_a_table_are_read(tmp_path):
    head, first, second = LOCATIONS.splitlines()
    tables = {
        "one": "\ufeff" + f"{head}\r\n{first}\r\n".replace(",", ";"),
        "two": f"{head}\n{second}\n".replace(",", ";"),
    }
    resource = {
        "name": "x",
        "tides-table": "vehicle_locations",
        "path": ["one.csv", "two.csv"],
        "dialect": {"delimiter": ";"},
    }
    ingest(write_package(tmp_path / "p", tables, {"resources": [resource]}), tmp_path / "lake")
    found = [len(read_day(tmp_path / "lake", day, "vehicle_positions")) for day in ("2024-05-01", "2024-05-02")]
    assert found == [1, 1]


def test_days_that_are_not_asked_for_are_counted_and_not_written(tmp_path):
    report = ingest(write_package(tmp_path / "p"), tmp_path / "lake", date_from="2024-05-02", date_to="2024-05-03")
    assert [day.dt for day in report.days] == ["2024-05-02"]
    assert report.rows_of_other_days == {"vehicle_locations": 1, "trips_performed": 1, "fare_transactions": 1}
    assert not (tmp_path / "lake" / "dt=2024-05-01").exists()
    with pytest.raises(mp.DataError, match=r"no usable row of a service date .*4 rows of other days"):
        ingest(tmp_path / "p", tmp_path / "lake", date_from="2024-06-01")


def test_a_package_of_bad_rows_alone_is_told_by_its_first(tmp_path):
    text = "event_timestamp,vehicle_id,latitude,longitude\n1714568700,V1,41,-87\n"
    package = write_package(tmp_path / "p", {"vehicle_locations": text})
    with pytest.raises(
        mp.DataError, match=r"no row that can be used \(1 cannot\); such as .*2 of vehicle_locations\.csv.*1714568700"
    ):
        ingest(package, tmp_path / "lake")


def test_rows_that_a_missing_quote_makes_one_are_a_reject_and_an_open_quote_an_error(tmp_path):
    head = "event_timestamp,vehicle_id,latitude,longitude,stop_id\n"
    row = "2024-05-01T08:00:0{n}-05:00,V{n},41,-87,{stop}\n"
    good, torn = row.format(n=1, stop='"S\n1"'), row.format(n=2, stop='"S2') + row.format(n=3, stop='"S3"')
    ingest(write_package(tmp_path / "p", {"vehicle_locations": head + good + torn}), tmp_path / "lake")
    assert [row["vehicle_id"] for row in read_day(tmp_path / "lake", "2024-05-01", "vehicle_positions")] == ["V1"]
    assert [(row["row_number"], row["reasons"]) for row in rejected(tmp_path / "lake", "2024-05-01")] == [
        (4, ["unconvertible"])
    ]
    open_quote = write_package(tmp_path / "q", {"vehicle_locations": head + good + row.format(n=2, stop='"S2')})
    with pytest.raises(
        mp.DataError, match=r"vehicle_locations\.csv has a quote in the row that begins on line 4 that is never"
    ):
        ingest(open_quote, tmp_path / "lake")


def test_a_location_without_a_service_date_is_of_its_local_date(tmp_path):
    text = "event_timestamp,vehicle_id,latitude,longitude\n2024-05-02T04:30:00Z,bus 1,41.5,-87.5\n"
    report = ingest(write_package(tmp_path / "p", {"vehicle_locations": text}), tmp_path / "lake")
    assert [day.dt for day in report.days] == ["2024-05-01"]


def test_what_else_the_day_holds_stays(tmp_path):
    write_day(tmp_path / "lake", "2024-05-01", vehicles=[{"vehicle_id": "kept"}], payments=[])
    package = {"vehicle_locations": LOCATIONS, "fare_transactions": FARES}
    ingest(write_package(tmp_path / "p", package), tmp_path / "lake")
    assert [row["vehicle_id"] for row in read_day(tmp_path / "lake", "2024-05-01", "vehicles")] == ["kept"]
    assert len(read_day(tmp_path / "lake", "2024-05-01", "payments")) == 1


def test_a_column_that_the_package_lacks_states_nothing(tmp_path):
    tables = {"vehicle_locations": LOCATIONS, "vehicles": "vehicle_id\nbus 1\n"}
    ingest(write_package(tmp_path / "p", tables), tmp_path / "lake")
    assert pq.read_schema(tmp_path / "lake" / "dt=2024-05-01" / "vehicles.parquet").names == ["vehicle_id"]


def test_a_dry_run_counts_and_writes_nothing(tmp_path):
    report = ingest(write_package(tmp_path / "p"), tmp_path / "lake", dry_run=True)
    assert report.days[0].rows == {"payments": 1, "trips": 1, "vehicle_positions": 1, "vehicles": 1}
    assert not (tmp_path / "lake").exists()


BAD = [
    ("p3,2024-05-01,2024-05-01T09:00:00Z,,,,41,-87,", "no_key"),
    ("p4,2024-05-01,,,bus 1,,41,-87,", "no_time"),
    ("p5,2024-05-01,2024-05-01T25:00:00Z,,bus 1,,41,-87,", "unconvertible"),
    ("p6,2024-05-01,2024-05-01T09:00:00Z,,bus 1,Parked,41,-87,", "unconvertible"),
    ("p7,2024-05-01,2024-05-01T09:00:00Z,,bus 1,,41,-87,fast", "unconvertible"),
    ("p8,2024-05-01,2024-05-01T09:00:00Z,,bus 1,,41,-87,,too many", "unconvertible"),
    ("p9,2024-05-01,2024-03-10T02:30:00,,bus 1,,41,-87,", "unconvertible"),
]


def test_a_bad_row_goes_to_quarantine_with_file_row_and_reason(tmp_path):
    text = LOCATIONS + "".join(f"{line}\n" for line, _ in BAD)
    report = ingest(write_package(tmp_path / "p", {**PACKAGE, "vehicle_locations": text}), tmp_path / "lake")
    found = rejected(tmp_path / "lake", "2024-05-01")
    assert [(row["dataset"], row["file"], row["row_number"], row["reasons"]) for row in found] == [
        ("vehicle_positions", "vehicle_locations.csv", number, [reason]) for number, (_, reason) in enumerate(BAD, 4)
    ]
    assert json.loads(found[3]["row_json"])["current_status"] == "Parked"
    assert report.tables["vehicle_positions"].rejected_by_reason == {"no_key": 1, "no_time": 1, "unconvertible": 5}
    assert [day.rejected for day in report.days] == [7, 0]
    manifest = json.loads((tmp_path / "lake" / "dt=2024-05-01" / "_manifest.json").read_text())
    assert [file["path"] for file in manifest["rejected"]] == ["_rejected.tides.parquet"]
    # A corrected package takes them away again.
    ingest(write_package(tmp_path / "p"), tmp_path / "lake")
    assert not (tmp_path / "lake" / "dt=2024-05-01" / "_rejected.tides.parquet").exists()


def test_a_bad_row_of_no_day_is_kept_with_the_first(tmp_path):
    fares = FARES + "f2,,2024-05-02T08:00:00Z,1,USD,Enter,false,,\nf3,nonsense,nonsense,1,USD,Enter,false,,\n"
    ingest(write_package(tmp_path / "p", {"fare_transactions": fares}), tmp_path / "lake")
    found = rejected(tmp_path / "lake", "2024-05-01")
    assert [(row["row_number"], row["reasons"]) for row in found] == [(3, ["no_time"]), (4, ["unconvertible"])]
    assert not (tmp_path / "lake" / "dt=2024-05-02").exists()


def test_too_many_bad_rows_are_an_error_and_nothing_is_written(tmp_path):
    text = LOCATIONS + "p,2024-05-01,2024-05-01T09:00:00Z,,bus 1,Parked,41,-87,\n" * 10
    with pytest.raises(
        mp.DataError, match=r"10 of 12 rows of vehicle_locations .*reject limit.*row 4 of vehicle_locations\.csv"
    ):
        ingest(write_package(tmp_path / "p", {**PACKAGE, "vehicle_locations": text}), tmp_path / "lake")
    assert not list((tmp_path / "lake").glob("dt=*/*.parquet"))


def without(text, column):
    table = [line.split(",") for line in text.splitlines()]
    place = table[0].index(column)
    return "".join(",".join(row[:place] + row[place + 1 :]) + "\n" for row in table)


def resource(**changes):
    return {"resources": [{"name": "vehicle_locations", "path": "vehicle_locations.csv", **changes}]}


@pytest.mark.parametrize(
    ("tables", "described", "error", "message"),
    [
        ({}, describe(["vehicles"]), mp.NotFoundError, "has no file vehicles.csv"),
        ({"vehicle_locations": without(LOCATIONS, "vehicle_id")}, None, mp.SchemaError, "no column vehicle_id"),
        ({"vehicle_locations": without(LOCATIONS, "event_timestamp")}, None, mp.SchemaError, "no column event_timestamp"),
        ({"trips_performed": without(TRIPS, "service_date")}, None, mp.SchemaError, "no column service_date"),
        ({"trips_performed": without(TRIPS, "actual_trip_start")}, None, mp.SchemaError, "no column actual_trip_start"),
        ({"fare_transactions": without(FARES, "amount")}, None, mp.SchemaError, "no column amount"),
        ({"vehicle_locations": ""}, None, mp.SchemaError, "is empty, expected at least its header"),
        ({"bus_positions": LOCATIONS}, None, mp.SchemaError, 'the table is "bus_positions"'),
        ({"devices": "device_id\nd\n"}, None, mp.SchemaError, "no table that raw days have"),
        ({"vehicles": FLEET}, None, mp.DataError, "nothing says which raw day"),
        ({}, {"title": "x"}, mp.DataError, "no data package"),
        ({}, resource(path="../x.csv"), mp.SchemaError, "below the package's folder"),
        ({}, resource(path="/etc/passwd"), mp.SchemaError, "below the package's folder"),
        ({}, resource(path="http://h/x.csv"), mp.SchemaError, "below the package's folder"),
        ({}, resource(path=None), mp.SchemaError, "has no path"),
        ({}, resource(format="xlsx"), mp.SchemaError, "expected csv or parquet"),
        ({}, resource(encoding="latin-1"), mp.SchemaError, "expected utf-8"),
        ({}, resource(dialect={"header": False}), mp.SchemaError, "the dialect has header"),
        ({"vehicle_locations": LOCATIONS}, resource(hash=f"sha256:{'0' * 64}"), mp.DataError, "the package lists 000"),
        ({"vehicle_locations": 'a,"b' + "x" * 3_000_000}, None, mp.DataError, "a quote that is not closed"),
        ({"vehicle_locations": LOCATIONS}, resource(format="parquet"), mp.DataError, "cannot be read"),
    ],
)  # fmt: skip
def test_a_wrong_package_is_refused_with_what_is_wrong(tables, described, error, message, tmp_path):
    with pytest.raises(error, match=message) as refused:
        ingest(write_package(tmp_path / "p", tables, described), tmp_path / "lake")
    assert not refused.value.retryable
    assert not list((tmp_path / "lake").glob("dt=*/*"))


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [(b"PK no zip", mp.DataError, "no zip"), (None, mp.NotFoundError, "p.zip")],
)
def test_what_is_no_package_at_all_is_refused(content, error, message, tmp_path):
    if content is not None:
        (tmp_path / "p.zip").write_bytes(content)
    with pytest.raises(error, match=message):
        ingest(tmp_path / "p.zip", tmp_path / "lake")
    (tmp_path / "empty").mkdir()
    with pytest.raises(mp.NotFoundError, match=r"has no file datapackage\.json"):
        ingest(tmp_path / "empty", tmp_path / "lake")


def test_tables_without_a_place_are_named_and_a_right_digest_is_accepted(tmp_path):
    described = describe(["vehicle_locations", "devices", "stop_visits"])
    described["resources"][0]["hash"] = f"sha256:{hashlib.sha256(LOCATIONS.encode()).hexdigest().upper()}"
    report = ingest(write_package(tmp_path / "p", {"vehicle_locations": LOCATIONS}, described), tmp_path / "lake")
    assert set(report.left_out) == {"devices", "stop_visits"}
    assert "predictions" in report.left_out["stop_visits"]


@pytest.mark.embedded
@pytest.mark.slow
def test_the_days_load_like_any_others_and_staging_takes_the_quarantine(pipeline_on, tmp_path):
    text = LOCATIONS + f"{BAD[3][0]}\n"
    write_package(tmp_path / "p", {**PACKAGE, "vehicle_locations": text})
    with pipeline_on(tmp_path / "lake", time_zone=ZONE, reject_limit=0.5) as p:
        p.ingest_tides(tmp_path / "p")
        p.load_calendar("2024-01-01", "2024-12-31")
        p.stage("2024-05-01")
        p.load_dimensions("2024-05-01")
        p.load_facts("2024-05-01")
        counts = p.warehouse.query(
            "select (select count(*) from dwh.fact_trip) trips, (select count(*) from dwh.fact_payment) payments, "
            "(select count(*) from dwh.fact_vehicle_position) positions, "
            "(select count(*) from staging.rejected where file = 'vehicle_locations.csv') rejected"
        ).to_pylist()
    assert counts == [{"trips": 1, "payments": 1, "positions": 1, "rejected": 1}]
