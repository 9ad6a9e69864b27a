"""What Airflow finds: the provider's description and the daily DAG."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
from pathlib import Path

import pytest

airflow = pytest.importorskip("airflow")

from metropulse.airflow.get_provider_info import get_provider_info
from metropulse.airflow.local import DAG_ID, dag_folder

pytestmark = pytest.mark.airflow
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def bag():
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(dag_folder=str(ROOT / "airflow_dags"))


def test_the_description_is_valid_against_airflows_schema():
    jsonschema = pytest.importorskip("jsonschema")
    schema = Path(airflow.__file__).with_name("provider_info.schema.json")
    jsonschema.validate(get_provider_info(), json.loads(schema.read_text()))


def test_everything_described_can_be_imported():
    info = get_provider_info()
    for kind in ("hooks", "operators", "sensors", "triggers"):
        for entry in info[kind]:
            for module in entry["python-modules"]:
                importlib.import_module(module)
    for entry in info["connection-types"]:
        module, _, name = entry["hook-class-name"].rpartition(".")
        hook = getattr(importlib.import_module(module), name)
        assert (hook.conn_type, hook.hook_name) == (entry["connection-type"], entry["hook-name"])
    for section in info["config"].values():
        assert all(isinstance(option["default"], str) for option in section["options"].values())


def test_every_operator_sensor_trigger_and_hook_is_described():
    """A module of the provider that defines one of these stands in the provider's information, and no other does."""
    import metropulse.airflow
    from metropulse.airflow import _compat

    # A sensor is an operator as well: the first kind that fits is meant.
    kinds = {
        "sensors": _compat.BaseSensorOperator,
        "operators": _compat.BaseOperator,
        "triggers": _compat.BaseTrigger,
        "hooks": _compat.BaseHook,
    }
    found: dict[str, set[str]] = {kind: set() for kind in kinds}
    for entry in pkgutil.walk_packages(metropulse.airflow.__path__, "metropulse.airflow."):
        module = importlib.import_module(entry.name)
        for _, thing in inspect.getmembers(module, inspect.isclass):
            if thing.__module__ == module.__name__ and module.__name__ != "metropulse.airflow.operators.base":
                kind = next((kind for kind, base in kinds.items() if issubclass(thing, base)), None)
                if kind is not None:
                    found[kind].add(module.__name__)
    info = get_provider_info()
    described = {kind: {m for entry in info[kind] for m in entry["python-modules"]} for kind in kinds}
    assert described == found
    assert len(found["operators"]) == 5


def test_operators_can_be_imported_from_one_place():
    from metropulse.airflow import operators
    from metropulse.airflow.operators import arrivals, day, feeds, operations, tables

    modules = (arrivals, day, feeds, operations, tables)
    assert sorted(operators.__all__) == sorted(name for module in modules for name in module.__all__)


def test_the_connection_form_offers_settings_the_core_knows():
    from metropulse.settings import TUNING

    fields = set(get_provider_info()["connection-types"][0]["conn-fields"])
    assert fields <= {*TUNING, "state", "lake", "time_zone"}


def test_the_package_name_is_the_distributions():
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        found = distribution("metropulse")
    except PackageNotFoundError:
        pytest.skip("metropulse is not installed")
    assert get_provider_info()["package-name"] == found.metadata["Name"]
    assert [e.value for e in found.entry_points if e.group == "apache_airflow_provider"] == [
        "metropulse.airflow.get_provider_info:get_provider_info"
    ]


def test_the_packaged_dag_is_the_one_of_the_repository():
    assert (dag_folder() / f"{DAG_ID}.py").read_text() == (ROOT / "airflow_dags" / f"{DAG_ID}.py").read_text()


def test_the_daily_dag_imports_and_its_steps_are_in_order(bag):
    assert bag.import_errors == {}
    dag = bag.dags[DAG_ID]
    order = [task.task_id for task in dag.topological_sort()]
    assert order == ["wait", "calendar", "stage", "dimensions", "facts", "mart", "quality"]
    assert all(len(task.downstream_task_ids) <= 1 for task in dag.tasks)
    assert dag.catchup is False
    assert dag.tasks[0].deferrable


def test_the_daily_dag_survives_serialisation(bag):
    from airflow.serialization.serialized_objects import DagSerialization

    dag = bag.dags[DAG_ID]
    stored = DagSerialization.serialize_dag(dag)
    again = DagSerialization.deserialize_dag(json.loads(json.dumps(stored)))
    assert {task.task_id for task in again.tasks} == {task.task_id for task in dag.tasks}


def test_a_run_just_after_midnight_loads_the_day_before(bag):
    timetable = bag.dags[DAG_ID].timetable
    if not hasattr(timetable, "key_format"):
        pytest.skip("this Airflow has no partition timetables")
    assert (timetable.run_offset, timetable.key_format) == (-1, "%Y-%m-%d")
