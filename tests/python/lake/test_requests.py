"""Requests to an object store overlap, and an unchanged day is not read again, proved by a store that counts."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

import psycopg

import metropulse as mp
from http_servers import running
from store_proxy import CountingProxy

pytestmark = [pytest.mark.core, pytest.mark.embedded, pytest.mark.slow]

DAY = "2024-05-01"
FILES = 60
AT_ONCE = 32
"""The bound that docs/sources.md names."""


@pytest.fixture
def store(minio_bucket, minio_put):
    """A bucket with a day of small files behind a proxy that delays every request: the lake, its options, the proxy."""
    bucket, options = minio_bucket
    noon = datetime(2024, 5, 1, 12, tzinfo=UTC)
    for number in range(FILES):
        rows = pa.table(
            {
                "event_ts": [noon] * 3,
                "vehicle_id": [f"V{number}-{n}" for n in range(3)],
                "lat": [55.7] * 3,
                "lon": [37.6] * 3,
            }
        )
        sink = pa.BufferOutputStream()
        pq.write_table(rows, sink)
        minio_put(bucket, f"dt={DAY}/vehicle_positions/part-{number:03}.parquet", sink.getvalue().to_pybytes())
    with running(CountingProxy(options["aws_endpoint"], delay_seconds=0.05)) as proxy:
        yield f"s3://{bucket}", {**options, "aws_endpoint": proxy.url}, proxy


def test_a_day_of_small_files_is_fetched_side_by_side_and_its_unchanged_rerun_only_listed(store, pipeline_on):
    lake, options, proxy = store
    p = pipeline_on(lake, lake_options=options)
    report = p.run(DAY)
    assert report.steps[3].tables["dwh.fact_vehicle_position"].rows_loaded == 3 * FILES
    assert len(proxy.bytes_read) == FILES
    assert AT_ONCE / 2 < proxy.most_in_flight <= AT_ONCE
    proxy.forget()
    assert p.run(DAY).unchanged
    assert not proxy.bytes_read
    assert proxy.requests == 1

    # The store says something else of the same bytes: they are read, and known again.
    proxy.etag_salt = b"-2"
    assert p.run(DAY).unchanged
    assert len(proxy.bytes_read) == FILES
    proxy.forget()
    assert p.run(DAY).unchanged
    assert not proxy.bytes_read


def test_other_bytes_of_the_same_size_are_noticed_by_their_etag(store, pipeline_on, minio_put):
    lake, options, proxy = store
    p = pipeline_on(lake, lake_options=options)
    p.run(DAY)
    bucket, path = lake.removeprefix("s3://"), f"dt={DAY}/vehicle_positions/part-000.parquet"
    with psycopg.connect(str(p.settings.warehouse)) as link:
        (known,) = link.execute("SELECT DISTINCT size_bytes FROM dwh.load_ledger WHERE file = %s", [path]).fetchone()
    noon = datetime(2024, 5, 1, 13, tzinfo=UTC)
    rows = pa.table(
        {"event_ts": [noon] * 3, "vehicle_id": [f"W0-{n}" for n in range(3)], "lat": [55.7] * 3, "lon": [37.6] * 3}
    )
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink)
    assert sink.tell() == known
    minio_put(bucket, path, sink.getvalue().to_pybytes())
    proxy.forget()
    assert not p.run(DAY).unchanged
    found = p.warehouse.query("SELECT count(*) AS n FROM staging.vehicle_positions_raw WHERE vehicle_id LIKE 'W0-%'")
    assert found.to_pylist() == [{"n": 3}]


@pytest.mark.parametrize("verb", ["copy", "rollup"])
def test_a_folder_of_small_files_takes_one_request_a_file_side_by_side(verb, store, pipeline_on):
    lake, options, proxy = store
    p = pipeline_on(None)
    proxy.forget()
    if verb == "copy":
        report = mp.copy_parquet(lake, str(p.settings.warehouse), "positions", create=True, lake_options=options)
        assert (report.rows, report.files) == (3 * FILES, FILES)
    else:
        rolled = mp.rollup_hourly(lake, keys=[], time="event_ts", measures={"n": "count"}, lake_options=options)
        assert rolled.to_pylist()[0]["n"] == 3 * FILES
    assert len(proxy.bytes_read) == FILES
    # One listing, and for a small file what its footer comes with.
    assert proxy.requests <= FILES + 3
    assert AT_ONCE / 2 < proxy.most_in_flight <= AT_ONCE


def test_row_groups_of_large_files_are_fetched_ahead(store, pipeline_on, minio_put):
    lake, options, proxy = store
    rows = pa.table({"at": [datetime(2024, 5, 1, tzinfo=UTC)] * 40_000, "n": pa.array(range(40_000), pa.int64())})
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, row_group_size=1_000, use_dictionary=False, compression="none")
    assert sink.tell() > 512 * 1024
    minio_put(lake.removeprefix("s3://"), "large/a.parquet", sink.getvalue().to_pybytes())
    proxy.forget()
    rolled = mp.rollup_hourly(
        f"{lake}/large", keys=[], time="at", measures={"n": ("sum", "n")}, lake_options=options, threads=1
    )
    assert rolled.to_pylist()[0]["n"] == sum(range(40_000))
    assert AT_ONCE / 2 < proxy.most_in_flight <= AT_ONCE
    # The object's own name, the listing, the footer, and one request for each of the 40 row groups.
    assert proxy.requests <= 44
