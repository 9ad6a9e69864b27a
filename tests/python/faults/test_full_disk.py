"""A disk that is full, here or at the server: said as such, nothing half written, and the next run completes the day."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import metropulse as mp

pytestmark = [pytest.mark.core, pytest.mark.slow]
DT = "2024-05-01"
TRIPS = 73


@contextlib.contextmanager
def files_at_most(size_bytes: int):
    """No file of this process may grow beyond a size, as on a disk that fills up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def files_below(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_lake_on_a_full_disk_gets_no_day_that_looks_complete(tmp_path):
    p = mp.Pipeline(lake=tmp_path / "lake")
    with files_at_most(20_000), pytest.raises(mp.StorageError, match="make room") as caught:
        p.generate(DT, seed=7, scale=0.5)
    assert caught.value.retryable
    assert f"dt={DT}" in str(caught.value)
    assert all(pq.read_metadata(path).num_rows for path in (tmp_path / "lake").rglob("*.parquet"))
    assert not p.partition_ready(DT).has_manifest
    written = p.generate(DT, seed=7, scale=0.5)
    assert p.partition_ready(DT).has_manifest
    sound = mp.Pipeline(lake=tmp_path / "sound")
    assert written.rows == sound.generate(DT, seed=7, scale=0.5).rows
    assert files_below(tmp_path / "lake") == files_below(tmp_path / "sound"), "nothing is left of the first try"


@pytest.mark.embedded
def test_a_spool_on_a_full_disk_says_so_and_loads_nothing(s3, pipeline_on, tmp_path):
    lake, options, _ = s3
    p = pipeline_on(lake, lake_options=options, spool=str(tmp_path))
    p.apply_schema()
    with files_at_most(1_000), pytest.raises(mp.StorageError, match="make room") as caught:
        p.stage(DT)
    assert caught.value.retryable
    assert str(tmp_path) in str(caught.value)
    assert files_below(tmp_path) == [], "what was spooled goes, also after an error"
    assert p.warehouse.query("select count(*) n from staging.trips_raw").to_pylist() == [{"n": 0}]
    p.stage(DT)
    assert p.warehouse.query("select count(*) n from staging.trips_raw").to_pylist() == [{"n": TRIPS}]


@pytest.mark.embedded
def test_scratch_space_that_is_full_says_which_folder_and_loads_nothing(pipeline_on, tmp_path):
    made = mp.Pipeline(lake=tmp_path / "lake")
    made.generate(DT, seed=7, scale=0.5)
    p = pipeline_on(tmp_path / "lake", memory_bytes=1 << 20)
    p.apply_schema()
    with files_at_most(1_000), pytest.raises(mp.StorageError, match="scratch space") as caught:
        p.stage(DT)
    assert caught.value.retryable
    assert tempfile.gettempdir() in str(caught.value)
    assert p.warehouse.query("select count(*) n from staging.vehicle_positions_raw").to_pylist() == [{"n": 0}]
    assert p.stage(DT).rows > 10_000


@pytest.fixture
def small_disk():
    """A disk of 40 MB that the distribution's PostgreSQL may write to."""
    folder = Path(tempfile.mkdtemp(prefix="metropulse-disk-"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(folder)], check=False, capture_output=True
    )
    if mounted.returncode:
        folder.rmdir()
        pytest.skip("a file system of a test's own cannot be mounted here (needs root)")
    shutil.chown(folder, "postgres", "postgres")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)
    folder.rmdir()


def test_a_warehouse_whose_disk_is_full_keeps_what_it_had(debian_postgres, small_disk, lake_of_trips):
    name = f"full{os.urandom(4).hex()}"
    url = urlunsplit(urlsplit(debian_postgres)._replace(path=f"/{name}"))
    with psycopg.connect(debian_postgres, autocommit=True) as admin:
        admin.execute(f"create tablespace {name} location '{small_disk}'")
        admin.execute(f"create database {name} template template0 tablespace {name}")
        try:
            p = mp.Pipeline(lake=lake_of_trips, warehouse=url)
            p.stage(DT)
            rows = pa.table({"id": pa.array(range(3_000_000), pa.int64())})
            with pytest.raises(mp.DatabaseError, match="No space left on device") as caught:
                mp.copy_parquet(rows, p, "public.big", create=True)
            assert (caught.value.retryable, caught.value.context["sqlstate"]) == (True, "53100")
            assert p.warehouse.query("select to_regclass('public.big')::text t").to_pylist() == [{"t": None}]
            assert p.stage(DT).unchanged
            few = rows.slice(0, 1_000)
            assert mp.copy_parquet(few, p, "public.big", create=True).rows == 1_000
        finally:
            admin.execute(f"drop database {name} with (force)")
            admin.execute(f"drop tablespace {name}")
