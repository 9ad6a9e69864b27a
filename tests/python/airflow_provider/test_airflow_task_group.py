"""The steps of a day as a task group, the example DAGs, and what people are told of a failed task."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("airflow.sdk")

from airflow.sdk import DAG

from metropulse import exceptions
from metropulse.airflow._compat import AirflowFailException
from metropulse.airflow.failures import _REMEDIES, failure_message
from metropulse.airflow.operators import StageRawOperator
from metropulse.airflow.task_group import MetropulseDayTaskGroup

pytestmark = pytest.mark.airflow
EXAMPLES = Path(__file__).parents[3] / "airflow_dags" / "examples"
STEPS = ["wait", "calendar", "stage", "dimensions", "facts", "mart", "quality"]


def test_the_group_has_the_steps_of_the_daily_dag_under_its_own_id():
    with DAG("own", schedule=None) as dag:
        group = MetropulseDayTaskGroup("load", dt="2024-05-01", lake="/lake", warehouse_conn_id="w")
    assert [task.task_id for task in dag.topological_sort()] == [f"load.{step}" for step in STEPS]
    days = {task.dt for task in dag.tasks if hasattr(task, "dt")}
    assert (days, {task.lake for task in dag.tasks}) == ({"2024-05-01"}, {"/lake"})
    assert {task.warehouse_conn_id for task in dag.tasks if task.label != "wait"} == {"w"}
    assert group.get_child_by_label("facts").task_id == "load.facts"


@pytest.mark.parametrize(
    ("left_out", "steps"),
    [
        ({"wait": False}, STEPS[1:]),
        ({"mart": False}, [step for step in STEPS if step != "mart"]),
        ({"mart": False, "quality": False}, STEPS[:5]),
    ],
)
def test_steps_can_be_left_out(left_out, steps):
    with DAG("own", schedule=None) as dag:
        MetropulseDayTaskGroup(prefix_group_id=False, **left_out)
    assert [task.task_id for task in dag.topological_sort()] == steps


def test_a_group_stands_between_other_tasks():
    with DAG("own", schedule=None) as dag:
        first, last = StageRawOperator(task_id="first"), StageRawOperator(task_id="last")
        first >> MetropulseDayTaskGroup("day") >> last
    assert dag.get_task("day.wait").upstream_task_ids == {"first"}
    assert dag.get_task("day.quality").downstream_task_ids == {"last"}


def test_two_groups_in_one_dag_load_two_warehouses():
    with DAG("own", schedule=None) as dag:
        for city in ("austin", "boston"):
            MetropulseDayTaskGroup(city, warehouse_conn_id=f"{city}_warehouse")
    assert dag.get_task("boston.facts").outlets[0].uri == "postgres://boston_warehouse:5432/dwh/dwh/facts"
    assert dag.get_task("austin.facts").warehouse_conn_id == "austin_warehouse"


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_the_examples_import_and_survive_serialisation(example):
    from airflow.dag_processing.dagbag import DagBag
    from airflow.serialization.serialized_objects import DagSerialization

    bag = DagBag(dag_folder=str(example))
    assert bag.import_errors == {}
    (dag,) = bag.dags.values()
    again = DagSerialization.deserialize_dag(json.loads(json.dumps(DagSerialization.serialize_dag(dag))))
    assert {task.task_id for task in again.tasks} == {task.task_id for task in dag.tasks}


def test_there_is_an_example_of_each_kind():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {"mapped_days", "cities", "quality_mail"}


def failed(error: BaseException, **more: object) -> str:
    instance = SimpleNamespace(dag_id="d", task_id="stage", try_number=2)
    return failure_message({"ti": instance, "exception": error, "partition_key": "2024-05-01", **more})


def raised_from(error: exceptions.MetropulseError) -> BaseException:
    try:
        raise AirflowFailException(f"{error.kind} error: {error}") from error
    except AirflowFailException as raised:
        return raised


def test_people_are_told_the_file_the_reason_and_the_remedy():
    error = exceptions.DataError("the file is cut off after 1000 bytes", {"file": "dt=2024-05-01/trips.parquet"})
    assert failed(raised_from(error)).splitlines() == [
        "d.stage failed for 2024-05-01, try 2.",
        "data error: the file is cut off after 1000 bytes [file=dt=2024-05-01/trips.parquet]",
        "Have the file delivered again, or repair its rows with `requeue`, then clear the task.",
    ]


def test_people_are_told_the_checks_that_failed_and_no_others():
    check = {"table": "dwh.fact_trip", "severity": "error", "found": 3, "expected": 0}
    checks = [{**check, "name": "no orphans", "passed": False}, {**check, "name": "fine", "passed": True}]
    told = failed(raised_from(exceptions.QualityError("1 of 2 checks failed", report={"checks": checks})))
    assert "  error: dwh.fact_trip: no orphans: found 3, expected 0" in told
    assert "fine" not in told


def test_an_error_of_others_is_told_as_it_is():
    assert failed(ValueError("what"), partition_key=None).splitlines() == [
        "d.stage failed for a day that nothing names, try 2.",
        "ValueError: what",
    ]


def test_there_is_a_remedy_for_every_kind_of_error():
    kinds = {getattr(exceptions, name).kind for name in exceptions.__all__}
    assert kinds == set(_REMEDIES)
