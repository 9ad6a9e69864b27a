"""Raw days as TIDES packages: what they say, what they leave out, and that the standard's own schemas accept them."""

from __future__ import annotations

import csv
import json
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import metropulse as mp
from metropulse.cli import cli
from tides_packages import FILL, SCHEMAS, at, descriptor, payment, position, trip, write_day

pytestmark = pytest.mark.core

ZONE = "America/Chicago"
DAY, NEXT = "2024-11-03", "2024-11-04"  # the day on which an hour comes twice
NIGHT = at("2024-11-03T01:30:00", ZONE)


@pytest.fixture
def lake(tmp_path):
    """A lake with one day of everything."""
    write_day(
        tmp_path / "lake",
        DAY,
        vehicle_positions=[
            position("bus 1", NIGHT, trip_id="T1", speed=36.0, current_status="STOPPED_AT", current_stop_sequence=4,
                     stop_id="S,1", heading=361.0, odometer_m=12.5),
            position("bus 1", NIGHT + timedelta(hours=1, microseconds=5)),
        ],
        trips=[
            trip("run 1", NIGHT, route_id="R1", scheduled_trip_id="T1", scheduled_start_time="25:30:00", user_id="u"),
            trip("run 2", NIGHT, vehicle_id=None),
        ],
        payments=[payment("f1", NIGHT, "-2.50", currency="USD", payment_method="card", trip_id="run 1")],
        vehicles=[{
            "vehicle_id": "bus 1", "capacity": 40, "commissioned_at": at("2019-01-01T00:00:00", ZONE),
            "decommissioned_at": at("2024-12-31T00:00:00", ZONE),
        }],
        routes=[{"route_id": "R1", "transport_type": "bus"}],
        scheduled_trips=[{
            "trip_id": "T1", "start_time": "25:30:00", "direction_id": 1, "block_id": "B1", "shape_id": "SH1",
            "start_ts": NIGHT + timedelta(days=1, hours=1), "end_ts": NIGHT + timedelta(days=1, hours=2),
        }],
        trip_updates=[{"trip_id": "T1", "start_time": "25:30:00", "schedule_relationship": "ADDED"}],
    )  # fmt: skip
    return tmp_path / "lake"


def export(lake, to, **more):
    return mp.export_tides(lake, to, DAY, NEXT, time_zone=ZONE, **more)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as text:
        return [{name: value for name, value in row.items() if value} for row in csv.DictReader(text)]


def test_rows_are_written_in_the_standards_words_and_local_time(lake, tmp_path):
    export(lake, tmp_path / "p", fill=FILL)
    first, second = rows(tmp_path / "p" / f"vehicle_locations-{DAY}.csv")
    assert first == {
        "location_ping_id": f"{DAY}/1", "service_date": DAY, "event_timestamp": "2024-11-03T01:30:00-05:00",
        "trip_id_performed": "run 1", "trip_id_scheduled": "T1", "scheduled_stop_sequence": "4", "vehicle_id": "bus 1", "stop_id": "S,1",
        "current_status": "Stopped at", "latitude": "41.5", "longitude": "-87.5", "speed": "10", "odometer": "12.5",
    }  # fmt: skip
    # The same clock time an hour later.
    assert second["event_timestamp"] == "2024-11-03T01:30:00.000005-06:00"
    assert rows(tmp_path / "p" / f"trips_performed-{DAY}.csv") == [{
        "service_date": DAY, "trip_id_performed": "run 1", "vehicle_id": "bus 1", "trip_id_scheduled": "T1",
        "route_id": "R1", "route_type": "Bus", "shape_id": "SH1", "direction_id": "1", "block_id": "B1",
        "schedule_trip_start": "2024-11-04T01:30:00-06:00", "schedule_trip_end": "2024-11-04T02:30:00-06:00",
        "actual_trip_start": "2024-11-03T01:30:00-05:00", "actual_trip_end": "2024-11-03T01:50:00-05:00",
        "schedule_relationship": "Added",
    }]  # fmt: skip
    assert rows(tmp_path / "p" / f"fare_transactions-{DAY}.csv") == [{
        "transaction_id": "f1", "service_date": DAY, "event_timestamp": "2024-11-03T01:30:00-05:00", "amount": "-2.50",
        "currency_type": "USD", "fare_action": "Enter", "trip_id_performed": "run 1", "fare_capped": "false",
    }]  # fmt: skip
    assert rows(tmp_path / "p" / "vehicles.csv") == [
        {
            "vehicle_id": "bus 1",
            "vehicle_start": "2019-01-01T00:00:00-06:00",
            "vehicle_end": "2024-12-31T00:00:00-06:00",
        }
    ]


