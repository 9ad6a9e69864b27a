"""Positions straight from the lake into ClickHouse, on the embedded engine and on Debian's 18.16."""

from __future__ import annotations

import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

pytest.importorskip("metropulse._core")
pytestmark = [pytest.mark.core, pytest.mark.embedded]

import pyarrow as pa
import pyarrow.parquet as pq
from click.testing import CliRunner

import metropulse as mp
import services

DAY = "2024-05-01"


@pytest.fixture(scope="module")
def old_server():
    folder = Path(tempfile.mkdtemp(prefix="metropulse-clickhouse-"))
    with services.clickhouse_18(folder) as url:
        yield url
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["26.9", "18.16"])
def pipeline(request, running_engines, tmp_path):
    """A pipeline over a lake of the test's own and a ClickHouse whose telemetry tables are not there."""
    if request.param == "18.16":
        url = request.getfixturevalue("old_server")
        if url is None:
            pytest.skip("clickhouse-server is not installed")
        mart = {"mart": url}
    else:
        mart = {
            "mart": running_engines.mart_url,
            "mart_user": running_engines.mart_user,
            "mart_password": running_engines.mart_password,
        }
    lake = tmp_path / "raw"
    lake.mkdir()
    with mp.Pipeline(lake=lake, **mart, connections=2) as p:
        p.folder = lake
        yield p
        for table in ("vehicle_position", "vehicle_position_load"):
            drop(p, f"DROP TABLE IF EXISTS {table}")


def drop(p, sql):
    # `query` reads an answer; a DROP gives none.
    import urllib.request

    s = p.settings
    request = urllib.request.Request(s.mart.rsplit("/", 1)[0] + "/", data=sql.encode())
    if s.mart_user:
        request.add_header("X-ClickHouse-User", s.mart_user)
        request.add_header("X-ClickHouse-Key", s.mart_password)
    urllib.request.urlopen(request, timeout=30).read()


def positions(count: int, first: int = 0) -> pa.Table:
    start = datetime(2024, 5, 1, tzinfo=UTC)
    n = range(first, first + count)
    return pa.table(
        {
            "event_ts": pa.array([start + timedelta(milliseconds=1500 * i) for i in n], pa.timestamp("us", "UTC")),
            "vehicle_id": [f"V{i % 97}" for i in n],
            "route_id": [None if i % 50 == 0 else f"R{i % 7}" for i in n],
            "lat": [55.0 + i % 100 / 1000 for i in n],
            "lon": [37.0 + i % 300 / 1000 for i in n],
            "speed": [None if i % 11 == 0 else float(i % 80) for i in n],
            "heading": [float(i % 360) for i in n],
            "provider_ts": pa.array(
                [None if i % 13 == 0 else start + timedelta(seconds=i) for i in n], pa.timestamp("us")
            ),
        }
    )


def put(p, table: pa.Table, name: str = "vehicle_positions.parquet", day: str = DAY, **options) -> None:
    path = p.folder / f"dt={day}" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, **options)


def one(p, sql):
    return next(iter(p.mart.query(sql).to_pylist()[0].values()))


def test_a_day_is_loaded_clean_and_exactly(pipeline):
    good = positions(30_000)
    bad = good.slice(0, 3).set_column(5, "speed", pa.array([900.0, -1.0, 201.0]))
    put(pipeline, pa.concat_tables([good, good.slice(100, 40), bad]), row_group_size=4000)
    report = pipeline.load_telemetry(DAY)
    counts = report.tables.vehicle_position
    assert (counts.rows_read, counts.rows_loaded, counts.rows_duplicate, counts.rows_rejected) == (
        30_043,
        30_000,
        40,
        3,
    )
    assert report.rows == counts.rows_written == 30_000 and not report.unchanged
    rows = pipeline.mart.query("SELECT * FROM vehicle_position ORDER BY event_us").to_pylist()
    expected = good.to_pylist()
    assert len(rows) == len(expected)
    for row, want in zip(rows, expected, strict=True):
        micros = round(want["event_ts"].timestamp() * 1e6)
        provider = want["provider_ts"] and round(want["provider_ts"].replace(tzinfo=UTC).timestamp() * 1e6)
        assert row["event_us"] == micros and row["event_ts"].timestamp() == micros // 1_000_000
        assert (row["vehicle_id"], row["route_id"]) == (want["vehicle_id"], want["route_id"] or "")
        assert all(row[name] == want[name] for name in ("lat", "lon", "speed", "heading"))
        assert row["provider_us"] == provider
    assert one(pipeline, "SELECT toString(max(provider_ts)) FROM vehicle_position") == "2024-05-01 08:19:59"


