"""Many days at once on one Airflow of servers: what they cost, measured where they run.

The numbers are printed (`pytest -s`); README and docs/airflow.md tell those of a quiet machine.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import metropulse as mp
from waiting import until

pytest.importorskip("airflow.sdk")
psutil = pytest.importorskip("psutil")
from deployment import Deployment, Servers, deployed

pytestmark = [
    pytest.mark.core,
    pytest.mark.airflow,
    pytest.mark.soak,
    pytest.mark.skipif(os.environ.get("METROPULSE_SOAK") != "1", reason="set METROPULSE_SOAK=1 (make soak)"),
]
DAGS = Path(__file__).parent / "scale"


@pytest.fixture(scope="module")
def deployment(
    debian_postgres: str, clickhouse_18_with_password: str, minio_server, tmp_path_factory
) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("scale")
    (folder / "certificates").mkdir()
    dags = folder / "dags"
    shutil.copytree(DAGS, dags, ignore=shutil.ignore_patterns("__pycache__"))
    servers = Servers(debian_postgres, clickhouse_18_with_password, minio_server, folder / "certificates")
    variables = {
        "METROPULSE_TEST_TIMES": str(folder / "times.jsonl"),
        "METROPULSE_TEST_LATENESS": str(folder / "lateness"),
        "PYTHONPATH": os.pathsep.join([str(dags), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    with deployed(servers, folder, dags, {"sixty": "sixty", "late": "late"}, **variables) as running:
        yield running


@pytest.fixture(scope="module")
def sixty(deployment: Deployment) -> mp.Pipeline:
    """Sixty small days, loaded by mapped tasks of one run."""
    pipeline = deployment.cities["sixty"].pipeline()
    pipeline.generate("2023-01-01", 60, seed=5, scale=0.01)
    pipeline.apply_schema()
    deployment.airflow.unpause("sixty")
    began = time.monotonic()
    run = deployment.airflow.trigger("sixty")
    assert deployment.airflow.wait_for_run("sixty", run, 1800)["state"] == "success"
    print(f"\n60 mapped days: {time.monotonic() - began:.0f} s, {load()}")
    return pipeline


def load() -> str:
    return "load average {:.1f}, {:.1f}".format(*os.getloadavg()[:2])


def test_a_mapped_backfill_loads_sixty_days_each_labelled_and_told_of(sixty, deployment):
    [run] = deployment.airflow.runs("sixty")
    tasks = deployment.airflow.instances("sixty", run["dag_run_id"])
    assert {task["state"] for task in tasks} == {"success"}
    days = {task["rendered_map_index"] for task in tasks if task["task_id"] == "facts"}
    assert (len(tasks), len(days), min(days), max(days)) == (181, 60, "2023-01-01", "2023-03-01")
    raw = {
        day: pq.read_table(io.BytesIO(deployment.get("sixty", f"dt={day}/trips.parquet")), columns=["distance_m"])
        for day in days
    }
    wanted = {day: (trips.num_rows, pytest.approx(pc.sum(trips["distance_m"]).as_py())) for day, trips in raw.items()}
    loaded = sixty.warehouse.query(
        "select dt::text as dt, count(*) as n, sum(distance_m)::float8 as metres from dwh.fact_trip group by 1"
    ).to_pylist()
    assert {row["dt"]: (row["n"], row["metres"]) for row in loaded} == wanted
    [mart] = sixty.mart.query(
        "select toInt64(sum(trip_cnt)) as n, sum(sum_distance_m) as metres from mart_route_hourly"
    ).to_pylist()
    assert mart["n"] == sum(row["n"] for row in loaded)
    assert mart["metres"] == pytest.approx(sum(row["metres"] for row in loaded))
    events = deployment.airflow.events("/sixty/dwh/facts")
    assert {event["partition_key"]: event["extra"]["rows"] > 0 for event in events} == dict.fromkeys(days, True)


def test_an_operator_adds_less_than_50_ms_to_the_native_work(sixty, deployment):
    airflow = deployment.airflow
    airflow.unpause("unchanged")
    run = airflow.trigger("unchanged")
    assert airflow.wait_for_run("unchanged", run, 1800)["state"] == "success"
    times = [json.loads(line) for line in Path(airflow.environment["METROPULSE_TEST_TIMES"]).read_text().splitlines()]
    assert len(times) == 50
    assert all(line["unchanged"] for line in times)
    clock, processor = (statistics.median(line[f"{name}_seconds"] for line in times) for name in ("clock", "processor"))
    print(f"\nexecute() less the native work: {1000 * clock:.0f} ms, {1000 * processor:.0f} ms of processor, {load()}")
    assert processor < 0.05
    if os.getloadavg()[1] < os.cpu_count():  # The clock tells of other work where there is more of it than cores.
        assert clock < 0.05


def test_two_hundred_days_wait_on_one_triggerer_at_little_cost(deployment):
    airflow = deployment.airflow
    triggerer, lateness = psutil.Process(airflow.processes["triggerer"]), Lateness(airflow.environment)
    airflow.unpause("watch", "late")
    watch = airflow.trigger("watch")
    until(lateness.told, 120, "the event loop is not watched")
    idle_mib, (idle_share, idle) = memory_mib(triggerer), watched(triggerer, lateness)

    run = airflow.trigger("late")

    def waiting() -> int:
        return [task["state"] for task in airflow.instances("late", run)].count("deferred")

    until(lambda: waiting() == 200, 1800, "the days do not wait", every=5)
    share, late = watched(triggerer, lateness)
    mib = memory_mib(triggerer)
    print(
        f"\n200 waiting days: {mib:.0f} MiB instead of {idle_mib:.0f}, {100 * share:.1f} % of a core instead of "
        f"{100 * idle_share:.1f} %; the event loop is late by {late} instead of {idle}, {load()}"
    )
    assert mib - idle_mib < 150
    assert late.median < 0.02
    assert late.most < 1
    # Two of them are delivered: they go on, and the others wait.
    pipeline = deployment.cities["late"].pipeline()
    for day in ("2022-01-01", "2022-07-19"):
        pipeline.generate(day, 1, seed=1, scale=0.01)
    until(lambda: waiting() == 198, 120, "the days that came are not seen")
    ended = {task["rendered_map_index"]: task["state"] for task in airflow.instances("late", run)}
    assert {day for day, state in ended.items() if state != "deferred"} == {"2022-01-01", "2022-07-19"}
    for dag, begun in (("late", run), ("watch", watch)):
        airflow.call("PATCH", f"/api/v2/dags/{dag}/dagRuns/{begun}", {"state": "failed"})


@dataclass(frozen=True)
class Late:
    """By how much the triggerer's event loop woke naps of 50 ms too late, in seconds."""

    median: float
    most: float

    def __str__(self) -> str:
        return f"{1000 * self.median:.1f} ms (median), {1000 * self.most:.0f} ms (most)"


class Lateness:
    """What `event_loop.LatenessTrigger` writes down."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._file = Path(environment["METROPULSE_TEST_LATENESS"])

    def told(self) -> list[float]:
        return [float(line) for line in self._file.read_text().splitlines()] if self._file.exists() else []


def watched(triggerer, lateness: Lateness, seconds: float = 30) -> tuple[float, Late]:
    """The share of a core that the triggerer takes, and how late its event loop is, over some seconds."""
    seen, processor, began = len(lateness.told()), processor_seconds(triggerer), time.monotonic()
    time.sleep(seconds)
    share = (processor_seconds(triggerer) - processor) / (time.monotonic() - began)
    told = lateness.told()[seen:]
    assert len(told) > 100, "the event loop is not watched"
    return share, Late(statistics.median(told), max(told))


def memory_mib(process) -> float:
    return sum(each.memory_info().rss for each in family(process)) / 2**20


def processor_seconds(process) -> float:
    return sum(sum(each.cpu_times()[:2]) for each in family(process))


def family(process) -> list:
    return [process, *process.children(recursive=True)]