def test_what_is_left_out_is_told_with_its_reason(lake, tmp_path):
    report = export(lake, tmp_path / "p")
    assert set(report.left_out) == {
        "fare_transactions", "stop_visits", "passenger_events", "station_activities", "devices", "operators",
        "train_cars", "vehicle_train_cars",
    }  # fmt: skip
    assert "fare_action=..., fare_capped=..." in report.left_out["fare_transactions"]
    assert "predictions" in report.left_out["stop_visits"]
    assert report.rows_left_out == {"trips_performed": {"vehicle_id": 1}}
    assert report.values_left_out == {"vehicle_locations": {"heading": 1}}
    assert not list((tmp_path / "p").glob("fare_transactions*"))
    assert [r["tides-table"] for r in descriptor(tmp_path / "p")["resources"]] == [
        "vehicle_locations", "trips_performed", "vehicles",
    ]  # fmt: skip
    assert report.tables["trips_performed"].rows_read == 2
    assert report.tables["trips_performed"].rows_written == 1


def test_a_rule_fills_what_a_row_lacks_and_nothing_else(lake, tmp_path):
    report = export(lake, tmp_path / "p", fill={"trips_performed.vehicle_id": "unknown"})
    found = rows(tmp_path / "p" / f"trips_performed-{DAY}.csv")
    assert [row["vehicle_id"] for row in found] == ["bus 1", "unknown"]
    assert report.rows_left_out == {}


@pytest.mark.parametrize(
    ("fill", "message"),
    [
        ({"fare_action": "enter"}, r'fare_transactions\.fare_action the value "enter", expected .*"Enter"'),
        ({"fare_capped": "maybe"}, "expected true or false"),
        ({"vehicle_id": "NA"}, "not blank, NA or NaN"),
        ({"amount": "much"}, "expected a number"),
        ({"currency_type": "USD"}, "expected a required field .*fare_transactions.fare_action"),
        ({"trips_performed.fare_action": "Enter"}, "expected a required field"),
        ({"service_date": DAY}, "expected a required field"),
    ],
)
def test_a_rule_that_means_nothing_is_refused(lake, tmp_path, fill, message):
    with pytest.raises(mp.ConfigError, match=message):
        export(lake, tmp_path / "p", fill=fill)
    assert not (tmp_path / "p" / "datapackage.json").exists()


