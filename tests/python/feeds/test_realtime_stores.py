"""Recordings and a lake in different stores: each is reached with its own options, and named by the same rules."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

import metropulse as mp
from realtime_messages import message, report

pytestmark = [pytest.mark.core, pytest.mark.embedded, pytest.mark.slow]

DAY = "2024-05-01"
NOON = int(datetime(2024, 5, 1, 12, tzinfo=UTC).timestamp())


def recording(vehicle: str) -> bytes:
    return message(NOON, [report(vehicle, at=NOON)])


def test_the_lake_is_written_with_its_own_options_whatever_the_recordings_have(minio_bucket, tmp_path):
    name, options = minio_bucket
    (tmp_path / "one.pb").write_bytes(recording("v1"))
    found = mp.ingest_gtfs_rt(
        tmp_path / "one.pb", f"s3://{name}/raw", DAY, lake_options=options,
        source_options={**options, "aws_secret_access_key": "of-another-store"},
    )  # fmt: skip
    assert found.tables["vehicle_positions"].rows_written == 1
    with mp.Pipeline(lake=f"s3://{name}/raw", lake_options=options) as p:
        assert p.partition_ready(DAY, required=["vehicle_positions"]).ready


def test_recordings_of_a_bucket_come_into_a_lake_of_this_machine(minio_bucket, minio_put, tmp_path):
    name, options = minio_bucket
    for key in ("a b.pb", "a%20b.pb", "odd#[1].pb", "_unfinished.pb", "_old/c.pb", "notes.txt"):
        minio_put(name, f"rec/{key}", recording(key))

    def vehicles(source: str) -> int:
        found = mp.ingest_gtfs_rt(f"s3://{name}/{source}", tmp_path / "lake", DAY, source_options=options, dry_run=True)
        return found.tables["vehicle_positions"].rows_written

    assert vehicles("rec/") == 3
    assert [vehicles(f"rec/{key}") for key in ("a b.pb", "a%20b.pb", "odd#[1].pb", "_unfinished.pb", "*.pb")] == [
        1, 1, 1, 1, 3,
    ]  # fmt: skip


def test_an_open_lake_has_options_and_zone_of_its_own(tmp_path):
    with mp.Pipeline(lake=tmp_path / "lake") as p:
        for given in ({"time_zone": "UTC"}, {"lake_options": {}}):
            with pytest.raises(mp.ConfigError, match="of its own"):
                mp.ingest_gtfs_rt(tmp_path / "one.pb", p, DAY, **given)
            with pytest.raises(mp.ConfigError, match="of its own"):
                mp.ingest_gtfs(tmp_path / "feed.zip", p, DAY, **given)
