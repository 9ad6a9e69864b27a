"""The kernels inside Spark, on a cluster of two executors: the results are those of one machine, whatever happens."""

from __future__ import annotations

import gc
import json
import os
import random
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("metropulse._core")
pytest.importorskip("pyspark")

import metropulse as mp
from answers import same_rows
from metropulse.spark import rollup_hourly
from metropulse.spark.workers import access

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
    """On an executor, since no footer tells; no retry can mend it, so there is none."""
    file = tmp_path / "damaged.parquet"
    whole = bytearray((lake / "1.parquet").read_bytes())
    chunk = pq.ParquetFile(lake / "1.parquet").metadata.row_group(1).column(0)
    at = chunk.dictionary_page_offset or chunk.data_page_offset
    whole[at : at + chunk.total_compressed_size] = bytes(chunk.total_compressed_size)
    file.write_bytes(whole)
    before, kept_before = failed_tasks(), kept(spark)
    with pytest.raises(mp.DataError, match=r"damaged\.parquet cannot be decoded in row group 1") as caught:
        rollup_hourly(spark, file, merge=merge, **ASKED)
    assert not caught.value.retryable
    assert failed_tasks() == before
    assert kept(spark) <= kept_before


def kept(spark) -> int:
    """How many states of rollups Spark keeps for later."""
    return len(spark.sparkContext._jsc.getPersistentRDDs())


def test_states_that_wait_for_their_shuffle_outlive_an_executor_and_go_when_nobody_needs_them(spark, lake, kill_one):
    gc.collect()
    frame = rollup_hourly(spark, lake, merge="shuffle", **ASKED)
    assert kept(spark) == 1
    with kill_one(spark, after_seconds=0.1):
        time.sleep(2)
        same_rows(rows_of(frame), local(lake))
    del frame
    gc.collect()
    again = rollup_hourly(spark, lake, merge="shuffle", **ASKED)
    assert kept(spark) == 1
    same_rows(rows_of(again), local(lake))


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


def test_what_a_job_tells_hadoop_of_s3_is_told_and_what_spark_makes_up_is_not(spark):
    """By hand, in the middle of a program, as many do; Hadoop and Spark bring values of their own."""
    hadoop = spark.sparkContext._jsc.hadoopConfiguration()
    assert access(spark, "s3a://raw", None) is None
    hadoop.set("fs.s3a.endpoint", "http://minio:9000")
    hadoop.set("fs.s3a.bucket.raw.access.key", "raw-reader")
    found = access(spark, "s3a://raw", None)
    hadoop.unset("fs.s3a.endpoint")
    hadoop.unset("fs.s3a.bucket.raw.access.key")
    assert (found["aws_endpoint"], found["aws_access_key_id"]) == ("http://minio:9000", "raw-reader")


@pytest.fixture(params=[("Asia/Kolkata", "TIMESTAMP_LTZ"), ("America/New_York", "TIMESTAMP_NTZ")], ids=str)
def elsewhere(spark, request):
    """A session that lives in a zone other than UTC."""
    names = ("spark.sql.session.timeZone", "spark.sql.timestampType")
    before = [spark.conf.get(name) for name in names]
    for name, value in zip(names, request.param, strict=True):
        spark.conf.set(name, value)
    yield spark
    for name, value in zip(names, before, strict=True):
        spark.conf.set(name, value)


@pytest.mark.parametrize("merge", ["driver", "shuffle"])
def test_instants_without_a_zone_are_utc_wherever_the_session_lives(elsewhere, tmp_path, merge):
    """One of them is in the hour that New York left out that spring."""
    naive = [datetime(2024, 3, 10, 2, 30) + timedelta(minutes=7 * n) for n in range(60)]
    columns = {"event_ts": naive, "opened": [at.replace(minute=0) for at in naive], "seen": naive[::-1]}
    types = {name: pa.timestamp("us") for name in columns}
    pq.write_table(pa.table({n: pa.array(v, types[n]) for n, v in columns.items()}), tmp_path / "naive.parquet")
    asked = {"keys": ["opened"], "time": "event_ts", "measures": {"first": ("min", "seen"), "last": ("max", "seen")}}
    wanted = pa.table(mp.rollup_hourly(tmp_path, **asked)).to_pylist()
    for source in (tmp_path, elsewhere.read.parquet(str(tmp_path))):
        found = rollup_hourly(elsewhere, source, merge=merge, **asked).orderBy("opened")
        assert dict(found.dtypes)["opened"] == dict(found.dtypes)["first"] == "timestamp_ntz"
        assert found.toArrow().to_pylist() == wanted
        shown = [row.opened for row in found.selectExpr("cast(opened as string) as opened").collect()]
        assert shown == [str(row["opened"]) for row in wanted]


