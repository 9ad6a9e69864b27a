"""The daily DAG itself, over real input: on the embedded engines and on servers of other versions."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import psycopg
import pyarrow.parquet as pq
import pytest

import metropulse as mp
import telemetry_days
from answers import DATA, PROTOTYPE_DAYS, REAL_DATA, check_austin, check_prototype, needs_real_data

pytest.importorskip("airflow.sdk")
pytestmark = [pytest.mark.core, pytest.mark.embedded, pytest.mark.airflow, pytest.mark.slow(seconds=25)]

STEPS = ["wait", "calendar", "stage", "dimensions", "facts", "mart", "quality"]


def demo(state: Path, *arguments: str, code: int = 0) -> dict:
    """Run the demo as a user does, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "metropulse", "demo", "--state", str(state), "--json", *arguments],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == code, f"{done.returncode}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
    return json.loads(done.stdout.splitlines()[0])


def test_the_prototypes_days_through_the_dag(state_dir):
    outcome = demo(state_dir, "--raw", str(DATA / "prototype_raw"))
    assert [run["dt"] for run in outcome["runs"]] == list(PROTOTYPE_DAYS)
    for run in outcome["runs"]:
        assert [(task["task_id"], task["state"]) for task in run["tasks"]] == [(step, "success") for step in STEPS]
    with mp.Pipeline.embedded(state_dir, lake=DATA / "prototype_raw") as p:
        check_prototype(p)
    again = demo(state_dir, "--raw", str(DATA / "prototype_raw"))
    writing = {"calendar", "stage", "dimensions", "facts", "mart"}
    reports = [task["report"] for run in again["runs"] for task in run["tasks"] if task["task_id"] in writing]
    assert len(reports) == 15
    assert all(report["unchanged"] and report["rows"] == 0 for report in reports)


@pytest.mark.end_to_end
def test_days_of_telemetry_alone_through_the_dag(state_dir, tmp_path):
    lake, days = tmp_path / "raw", telemetry_days.DAYS[:2]
    answers = telemetry_days.write(lake, days)
    demo(state_dir, "--raw", str(lake), "--time-zone", telemetry_days.ZONE)
    with mp.Pipeline.embedded(state_dir, lake=lake, time_zone=telemetry_days.ZONE) as p:
        telemetry_days.check(p, answers)


@pytest.mark.end_to_end
@needs_real_data
def test_austins_days_through_the_dag(state_dir):
    demo(state_dir, "--raw", str(REAL_DATA / "austin_raw"), "--time-zone", "America/Chicago")
    with mp.Pipeline.embedded(state_dir, lake=REAL_DATA / "austin_raw", time_zone="America/Chicago") as p:
        check_austin(p)
        with pytest.raises(
            mp.ConfigError, match="time_zone is UTC, but this warehouse was loaded with America/Chicago"
        ):
            mp.Pipeline(lake=REAL_DATA / "austin_raw", warehouse=p.settings.warehouse, mart=p.settings.mart).stage(
                "2016-11-24"
            )


def test_a_bad_file_fails_its_task_at_once_with_its_reason(state_dir, tmp_path):
    lake = tmp_path / "raw"
    shutil.copytree(DATA / "prototype_raw", lake)
    trips = lake / "dt=2024-05-02" / "trips.parquet"
    trips.write_bytes(trips.read_bytes()[:1000])
    outcome = demo(state_dir, "--raw", str(lake), code=5)
    assert [run["state"] for run in outcome["runs"]] == ["success", "failed"], "the demo stops at the first bad day"
    tasks = {task["task_id"]: task for task in outcome["runs"][1]["tasks"]}
    assert tasks["stage"]["state"] == "failed"
    assert tasks["stage"]["error"]["error"] == "data"
    assert "trips.parquet" in tasks["stage"]["error"]["message"] + str(tasks["stage"]["error"]["context"])
    assert {tasks[step]["state"] for step in STEPS[3:]} == {"upstream_failed"}