def with_schemas(folder: Path) -> dict:
    """The package's description with the standard's schemas in the place of their addresses."""
    package = descriptor(folder)
    del package["profile"]
    for resource in package["resources"]:
        resource["schema"] = json.loads((SCHEMAS / resource["schema"].rpartition("/")[2]).read_text())
    return package


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
def test_the_standards_schemas_accept_every_table(lake, tmp_path, file_format):
    frictionless = pytest.importorskip("frictionless")
    jsonschema = pytest.importorskip("jsonschema")
    if not SCHEMAS.is_dir():
        pytest.skip("the standard's schemas are not here")
    write_day(lake, NEXT, vehicle_positions=[position("bus 2", NIGHT + timedelta(days=1))])
    mp.export_tides(
        lake, tmp_path / "p", DAY, "2024-11-05", time_zone=ZONE, file_format=file_format, fill=FILL, agency="A"
    )
    package = descriptor(tmp_path / "p")
    jsonschema.validate(package, json.loads((SCHEMAS / "tides-datapackage-profile.json").read_text()))
    package = with_schemas(tmp_path / "p")
    assert len(package["resources"]) == 5
    if file_format == "csv":
        report = frictionless.Package.from_descriptor(package, basepath=str(tmp_path / "p")).validate()
        assert report.valid, report.flatten(["title", "fieldName", "note"])
        assert [task.stats["rows"] for task in report.tasks] == [2, 1, 1, 1, 1]
        return
    for resource in package["resources"]:
        # Its own reader of Parquet brings pandas; the cells are what is to be judged.
        table = pq.ParquetFile(tmp_path / "p" / resource["path"]).read()
        data = [table.column_names, *(list(row.values()) for row in table.to_pylist())]
        checked = frictionless.Resource(data=data, schema=frictionless.Schema.from_descriptor(resource["schema"]))
        report = checked.validate()
        assert report.valid, (resource["name"], report.flatten(["title", "fieldName", "note"]))
        assert report.tasks[0].stats["rows"] > 0


def test_a_wrong_value_would_be_noticed_by_the_same_validation(lake, tmp_path):
    frictionless = pytest.importorskip("frictionless")
    if not SCHEMAS.is_dir():
        pytest.skip("the standard's schemas are not here")
    export(lake, tmp_path / "p")
    path = tmp_path / "p" / f"vehicle_locations-{DAY}.csv"
    path.write_text(path.read_text().replace("Stopped at", "Parked"))
    package = with_schemas(tmp_path / "p")
    report = frictionless.Package.from_descriptor(package, basepath=str(tmp_path / "p")).validate()
    # The digest tells of it as well.
    assert {"constraint-error", "hash-count"} <= {error.type for error in report.tasks[0].errors}


def test_the_same_days_again_write_nothing_and_a_changed_one_is_written(lake, tmp_path):
    first = export(lake, tmp_path / "p", fill=FILL)
    before = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "p").iterdir()}
    again = export(lake, tmp_path / "p", fill=FILL)
    assert (first.unchanged, again.unchanged) == (False, True)
    assert {file.name: file.stat().st_mtime_ns for file in (tmp_path / "p").iterdir()} == before
    assert again.left_out == first.left_out
    # Without the rule there are no fares any more, and no file of them.
    assert not export(lake, tmp_path / "p").unchanged
    assert f"fare_transactions-{DAY}.csv" not in {file.name for file in (tmp_path / "p").iterdir()}
    # What is looked up in other datasets decides as well.
    write_day(lake, DAY, routes=[{"route_id": "R1", "transport_type": "tram"}])
    assert not export(lake, tmp_path / "p").unchanged
    write_day(lake, DAY, vehicle_positions=[position("bus 9", NIGHT)])
    assert not export(lake, tmp_path / "p").unchanged
    assert [row["vehicle_id"] for row in rows(tmp_path / "p" / f"vehicle_locations-{DAY}.csv")] == ["bus 9"]
    # A file that somebody took away is written again.
    (tmp_path / "p" / "vehicles.csv").unlink()
    assert not export(lake, tmp_path / "p").unchanged
    assert (tmp_path / "p" / "vehicles.csv").exists()


def test_a_package_that_is_not_finished_has_no_description(lake, tmp_path):
    export(lake, tmp_path / "p")
    # The newest day comes first; the older one breaks off.
    write_day(lake, NEXT, vehicle_positions=[position("bus 2", NIGHT + timedelta(days=1))])
    write_day(lake, DAY, vehicle_positions=[position("bus 1", NIGHT, speed=900.0)])
    with pytest.raises(mp.DataError, match="speed"):
        mp.export_tides(lake, tmp_path / "p", DAY, "2024-11-05", time_zone=ZONE)
    assert not (tmp_path / "p" / "datapackage.json").exists()


