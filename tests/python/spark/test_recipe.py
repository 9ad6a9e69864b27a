"""The recipe of docs/spark.md on a cluster of two machines, as far as one machine can be two: it is all that is needed.

The lake is in S3, credentials are given as Spark's users give them, and the first task that fills the mart is overtaken.
"""

from __future__ import annotations

import http.client
import json
import os
import shlex
import subprocess
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin

import pytest

pa = pytest.importorskip("pyarrow")
pytest.importorskip("metropulse._core")
pytest.importorskip("pyspark")

import metropulse as mp
from answers import DATA, mart_rows, same_rows
from conftest import ROOT, execute_on_mart, minio_files
from services import free_port
from spark import attacks
from waiting import until

pytestmark = [pytest.mark.core, pytest.mark.embedded, pytest.mark.slow, pytest.mark.end_to_end]

SECRET = "s3-secret-key"


@dataclass(frozen=True)
class Outcome:
    """What a submitted job left."""

    said: dict
    shown: str
    events: list[dict]
    logs: str
    mart: mp.Pipeline
    local: mp.Pipeline


@contextmanager
def running(home: Path, log: Path, *words: str) -> Iterator[None]:
    environment = {
        **os.environ, "SPARK_HOME": str(home), "SPARK_WORKER_DIR": str(log.parent), "SPARK_DAEMON_MEMORY": "256m",
    }  # fmt: skip
    with log.open("w") as out:
        started = subprocess.Popen([str(home / "bin" / "spark-class"), *words], stdout=out, stderr=out, env=environment)
    try:
        yield
    finally:
        started.terminate()
        started.wait(30)


def alive_workers(page: int) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{page}/json/", timeout=5) as answer:
            return json.load(answer)["aliveworkers"]
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        return 0  # It does not listen yet, or has put up its page for people and not yet the one in JSON.


@pytest.fixture(scope="module")
def cluster(spark_home, tmp_path_factory) -> Iterator[tuple[str, Path]]:
    """A master and two workers of different hosts: Spark starts no twin of a task on the host that has it already."""
    folder = tmp_path_factory.mktemp("cluster")
    port, page = free_port(), free_port()
    url = f"spark://127.0.0.1:{port}"
    deploy = "org.apache.spark.deploy"
    with ExitStack() as stack:
        master = (f"{deploy}.master.Master", "--host", "127.0.0.1", "--port", str(port), "--webui-port", str(page))
        stack.enter_context(running(spark_home, folder / "master.log", *master))
        for host in ("127.0.0.1", "127.0.0.2"):
            named = ("--host", host, "--webui-port", "0", "--cores", "1", "--memory", "1g")
            worker = (f"{deploy}.worker.Worker", *named, url)
            (folder / host).mkdir()
            stack.enter_context(running(spark_home, folder / host / "worker.log", *worker))
        until(lambda: alive_workers(page) == 2, 240, f"no two workers: {folder / 'master.log'}")
        yield url, folder


@pytest.fixture(scope="module")
def lake(minio_server) -> str:
    """The prototype's days in a bucket."""
    from pyarrow import fs

    endpoint, folder = minio_server
    bucket = f"b{uuid.uuid4().hex[:12]}"
    (folder / bucket).mkdir()
    fs.copy_files(str(DATA / "prototype_raw"), f"{bucket}/raw", destination_filesystem=minio_files(endpoint))
    return f"s3://{bucket}/raw"


