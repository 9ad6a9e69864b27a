"""A real Airflow for a test: scheduler, triggerer, DAG processor and API server, each a process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from services import free_port
from waiting import until

COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
ENDED = {"success", "failed"}


class Server:
    """Speaks to the API server as a person's script would."""

    def __init__(self, home: Path, port: int, environment: Mapping[str, str]) -> None:
        self.home, self.environment = home, dict(environment)
        self.base = f"http://127.0.0.1:{port}"
        self.token = ""
        self.processes: dict[str, int] = {}

    def call(self, method: str, path: str, body: object = None) -> Any:
        answers: list[Any] = []

        def answered() -> bool:
            try:
                answers.append(self._call_once(method, path, body))
            except AssertionError as error:
                # SQLite lets one write at a time, and gives up at times: nothing of such a call is kept.
                if "Database error" not in str(error):
                    raise
            return bool(answers)

        until(answered, 30, f"{method} {path}: the API server's database stays locked")
        return answers[0]

    def _call_once(self, method: str, path: str, body: object) -> Any:
        request = urllib.request.Request(
            self.base + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read()[:2000]!r}") from error
        return json.loads(text) if text else None

    def healthy(self) -> bool:
        try:
            state = self.call("GET", "/api/v2/monitor/health")
        except (OSError, AssertionError):
            return False
        parts = ("metadatabase", "scheduler", "triggerer", "dag_processor")
        return all(state[part] and state[part]["status"] == "healthy" for part in parts)

    def log_in(self) -> None:
        self.token = self.call("GET", "/auth/token")["access_token"]

    def unpause(self, *dags: str) -> None:
        for dag in dags:
            until(lambda dag=dag: self.known(dag), 240, f"the DAG {dag} is not known: {self.import_errors()}")
            self.call("PATCH", f"/api/v2/dags/{dag}", {"is_paused": False})

    def known(self, dag: str) -> bool:
        try:
            self.call("GET", f"/api/v2/dags/{dag}")
        except AssertionError:
            return False
        return True

    def import_errors(self) -> list[str]:
        return [error["stack_trace"] for error in self.call("GET", "/api/v2/importErrors")["import_errors"]]

    def trigger(self, dag: str, conf: Mapping[str, Any] | None = None, **more: Any) -> str:
        body = {"logical_date": None, "conf": dict(conf or {}), "dag_run_id": f"test_{uuid.uuid4().hex[:12]}", **more}
        return str(self.call("POST", f"/api/v2/dags/{dag}/dagRuns", body)["dag_run_id"])

    def runs(self, dag: str, **query: Any) -> list[dict[str, Any]]:
        return self._all(f"/api/v2/dags/{dag}/dagRuns", "dag_runs", **query)

    def _all(self, path: str, what: str, **query: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            asked = urllib.parse.urlencode({"limit": 100, "offset": len(found), **query}, doseq=True)
            page = self.call("GET", f"{path}?{asked}")
            found += page[what]
            if len(found) >= page["total_entries"] or not page[what]:
                return found

    def run(self, dag: str, run_id: str) -> dict[str, Any]:
        return dict(self.call("GET", f"/api/v2/dags/{dag}/dagRuns/{urllib.parse.quote(run_id, safe='')}"))

    def tasks(self, dag: str, run_id: str) -> dict[str, dict[str, Any]]:
        return {task["task_id"]: task for task in self.instances(dag, run_id)}

    def instances(self, dag: str, run_id: str) -> list[dict[str, Any]]:
        """The tasks of a run, each mapped one for itself."""
        path = f"/api/v2/dags/{dag}/dagRuns/{urllib.parse.quote(run_id, safe='')}/taskInstances"
        return self._all(path, "task_instances")

    def clear(self, dag: str, run_id: str) -> None:
        """Let what failed in a run, and what follows it, run again."""
        self.call("POST", f"/api/v2/dags/{dag}/clearTaskInstances", {
            "dry_run": False, "dag_run_id": run_id, "only_failed": True, "reset_dag_runs": True,
        })  # fmt: skip

    def events(self, uri_ending: str) -> list[dict[str, Any]]:
        """The events of the assets whose URI ends so, oldest first."""
        found: list[dict[str, Any]] = []

        def answered() -> bool:
            try:
                found[:] = self._all("/api/v2/assets/events", "asset_events", order_by="timestamp")
            except AssertionError:
                return False  # Airflow 3.3.2 answers 500 while a run that an event made has not begun.
            return True

        until(answered, 60, "the events of the assets cannot be listed")
        return [event for event in found if event["uri"].endswith(uri_ending)]

    def wait_for_run(self, dag: str, run_id: str, seconds: float = 600) -> dict[str, Any]:
        until(lambda: self.run(dag, run_id)["state"] in ENDED, seconds, f"the run {run_id} of {dag} does not end")
        return self.run(dag, run_id)


@contextmanager
def airflow_server(home: Path, dags: Path, **variables: str) -> Iterator[Server]:
    """Start an Airflow of its own, on SQLite unless a variable says otherwise, and stop it whatever happens.

    Args:
        home: An empty folder for its metadata and logs.
        dags: The folder of the DAG files.
        **variables: More of its environment.

    Yields:
        A client that is logged in.
    """
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHONDONT"))},
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        # On a machine that does other things too answers come late; a task that is not heard is lost, a file left out.
        "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "200",
        "AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "240",
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        **variables,
    }
    home.mkdir(parents=True, exist_ok=True)
    airflow = [sys.executable, "-m", "airflow"]
    with (home / "migrate.log").open("wb") as log:
        subprocess.run([*airflow, "db", "migrate"], check=True, env=environment, stdout=log, stderr=log, timeout=600)
    # Not before: what takes minutes leaves others the time to take a port.
    port = free_port()
    environment |= {
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        "AIRFLOW__TRIGGERER__LOG_SERVER_PORT": str(free_port()),
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
    }
    processes = []
    server = Server(home, port, environment)
    try:
        for component in COMPONENTS:
            with (home / f"{component}.log").open("wb") as log:
                process = subprocess.Popen(
                    [*airflow, component], env=environment, stdout=log, stderr=log, start_new_session=True
                )
            processes.append(process)
            server.processes[component] = process.pid
        until(server.healthy, 400, "Airflow does not come up:\n" + _ends_of_logs(home))
        server.log_in()
        yield server
    finally:
        _stop(processes)


def _stop(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        if process.poll() is None:
            process.terminate()
    for process in processes:
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        # Each component leads a session of its own, so its children go with it.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _ends_of_logs(home: Path) -> str:
    return "\n".join(f"{path.name}: {path.read_text(errors='replace')[-1500:]}" for path in sorted(home.glob("*.log")))