def test_somebody_elses_package_is_not_replaced(lake, tmp_path):
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "datapackage.json").write_text('{"name": "theirs", "resources": []}')
    with pytest.raises(mp.ConfigError, match="did not make"):
        export(lake, tmp_path / "p")
    assert descriptor(tmp_path / "p") == {"name": "theirs", "resources": []}


def test_days_that_the_lake_lacks_are_told(lake, tmp_path):
    report = mp.export_tides(lake, tmp_path / "p", "2024-11-02", "2024-11-05", time_zone=ZONE)
    assert (report.days, report.days_missing) == ((DAY,), ("2024-11-02", NEXT))
    with pytest.raises(mp.NotFoundError, match="has no raw day from 2024-12-01"):
        mp.export_tides(lake, tmp_path / "q", "2024-12-01", "2024-12-02", time_zone=ZONE)
    with pytest.raises(mp.ConfigError, match="a day after date_from"):
        mp.export_tides(lake, tmp_path / "q", NEXT, DAY, time_zone=ZONE)


def test_a_day_with_nothing_for_the_standard_is_an_error_that_says_why(tmp_path):
    write_day(tmp_path / "lake", DAY, payments=[payment("f1", NIGHT)])
    with pytest.raises(mp.NotFoundError, match=r"nothing to export .*fare_transactions: raw days do not know"):
        export(tmp_path / "lake", tmp_path / "p")
    assert list((tmp_path / "p").iterdir()) == []


def test_the_newest_day_says_what_a_vehicle_is(tmp_path):
    older, newer = at("2019-01-01T00:00:00", ZONE), at("2020-01-01T00:00:00", ZONE)
    write_day(tmp_path / "lake", DAY, vehicles=[
        {"vehicle_id": "a", "commissioned_at": older}, {"vehicle_id": "b", "commissioned_at": older},
        {"vehicle_id": "gone", "commissioned_at": None, "decommissioned_at": newer},
    ])  # fmt: skip
    write_day(tmp_path / "lake", NEXT, vehicles=[
        {"vehicle_id": "a", "commissioned_at": newer}, {"vehicle_id": "b", "commissioned_at": None},
    ])  # fmt: skip
    mp.export_tides(tmp_path / "lake", tmp_path / "p", DAY, "2024-11-05", time_zone=ZONE)
    found = rows(tmp_path / "p" / "vehicles.csv")
    assert {row["vehicle_id"]: row.get("vehicle_start", "")[:4] for row in found} == {
        "a": "2020",
        "b": "2019",
        "gone": "",
    }
    assert [row.get("vehicle_end", "")[:4] for row in found] == ["", "", "2020"]


def test_the_command_writes_a_package_and_says_what_it_left_out(lake, tmp_path):
    words = ["export", "tides", "--lake", str(lake), "--time-zone", ZONE, "--date-from", DAY, "--date-to", NEXT]
    told = CliRunner().invoke(cli, [*words, "--to", str(tmp_path / "p"), "--fill", "fare_capped=false"])
    assert told.exit_code == 0, told.output
    assert "left out: fare_transactions: raw days do not know its required fare_action;" in " ".join(
        told.output.split()
    )
    assert descriptor(tmp_path / "p")["title"] == f"TIDES, {DAY} to {DAY}"
    wrong = CliRunner().invoke(cli, [*words, "--to", str(tmp_path / "q"), "--fill", "fare_capped"])
    assert (wrong.exit_code, "expected FIELD=VALUE" in wrong.output) == (2, True)


@pytest.mark.embedded
@pytest.mark.slow
def test_a_package_goes_to_a_bucket_and_comes_back_from_it(lake, minio_bucket, tmp_path):
    name, options = minio_bucket
    export(lake, f"s3://{name}/out/package", to_options=options, fill=FILL)
    assert export(lake, f"s3://{name}/out/package", to_options=options, fill=FILL).unchanged
    found = mp.ingest_tides(f"s3://{name}/out/package", tmp_path / "again", time_zone=ZONE, source_options=options)
    assert found.days[0].rows == {"payments": 1, "trips": 1, "vehicle_positions": 2, "vehicles": 1}
