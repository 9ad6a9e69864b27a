"""The DAG of an agency's own feeds, and the sensor that waits for the recorder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

pytest.importorskip("airflow.sdk")

from test_airflow_tasks import context

from metropulse.airflow._compat import AirflowSensorTimeout
from metropulse.airflow.recorded import RecordingsSensor

pytestmark = pytest.mark.airflow
FILE = Path(__file__).parents[3] / "airflow_dags" / "metropulse_agency.py"
DAY = ["calendar", "stage", "dimensions", "facts", "mart", "quality"]


@pytest.fixture
def agency(monkeypatch):
    """Parse the DAG anew, under settings of `[metropulse]`."""
    from airflow.dag_processing.dagbag import DagBag

    def parse(**settings):
        for name, value in settings.items():
            monkeypatch.setenv(f"AIRFLOW__METROPULSE__{name.upper()}", value)
        bag = DagBag(dag_folder=str(FILE))
        assert bag.import_errors == {}
        return bag.dags["metropulse_agency"]

    return parse


def begin(task, *, feed):
    """Run a task of the DAG with the parameters of a run, as Airflow renders them."""
    run = context(params={"partition": "2024-05-01", "feed": feed, "lake": None, "hours_past": 12})
    run["ti"].map_index = -1
    task.render_template_fields(run)
    task.execute(run)


def test_timetable_and_recordings_come_before_the_steps_of_the_day(agency):
    dag = agency(agency_gtfs="https://agency.example/gtfs.zip")
    order = [task.task_id for task in dag.topological_sort()]
    assert order == ["schedule", "recorded", "recordings", *DAY]
    assert all(len(task.downstream_task_ids) <= 1 for task in dag.tasks)
    assert dag.get_task("schedule").source == "https://agency.example/gtfs.zip"
    # A day that waits holds neither a worker nor what the working steps need.
    wait = dag.get_task("recorded")
    assert (wait.mode, wait.pool, wait.max_active_tis_per_dag) == ("reschedule", "default_pool", None)
    dag.params.validate()


def test_without_a_timetable_or_without_waiting_there_is_no_such_task(agency):
    dag = agency(agency_wait="False", agency_schedule="10 * * * *")
    assert [task.task_id for task in dag.topological_sort()] == ["recordings", *DAY]
    assert dag.timetable.expression == "10 * * * *"


def test_the_dag_survives_serialisation(agency):
    from airflow.serialization.serialized_objects import DagSerialization

    dag = agency(agency_gtfs="gtfs.zip")
    again = DagSerialization.deserialize_dag(json.loads(json.dumps(DagSerialization.serialize_dag(dag))))
    assert {task.task_id for task in again.tasks} == {task.task_id for task in dag.tasks}


def test_the_recordings_task_reads_what_the_recorder_brought(agency, core):
    begin(agency().get_task("recordings"), feed=None)
    assert core.made[-1].calls == [("ingest_gtfs_rt", [], "2024-05-01", None, None, False)]


def test_the_feed_of_a_lake_of_several_agencies_reaches_all_that_reads_its_feeds(agency, core, monkeypatch):
    monkeypatch.setattr(core, "recorded", {"complete": True, "archives": 27})
    dag = agency(agency_gtfs="gtfs.zip", agency_feed="tram")
    assert dag.params["feed"] == "tram"
    for name in ("schedule", "recorded", "recordings"):
        begin(dag.get_task(name), feed="bus")
    (timetable, asked), looked, recordings = (made.calls[-1] for made in core.made)
    assert (timetable, asked["feed"]) == ("ingest_gtfs", "bus")
    assert looked == ("recordings", "2024-05-01", "bus", 12.0)
    assert recordings == ("ingest_gtfs_rt", [], "2024-05-01", None, "bus", False)


def test_the_sensor_waits_for_the_archive_of_the_last_hour(core, monkeypatch):
    sensor = RecordingsSensor(task_id="t", dt="2024-05-01", hours_past="3")
    monkeypatch.setattr(core, "recorded", {"complete": False, "until": "03:00", "recorded_until": "02:00"})
    assert not sensor.poke(context()).is_done
    assert core.made[-1].calls == [("recordings", "2024-05-01", None, 3.0)]
    monkeypatch.setattr(core, "recorded", {"complete": True, "archives": 27})
    found = sensor.poke(context())
    assert (found.is_done, found.xcom_value["archives"]) == (True, 27)


def test_a_sensor_that_gives_up_says_how_far_the_recordings_reach(core, monkeypatch):
    monkeypatch.setattr(core, "recorded", {"complete": False, "until": "03:00", "recorded_until": "02:00"})
    sensor = RecordingsSensor(task_id="t", dt="2024-05-01", timeout=0, poke_interval=0)
    with pytest.raises(AirflowSensorTimeout, match="waited for until 03:00, and reach until 02:00"):
        sensor.execute(context())


def test_hours_that_are_no_number_are_refused(core):
    from metropulse.airflow._compat import AirflowFailException

    with pytest.raises(AirflowFailException, match="hours_past is 'noon'"):
        RecordingsSensor(task_id="t", dt="2024-05-01", hours_past="noon").poke(context())


WAIT = textwrap.dedent("""
    import sys
    from pathlib import Path
    from metropulse.airflow import local
    from metropulse.cli.failure import stop_on_terminate

    stop_on_terminate()
    home = Path(sys.argv[1])
    local.configure(home, {"lake": str(home / "lake"), "state": str(home / "state")})
    local.prepare()
    local.run_dag_in_process("2024-05-01", {"stable_seconds": 0}, begins=lambda task: print("BEGINS", task, flush=True))
""")


@pytest.mark.core
@pytest.mark.end_to_end
@pytest.mark.parametrize(("sign", "expected"), [(signal.SIGTERM, 143), (signal.SIGINT, -signal.SIGINT)])
def test_a_run_in_process_ends_by_a_signal_while_it_waits_for_its_day(tmp_path, interruptible, sign, expected):
    (tmp_path / "lake").mkdir()
    child = subprocess.Popen(
        [sys.executable, "-c", WAIT, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")},
    )  # fmt: skip
    try:
        assert child.stdout is not None
        assert any("BEGINS wait" in line for line in child.stdout)
        time.sleep(3)  # The sensor has looked once, and its trigger waits in the event loop.
        assert child.poll() is None
        child.send_signal(sign)
        # Airflow's own threads take some seconds to end; the day would be waited for half a day long. After SIGINT
        # Python ends by that very signal.
        assert child.wait(60) == expected
    finally:
        child.kill()
        child.wait()
