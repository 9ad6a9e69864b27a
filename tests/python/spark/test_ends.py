"""What ends before its time: a job that is cancelled, a worker that is killed; the native work ends with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("metropulse._core")
pytest.importorskip("pyspark")

import metropulse as mp
from answers import same_rows
from metropulse.spark import build_route_hourly, clean, rollup_hourly
from spark.conftest import executors
from spark.processes import Process, process, python_workers
from waiting import until

pytestmark = [pytest.mark.core, pytest.mark.slow, pytest.mark.end_to_end]

# Of a processor, as a machine may stall. By the clock 0.3 is usual; Spark by itself takes two to four, or more.
CANCELLED_SECONDS = 2.0

ROWS = 500_000
START = datetime(2024, 5, 1, tzinfo=UTC)
ASKED = {"keys": ["route_id"], "time": "event_ts", "measures": {"n": "count", "v": ("count_distinct", "vehicle_id")}}


@pytest.fixture(scope="module")
def day(tmp_path_factory) -> Path:
    """A raw day of half a million positions."""
    seconds = pa.array([(n * 7919) % 86_400 * 1_000_000 for n in range(ROWS)], pa.int64())
    begin = pa.scalar(int(START.timestamp()) * 1_000_000, pa.int64())
    import pyarrow.compute as pc

    at = pc.add(seconds, begin).cast(pa.timestamp("us", tz="UTC"))
    number = pa.array([n % 40_009 for n in range(ROWS)], pa.int64())
    table = pa.table(
        {
            "event_ts": at,
            "vehicle_id": pc.binary_join_element_wise("VR", number.cast(pa.string()), ""),
            "route_id": pc.binary_join_element_wise("R", pc.bit_wise_and(number, 63).cast(pa.string()), ""),
            "lat": pa.array([55.5] * ROWS),
            "lon": pa.array([37.5] * ROWS),
            "speed": pc.cast(pc.bit_wise_and(number, 63), pa.float64()),
            "heading": pa.array([1.0] * ROWS),
            "provider_ts": at,
        }
    )
    file = tmp_path_factory.mktemp("day") / "positions.parquet"
    pq.write_table(table, file)
    return file


def linked(file: Path, folder: Path, times: int) -> Path:
    """A folder of so many files that are all the same: hours of work in little room."""
    folder.mkdir(parents=True)
    for number in range(times):
        os.link(file, folder / f"{number:04}.parquet")
    return folder


def busy_workers(spark, seconds: float) -> list[Process]:
    """Wait until Python workers are in the middle of native work, and return them."""
    begun = {worker.pid: worker.busy_seconds for worker in python_workers(executors(spark))}
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = python_workers(executors(spark))
        busy = [worker for worker in found if worker.busy_seconds - begun.get(worker.pid, 0) > seconds]
        if busy:
            return busy
        time.sleep(0.05)
    pytest.fail("no worker is busy")


def spent(workers: list[Process]) -> dict[int, float]:
    """The CPU seconds that each worker that is still there has spent since it was looked at."""
    left = {worker: process(worker.pid) for worker in workers}
    return {worker.pid: now.busy_seconds - worker.busy_seconds for worker, now in left.items() if now}


def spent_until_gone(workers: list[Process]) -> float:
    """The most CPU seconds that one of the workers spends until all are gone."""
    seen = [0.0]

    def gone() -> bool:
        left = spent(workers)
        seen.extend(left.values())
        return not left

    until(gone, 30, "the workers stay", every=0.01)
    return max(seen)


def spent_until_idle(workers: list[Process]) -> float:
    """The most CPU seconds that one of the workers spends until all are idle or gone."""
    seen: list[dict[int, float]] = [{}]

    def idle() -> bool:
        seen.append(spent(workers))
        return seen[-1] == seen[-2]

    until(idle, 30, "the workers go on", every=0.5)
    return max((seconds for look in seen for seconds in look.values()), default=0.0)


def started(spark, work: Callable[[], object], by: str) -> tuple[threading.Thread, str, list[BaseException]]:
    """Run a job of a group or tag of its own in a thread."""
    from pyspark import InheritableThread

    name, caught = f"job-{uuid.uuid4()}", []

    def run() -> None:
        if by == "group":
            spark.sparkContext.setJobGroup(name, "to be cancelled")
        else:
            spark.sparkContext.addJobTag(name)
        try:
            work()
        except Exception as error:
            caught.append(error)

    thread = InheritableThread(target=run)
    thread.start()
    return thread, name, caught


def cancelled(spark, work: Callable[[], object], by: str) -> float:
    """Cancel a job in the middle of its native work; the CPU seconds that its workers went on for."""
    thread, name, caught = started(spark, work, by)
    workers = busy_workers(spark, 1.0)
    if by == "group":
        spark.sparkContext.cancelJobGroup(name)
    else:
        spark.sparkContext.cancelJobsWithTag(name)
    took = spent_until_gone(workers)
    thread.join(60)
    assert caught, "the job came to its end"
    return took


@pytest.mark.parametrize("by", ["group", "tag"])
def test_a_cancelled_rollup_ends_its_native_work_within_two_seconds(spark, day, tmp_path, by):
    folder = linked(day, tmp_path / "raw", 1_500)
    assert cancelled(spark, lambda: rollup_hourly(spark, folder, tasks=2, **ASKED), by) < CANCELLED_SECONDS


def test_a_cancelled_judgement_ends_its_native_work_within_two_seconds(spark, day, tmp_path):
    linked(day, tmp_path / "dt=2024-05-01" / "vehicle_positions.parquet", 300)
    judge = lambda: clean(spark, tmp_path, ["2024-05-01"], datasets=["vehicle_positions"])  # noqa: E731
    assert cancelled(spark, judge, "tag") < CANCELLED_SECONDS


@pytest.mark.parametrize("by", ["group", "tag"])
def test_a_cancelled_frame_ends_its_native_work_within_two_seconds(spark, day, tmp_path, by):
    """Frames are lazy: the job is the user's, who need not have asked Spark to interrupt its tasks."""
    linked(day, tmp_path / "dt=2024-05-01" / "vehicle_positions.parquet", 40)
    frame = clean(spark, tmp_path, ["2024-05-01"], datasets=["vehicle_positions"]).datasets["vehicle_positions"]
    assert cancelled(spark, lambda: frame.count(), by) < CANCELLED_SECONDS


