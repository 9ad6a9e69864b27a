"""The kernels inside Spark, on a cluster of two executors: the results are those of one machine, whatever happens."""

from __future__ import annotations

import json
import random
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("metropulse._core")
pytest.importorskip("pyspark")

import metropulse as mp
from answers import same_rows
from metropulse.spark import rollup_hourly

pytestmark = [pytest.mark.core, pytest.mark.slow, pytest.mark.end_to_end]

ASKED = {
    "keys": ["route_id"],
    "time": "event_ts",
    "measures": {
        "n": "count",
        "avg_speed": ("avg", "speed"),
        "vehicles": ("count_distinct", "vehicle_id"),
        "days": ("count_distinct", "day"),
    },
    "time_zone": "Asia/Kolkata",
}
START = datetime(2024, 5, 1, tzinfo=UTC)


def positions(rows: int, seed: int) -> pa.Table:
    chance = random.Random(seed)
    at = [START + timedelta(seconds=chance.randrange(2 * 86_400)) for _ in range(rows)]
    return pa.table(
        {
            "event_ts": pa.array(at, pa.timestamp("us", tz="UTC")),
            "route_id": [chance.choice(["R1", "R2", "R3", None]) for _ in range(rows)],
            "vehicle_id": [f"vehicle number {chance.randrange(500)}" for _ in range(rows)],
            "speed": [chance.choice([None, chance.random() * 90]) for _ in range(rows)],
            "day": [at.date() for at in at],
        }
    )


@pytest.fixture(scope="module")
def lake(tmp_path_factory) -> Path:
    """Six files of several row groups each, one of them larger than the others."""
    folder = tmp_path_factory.mktemp("lake")
    for n in range(6):
        pq.write_table(positions(20_000 if n else 120_000, n), folder / f"{n}.parquet", row_group_size=9_000)
    return folder


@pytest.fixture(autouse=True)
def small_shares(monkeypatch):
    """Shares as small as the files, so that each file has several."""
    monkeypatch.setattr("metropulse.spark.shares._LEAST_ROWS", 10_000)


def rows_of(frame) -> list[dict]:
    rows = frame.toArrow().to_pylist()
    return sorted(rows, key=lambda row: (row["route_id"] is not None, row["route_id"], row["hour_bucket"]))


def local(source, **changes) -> list[dict]:
    return pa.table(mp.rollup_hourly(source, **(ASKED | changes))).to_pylist()


@pytest.mark.parametrize("merge", ["driver", "shuffle"])
def test_files_come_out_as_on_one_machine(spark, lake, merge):
    same_rows(rows_of(rollup_hourly(spark, lake, merge=merge, **ASKED)), local(lake))


@pytest.mark.parametrize("merge", ["driver", "shuffle"])
def test_hours_that_a_task_has_alone_are_counted_there(spark, tmp_path, merge):
    pq.write_table(positions(60_000, 7).sort_by("event_ts"), tmp_path / "ordered.parquet", row_group_size=3_000)
    same_rows(rows_of(rollup_hourly(spark, tmp_path, merge=merge, **ASKED)), local(tmp_path))


@pytest.mark.parametrize("merge", ["driver", "shuffle"])
def test_footers_that_tell_other_hours_than_the_rows_have_fail_and_miscount_nothing(
    spark, lake, tmp_path, monkeypatch, merge
):
    """Row groups of the same hours, each of which is said to have hours of its own."""
    from metropulse import _core

    layout = _core.parquet_layout

    def lying(*arguments):
        found = json.loads(layout(*arguments))
        begin, end = found[0]["hours"][0]
        for file in found:
            file["hours"] = [[begin, end], *([end + 1, end + 1] for _ in file["hours"][1:])]
        return json.dumps(found)

    monkeypatch.setattr(_core, "parquet_layout", lying)
    told = "times in the footer of a file are not those of its rows"
    with pytest.raises(mp.DataError if merge == "driver" else Exception, match=told):
        rollup_hourly(spark, lake / "0.parquet", merge=merge, **ASKED).collect()


@pytest.mark.parametrize("merge", ["driver", "shuffle"])
def test_a_frame_comes_out_as_on_one_machine(spark, lake, merge):
    frame = spark.read.parquet(str(lake)).where("route_id is not null")
    wanted = [row for row in local(lake) if row["route_id"] is not None]
    same_rows(rows_of(rollup_hourly(spark, frame, merge=merge, **ASKED)), wanted)


def test_executors_run_the_package_of_the_archive(spark):
    def where(batches):
        import metropulse

        for _ in batches:
            yield pa.RecordBatch.from_pydict({"file": [metropulse.__file__]})

    found = {row.file for row in spark.range(0, 4, 1, 4).mapInArrow(where, "file string").collect()}
    assert all("/cluster/" in file and file.endswith("/site-packages/metropulse/__init__.py") for file in found)


def test_nothing_is_a_result_with_its_columns(spark, lake, tmp_path):
    pq.write_table(positions(10, 1).slice(0, 0), tmp_path / "empty.parquet")
    found = rollup_hourly(spark, tmp_path, **ASKED)
    assert (found.columns, found.count()) == (["route_id", "hour_bucket", *ASKED["measures"]], 0)
    nobody = spark.read.parquet(str(lake)).where("route_id = 'nobody'")
    assert rollup_hourly(spark, nobody, **ASKED).count() == 0