@pytest.fixture(scope="module")
def outcome(
    shipped, settings, spark_home, cluster, lake, minio_server, running_engines, tmp_path_factory
) -> Iterator[Outcome]:
    """The recipe's last line, as it stands, with the job in the place of `job.py`."""
    folder, (master, work) = tmp_path_factory.mktemp("submitted"), cluster
    (folder / "events").mkdir()
    names = [f"t{uuid.uuid4().hex[:12]}" for _ in range(2)]
    for name in names:
        execute_on_mart(running_engines, f"CREATE DATABASE {name}")
    access = {"mart_user": running_engines.mart_user, "mart_password": running_engines.mart_password}
    local, there = (
        mp.Pipeline(lake=DATA / "prototype_raw", mart=urljoin(running_engines.mart_url, f"/{name}"), **access)
        for name in names
    )
    local.build_route_hourly(source="lake")
    told = {name: value for name, value in settings.items() if name != "spark.archives"} | {
        "spark.master": master,
        "spark.cores.max": "2",
        "spark.executor.cores": "1",
        "spark.eventLog.dir": (folder / "events").as_uri(),
        "spark.speculation": "true",
        "spark.speculation.interval": "200ms",
        "spark.speculation.task.duration.threshold": "5s",
        "spark.hadoop.fs.s3a.endpoint": minio_server[0],
        "spark.hadoop.fs.s3a.endpoint.region": "us-east-1",
        "spark.hadoop.fs.s3a.access.key": "metropulse",
        "spark.hadoop.fs.s3a.secret.key": SECRET,
    }
    (folder / "spark-defaults.conf").write_text("".join(f"{name} {value}\n" for name, value in told.items()))
    (shipped.folder / "job.py").write_bytes(Path(attacks.__file__).read_bytes())
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("PYSPARK", "PYTHON"))},
        "PATH": f"{spark_home / 'bin'}:{os.environ['PATH']}",
        "SPARK_HOME": str(spark_home),
        "SPARK_CONF_DIR": str(folder),
    }
    words = [lake, str(folder / "overtaken"), there.settings.mart, access["mart_user"], access["mart_password"]]
    done = subprocess.run(
        f"{shipped.submit} {shlex.join(words)}", shell=True, cwd=shipped.folder, env=environment,
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    said: dict = {}
    for line in done.stdout.splitlines():
        said |= json.loads(line) if line.startswith("{") else {}
    written = (folder / "events").rglob("events_*")
    events = [json.loads(line) for file in written for line in file.read_text().splitlines()]
    logs = "".join(
        file.read_text(errors="replace")
        for file in work.rglob("*")
        if file.name in {"stdout", "stderr"} or file.suffix == ".log"
    )
    yield Outcome(said, done.stdout + done.stderr, events, logs, there, local)
    for name in names:
        execute_on_mart(running_engines, f"DROP DATABASE IF EXISTS {name}")


def test_executors_need_nothing_but_the_archive(outcome, settings):
    """Their home is another, and no file of this checkout is mapped, imported or looked for, but Spark's own."""
    places = outcome.said["places"]
    assert len(places) == 4
    for place in places:
        assert place["package"].endswith("/site-packages/metropulse/__init__.py")
        assert "/cluster/" in place["package"]
        assert place["home"] == settings["spark.executorEnv.HOME"]
        used = [line for line in place["used"].splitlines() if "/pyspark/jars/" not in line]
        assert [line for line in used if str(ROOT) in line] == []


def test_an_s3_lake_is_read_with_what_spark_was_told(outcome):
    positions = DATA / "prototype_raw" / "dt=*" / "vehicle_positions.parquet"
    wanted = pa.table(mp.rollup_hourly(positions, **attacks.ASKED)).to_pylist()
    rows = [{**row, "hour_bucket": row["hour_bucket"].isoformat()} for row in wanted]
    same_rows(outcome.said["rollup"], rows)
    same_rows(mart_rows(outcome.mart), mart_rows(outcome.local))


def test_credentials_are_in_no_plan_no_log_and_no_event(outcome):
    assert "== Physical Plan ==" in outcome.shown
    assert {event["Event"] for event in outcome.events} >= {"SparkListenerEnvironmentUpdate", "SparkListenerTaskEnd"}
    assert "CoarseGrainedExecutorBackend" in outcome.logs
    told = outcome.shown + json.dumps(outcome.events) + outcome.logs
    assert SECRET not in told


def test_a_task_that_its_twin_overtakes_changes_nothing(outcome):
    ends = [event for event in outcome.events if event["Event"] == "SparkListenerTaskEnd"]
    last = max(end["Stage ID"] for end in ends)
    of_fillers = [
        (end["Task Info"]["Speculative"], end["Task End Reason"]["Reason"]) for end in ends if end["Stage ID"] == last
    ]
    assert (True, "Success") in of_fillers
    same_rows(mart_rows(outcome.mart), mart_rows(outcome.local))
