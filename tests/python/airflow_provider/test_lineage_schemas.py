"""Every event is as the specification of OpenLineage has it, whatever a task did and however it ended."""

from __future__ import annotations

import copy
import json
import uuid

import pytest

pytest.importorskip("airflow.providers.openlineage")

from lineage_schemas import problems
from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
from openlineage.client.serde import Serde
from test_airflow_tasks import context

from metropulse import exceptions
from metropulse.airflow._compat import AirflowFailException, AirflowSensorTimeout
from metropulse.airflow.lineage import Namespaces, Trace, facets_of
from metropulse.airflow.sensors import RawPartitionSensor

pytestmark = [pytest.mark.airflow, pytest.mark.core]
PLACES = Namespaces(("s3://raw", "city"), ("postgres://h:5432", "dwh"), ("clickhouse://c:8123", "default"))
DT = "2024-05-01"
COUNTS = {"files": 2, "bytes": 5_000, "rows_read": 73, "rows_loaded": 72, "rows_rejected": 1, "rows_written": 73}
CHECK = {
    "name": "count > 0",
    "table": "dwh.fact_trip",
    "severity": "error",
    "passed": False,
    "found": 0,
    "expected": "> 0",
}
REPORTS = [
    {"step": "generate", "dt": DT, "tables": {"trips": COUNTS}},
    {"step": "load_calendar"},
    {"step": "stage", "dt": DT, "tables": {"staging.trips_raw": COUNTS}},
    {"step": "load_dimensions", "dt": DT, "tables": {"dwh.dim_route": COUNTS}},
    {"step": "load_facts", "dt": DT, "tables": {"dwh.fact_trip": COUNTS, "dwh.fact_payment": COUNTS}},
    {"step": "build_route_hourly", "source": "warehouse", "tables": {"mart_route_hourly": COUNTS}},
    {"step": "build_route_hourly", "source": "lake", "tables": {"mart_route_hourly": COUNTS}},
    {"step": "check_quality", "dt": DT, "checks": [CHECK, {**CHECK, "passed": True, "severity": "warn"}]},
    {"step": "ingest_gtfs", "days": [{"dt": DT}], "tables": {"scheduled_trips": COUNTS}},
    {"step": "wait", "dt": DT, "datasets": ["routes", "trips"]},
]
ERROR = exceptions.DataError("found 3, expected 4", {"file": "x.parquet", "row": 7}).to_dict()


def event_of(found, state):
    """The event that the provider makes of a task's facets, as it goes over the wire."""
    event = RunEvent(
        eventType=state,
        eventTime="2024-05-02T01:00:00Z",
        run=Run(str(uuid.uuid4()), found.run_facets),
        job=Job("airflow", "metropulse_daily.task", found.job_facets),
        inputs=found.inputs,
        outputs=found.outputs,
        producer="https://github.com/apache/airflow",
    )
    return json.loads(Serde.to_json(event))


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: f"{report['step']} {report.get('source', '')}".strip())
@pytest.mark.parametrize("error", [{}, ERROR], ids=["complete", "failed"])
def test_what_a_step_tells_is_as_specified(report, error):
    event = event_of(facets_of(Trace(PLACES, report, error)), RunState.FAIL if error else RunState.COMPLETE)
    assert event["inputs"] or event["outputs"]
    assert ("metropulse_error" in event["run"]["facets"]) == bool(error)
    assert problems(event) == []