OPTIONAL = {
    "trip_id": pa.array(["T1", None, ""]),
    "start_date": pa.array([19844, None, -1], pa.int32()).cast(pa.date32()),
    "direction_id": pa.array([1, None, -7], pa.int32()),
    "stop_id": pa.array([None, "S1", "Ä"]),
    "current_stop_sequence": pa.array([4, 5, None], pa.int32()),
    "current_status": ["STOPPED_AT", None, "IN_TRANSIT_TO"],
    "occupancy_status": pa.array([None, None, None], pa.string()),
    "odometer_m": pa.array([1234.5, None, -0.0]),
    "vehicle_label": ["Bus 1", "Bus 1", None],
    "received_at": pa.array([1714550400123456, None, -1], pa.timestamp("us", "UTC")),
}
SHOWN = (
    "SELECT trip_id, start_day, direction_id, stop_id, current_stop_sequence, current_status, occupancy_status, odometer_m, "
    "vehicle_label, received_us FROM vehicle_position ORDER BY event_us"
)


def test_the_columns_that_only_feeds_bring_reach_the_table_beside_files_without_them(pipeline):
    rows = positions(3)
    for name, values in OPTIONAL.items():
        rows = rows.append_column(name, pa.array(values) if isinstance(values, list) else values)
    put(pipeline, rows, "vehicle_positions/a.parquet")
    put(pipeline, positions(2, 10), "vehicle_positions/b.parquet")
    pipeline.load_telemetry(DAY)
    found = [tuple(row.values()) for row in pipeline.mart.query(SHOWN).to_pylist()]
    assert found == [
        ("T1", 19844, 1, None, 4, "STOPPED_AT", None, 1234.5, "Bus 1", 1714550400123456),
        (None, None, None, "S1", 5, None, None, None, "Bus 1", None),
        ("", -1, -7, "Ä", None, "IN_TRANSIT_TO", None, -0.0, None, -1),
        (None,) * 10,
        (None,) * 10,
    ]
    shown = "SELECT toString(start_date), toString(received_ts) FROM vehicle_position WHERE trip_id = 'T1'"
    assert [tuple(row.values()) for row in pipeline.mart.query(shown).to_pylist()] == [
        ("2024-05-01", "2024-05-01 08:00:00")
    ]


def test_a_table_of_an_earlier_release_gains_the_columns_of_feeds_and_keeps_its_rows(pipeline):
    drop(
        pipeline,
        "CREATE TABLE vehicle_position (dt Date, event_ts DateTime('UTC'), event_us Int64, vehicle_id String, route_id String, "
        "lat Float64, lon Float64, speed Nullable(Float64), heading Nullable(Float64), provider_us Nullable(Int64), "
        "provider_ts Nullable(DateTime('UTC')) ALIAS toDateTime(intDiv(provider_us, 1000000), 'UTC')) "
        "ENGINE = MergeTree PARTITION BY dt ORDER BY (vehicle_id, event_ts)",
    )
    drop(pipeline, "INSERT INTO vehicle_position (dt, event_us, vehicle_id) VALUES ('2024-04-30', 0, 'old')")
    rows = positions(3).append_column("trip_id", pa.array(["T1", "T2", None]))
    put(pipeline, rows)
    assert pipeline.load_telemetry(DAY).rows == 3
    trips = pipeline.mart.query("SELECT vehicle_id, trip_id FROM vehicle_position ORDER BY dt, event_us").to_pylist()
    assert [tuple(row.values()) for row in trips] == [("old", None), ("V0", "T1"), ("V1", "T2"), ("V2", None)]
    columns = "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = 'vehicle_position'"
    names = {row["name"] for row in pipeline.mart.query(columns).to_pylist()}
    assert {"received_us", "received_ts", "start_day", "start_date"} <= names


