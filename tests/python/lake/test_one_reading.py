"""A run reads each object of its day once, proved by a store that counts; what was spooled goes with the run."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import metropulse as mp
from http_servers import running
from store_proxy import CountingProxy

pytestmark = [pytest.mark.core, pytest.mark.embedded, pytest.mark.slow]

FOOTER_BYTES = 64 * 1024
"""More than the footer of any file here: a reader may look at it before the rest."""


@pytest.fixture
def store(minio_bucket, minio_put, tmp_path):
    """A bucket with one generated day behind a counting proxy: settings, proxy, and the sizes of its objects by path."""
    bucket, options = minio_bucket
    raw = tmp_path / "raw"
    mp.Pipeline(lake=raw).generate("2024-05-01", days=1, scale=0.05)
    sizes = {}
    for path in sorted((raw / "dt=2024-05-01").iterdir()):
        minio_put(bucket, f"dt=2024-05-01/{path.name}", path.read_bytes())
        sizes[f"/{bucket}/dt=2024-05-01/{path.name}"] = path.stat().st_size
    with running(CountingProxy(options["aws_endpoint"])) as proxy:
        options = {**options, "aws_endpoint": proxy.url}
        settings = {"lake_options": options, "spool": tmp_path / "spool"}
        yield f"s3://{bucket}", settings, proxy, sizes


def spooled(settings) -> list[Path]:
    folder = settings["spool"]
    return list(folder.iterdir()) if folder.exists() else []


def test_a_run_reads_each_object_once(store, pipeline_on):
    lake, settings, proxy, sizes = store
    p = pipeline_on(lake, **settings)
    report = p.run("2024-05-01")
    assert report.steps[3].tables["dwh.fact_vehicle_position"].rows_loaded > 0
    files = {path: size for path, size in sizes.items() if path.endswith(".parquet")}
    assert len(files) == 7
    for path, size in files.items():
        assert size <= proxy.bytes_read[path] <= size + FOOTER_BYTES, path
    assert spooled(settings) == []

    # Unchanged: what the listing says is enough to know that.
    proxy.forget()
    assert p.run("2024-05-01").unchanged
    assert not any(proxy.bytes_read[path] for path in files)
    assert spooled(settings) == []


def test_a_step_by_itself_reads_only_its_own_files(store, pipeline_on):
    lake, settings, proxy, sizes = store
    p = pipeline_on(lake, **settings)
    p.load_dimensions("2024-05-01")
    read = {Path(path).stem for path in sizes if path.endswith(".parquet") and proxy.bytes_read[path]}
    assert read == {"routes", "stops", "users", "vehicles"}
    assert spooled(settings) == []


def test_a_run_that_fails_frees_its_space_and_keeps_what_its_steps_published(store, pipeline_on):
    """The facts' table is out of reach: staging and dimensions are published, the failure of the step is on record."""
    import psycopg

    lake, settings, _, _ = store
    p = pipeline_on(lake, **settings)
    p.apply_schema()
    with psycopg.connect(p.settings.warehouse, autocommit=True) as link:
        link.execute("ALTER TABLE dwh.fact_trip RENAME COLUMN fare_amount TO fare_elsewhere")
    with pytest.raises(mp.MetropulseError):
        p.run("2024-05-01")
    # Threads that were reading a file end with their batch, and the file goes with the last of them.
    deadline = time.monotonic() + 5
    while spooled(settings) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert spooled(settings) == []
    steps = p.status().days[0].steps
    assert {name: step.state for name, step in steps.items()} == {
        "stage": "loaded",
        "load_dimensions": "loaded",
        "load_facts": "failed",
        "build_route_hourly": "missing",
        "check_quality": "missing",
    }
    with psycopg.connect(p.settings.warehouse, autocommit=True) as link:
        link.execute("ALTER TABLE dwh.fact_trip RENAME COLUMN fare_elsewhere TO fare_amount")
    assert [step.unchanged for step in p.run("2024-05-01").steps[1:4]] == [True, True, False]
