"""Runs a DAG in this process: no scheduler, SQLite metadata, logs into a file.

Airflow reads its configuration when it is first imported, so the imports here stand inside the functions, after
`configure`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from metropulse.exceptions import ConfigError, InternalError

__all__ = ["DAG_ID", "RunResult", "TaskResult", "configure", "dag_folder", "prepare", "run_dag_in_process", "to_file"]

DAG_ID = "metropulse_daily"
_ROLE_CONNECTIONS = ("LAKE", "WAREHOUSE", "MART")


@dataclass(frozen=True)
class TaskResult:
    """How a task of the run ended."""

    task_id: str
    state: str
    seconds: float
    report: dict[str, Any] = field(default_factory=dict)
    error: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RunResult:
    """How the run of a day ended."""

    dt: str
    state: str
    seconds: float
    tasks: tuple[TaskResult, ...]


def dag_folder() -> Path:
    """Return the folder of the DAGs that come with the package.

    Returns:
        The folder; a link in it is resolved, so that Airflow records where the file really lies.
    """
    return (Path(__file__).parent / "dags" / f"{DAG_ID}.py").resolve().parent


def configure(home: Path, connection: Mapping[str, Any]) -> None:
    """Set the environment for an Airflow of its own under `home`.

    Args:
        home: The folder for metadata, logs and configuration.
        connection: The extra fields of the connection ``metropulse_default``.

    Raises:
        ConfigError: Airflow is not installed, or was imported before.
    """
    import importlib.util

    if importlib.util.find_spec("airflow") is None:
        raise ConfigError('Airflow is not installed, expected: pip install "metropulse[airflow,embedded]"')
    if "airflow.configuration" in sys.modules:
        raise ConfigError("Airflow was imported before its configuration was set, expected a process of its own")
    home.mkdir(parents=True, exist_ok=True)
    for role in _ROLE_CONNECTIONS:
        os.environ.pop(f"AIRFLOW_CONN_METROPULSE_{role}_DEFAULT", None)
    os.environ.update(
        {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW_CONN_METROPULSE_DEFAULT": json.dumps({"conn_type": "metropulse", "extra": dict(connection)}),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dag_folder()),
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        }
    )


def prepare() -> None:
    """Create the metadata tables, or bring them up to date, and load what runs tasks."""
    from airflow.utils.db import initdb

    initdb()
    # Airflow builds what its tasks talk to at the first one: here, so that the seconds do not count as that task's.
    # It is a private name, and only the time table would notice its absence.
    with suppress(ImportError, AttributeError):
        import httpx
        from airflow.sdk.execution_time.supervisor import in_process_api_server

        transport = in_process_api_server().transport
        with httpx.Client(base_url="http://in-process.invalid", transport=transport) as client:
            client.get("/health")


def run_dag_in_process(dt: str, conf: Mapping[str, Any], *, begins: Callable[[str], object]) -> RunResult:
    """Run the daily DAG once.

    Args:
        dt: The raw day.
        conf: The parameters of the run.
        begins: Told the id of each task as it begins.

    Returns:
        How the run and its tasks ended; a failed task does not raise.

    Raises:
        InternalError: The DAG cannot be loaded.
    """
    dag = _load_dag()
    started = datetime.now(UTC)
    with _signals_kept() as heed:

        def begin(context: Any) -> None:
            # Airflow has just made SIGTERM a matter of the task, which a wait outside of any task does not hear.
            heed()
            begins(context["ti"].task_id)

        for task in dag.tasks:
            # A demo answers at once: what would be retried in five minutes fails now.
            task.retries = 0
            task.on_execute_callback = [begin]
        # A run by hand: it has no date of its own, the parameter names the raw day.
        run = dag.test(logical_date=None, run_conf={"partition": dt, **conf})
    seconds = (datetime.now(UTC) - started).total_seconds()
    order = {task.task_id: position for position, task in enumerate(dag.topological_sort())}
    tasks = sorted(_task_results(run), key=lambda result: order[result.task_id])
    return RunResult(dt, str(run.state), seconds, tuple(tasks))


@contextmanager
def to_file(path: Path) -> Iterator[IO[str]]:
    """Send everything the process writes into a file while the block runs, other libraries' output included.

    Args:
        path: The file; appended to.

    Yields:
        A stream to where standard output went before.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    path.parent.mkdir(parents=True, exist_ok=True)
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.dup2(log, 1)
        os.dup2(log, 2)
        with os.fdopen(os.dup(saved[0]), "w", encoding=sys.stdout.encoding or "utf-8", buffering=1) as screen:
            yield screen
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(saved[0], 1)
        os.dup2(saved[1], 2)
        for descriptor in (*saved, log):
            os.close(descriptor)


@contextmanager
def _signals_kept() -> Iterator[Callable[[], None]]:
    """Keep the meaning of Ctrl-C and SIGTERM: Airflow takes them for a task's failure, and leaves its own handlers.

    Yields:
        What puts our handlers in place, again if need be.
    """
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    stops: dict[int, Callable[[], BaseException]] = {
        signal.SIGINT: KeyboardInterrupt,
        signal.SIGTERM: lambda: SystemExit(128 + signal.SIGTERM),
    }
    stopped_by: int | None = None

    def stop(number: int, _frame: object) -> None:
        nonlocal stopped_by
        stopped_by = number
        raise stops[number]()

    def heed() -> None:
        for number, handler in handlers.items():
            # In the background of a shell SIGINT is ignored: it is meant for another job.
            if handler is not signal.SIG_IGN:
                signal.signal(number, stop)

    heed()
    try:
        yield heed
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if stopped_by is not None:
        raise stops[stopped_by]()


def _load_dag() -> Any:
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # before Airflow 3.1
        from airflow.models.dagbag import DagBag

    bag = DagBag(dag_folder=str(dag_folder() / f"{DAG_ID}.py"))
    dag = bag.dags.get(DAG_ID)
    if dag is None:
        problems = "; ".join(str(error).strip().splitlines()[-1] for error in bag.import_errors.values())
        raise InternalError(f"the DAG {DAG_ID} cannot be loaded: {problems or 'it is not in ' + str(dag_folder())}")
    if hasattr(bag, "sync_to_db"):  # Before Airflow 3.1 a test of a DAG does not make its assets known.
        from airflow.dag_processing.bundles.manager import DagBundlesManager

        DagBundlesManager().sync_bundles_to_db()
        bag.sync_to_db("dags-folder", None)
    return dag


def _task_results(run: Any) -> Iterator[TaskResult]:
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    from metropulse.airflow._errors import ERROR_XCOM_KEY

    with create_session() as session:
        query = XComModel.get_many(run_id=run.run_id, dag_ids=run.dag_id)
        left = {(row.task_id, row.key): XComModel.deserialize_value(row) for row in session.scalars(query)}
        for instance in run.get_task_instances(session=session):
            report = left.get((instance.task_id, "return_value"))
            yield TaskResult(
                task_id=instance.task_id,
                state=str(instance.state or "not run"),
                seconds=float(instance.duration or 0),
                report=report if isinstance(report, dict) else {},
                error=left.get((instance.task_id, ERROR_XCOM_KEY)) or {},
            )