@pytest.mark.embedded
def test_a_cancelled_build_ends_its_native_work_within_two_seconds_and_leaves_the_mart(
    spark, day, tmp_path, pipeline_on, shadows
):
    linked(day, tmp_path / "dt=2024-05-01" / "vehicle_positions.parquet", 300)
    p = pipeline_on(tmp_path)
    found = p.settings

    def build() -> None:
        build_route_hourly(
            spark, found.lake, mart=found.mart, mart_user=found.mart_user, mart_password=found.mart_password
        )

    assert cancelled(spark, build, "group") < CANCELLED_SECONDS
    assert p.mart.query("select count() as n from mart_route_hourly").to_pylist() == [{"n": 0}]
    assert shadows(p) == []


def test_a_worker_killed_in_its_native_work_changes_nothing(spark, day, tmp_path):
    folder = linked(day, tmp_path / "raw", 60)
    rows: list[dict] = []
    thread, _, caught = started(
        spark, lambda: rows.extend(rollup_hourly(spark, folder, tasks=2, **ASKED).toArrow().to_pylist()), "tag"
    )
    victim = busy_workers(spark, 0.5)[0]
    os.kill(victim.pid, signal.SIGKILL)
    spent_until_gone([victim])
    thread.join(120)
    assert caught == []
    same_rows(rows, pa.table(mp.rollup_hourly(folder, **ASKED)).to_pylist())


