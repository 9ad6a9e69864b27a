"""What parsing a DAG file costs beyond Airflow: as the DAG processor does it, in a fork of a process that has not imported ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytest.importorskip("airflow.sdk")
pytestmark = [pytest.mark.alone, pytest.mark.core, pytest.mark.airflow]
FILES = sorted((Path(__file__).parents[3] / "airflow_dags").rglob("*.py"))

PROGRAM = textwrap.dedent("""
    import contextlib, importlib, importlib.util, json, os, sys, time

    def parse(file):
        reader, writer = os.pipe()
        if os.fork() == 0:
            before, began = set(sys.modules), time.process_time()
            spec = importlib.util.spec_from_file_location("parsed", file)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            spent = time.process_time() - began
            dags = [value for value in vars(module).values() if type(value).__name__ == "DAG"]
            with os.fdopen(writer, "w") as told:
                json.dump([spent, len(dags), sorted(set(sys.modules) - before)], told)
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as told:
            found = json.load(told)
        os.wait()
        return found

    import airflow.sdk
    spent = {}
    for file in sys.argv[1:]:
        spent[file] = times = []
        for name in parse(file)[2]:
            if name.partition(".")[0] not in {"metropulse", "parsed"}:
                with contextlib.suppress(ImportError):
                    importlib.import_module(name)
        for _ in range(10):
            seconds, dags, imported = parse(file)
            assert dags and any(name.startswith("metropulse.airflow") for name in imported), file
            times.append(seconds)
    print(json.dumps({file: min(times) for file, times in spent.items()}))
""")


def test_parsing_a_dag_file_takes_under_50_ms_of_processor_beyond_airflows_own_imports(tmp_path):
    places = {
        "METROPULSE_DEFAULT": {"conn_type": "metropulse", "extra": {"state": str(tmp_path)}},
        "METROPULSE_LAKE_DEFAULT": {"conn_type": "aws", "extra": {"bucket": "raw"}},
        "METROPULSE_WAREHOUSE_DEFAULT": {"conn_type": "postgres", "host": "h", "schema": "dwh"},
        "METROPULSE_MART_DEFAULT": {"conn_type": "clickhouse", "host": "h"},
    }
    # With bytecode, as an installed wheel has it.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {f"AIRFLOW_CONN_{name}": json.dumps(place) for name, place in places.items()}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, FILES)],
        capture_output=True, text=True, timeout=300, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    spent = {Path(file).name: seconds for file, seconds in json.loads(done.stdout.splitlines()[-1]).items()}
    print({name: f"{1000 * seconds:.0f} ms" for name, seconds in spent.items()})
    assert len(spent) == 8
    assert max(spent.values()) < 0.05, spent