IN_PROCESS = textwrap.dedent("""
    import json, os, sys
    from pathlib import Path
    from metropulse.airflow import local

    home, dags, conf = Path(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3])
    connections = {k: v for k, v in os.environ.items() if k.startswith("AIRFLOW_CONN_METROPULSE")}
    local.configure(home, {})
    os.environ.update(connections)
    if "AIRFLOW_CONN_METROPULSE_DEFAULT" not in connections:
        os.environ.pop("AIRFLOW_CONN_METROPULSE_DEFAULT")
    with local.to_file(home / "log") as screen:
        local.prepare()
        for dt in dags:
            run = local.run_dag_in_process(dt, {"stable_seconds": 0, **conf}, begins=lambda task: None)
            print(json.dumps({"state": run.state, "errors": [t.error for t in run.tasks if t.error]}), file=screen)
""")


@pytest.mark.end_to_end
def test_the_same_dag_on_other_servers(debian_postgres, clickhouse_18_url, tmp_path):
    """PostgreSQL of the distribution and ClickHouse 18.16, named by Airflow connections."""
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")},
        "AIRFLOW_CONN_METROPULSE_LAKE_DEFAULT": json.dumps(
            {"conn_type": "fs", "extra": {"path": str(DATA / "prototype_raw")}}
        ),
        "AIRFLOW_CONN_METROPULSE_WAREHOUSE_DEFAULT": debian_postgres,
        "AIRFLOW_CONN_METROPULSE_MART_DEFAULT": json.dumps({"conn_type": "http", "host": clickhouse_18_url}),
    }
    done = subprocess.run(
        [sys.executable, "-c", IN_PROCESS, str(tmp_path / "airflow"), json.dumps(list(reversed(PROTOTYPE_DAYS))), "{}"],
        capture_output=True, text=True, timeout=300, check=False, env=environment,
    )  # fmt: skip
    outcomes = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    log = tmp_path / "airflow" / "log"
    assert [o["state"] for o in outcomes] == ["success"] * 3, (
        f"{outcomes}{done.stderr[-2000:]}{log.read_text()[-3000:] if log.exists() else ''}"
    )
    check_prototype(mp.Pipeline(lake=DATA / "prototype_raw", warehouse=debian_postgres, mart=clickhouse_18_url))


@pytest.mark.end_to_end
def test_the_daily_dag_takes_where_positions_are_from_its_form(pipeline_on, tmp_path):
    """The parameter of a run by hand; later runs find it in the warehouse."""
    p = pipeline_on(DATA / "prototype_raw")
    settings = p.settings
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")},
        "METROPULSE_LAKE": str(DATA / "prototype_raw"),
        "PG_URL": str(settings.warehouse),
        "CH_JDBC_URL": str(settings.mart),
        "CH_USER": str(settings.mart_user),
        "CH_PASSWORD": str(settings.mart_password),
    }
    for days, conf in ((PROTOTYPE_DAYS[:1], {"positions": "telemetry"}), (PROTOTYPE_DAYS[1:], {})):
        done = subprocess.run(
            [sys.executable, "-c", IN_PROCESS, str(tmp_path / days[0]), json.dumps(list(days)), json.dumps(conf)],
            capture_output=True, text=True, timeout=300, check=False, env=environment,
        )  # fmt: skip
        outcomes = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        assert [o["state"] for o in outcomes] == ["success"] * len(days), f"{outcomes}{done.stderr[-2000:]}"
    assert p.status().positions == "telemetry"
    counts = p.warehouse.query(
        "SELECT (SELECT sum(position_cnt)::int8 FROM dwh.telemetry_reference) AS known, "
        "(SELECT count(*) FROM dwh.fact_vehicle_position) AS here, "
        "(SELECT sum(position_cnt)::int8 FROM dwh.agg_position_route_hourly) AS added_up"
    ).to_pylist()
    apart = p.mart.query("SELECT toInt64(count()) AS n FROM vehicle_position").to_pylist()[0]["n"]
    assert apart > 0
    assert counts == [{"known": apart, "here": 0, "added_up": apart}]