def test_files_and_tables_of_ones_own_are_as_specified():
    trace = Trace(
        PLACES, {"step": "copy_parquet", "rows": 7}, files_read=["s3://b/x.parquet"], table_written="public.t"
    )
    assert problems(event_of(facets_of(trace), RunState.COMPLETE)) == []
    trace = Trace(PLACES, {"step": "rollup_hourly", "rows": 7}, files_read=["/d"], file_written="s3://b/y.parquet")
    assert problems(event_of(facets_of(trace), RunState.COMPLETE)) == []


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda e: e.pop("eventTime"), "'eventTime' is a required property"),
        (lambda e: e["run"].update(runId="7"), "'7' is not a 'uuid'"),
        (lambda e: e.update(eventType="DONE"), "'DONE' is not"),
        (lambda e: e["outputs"][0].pop("namespace"), "'namespace' is a required property"),
        (lambda e: e["outputs"][0]["outputFacets"]["outputStatistics"].update(rowCount="73"), "'73' is not"),
        (lambda e: e["outputs"][0]["outputFacets"]["outputStatistics"].update(rows=73), "'rows' was unexpected"),
        (lambda e: e["outputs"][0]["facets"]["schema"]["fields"][0].pop("name"), "'name' is a required property"),
        (lambda e: e["outputs"][0]["facets"].update(e["outputs"][0]["outputFacets"]), "is no DatasetFacet"),
        (lambda e: e["run"]["facets"]["metropulse_error"].pop("_producer"), "'_producer' is a required property"),
    ],
)
def test_what_is_not_as_specified_is_found(spoil, said):
    event = event_of(facets_of(Trace(PLACES, REPORTS[2], ERROR)), RunState.FAIL)
    assert problems(event) == []
    spoilt = copy.deepcopy(event)
    spoil(spoilt)
    assert said in "\n".join(problems(spoilt))


def failed(sensor):
    found = sensor.get_openlineage_facets_on_failure(None)
    event = event_of(found, RunState.FAIL)
    assert problems(event) == []
    return event


def names(event):
    return [(dataset["namespace"], dataset["name"]) for dataset in event["inputs"]]


WAITED_FOR = [("s3://raw", "city/dt=*/routes"), ("s3://raw", "city/dt=*/trips")]


def test_a_sensor_that_pokes_tells_its_error_and_what_it_waited_for(monkeypatch):
    place = {"lake": "s3://raw/city", "endpoint_url": "http://127.0.0.1:9"}
    lake = {"conn_type": "aws", "login": "k", "password": "s3-secret", "extra": place}
    monkeypatch.setenv("AIRFLOW_CONN_METROPULSE_LAKE_DEFAULT", json.dumps(lake))
    sensor = RawPartitionSensor(task_id="t", dt=DT, required="routes, trips", deferrable=False)
    with pytest.raises(exceptions.StorageError):
        sensor.poke(context())
    event = failed(sensor)
    facet = event["run"]["facets"]["metropulse_error"]
    assert (facet["kind"], facet["retryable"]) == ("storage", True)
    assert facet["message"].startswith("listing s3://raw/city/dt=2024-05-01 failed")
    assert names(event) == WAITED_FOR
    assert "s3-secret" not in json.dumps(event)


def test_a_deferred_sensor_tells_its_error_and_what_it_waited_for():
    sensor = RawPartitionSensor(task_id="t", dt=DT, required="routes, trips")
    with pytest.raises(AirflowFailException):
        sensor.execute_complete(context(), {"error": ERROR, "lake": ["s3://raw", "city"]})
    event = failed(sensor)
    assert event["run"]["facets"]["metropulse_error"]["kind"] == "data"
    assert names(event) == WAITED_FOR


def test_a_sensor_that_timed_out_tells_what_it_waited_for():
    sensor = RawPartitionSensor(task_id="t", dt=DT, required="routes, trips", timeout=5)
    with pytest.raises(AirflowSensorTimeout):
        sensor.execute_complete(context(), {"timeout": "missing: routes", "lake": ["s3://raw", "city"]})
    assert names(failed(sensor)) == WAITED_FOR


def test_a_sensor_that_never_came_to_its_lake_tells_the_error_alone():
    sensor = RawPartitionSensor(task_id="t", dt=DT)
    with pytest.raises(AirflowFailException):
        sensor.execute_complete(context(), {"error": ERROR})
    event = failed(sensor)
    assert event["inputs"] == []
    assert event["run"]["facets"]["metropulse_error"]["kind"] == "data"
