"""Which day a run takes, when the DAGs run, and how much of them at once."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest

pytest.importorskip("airflow.sdk")

from metropulse.airflow import schedule
from metropulse.airflow.partitions import YESTERDAY, resolve_partition
from metropulse.exceptions import ConfigError

pytestmark = pytest.mark.airflow
ROOT = Path(__file__).parents[3]
PRESSED = datetime(2026, 11, 28, 22, 30, tzinfo=UTC)


def run(kind="manual", conf=None, **context):
    return {"dag_run": SimpleNamespace(conf=conf or {}, run_type=kind, run_after=PRESSED), **context}


@pytest.mark.parametrize(
    ("context", "day"),
    [
        (run(params={"partition": YESTERDAY}), "2026-11-27"),
        (run(conf={"partition": YESTERDAY}, dag=SimpleNamespace(timezone=ZoneInfo("Europe/Moscow"))), "2026-11-28"),
        (run(conf={"partition": YESTERDAY}, partition_key="2024-05-01"), "2024-05-01"),
        (run("scheduled", params={"partition": YESTERDAY}, partition_key="2024-05-02"), "2024-05-02"),
        (
            run(
                "scheduled",
                params={"partition": YESTERDAY},
                data_interval_start=datetime(2024, 5, 3, tzinfo=UTC),
                data_interval_end=datetime(2024, 5, 4, tzinfo=UTC),
            ),
            "2024-05-03",
        ),
        # Airflow gives a run by hand with a logical date the interval of that instant.
        (run(params={"partition": YESTERDAY}, data_interval_start=PRESSED, data_interval_end=PRESSED), "2026-11-27"),
    ],
)
def test_yesterday_is_the_day_before_the_run_where_nothing_else_names_one(context, day):
    assert resolve_partition(context) == day


@pytest.mark.parametrize("context", [run(), run(data_interval_start=PRESSED, data_interval_end=PRESSED)])
def test_without_that_word_a_run_by_hand_has_no_day(context):
    with pytest.raises(ConfigError, match="no partition"):
        resolve_partition(context)


@pytest.fixture
def daily(monkeypatch):
    """Parse the daily DAG anew, under settings of `[metropulse]`."""
    from airflow.dag_processing.dagbag import DagBag

    def parse(**settings):
        for name, value in settings.items():
            monkeypatch.setenv(f"AIRFLOW__METROPULSE__{name.upper()}", value)
        bag = DagBag(dag_folder=str(ROOT / "airflow_dags" / "metropulse_daily.py"))
        assert bag.import_errors == {}
        return bag.dags["metropulse_daily"]

    return parse


def test_the_forms_defaults_are_a_run_that_is_valid(daily):
    params = daily().params
    params.validate()
    assert params["partition"] == YESTERDAY
    for partition, fine in (("2024-05-01", True), (None, True), ("", True), ("today", False), ("2024-5-1", False)):
        params["partition"] = None
        if fine:
            params["partition"] = partition
        else:
            with pytest.raises(ValueError, match="partition"):
                params["partition"] = partition


def test_waiting_takes_nothing_that_the_working_steps_need(daily):
    dag = daily(pool="warehouse", days_at_once="3", max_active_runs="12", wait_minutes="30")
    wait, *work = dag.topological_sort()
    assert (wait.pool, wait.max_active_tis_per_dag, wait.timeout) == ("default_pool", None, 1800)
    assert {(task.pool, task.max_active_tis_per_dag) for task in work} == {("warehouse", 3)}
    assert dag.max_active_runs == 12


def test_waiting_days_leave_most_of_each_look_of_the_scheduler_to_others(daily):
    from airflow.sdk import conf

    looked_at = conf.getint("scheduler", "max_dagruns_per_loop_to_schedule", fallback=20)
    assert daily().max_active_runs < looked_at / 2


def test_the_daily_dag_can_follow_arrivals_and_leave_the_mart_to_its_own_dag(daily):
    if not hasattr(pytest.importorskip("airflow.sdk"), "PartitionedAssetTimetable"):
        pytest.skip("this Airflow has no partitions of assets")
    dag = daily(schedule=schedule.ARRIVALS, mart_in_daily="False")
    assert type(dag.timetable).__name__ == "PartitionedAssetTimetable"
    assert [task.task_id for task in dag.topological_sort()][-2:] == ["facts", "quality"]


def test_the_default_of_each_setting_is_the_one_described(monkeypatch):
    """`get_provider_info` tells Airflow the defaults; the code has to fall back to the same ones without it."""
    from metropulse.airflow.get_provider_info import get_provider_info

    options = get_provider_info()["config"]["metropulse"]["options"]
    assert {name: str(value) for name, value in {
        "max_active_runs": schedule.max_active_runs(),
        "days_at_once": schedule.days_at_once(),
        "pool": schedule.work_pool(),
        "wait_minutes": int(schedule.wait_seconds() / 60),
        "mart_in_daily": schedule.mart_in_daily(),
        "arrivals_schedule": schedule.arrivals_schedule(),
        "agency_gtfs": schedule.agency_gtfs(),
        "agency_feed": schedule.agency_feed(),
        "agency_wait": schedule.agency_waits(),
    }.items()} == {
        name: option["default"] for name, option in options.items() if name not in {"schedule", "agency_schedule"}
    }  # fmt: skip
