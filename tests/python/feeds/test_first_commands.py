"""What the README prints for an agency's own files works as it is printed, from files to the mart."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

import metropulse as mp
from answers import REAL_DATA
from expansion import FEED, ZONE, write_zip
from metropulse import embedded
from realtime_messages import message, report

README = Path(__file__).parents[3] / "README.md"
LOS_ANGELES = "America/Los_Angeles"

pytestmark = [pytest.mark.core, pytest.mark.embedded, pytest.mark.airflow, pytest.mark.slow(seconds=20)]


def printed() -> list[str]:
    """The lines of the snippets with an agency's zip."""
    found = re.findall(r"^```sh\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [line for text in found if "gtfs.zip" in text for line in text.splitlines()]


def put_files(folder: Path) -> None:
    """Put a feed and its recordings of 2023-11-07 where the README has them: real ones where there are some."""
    recordings = folder / "recordings"
    recordings.mkdir()
    if (REAL_DATA / "gtfs").is_dir():
        shutil.copy(REAL_DATA / "gtfs" / "ct.zip", folder / "gtfs.zip")
        for recording in (REAL_DATA / "gtfs").glob("ct-*.pb"):
            shutil.copy(recording, recordings)
        return
    here = {name: text.replace(ZONE, LOS_ANGELES).replace("2024", "2023") for name, text in FEED.items()}
    write_zip(folder / "gtfs.zip", here)
    noon = int(datetime(2023, 11, 7, 12, tzinfo=ZoneInfo(LOS_ANGELES)).timestamp())
    (recordings / "noon.pb").write_bytes(message(noon, [report("v1", at=noon, trip={"trip_id": "T1"})]))


@pytest.fixture
def folder(new_state_dir, monkeypatch):
    """A folder to run in, in which no engine is left running, whatever happens."""
    monkeypatch.chdir(new_state_dir.parent)
    yield new_state_dir.parent
    for warehouse in new_state_dir.parent.glob("*/warehouse"):
        embedded.stop(warehouse.parent)


def test_the_readmes_commands_for_an_agency_work_as_printed(folder):
    put_files(folder)
    outside = ("METROPULSE_", "AIRFLOW")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(outside)}
    environment["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    states, lines = [], printed()
    assert sum(line.startswith("metropulse ") for line in lines) >= 4
    for line in lines:
        words = shlex.split(line)
        if words[0] == "export":
            environment |= dict(word.split("=", 1) for word in words[1:])
            continue
        states.append(Path(environment.get("METROPULSE_STATE", "metropulse_state")))
        done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False, env=environment)
        assert done.returncode == 0, f"{line}\n{done.stdout[-3000:]}{done.stderr[-2000:]}"
        if words[1] == "demo":
            assert "first day 2023-11-07 (the first of the feed's dates that has recordings)" in done.stdout
            assert f"zone {LOS_ANGELES}" in done.stdout
    for state in {*states}:
        with mp.Pipeline.embedded(state, time_zone=LOS_ANGELES) as p:
            seen = p.mart.query(
                "SELECT sum(scheduled_trip_cnt) AS planned, sum(trip_cnt) AS seen FROM mart_route_hourly"
            )
            (counts,) = seen.to_pylist()
            assert counts["planned"] > 0, state
            assert counts["seen"] > 0, state