OWN_DAG = textwrap.dedent("""
    import json, os, sys, time
    from datetime import timedelta
    from pathlib import Path
    from metropulse.airflow import local

    home, settings = Path(sys.argv[1]), json.loads(sys.argv[2])
    local.configure(home, {})
    os.environ.update(METROPULSE_LAKE=settings["lake"], PG_URL=settings["warehouse"], CH_JDBC_URL=settings["mart"])
    os.environ.update(CH_USER=settings.get("mart_user", ""), CH_PASSWORD=settings.get("mart_password", ""))
    local.prepare()
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    from airflow.sdk import DAG
    from metropulse.airflow.operators import (
        CopyParquetOperator,
        LoadFactsOperator,
        LoadTelemetryOperator,
        MergeSnapshotOperator,
        RollupHourlyOperator,
    )

    with DAG(dag_id="own", schedule=None) as dag:
        TASKS
    bag = DagBag(dag_folder=os.devnull, collect_dags=False)
    bag.bag_dag(dag)
    DagBundlesManager().sync_bundles_to_db()
    sync_bag_to_db(bag, "dags-folder", None)
    run = dag.test()
    tasks = {t.task_id: {"state": str(t.state), "seconds": t.duration} for t in run.get_task_instances()}
    print("RESULT", json.dumps(tasks))
""")