@pytest.mark.parametrize("merge", ["driver", "shuffle"])
def test_names_with_dots_and_blanks_are_names(spark, tmp_path, merge):
    table = positions(200, 3).rename_columns(["at.utc", "route.id", "a vehicle", "speed km/h", "day"])
    pq.write_table(table, tmp_path / "odd.parquet")
    asked = {
        "keys": ["route.id", "a vehicle"],
        "time": "at.utc",
        "measures": {"avg.speed": ("avg", "speed km/h"), "n": "count"},
    }
    order = lambda rows: sorted(map(repr, rows))  # noqa: E731
    wanted = order(pa.table(mp.rollup_hourly(tmp_path, **asked)).to_pylist())
    for source in (tmp_path, spark.read.parquet(str(tmp_path))):
        assert order(rollup_hourly(spark, source, merge=merge, **asked).toArrow().to_pylist()) == wanted


def test_groups_that_are_too_many_for_the_driver_are_merged_in_a_shuffle(spark, lake, monkeypatch, caplog):
    monkeypatch.setattr("metropulse.spark.rollup._ON_DRIVER_BYTES", 0)
    monkeypatch.setattr("metropulse.spark.rollup._LEAST_OF_A_TASK_BYTES", 4_096)
    same_rows(rows_of(rollup_hourly(spark, lake, **ASKED)), local(lake))
    assert 'merge="shuffle"' in caplog.text


def test_a_driver_that_spark_lets_take_no_more_is_told_of_the_shuffle(shipped, tmp_path):
    """In a session of its own: the limit is one of the driver's start. The states that it leaves trouble no later one."""
    rows = pa.table({"k": [f"key {n * 7919 % 99_991}" for n in range(50_000)], "at": pa.array([START] * 50_000)})
    pq.write_table(rows, tmp_path / "rows.parquet")
    program = f"""
import gc
from pyspark.sql import SparkSession
import metropulse as mp
from metropulse.spark import rollup_hourly
spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").config("spark.log.level", "OFF") \
    .config("spark.driver.maxResultSize", "100k").config("spark.sql.shuffle.partitions", "2").getOrCreate()
asked = dict(keys=["k"], time="at", measures={{"n": "count"}})
print(rollup_hourly(spark, {str(tmp_path)!r}, **asked).count())
try:
    rollup_hourly(spark, {str(tmp_path)!r}, merge="driver", **asked)
except mp.ConfigError as error:
    print(error)
spark.stop()
gc.collect()
spark = SparkSession.builder.master("local[1]").config("spark.sql.shuffle.partitions", "2").getOrCreate()
print(rollup_hourly(spark, {str(tmp_path)!r}, merge="shuffle", **asked).count())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=False,
        env={**os.environ, "PYSPARK_PYTHON": sys.executable},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    count, told, count_of_the_next = done.stdout.splitlines()
    assert count == count_of_the_next == "50000"
    assert told.startswith('states of the groups are larger than spark.driver.maxResultSize: merge="shuffle"')


def test_what_cannot_be_asked_is_refused_before_anything_runs(spark, lake):
    with pytest.raises(mp.ConfigError, match="expected driver or shuffle"):
        rollup_hourly(spark, lake, merge="nowhere", **ASKED)
    for changed in ({"keys": ["route`id"]}, {"time": "`at`"}, {"measures": {"`n`": "count"}}):
        with pytest.raises(mp.ConfigError, match=r"has a backtick, which is a quote to Spark"):
            rollup_hourly(spark, lake, **(ASKED | changed))
    for tasks in (0, -3):
        with pytest.raises(mp.ConfigError, match=f"tasks is {tasks}, expected 1 or more"):
            rollup_hourly(spark, lake, tasks=tasks, **ASKED)
    with pytest.raises(mp.SchemaError, match=r"column nothing is missing.*\.parquet"):
        rollup_hourly(spark, lake, **(ASKED | {"keys": ["nothing"]}))
    with pytest.raises(mp.SchemaError, match="column nothing is missing"):
        rollup_hourly(spark, spark.read.parquet(str(lake)), **(ASKED | {"keys": ["nothing"]}))
    with pytest.raises(mp.NotFoundError, match="names no Parquet file"):
        rollup_hourly(spark, lake / "*.csv", **ASKED)
    with pytest.raises(mp.ConfigError, match="no executor can read"):
        rollup_hourly(spark, positions(3, 1), **ASKED)
