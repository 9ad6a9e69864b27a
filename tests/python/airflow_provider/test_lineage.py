"""What OpenLineage is told: by the facets themselves, and by Airflow's own provider through its file transport."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest

pytest.importorskip("airflow.providers.openlineage")

from lineage_schemas import problems
from test_airflow_tasks import NEEDED

from answers import DATA
from metropulse.airflow import operators as ops
from metropulse.airflow.column_lineage import MART_SOURCES
from metropulse.airflow.lineage import Namespaces, Trace, facets_of
from metropulse.airflow.sensors import RawPartitionSensor
from metropulse.catalog import catalog
from metropulse.settings import resolve

pytestmark = [pytest.mark.airflow, pytest.mark.core]
OPERATORS = [getattr(ops, name) for name in ops.__all__]


@pytest.mark.parametrize(
    ("settings", "lake", "warehouse", "mart"),
    [
        (
            {"lake": "s3://raw/city", "warehouse": "postgresql://u:hunter2@h:5433/dwh", "mart": "http://c:8123/city",
             "mart_user": "u", "mart_password": "hunter2"},
            ("s3://raw", "city"), ("postgres://h:5433", "dwh"), ("clickhouse://c:8123", "city"),
        ),
        (
            {"lake": "/data/raw", "warehouse": "postgresql://u@/d?host=%2Frun%2Fmp", "mart": "http://gw/ch/?database=dwh"},
            ("file", "/data/raw"), ("postgres://localhost:5432", "d"), ("clickhouse://gw:8123", "dwh"),
        ),
        (
            {"lake": "file:///data", "warehouse": "host=a,b port=6000 dbname=d password='hunter2 x'", "mart": "https://c"},
            ("file", "/data"), ("postgres://a:6000", "d"), ("clickhouse://c:8443", "default"),
        ),
    ],
)  # fmt: skip
def test_names_say_where_and_hold_no_secret(settings, lake, warehouse, mart):
    places = Namespaces.of(resolve(**settings, environ={}))
    assert (places.lake, places.warehouse, places.mart) == (lake, warehouse, mart)
    assert "hunter2" not in repr(places)


PLACES = Namespaces(("s3://raw", ""), ("postgres://h:5432", "dwh"), ("clickhouse://c:8123", "default"))


def told(report, **more):
    found = facets_of(Trace(PLACES, report, **more))
    return found, {d.name: d for d in found.inputs}, {d.name: d for d in found.outputs}


def test_a_stage_tells_schemas_counts_and_columns():
    counts = {"files": 2, "bytes": 5_000, "rows_read": 73, "rows_loaded": 72, "rows_rejected": 1, "rows_written": 73}
    _, inputs, outputs = told({"step": "stage", "dt": "2024-05-01", "tables": {"staging.trips_raw": counts}})
    raw, staged = inputs["dt=*/trips"], outputs["dwh.staging.trips_raw"]
    assert (raw.namespace, raw.facets["version"].datasetVersion) == ("s3://raw", "2024-05-01")
    read = raw.inputFacets["dataQualityMetrics"]
    assert (read.rowCount, read.bytes, read.fileCount) == (73, 5_000, 2)
    assert (staged.namespace, staged.outputFacets["outputStatistics"].rowCount) == ("postgres://h:5432", 73)
    assert [(f.name, f.type) for f in staged.facets["schema"].fields][:2] == [("trip_id", "text"), ("user_id", "text")]
    [source] = staged.facets["columnLineage"].fields["fare"].inputFields
    assert (source.namespace, source.name, source.field) == ("s3://raw", "dt=*/trips", "fare")
    assert "dwh.staging.rejected" in outputs


def test_facts_tell_the_raw_columns_and_the_keys_of_dimensions():
    _, inputs, outputs = told({"step": "load_facts", "tables": {"dwh.fact_trip": {"files": 1, "rows_written": 7}}})
    assert {"dwh.dwh.dim_route", "dwh.dwh.dim_user", "dwh.dwh.dim_vehicle", "dwh.dwh.dim_stop"} < set(inputs)
    fields = outputs["dwh.dwh.fact_trip"].facets["columnLineage"].fields
    sources = {name: [(s.name, s.field) for s in field.inputFields] for name, field in fields.items()}
    assert sources["route_sk"] == [("dt=*/trips", "route_id"), ("dwh.dwh.dim_route", "route_sk")]
    assert sources["duration_sec"] == [("dt=*/trips", "start_ts"), ("dt=*/trips", "end_ts")]
    assert sources["fare_amount"] == [("dt=*/trips", "fare")]
    assert fields["fare_amount"].inputFields[0].transformations[0].subtype == "IDENTITY"


@pytest.mark.parametrize(
    ("source", "sources"),
    [("warehouse", [("dwh.dwh.fact_trip", "fare_amount")]), ("lake", [("dt=*/trips", "fare")])],
)
def test_the_mart_tells_what_it_is_added_up_from(source, sources):
    report = {"step": "build_route_hourly", "source": source, "tables": {"mart_route_hourly": {"rows_written": 9}}}
    _, inputs, outputs = told(report)
    mart = outputs["default.mart_route_hourly"]
    average = mart.facets["columnLineage"].fields["avg_fare"].inputFields
    assert [(s.name, s.field) for s in average] == sources
    assert average[0].transformations[0].subtype == "AGGREGATION"
    assert sources[0][0] in inputs


def test_every_column_of_the_mart_is_told():
    assert set(MART_SOURCES) == {column["name"] for column in catalog().mart["columns"]}
    known = {each["table"]: {c["name"] for c in each["columns"]} for each in (*catalog().dimensions, *catalog().facts)}
    assert [
        source for sources in MART_SOURCES.values() for source in sources if source[1] not in known[source[0]]
    ] == []


def test_each_check_is_an_assertion():
    checks = [{"name": "count > 0", "table": "dwh.fact_trip", "severity": "error", "passed": False, "found": 0, "expected": "> 0"},
              {"name": "in range", "table": "dwh.fact_trip", "severity": "warn", "passed": True, "found": 0, "expected": "0"}]  # fmt: skip
    _, inputs, _ = told({"step": "check_quality", "dt": "2024-05-01", "checks": checks})
    found = inputs["dwh.dwh.fact_trip"].inputFacets["dataQualityAssertions"].assertions
    assert [(a.assertion, a.success, a.severity, a.actual, a.expected) for a in found] == [
        ("count > 0", False, "error", "0", "> 0"),
        ("in range", True, "warn", "0", "0"),
    ]


def test_files_and_tables_of_ones_own_are_told():
    report = {"step": "copy_parquet", "rows": 7, "table": "public.t"}
    _, inputs, outputs = told(report, files_read=["s3://b/p/x.parquet", "/d/y.parquet"], table_written="t")
    assert {(d.namespace, d.name) for d in inputs.values()} == {("s3://b", "p/x.parquet"), ("file", "/d/y.parquet")}
    assert outputs["dwh.public.t"].outputFacets["outputStatistics"].rowCount == 7


def test_a_feed_becomes_raw_datasets():
    _, inputs, outputs = told(
        {"step": "ingest_gtfs", "days": [{"dt": "2024-05-01"}], "tables": {"scheduled_trips": {"rows_written": 1}}},
        files_read=["s3://feeds/gtfs.zip"],
    )
    assert [(d.namespace, d.name) for d in inputs.values()] == [("s3://feeds", "gtfs.zip")]
    assert "dt=*/scheduled_trips" in outputs
    assert told({"step": "ingest_gtfs", "days": [], "dry_run": True})[2] == {}


def test_an_error_is_told_with_its_kind_place_and_remedy():
    error = {"error": "data", "message": "found 3", "retryable": False, "context": {"file": "x.parquet"}}
    facet = told({}, error=error)[0].run_facets["metropulse_error"]
    assert (facet.kind, facet.message, facet.retryable, facet.context) == (
        "data",
        "found 3",
        False,
        {"file": "x.parquet"},
    )


@pytest.mark.parametrize("operator", [*OPERATORS, RawPartitionSensor])
def test_every_operator_and_the_sensor_answer_also_when_they_did_not_come_far(operator):
    made = operator(task_id="t", **NEEDED.get(operator.__name__, {}))
    assert made.get_openlineage_facets_on_complete(None).outputs == []
    assert made.get_openlineage_facets_on_failure(None).outputs == []


def test_nothing_of_openlineage_is_imported_before_it_is_asked():
    program = (
        "import sys; import metropulse.airflow.operators, metropulse.airflow.sensors, metropulse.airflow.triggers;"
        "print([name for name in sys.modules if 'openlineage.client' in name or 'openlineage.extractors' in name])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_deferred_sensor_tells_what_it_waited_for():
    sensor = RawPartitionSensor(task_id="t", dt="2024-05-01", required="routes, trips")
    event = {"partition": {"ready": True}, "lake": ["s3://raw", "city"]}
    sensor.execute_complete({"ti": MagicMock(), "dag_run": SimpleNamespace(conf={}), "params": {}}, event)
    found = sensor.get_openlineage_facets_on_complete(None)
    assert [(d.namespace, d.name) for d in found.inputs] == [
        ("s3://raw", "city/dt=*/routes"),
        ("s3://raw", "city/dt=*/trips"),
    ]


@pytest.mark.embedded
@pytest.mark.end_to_end
def test_the_daily_dag_tells_airflows_own_provider(state_dir, tmp_path, monkeypatch):
    lake, events = tmp_path / "raw", tmp_path / "events.jsonl"
    shutil.copytree(DATA / "prototype_raw", lake)
    trips = lake / "dt=2024-05-02" / "trips.parquet"
    trips.write_bytes(trips.read_bytes()[:1000])
    monkeypatch.setenv(
        "AIRFLOW__OPENLINEAGE__TRANSPORT", json.dumps({"type": "file", "log_file_path": str(events), "append": True})
    )
    done = subprocess.run(
        [sys.executable, "-m", "metropulse", "demo", "--state", str(state_dir), "--json", "--raw", str(lake)],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 5, done.stderr[-3000:]
    found = [json.loads(line) for line in events.read_text().splitlines()]
    ended = {
        (event["job"]["name"], event["eventType"]): event
        for event in found
        if event["eventType"] in {"COMPLETE", "FAIL"} and "." in event["job"]["name"]
    }
    steps = {name.rsplit(".", 1)[1] for name, kind in ended if kind == "COMPLETE"}
    assert {"stage", "dimensions", "facts", "mart", "quality"} <= steps

    def of(step, kind="COMPLETE"):
        [event] = [event for (name, ending), event in ended.items() if name.endswith(f".{step}") and ending == kind]
        return event

    def names(datasets):
        return {dataset["name"].rsplit(".", 1)[-1] for dataset in datasets}

    assert names(of("facts")["outputs"]) == {"fact_trip", "fact_payment", "fact_vehicle_position"}
    [mart] = of("mart")["outputs"]
    assert mart["namespace"].startswith("clickhouse://")
    assert mart["outputFacets"]["outputStatistics"]["rowCount"] > 0
    assert mart["facets"]["columnLineage"]["fields"]["revenue"]["inputFields"][0]["field"] == "amount"
    checks = [a for d in of("quality")["inputs"] for a in d["inputFacets"]["dataQualityAssertions"]["assertions"]]
    assert len(checks) > 20
    assert all(check["success"] for check in checks if check["severity"] == "error")
    failed = of("stage", "FAIL")["run"]["facets"]
    assert "trips.parquet" in failed["errorMessage"]["message"]
    assert (failed["metropulse_error"]["kind"], failed["metropulse_error"]["retryable"]) == ("data", False)
    assert [problem for event in found for problem in problems(event)] == []
    assert {event["eventType"] for event in found} >= {"START", "COMPLETE", "FAIL"}