def run_own_dag(home: Path, settings: dict[str, str], *tasks: str) -> tuple[dict[str, dict], str]:
    """Run tasks as a DAG in a process of its own; return what became of each, and all that was printed."""
    done = subprocess.run(
        [sys.executable, "-c", OWN_DAG.replace("TASKS", "\n    ".join(tasks)), str(home), json.dumps(settings)],
        capture_output=True, text=True, timeout=120, check=False,
        env={k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")},
    )  # fmt: skip
    printed = done.stdout + done.stderr
    results = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    assert results, printed[-5000:]
    return json.loads(results[0].removeprefix("RESULT ")), printed


@pytest.mark.end_to_end
def test_loads_of_ones_own_run_as_tasks(pipeline_on, tmp_path):
    """A copy, two days of a snapshot and the telemetry, by their operators, into real servers."""
    lake = DATA / "prototype_raw"
    p = pipeline_on(lake)
    names = ("lake", "warehouse", "mart", "mart_user", "mart_password")
    settings = {name: str(getattr(p.settings, name) or "") for name in names}
    days = PROTOTYPE_DAYS[:2]
    merges = [
        f"""m{number} = MergeSnapshotOperator(task_id="merge_{number}", snapshot="{lake}/dt={day}/users.parquet",
            table="public.user_history", key="user_id", effective="{day}")"""
        for number, day in enumerate(days)
    ]
    tasks, printed = run_own_dag(
        tmp_path / "airflow",
        settings,
        f"""CopyParquetOperator(task_id="copy", source="{lake}/dt={days[0]}/trips.parquet", table="public.trip_copy",
            create=True)""",
        *merges,
        "m0 >> m1",
        f'LoadTelemetryOperator(task_id="telemetry", dt="{days[0]}")',
    )
    assert {task["state"] for task in tasks.values()} == {"success"}, printed[-5000:]
    p.stage(days[0])
    with psycopg.connect(p.settings.warehouse) as link:
        read = "SELECT sum(rows_read), sum(rows_loaded) FROM dwh.load_ledger WHERE target = %s"
        trips, _ = link.execute(read, ["staging.trips_raw"]).fetchone()
        _, positions = link.execute(read, ["staging.vehicle_positions_raw"]).fetchone()
        assert link.execute("SELECT count(*) FROM trip_copy").fetchone() == (trips,)
        merged = "SELECT effective::date::text FROM user_history_loads WHERE effective IS NOT NULL ORDER BY 1"
        assert link.execute(merged).fetchall() == [(day,) for day in days]
        current = link.execute("SELECT count(*) FROM user_history WHERE is_current").fetchone()
        assert current == (pq.read_metadata(lake / f"dt={days[1]}" / "users.parquet").num_rows,)
    assert p.mart.query("SELECT count() AS n FROM vehicle_position").to_pylist() == [{"n": int(positions)}]


@pytest.mark.end_to_end
def test_rollups_of_mapped_files_are_put_together(pipeline_on, tmp_path):
    """A state a file by mapped tasks, then one rollup, equal to that of all files at once."""
    lake = DATA / "prototype_raw"
    settings = {"lake": str(lake), "warehouse": "", "mart": ""}
    files = [str(lake / f"dt={day}" / "vehicle_positions.parquet") for day in PROTOTYPE_DAYS[:2]]
    pairs = [{"source": file, "target": f"{tmp_path}/states/{n}.parquet"} for n, file in enumerate(files)]
    tasks, printed = run_own_dag(
        tmp_path / "airflow",
        settings,
        f"""states = RollupHourlyOperator.partial(task_id="states", keys=["route_id"], time="event_ts", time_zone="Europe/Moscow",
            measures={{"n": "count", "vehicles": ("count_distinct", "vehicle_id")}}, partial=True).expand_kwargs({pairs})""",
        f"""states >> RollupHourlyOperator(task_id="whole", source="{tmp_path}/states", merge=True,
            target="{tmp_path}/whole/rollup.parquet")""",
    )
    assert {task["state"] for task in tasks.values()} == {"success"}, printed[-5000:]
    wanted = mp.rollup_hourly(
        files,
        keys=["route_id"],
        time="event_ts",
        measures={"n": "count", "vehicles": ("count_distinct", "vehicle_id")},
        time_zone="Europe/Moscow",
    )
    assert pq.read_table(tmp_path / "whole" / "rollup.parquet").to_pylist() == wanted.to_pylist()


@pytest.mark.alone
def test_execution_timeout_stops_a_native_step(pipeline_on, tmp_path):
    """Airflow's own timeout, on a load that waits for a lock that never comes."""
    lake = DATA / "prototype_raw"
    p = pipeline_on(lake)
    p.stage("2024-05-01")
    settings = {"lake": str(lake), "warehouse": p.settings.warehouse, "mart": p.settings.mart}
    with psycopg.connect(p.settings.warehouse, autocommit=True) as holder:
        holder.execute("select pg_advisory_lock(19792, 3)")
        tasks, printed = run_own_dag(
            tmp_path / "airflow",
            settings,
            f'LoadFactsOperator(task_id="facts", dt="{PROTOTYPE_DAYS[0]}", execution_timeout=timedelta(seconds=2))',
        )
    assert tasks["facts"]["state"] == "failed"
    assert 2 <= tasks["facts"]["seconds"] < 60, tasks
    assert "AirflowTaskTimeout" in printed


@pytest.mark.end_to_end
@needs_real_data
def test_an_agencys_feed_and_recordings_through_the_dag(state_dir):
    feeds = REAL_DATA / "gtfs"
    outcome = demo(
        state_dir, "--gtfs", str(feeds / "ct.zip"), "--gtfs-rt", str(feeds / "ct-vehicle-positions.pb"), "--days", "2",
    )  # fmt: skip
    assert outcome["plan"]["time_zone"] == "America/Los_Angeles"
    assert [(run["dt"], run["state"]) for run in outcome["runs"]] == [
        ("2023-11-07", "success"),
        ("2023-11-08", "success"),
    ]
    assert outcome["busiest"][0]["scheduled_trip_cnt"] == 4
    with mp.Pipeline.embedded(state_dir, time_zone="America/Los_Angeles") as p:
        counts = "SELECT dt::text, count(*) FROM dwh.{} GROUP BY 1 ORDER BY 1"
        planned = p.warehouse.query(counts.format("fact_scheduled_trip")).to_pylist()
        assert [tuple(row.values()) for row in planned] == [("2023-11-07", 104), ("2023-11-08", 104)]
        seen = p.warehouse.query(counts.format("fact_vehicle_position")).to_pylist()
        assert [tuple(row.values()) for row in seen] == [("2023-11-07", 14)]
        mart = p.mart.query("SELECT sum(scheduled_trip_cnt) n FROM mart_route_hourly").to_pylist()
        assert mart == [{"n": 208}]
