"""What a day of a fleet takes of memory: the same whatever the number of recordings, and less than 256 MB."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from fleet import DAY, DAY_POLLS, record

SOAK = "METROPULSE_SOAK" in os.environ
VEHICLES = 5_000
MOST_BYTES = 256_000_000

pytestmark = pytest.mark.core

_INGEST = """
import json, sys, time
import metropulse as mp

started = time.perf_counter()
report = mp.ingest_gtfs_rt(sys.argv[1], sys.argv[2], sys.argv[3], time_zone="UTC")
seconds = time.perf_counter() - started
status = open("/proc/self/status").read().splitlines()
peak = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))
print(json.dumps({"rows": report.vehicle_positions.rows, "recordings": report.recordings, "peak": peak, "seconds": seconds}))
"""


def ingested(folder: Path, count: int, *, backwards: bool = False) -> dict[str, float]:
    """Record polls and ingest them in a process of its own; what it says of itself."""
    bytes_packed = record(folder / "recordings", count, VEHICLES, backwards=backwards)
    command = [sys.executable, "-c", _INGEST, str(folder / "recordings"), str(folder / "lake"), DAY]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told: dict[str, float] = json.loads(done.stdout)
    print(f"{count} recordings, {bytes_packed / 1e6:.0f} MB packed: {told}", file=sys.stderr)
    assert (told["recordings"], told["rows"]) == (count, count * VEHICLES)
    return told


@pytest.mark.slow
@pytest.mark.parametrize("backwards", [False, True])
def test_memory_does_not_grow_with_the_number_of_recordings(tmp_path, backwards):
    # Some row groups in both: with one alone not all that is bounded has been needed.
    few = ingested(tmp_path / "few", 360, backwards=backwards)
    many = ingested(tmp_path / "many", 1_080, backwards=backwards)
    assert many["peak"] < MOST_BYTES
    assert many["peak"] - few["peak"] < 40_000_000, "a tenth of what the rows between them would take"


@pytest.mark.soak
@pytest.mark.skipif(not SOAK, reason="long: set METROPULSE_SOAK=1 (make soak)")
def test_a_day_of_five_thousand_vehicles_takes_less_than_256_mb(tmp_path):
    told = ingested(tmp_path, DAY_POLLS)
    assert told["peak"] < MOST_BYTES
    positions = pq.ParquetFile(tmp_path / "lake" / f"dt={DAY}" / "vehicle_positions.parquet")
    assert positions.metadata.num_rows == 43_200_000
    last = positions.read_row_group(positions.num_row_groups - 1, columns=["event_ts", "trip_id"])
    assert pc.max(last["event_ts"]).as_py().strftime("%H:%M:%S") == "23:59:50"
    assert last["trip_id"][-1].as_py() == "trip-04999-23"