def test_a_truncated_file_fails_with_its_name(spark, lake, tmp_path):
    whole = (lake / "1.parquet").read_bytes()
    (tmp_path / "whole.parquet").write_bytes(whole)
    (tmp_path / "short.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(mp.DataError, match=r"short\.parquet has a footer that cannot be read"):
        rollup_hourly(spark, tmp_path, **ASKED)


@pytest.mark.parametrize("merge", ["driver", "shuffle"])
def test_a_damaged_page_fails_with_file_and_row_group(spark, lake, failed_tasks, tmp_path, merge):
    """On an executor, since no footer tells; where the driver waits it is not even retried."""
    file = tmp_path / "damaged.parquet"
    whole = bytearray((lake / "1.parquet").read_bytes())
    chunk = pq.ParquetFile(lake / "1.parquet").metadata.row_group(1).column(0)
    at = chunk.dictionary_page_offset or chunk.data_page_offset
    whole[at : at + chunk.total_compressed_size] = bytes(chunk.total_compressed_size)
    file.write_bytes(whole)
    before = failed_tasks()
    if merge == "driver":
        with pytest.raises(mp.DataError, match=r"damaged\.parquet cannot be decoded in row group 1") as caught:
            rollup_hourly(spark, file, merge=merge, **ASKED)
        assert not caught.value.retryable
        assert failed_tasks() == before
    else:
        with pytest.raises(Exception, match=r"damaged\.parquet cannot be decoded in row group 1"):
            rollup_hourly(spark, file, merge=merge, **ASKED).collect()


def test_a_file_that_changed_since_it_was_listed_is_a_conflict(spark, lake, tmp_path, monkeypatch):
    from metropulse import _core

    file = tmp_path / "a.parquet"
    file.write_bytes((lake / "1.parquet").read_bytes())
    layout = _core.parquet_layout

    def listed_before(*arguments):
        found = json.loads(layout(*arguments))
        for entry in found:
            entry["size_bytes"] += 1
        return json.dumps(found)

    monkeypatch.setattr(_core, "parquet_layout", listed_before)
    monkeypatch.setattr(_core, "rollup_pieces", lambda *_: mp.rollup_hourly(file, partial=True, **ASKED))
    with pytest.raises(mp.ConflictError, match=r"a\.parquet changed while it was rolled up") as caught:
        rollup_hourly(spark, file, tasks=1, **ASKED)
    assert caught.value.context == {"file": str(file)}
    assert caught.value.retryable


def test_a_task_that_is_run_again_changes_nothing(spark, lake):
    """Its first attempt fails after it gave some rows away."""

    def fails_once(batches):
        from pyspark import TaskContext

        for batch in batches:
            yield batch
            if TaskContext.get().attemptNumber() == 0:
                raise RuntimeError("the machine went")

    frame = spark.read.parquet(str(lake))
    unsteady = frame.mapInArrow(fails_once, frame.schema)
    same_rows(rows_of(rollup_hourly(spark, unsteady, **ASKED)), local(lake))


def test_an_executor_killed_on_the_way_changes_nothing(spark, lake, kill_one):
    def slow(batches):
        for batch in batches:
            time.sleep(0.5)
            yield batch

    frame = spark.read.parquet(str(lake))
    slowly = frame.repartition(12).mapInArrow(slow, frame.schema)
    with kill_one(spark, after_seconds=2.5):
        found = rows_of(rollup_hourly(spark, slowly, **ASKED))
    same_rows(found, local(lake))


def test_credentials_are_in_no_plan_and_no_log(spark, lake, events, capfd):
    secret = "a-very-secret-key"
    frame = rollup_hourly(spark, lake, merge="shuffle", lake_options={"aws_secret_access_key": secret}, **ASKED)
    frame.explain("extended")
    assert frame.count() > 0
    plan = frame._jdf.queryExecution().toString()
    shown = capfd.readouterr()
    time.sleep(1)
    told = "".join(file.read_text(errors="replace") for file in events.rglob("*") if file.is_file())
    assert "MapInArrow" in plan
    assert secret not in plan + told + shown.out + shown.err + repr(frame)


def test_an_s3_lake_is_reached_with_what_spark_was_told():
    from metropulse.spark.workers import access

    told = {
        "spark.hadoop.fs.s3a.access.key": "everybody",
        "spark.hadoop.fs.s3a.secret.key": "s1",
        "spark.hadoop.fs.s3a.endpoint": "minio:9000",
        "spark.hadoop.fs.s3a.connection.ssl.enabled": "false",
        "spark.hadoop.fs.s3a.bucket.raw.access.key": "raw-reader",
    }
    session = SimpleNamespace(conf=told)
    found = access(session, "s3a://raw/dt=2024-05-01", None)
    assert found["aws_access_key_id"] == "raw-reader"
    assert found["aws_endpoint"] == "http://minio:9000"
    assert access(session, "s3://raw", {"aws_region": "x"}) == {"aws_region": "x"}
    assert access(session, "/folder", None) is None


def test_what_cannot_be_asked_is_refused_before_anything_runs(spark, lake):
    with pytest.raises(mp.ConfigError, match="expected driver or shuffle"):
        rollup_hourly(spark, lake, merge="nowhere", **ASKED)
    with pytest.raises(mp.SchemaError, match=r"column nothing is missing.*\.parquet"):
        rollup_hourly(spark, lake, **(ASKED | {"keys": ["nothing"]}))
    with pytest.raises(mp.SchemaError, match="column nothing is missing"):
        rollup_hourly(spark, spark.read.parquet(str(lake)), **(ASKED | {"keys": ["nothing"]}))
    with pytest.raises(mp.NotFoundError, match="names no Parquet file"):
        rollup_hourly(spark, lake / "*.csv", **ASKED)
    with pytest.raises(mp.ConfigError, match="no executor can read"):
        rollup_hourly(spark, positions(3, 1), **ASKED)