def test_work_that_is_not_needed_any_more_ends_within_a_second(spark, day, tmp_path):
    """A limit is reached: Spark lets go of the task, whose native work would go on for nobody.

    A task judges all files before its first row comes, and then reads them, which takes about as long. The first
    file alone has rows to give; while the others are read nothing is sent, whose loss would tell the worker that nobody
    listens.
    """
    rows, folder = pq.read_table(day), tmp_path / "dt=2024-05-01" / "vehicle_positions.parquet"
    nowhere = rows.set_column(rows.schema.get_field_index("lat"), "lat", pa.nulls(ROWS, pa.float64()))
    pq.write_table(nowhere, tmp_path / "nowhere.parquet")
    linked(tmp_path / "nowhere.parquet", folder, 3)
    pq.write_table(rows.slice(0, 20_000), folder / "0.parquet")
    frame = clean(spark, tmp_path, ["2024-05-01"], datasets=["vehicle_positions"], reject_limit=1.0).datasets[
        "vehicle_positions"
    ]
    taken: list[object] = []
    thread, _, caught = started(spark, lambda: taken.extend(frame.take(1)), "tag")
    busy_workers(spark, 0.5)
    thread.join(240)
    workers = python_workers(executors(spark))
    assert (len(taken), caught) == (1, [])
    assert spent_until_idle(workers) < 1, "what is left takes about four"


BLOCK = textwrap.dedent("""
    import json, socket, sys, threading, time
    import pyarrow as pa
    from metropulse.spark import lifeline

    here, there = socket.socketpair()
    to_spark = here.makefile("wb")
    lifeline._to_spark = lambda: to_spark
    schema = pa.schema([("n", pa.int64())])
    began = []

    def batch(*numbers):
        return pa.RecordBatch.from_pydict({"n": list(numbers)}, schema)

    def task(batches):
        for given in batches:
            began.append(given)
            {work}
            yield batch(given)

    found = []
    for given in lifeline.Lifeline(task, schema)(iter(range(3))):
        assert given.schema == schema
        found.append(given.to_pydict()["n"])
        to_spark.write(given.serialize())
    print(json.dumps([began, found]))
""")
CLOSED = "threading.Timer(0.3, there.close).start(); "


def block(work: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BLOCK.replace("{work}", work)], capture_output=True, text=True, timeout=60, check=False
    )


def test_work_that_can_be_cancelled_is_cancelled_when_the_socket_closes():
    """By a stand-in of a native pipeline, whose call ends when it is cancelled."""
    pipeline = "type('', (), {'cancel': lambda self: (print('cancelled', flush=True), go.set())})()"
    done = block(f"{CLOSED}go = threading.Event(); lifeline._OPENED.append({pipeline}); go.wait(50)")
    assert (done.returncode, done.stdout) == (1, "cancelled\n"), done.stderr


def test_work_that_cannot_be_cancelled_ends_with_its_process():
    begun = time.monotonic()
    done = block(f"{CLOSED}time.sleep(50)")
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert time.monotonic() - begun < 20, "of 50"


def test_a_task_gives_its_batches_and_empty_ones_meanwhile():
    done = block("time.sleep(0.5)")
    began, found = json.loads(done.stdout)
    assert [numbers for numbers in found if numbers] == [[0], [1], [2]], done.stderr
    assert began == [0, 1, 2]
    assert 3 <= found.count([]) <= 15, "ten a second"


def test_a_quick_task_sends_nothing_besides():
    assert json.loads(block("pass").stdout)[1] == [[0], [1], [2]]


def test_no_batch_is_begun_before_the_one_before_was_taken():
    done = block("found.append(['began', given])")
    assert json.loads(done.stdout)[1] == [["began", 0], [0], ["began", 1], [1], ["began", 2], [2]]


def test_what_a_task_raises_is_raised():
    done = block("raise RuntimeError('no such thing')")
    assert done.stderr.endswith("RuntimeError: no such thing\n")
    assert done.returncode == 1
