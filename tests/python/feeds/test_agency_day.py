"""An agency's day from its own feeds to the mart, through the real Airflow: its own DAG, and the demo."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import textwrap
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

import metropulse as mp
from expansion import DAY, FEED, ZONE, write_zip
from realtime_messages import message, report

pytest.importorskip("airflow.sdk")
pytestmark = [
    pytest.mark.core, pytest.mark.embedded, pytest.mark.airflow, pytest.mark.end_to_end, pytest.mark.slow(seconds=60)
]  # fmt: skip

TASKS = ["schedule", "recorded", "recordings", "calendar", "stage", "dimensions", "facts", "mart", "quality"]


def local(hour: int, minute: int = 0) -> int:
    """Seconds since the epoch of a time of the day."""
    year, month, day = map(int, DAY.split("-"))
    return int(datetime(year, month, day, hour, minute, tzinfo=ZoneInfo(ZONE)).timestamp())


def polls(vehicle: str) -> dict[str, bytes]:
    """Recordings of a vehicle on the feed's first run: two kilometres north in eight minutes."""
    run = {"trip_id": "T1", "route_id": "R1", "start_date": DAY.replace("-", "")}
    made = {}
    for n in range(3):
        at, place = local(8, 2 + 4 * n), {"latitude": 40.1 + n / 100, "longitude": -74.1}
        received = datetime.fromtimestamp(at + 1, UTC)
        made[f"vehicle_positions-{received:%Y%m%dT%H%M%S.%fZ}.pb"] = message(
            at, [report(vehicle, at=at, trip=run, position=place)]
        )
    return made


def archive(folder: Path, begins: int, recordings: dict[str, bytes]) -> None:
    """An hour as a recorder archives it."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(
        folder / f"{datetime.fromtimestamp(begins, UTC):%Y%m%dT%H%M%SZ}-3600s-0123456789abcdef.tar", "w"
    ) as tar:
        for name, body in {"_polls.jsonl": b"", **recordings}.items():
            member = tarfile.TarInfo(name)
            member.size = len(body)
            tar.addfile(member, io.BytesIO(body))


def mart(p: mp.Pipeline) -> list[tuple[Any, ...]]:
    hours = p.mart.query(
        "SELECT route_id, hour_bucket, toInt64(scheduled_trip_cnt) AS planned, toInt64(trip_cnt) AS seen "
        "FROM mart_route_hourly ORDER BY 1, 2"
    )
    return [
        (row["route_id"], int(row["hour_bucket"].timestamp()), row["planned"], row["seen"]) for row in hours.to_pylist()
    ]


RUN = textwrap.dedent("""
    import json, sys
    from pathlib import Path
    from metropulse.airflow import local

    home, connection, day = Path(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3]
    local.configure(home, connection)
    local.DAG_ID = "metropulse_agency"
    with local.to_file(home / "log") as screen:
        local.prepare()
        run = local.run_dag_in_process(day, {}, begins=lambda task: None)
        tasks = [[task.task_id, task.state, task.error] for task in run.tasks]
        print(json.dumps({"state": run.state, "tasks": tasks}), file=screen)
""")


def test_the_agencys_dag_takes_timetable_and_recordings_to_the_mart(state_dir, tmp_path):
    lake, of_day = tmp_path / "lake", tmp_path / "lake" / "recordings" / DAY
    archive(of_day / "tram", local(8), polls("v1"))
    # Recordings of another agency, and the archive that ends at noon of the day after, for which the sensor waits.
    archive(of_day / "bus", local(8), polls("v2"))
    archive(lake / "recordings" / "2024-05-07" / "tram", local(8) + 27 * 3600, {})
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
        "METROPULSE_TIME_ZONE": ZONE,
        "AIRFLOW__METROPULSE__AGENCY_GTFS": str(write_zip(tmp_path / "gtfs.zip", FEED)),
        "AIRFLOW__METROPULSE__AGENCY_FEED": "tram",
    }
    connection = json.dumps({"state": str(state_dir), "lake": str(lake), "time_zone": ZONE})
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(tmp_path / "airflow"), connection, DAY],
        capture_output=True, text=True, timeout=600, check=False, env=environment,
    )  # fmt: skip
    log = tmp_path / "airflow" / "log"
    assert done.returncode == 0, f"{done.stderr[-2000:]}{log.read_text()[-3000:] if log.exists() else ''}"
    outcome = json.loads(done.stdout.splitlines()[-1])
    assert outcome["tasks"] == [[task, "success", {}] for task in TASKS], log.read_text()[-3000:]
    with mp.Pipeline.embedded(state_dir, lake=lake, time_zone=ZONE) as p:
        assert mart(p) == [("tram:R1", local(8), 1, 1), ("tram:R1", local(23), 1, 0)]
        seen = p.warehouse.query("SELECT v.vehicle_id, round(t.distance_m)::int AS metres, t.duration_sec FROM dwh.fact_trip t "
                                 "JOIN dwh.dim_vehicle v USING (vehicle_sk)").to_pylist()  # fmt: skip
        assert seen == [{"vehicle_id": "tram:v1", "metres": 2224, "duration_sec": 480}]


def test_the_demo_takes_an_agencys_feed_and_recordings_to_the_mart(state_dir, tmp_path):
    for name, body in polls("v1").items():
        folder = tmp_path / "recordings"
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(body)
    done = subprocess.run(
        [
            sys.executable, "-m", "metropulse", "demo", "--state", str(state_dir), "--json",
            "--gtfs", str(write_zip(tmp_path / "gtfs.zip", FEED)), "--gtfs-rt", str(folder),
            "--start", DAY, "--days", "1", "--time-zone", ZONE,
        ],
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout[-3000:]}{done.stderr[-3000:]}"
    (run,) = json.loads(done.stdout.splitlines()[0])["runs"]
    assert (run["dt"], run["state"]) == (DAY, "success")
    with mp.Pipeline.embedded(state_dir, time_zone=ZONE) as p:
        assert mart(p) == [("R1", local(8), 1, 1), ("R1", local(23), 1, 0)]