def test_an_unchanged_day_is_not_loaded_again_and_a_corrected_one_is_replaced(pipeline):
    put(pipeline, positions(1000), "vehicle_positions/a.parquet")
    put(pipeline, positions(500, 1000), "vehicle_positions/b.parquet")
    put(pipeline, positions(10), day="2024-05-02")
    assert pipeline.load_telemetry(DAY).rows == 1500
    assert pipeline.load_telemetry("2024-05-02").rows == 10
    again = pipeline.load_telemetry(DAY)
    assert again.unchanged and again.rows == 0
    assert again.tables.vehicle_position.rows_loaded == 1500
    put(pipeline, positions(7, 1000), "vehicle_positions/b.parquet")
    corrected = pipeline.load_telemetry(DAY)
    assert (corrected.rows, corrected.unchanged) == (1007, False)
    assert one(pipeline, "SELECT toInt64(count()) FROM vehicle_position WHERE dt = '2024-05-01'") == 1007
    assert one(pipeline, "SELECT toInt64(count()) FROM vehicle_position") == 1017
    assert one(pipeline, "SELECT toInt64(sum(rows_loaded)) FROM vehicle_position_load") == 1017
    left = pipeline.mart.query("SELECT name FROM system.tables WHERE name LIKE 'vehicle_position_shadow%'").to_pylist()
    assert left == []


def test_rows_that_vanished_from_the_table_are_loaded_again(pipeline):
    put(pipeline, positions(100))
    pipeline.load_telemetry(DAY)
    drop(pipeline, "ALTER TABLE vehicle_position DROP PARTITION '2024-05-01'")
    assert pipeline.load_telemetry(DAY).rows == 100


def test_a_vanished_file_takes_its_rows_out(pipeline):
    put(pipeline, positions(100))
    pipeline.load_telemetry(DAY)
    (pipeline.folder / f"dt={DAY}" / "vehicle_positions.parquet").unlink()
    with pytest.raises(mp.NotFoundError):
        pipeline.load_telemetry(DAY)
    put(pipeline, pa.table({"stop_id": ["S1"]}), "stops.parquet")
    gone = pipeline.load_telemetry(DAY)
    assert (gone.rows, gone.unchanged) == (0, False)
    assert one(pipeline, "SELECT toInt64(count()) FROM vehicle_position") == 0
    assert pipeline.load_telemetry(DAY).unchanged


def test_too_many_rejects_leave_the_table_as_it_was(pipeline):
    put(pipeline, positions(100))
    pipeline.load_telemetry(DAY)
    put(pipeline, positions(100).set_column(5, "speed", pa.array([999.0] * 100)))
    with pytest.raises(mp.DataError, match="100 of 100 rows"):
        pipeline.load_telemetry(DAY)
    assert one(pipeline, "SELECT toInt64(count()) FROM vehicle_position") == 100


def test_a_table_of_other_columns_is_named(pipeline):
    drop(pipeline, "CREATE TABLE vehicle_position (dt Date, lat String) ENGINE = MergeTree PARTITION BY dt ORDER BY dt")
    put(pipeline, positions(10))
    with pytest.raises(mp.SchemaError, match="has no column event_ts of type DateTime"):
        pipeline.load_telemetry(DAY)


def test_the_command_line_loads_telemetry(pipeline, monkeypatch):
    from metropulse.cli.app import cli

    put(pipeline, positions(10))
    for name, value in (("CH_USER", pipeline.settings.mart_user), ("CH_PASSWORD", pipeline.settings.mart_password)):
        if value:
            monkeypatch.setenv(name, value)
    words = [
        "load-telemetry",
        "--date",
        DAY,
        "--lake",
        str(pipeline.folder),
        "--mart",
        pipeline.settings.mart,
        "--json",
    ]
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == 0 and '"rows": 10' in done.output
