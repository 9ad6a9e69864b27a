"""The mart and cleaned days on a cluster: row by row what one machine makes of the same lake."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import pytest

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("metropulse._core")
pytest.importorskip("pyspark")

import metropulse as mp
from answers import DATA, PROTOTYPE_DAYS, mart_rows, same_rows
from metropulse.spark import build_route_hourly, clean

pytestmark = [pytest.mark.core, pytest.mark.embedded, pytest.mark.slow, pytest.mark.end_to_end]

ROOT = Path(__file__).parents[3]
ZONE = "Asia/Kolkata"
FIRST, DAYS = date(2024, 5, 1), 60


def day(number: int) -> str:
    return str(FIRST + timedelta(days=number))


def change(lake: Path, dt: str, dataset: str, edit) -> None:
    file = lake / f"dt={dt}" / f"{dataset}.parquet"
    pq.write_table(pa.Table.from_pylist(edit(pq.read_table(file).to_pylist()), pq.read_schema(file)), file)
    (lake / f"dt={dt}" / "_manifest.json").unlink(missing_ok=True)


@pytest.fixture(scope="module")
def lake(tmp_path_factory) -> Path:
    """Sixty small days: late corrections, rows in several files and days, rejects, routes renamed and closed."""
    folder = tmp_path_factory.mktemp("raw")
    mp.Pipeline(lake=folder, time_zone=ZONE).generate(FIRST, days=DAYS, seed=3, scale=0.004)
    trips = pq.read_table(folder / f"dt={day(10)}" / "trips.parquet").to_pylist()
    payments = pq.read_table(folder / f"dt={day(11)}" / "payments.parquet").to_pylist()

    def corrected(rows):
        again = [{**trip, "fare": (trip["fare"] or 0) + 1} for trip in trips[::2]]
        return [*rows, *again, *rows[:2], {**rows[1], "status": "cancelled", "route_id": None}]

    def paid_again(rows):
        return [*rows, *payments[::3], {**rows[0], "amount": -rows[0]["amount"]}]

    def dirty(rows):
        rows[3]["speed"] = 500.0
        rows[4]["lat"] = None
        rows[5]["route_id"] = "a route that nobody knows"
        for row in rows[8:20]:
            row["event_ts"] += timedelta(hours=40)
        return [*rows, *rows[30:60]]

    def renamed(rows):
        rows[0]["name"] = "a new name"
        return rows[:1] + rows[2:]

    change(folder, day(40), "trips", corrected)
    change(folder, day(45), "payments", paid_again)
    change(folder, day(20), "vehicle_positions", dirty)
    change(folder, day(30), "routes", renamed)
    # One day in two files, of which rows of the first are in the second again.
    whole = folder / f"dt={day(15)}" / "trips.parquet"
    table = pq.read_table(whole)
    whole.unlink()
    (folder / f"dt={day(15)}" / "_manifest.json").unlink(missing_ok=True)
    whole.mkdir()
    pq.write_table(table, whole / "a.parquet")
    pq.write_table(table.slice(0, 3), whole / "b.parquet")
    return folder


def alone(made: mp.Pipeline) -> mp.Pipeline:
    """The lake and a mart, without a warehouse."""
    found = made.settings
    mart = {"mart": found.mart, "mart_user": found.mart_user, "mart_password": found.mart_password}
    return mp.Pipeline.from_settings(
        type(found)(lake=found.lake, time_zone=found.time_zone, tuning=found.tuning, **mart)
    )


def build(spark, p: mp.Pipeline, *bounds, **more):
    found = p.settings
    return build_route_hourly(
        spark, found.lake, *bounds, mart=found.mart, mart_user=found.mart_user, mart_password=found.mart_password,
        time_zone=found.time_zone, **more,
    )  # fmt: skip


def test_sixty_days_are_those_of_one_machine(spark, lake, pipeline_on, shadows):
    here, there = alone(pipeline_on(lake, time_zone=ZONE)), alone(pipeline_on(lake, time_zone=ZONE))
    here.build_route_hourly(source="lake")
    wanted = mart_rows(here)
    report = build(spark, there)
    assert report.source == "lake"
    assert len(report.service_dates_rebuilt) == len({row["service_date"] for row in wanted})
    same_rows(mart_rows(there), wanted)
    assert shadows(there) == []

    again = build(spark, there)
    assert again.unchanged, "the very sums, whoever sent its share first"
    assert again.rows == 0


def test_a_range_replaces_its_dates_and_drops_those_that_nothing_touches(spark, lake, pipeline_on):
    here, there = alone(pipeline_on(lake, time_zone=ZONE)), alone(pipeline_on(lake, time_zone=ZONE))
    first, after = FIRST + timedelta(days=38), FIRST + timedelta(days=44)
    here.build_route_hourly(first, after, source="lake")
    build(spark, there, first, after)
    same_rows(mart_rows(there), mart_rows(here))


def test_a_date_that_lost_its_events_goes(spark, pipeline_on, tmp_path):
    shutil.copytree(DATA / "prototype_raw", tmp_path / "raw")
    p = alone(pipeline_on(tmp_path / "raw"))
    build(spark, p)
    last = max(row["service_date"] for row in mart_rows(p))
    shutil.rmtree(tmp_path / "raw" / "dt=2024-05-03")
    report = build(spark, p, last, last + timedelta(days=1))
    assert report.service_dates_rebuilt == (str(last),)
    assert last not in {row["service_date"] for row in mart_rows(p)}


def test_an_executor_killed_on_the_way_changes_nothing(spark, lake, pipeline_on, kill_one, shadows):
    here, there = alone(pipeline_on(lake, time_zone=ZONE)), alone(pipeline_on(lake, time_zone=ZONE))
    here.build_route_hourly(source="lake")
    with kill_one(spark, after_seconds=1.5):
        build(spark, there)
    same_rows(mart_rows(there), mart_rows(here))
    assert shadows(there) == []


def test_a_warehouse_gives_names_and_repaired_rows(spark, pipeline_on):
    p = pipeline_on(DATA / "prototype_raw")
    for dt in PROTOTYPE_DAYS:
        p.run(dt)
    wanted = mart_rows(p)
    report = build(spark, p, warehouse=p.settings.warehouse)
    assert report.unchanged or report.service_dates_rebuilt, "sums of floats may differ in their last digits"
    same_rows(mart_rows(p), wanted)


def test_a_day_with_too_many_rejects_leaves_the_mart_as_it_was(spark, pipeline_on, shadows, tmp_path, failed_tasks):
    shutil.copytree(DATA / "prototype_raw", tmp_path / "raw")
    p = alone(pipeline_on(tmp_path / "raw"))
    build(spark, p)
    before, failed = mart_rows(p), failed_tasks()
    change(tmp_path / "raw", "2024-05-02", "trips", lambda rows: [{**row, "fare": -1.0} for row in rows])
    change(tmp_path / "raw", "2024-05-01", "payments", lambda rows: rows[:-1])
    with pytest.raises(mp.DataError, match="of trips are rejected") as caught:
        build(spark, p)
    assert caught.value.context["dt"] == "2024-05-02"
    assert not caught.value.retryable
    assert failed_tasks() == failed, "no retry can mend it, so there was none"
    assert mart_rows(p) == before
    assert shadows(p) == []


def test_cleaned_days_and_rejects_are_those_of_staging(spark, pipeline_on, tmp_path):
    shutil.copytree(DATA / "prototype_raw", tmp_path / "raw")
    impossible = {3: {"speed": 500.0}, 8: {"lat": None}}
    change(
        tmp_path / "raw", PROTOTYPE_DAYS[1], "vehicle_positions",
        lambda rows: [{**row, **impossible.get(number, {})} for number, row in enumerate(rows)],
    )  # fmt: skip
    p = pipeline_on(tmp_path / "raw")
    for dt in PROTOTYPE_DAYS:
        p.stage(dt)
    days = clean(spark, p.settings.lake, PROTOTYPE_DAYS)
    for dataset, frame in days.datasets.items():
        found = Counter(str(row.dt) for row in frame.select("dt").collect())
        sql = f"select dt::text as dt, rows_loaded from dwh.load_ledger where target = 'staging.{dataset}_raw'"
        loaded = Counter()
        for row in p.warehouse.query(sql).to_pylist():
            loaded[row["dt"]] += row["rows_loaded"]
        assert found == +loaded, dataset
    trips = days.datasets["trips"].toArrow()
    assert trips.schema.field("fare").type == pa.decimal128(12, 2)
    staged = p.warehouse.query(
        "select trip_id, fare::text as fare from staging.trips_raw order by trip_id, load_id"
    ).to_pylist()
    assert sorted((row["trip_id"], str(row["fare"])) for row in trips.to_pylist()) == [
        (row["trip_id"], row["fare"]) for row in staged
    ]
    sql = "select dataset, dt::text as dt, file, row_number, reasons from staging.rejected"
    wanted = sorted(
        (r["dataset"], r["dt"], r["file"], r["row_number"], r["reasons"]) for r in p.warehouse.query(sql).to_pylist()
    )
    rejected = days.rejected.toArrow().to_pylist()
    assert sorted((r["dataset"], str(r["dt"]), r["file"], r["row_number"], r["reasons"]) for r in rejected) == wanted
    assert [row[3:] for row in wanted] == [(4, ["speed"]), (9, ["coordinates"])]


def test_a_day_that_cannot_be_cleaned_is_told_of_at_once(spark, tmp_path, failed_tasks):
    shutil.copytree(DATA / "prototype_raw", tmp_path / "raw")
    change(tmp_path / "raw", "2024-05-02", "trips", lambda rows: [{**row, "fare": -1.0} for row in rows])
    failed = failed_tasks()
    with pytest.raises(mp.DataError, match="of trips are rejected") as caught:
        clean(spark, tmp_path / "raw", PROTOTYPE_DAYS)
    assert caught.value.context["dt"] == "2024-05-02"
    assert not caught.value.retryable
    assert failed_tasks() == failed, "no retry can mend it, so there was none"
    others = clean(spark, tmp_path / "raw", PROTOTYPE_DAYS, datasets=["payments"])
    assert others.datasets["payments"].count() > 0


def test_an_executor_killed_while_days_are_cleaned_changes_nothing(spark, lake, kill_one):
    dates = [str(day) for day in sorted({path.name.removeprefix("dt=") for path in lake.glob("dt=*")})]
    wanted = clean(spark, lake, dates, datasets=["trips"]).datasets["trips"].toArrow()
    with kill_one(spark, after_seconds=1.0):
        days = clean(spark, lake, dates)
        found = days.datasets["trips"].toArrow()
        assert sum(frame.count() for frame in days.datasets.values()) > found.num_rows
    order = [("dt", "ascending"), ("trip_id", "ascending")]
    assert found.sort_by(order) == wanted.sort_by(order)


def test_what_cannot_be_asked_is_refused(spark):
    with pytest.raises(mp.ConfigError, match="go together"):
        build_route_hourly(spark, "/lake", "2024-05-01")
    with pytest.raises(mp.ConfigError, match="must be later"):
        build_route_hourly(spark, "/lake", "2024-05-02", "2024-05-01")
    with pytest.raises(mp.ConfigError, match="expected days, and datasets"):
        clean(spark, "/lake", [])


def test_the_prototypes_command_lines_build_warehouse_and_mart(spark, pipeline_on):
    """With its variables; the jobs run as spark-submit runs them, in processes of their own."""
    p = pipeline_on(DATA / "prototype_raw")
    mart, found = p.settings.mart, p.settings
    environment = {
        **os.environ,
        "PYSPARK_PYTHON": sys.executable,
        "METROPULSE_LAKE": str(DATA / "prototype_raw"),
        "PG_URL": found.warehouse,
        "CH_JDBC_URL": mart.replace("http://", "jdbc:clickhouse://"),
        "CH_USER": found.mart_user,
        "CH_PASSWORD": found.mart_password,
    }

    def job(*words: str) -> list[dict]:
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]

    jobs = ROOT / "spark_jobs"
    steps = job(sys.executable, str(jobs / "etl_batch.py"), "--date", "2024-05-01")
    assert [step["step"] for step in steps] == ["stage", "load_dimensions", "load_facts"]
    submit = Path(os.environ["SPARK_HOME"]) / "bin" / "spark-submit"
    [report] = job(
        str(submit), "--master", "local[1]", "--conf", "spark.ui.enabled=false",
        str(jobs / "mart_route_hourly.py"), "--date-from", "2024-05-01", "--date-to", "2024-05-03",
    )  # fmt: skip
    assert report["service_dates_rebuilt"] == ["2024-05-01", "2024-05-02"]
    assert {str(row["service_date"]) for row in mart_rows(p)} == {"2024-05-01", "2024-05-02"}
