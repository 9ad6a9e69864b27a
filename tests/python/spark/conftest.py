"""A small cluster: two executor processes of one core each, which have the package from the archive of docs/spark.md."""

from __future__ import annotations

import fcntl
import json
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from conftest import execute_on_mart
from spark import java
from spark.processes import processes
from spark.shipping import Shipped, missing, ship

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from metropulse import Pipeline
    from metropulse.embedded import Engines


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Shipped:
    """The archive that a cluster is given, made by the recipe of docs/spark.md; once for all processes that test."""
    if (why := java.why_not()) is not None:
        missing(why)
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "shipped"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = folder / "made"
        if not made.exists():
            (folder / "recipe").mkdir()
            made.write_bytes(pickle.dumps(ship(folder / "recipe")))
        return pickle.loads(made.read_bytes())


@pytest.fixture(scope="session")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where Spark writes what it did."""
    return tmp_path_factory.mktemp("events")


@pytest.fixture(scope="session")
def spark_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Spark, with folders of ours for what its workers leave."""
    pyspark = pytest.importorskip("pyspark")
    home = tmp_path_factory.mktemp("spark")
    for entry in Path(pyspark.__file__).parent.iterdir():
        (home / entry.name).symlink_to(entry)
    return home


@pytest.fixture(scope="session")
def settings(shipped: Shipped, events: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What makes an application of tests, on any cluster; executors have another home, and nothing stays in /tmp."""
    # Spark's own spark.local.dir follows it.
    scratch = f"-Djava.io.tmpdir={tmp_path_factory.mktemp('scratch')}"
    return {
        "spark.driver.extraJavaOptions": scratch,
        "spark.executor.extraJavaOptions": scratch,
        "spark.archives": shipped.archives,
        "spark.executorEnv.HOME": str(tmp_path_factory.mktemp("home")),
        "spark.executor.memory": "1g",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.eventLog.enabled": "true",
        "spark.eventLog.compress": "false",
        "spark.eventLog.dir": events.as_uri(),
        "spark.sql.shuffle.partitions": "4",
        "spark.log.level": "ERROR",
    }


@pytest.fixture(scope="session")
def spark(shipped: Shipped, settings: dict[str, str], spark_home: Path) -> Iterator[SparkSession]:
    """A session on the cluster."""
    from pyspark.sql import SparkSession

    variables = {"PYSPARK_PYTHON": shipped.python, "SPARK_HOME": str(spark_home)}
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    builder = SparkSession.builder.master("local-cluster[2,1,1024]").appName("metropulse")
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    yield session
    session.stop()
    for name, value in before.items():
        os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def executors(spark: SparkSession) -> list[int]:
    """Return the processes of this application's executors."""
    # By the driver's address: clusters that begin in the same second give their applications the same id.
    driver = spark.sparkContext.getConf()
    address = f"spark://CoarseGrainedScheduler@{driver.get('spark.driver.host')}:{driver.get('spark.driver.port')}"
    own = {b"org.apache.spark.executor.CoarseGrainedExecutorBackend", address.encode()}
    return [process.pid for process in processes() if own <= set(process.words)]


@pytest.fixture
def kill_one() -> Callable[..., object]:
    """Kill one of the two executors some time after work began; leaves two running."""

    @contextmanager
    def killing(spark: SparkSession, after_seconds: float) -> Iterator[None]:
        victims = executors(spark)
        assert len(victims) == 2
        timer = threading.Timer(after_seconds, lambda: os.kill(victims[0], signal.SIGKILL))
        timer.start()
        yield
        assert timer.finished.is_set(), "the work was over before the executor was killed"
        deadline = time.monotonic() + 60
        while len(executors(spark)) < 2 and time.monotonic() < deadline:
            time.sleep(0.2)
        assert len(executors(spark)) == 2
        assert victims[0] not in executors(spark)

    return killing


@pytest.fixture
def failed_tasks(events: Path) -> Callable[[], int]:
    """Count the attempts of tasks that failed so far, by Spark's own log."""

    def count() -> int:
        time.sleep(1)
        lines = [line for file in events.rglob("*") if file.is_file() for line in file.read_text().splitlines(True)]
        # The last line may be half written.
        ends = [json.loads(line) for line in lines if '"SparkListenerTaskEnd"' in line and line.endswith("\n")]
        return sum(end["Task End Reason"]["Reason"] != "Success" for end in ends)

    return count


@pytest.fixture
def shadows(running_engines: Engines) -> Callable[[Pipeline], list[str]]:
    """List the shadow tables in a pipeline's mart."""

    def names(pipeline: Pipeline) -> list[str]:
        sql = "SELECT name FROM system.tables WHERE database = currentDatabase() AND name LIKE '%shadow%'"
        return execute_on_mart(running_engines, sql, pipeline.settings.mart.rpartition("/")[2]).split()

    return names
