"""Timetables in an object store: a zip or a folder, and what stands in it where, give what the same files give here."""

from __future__ import annotations

from datetime import date

import pytest

import metropulse as mp
from expansion import DAY, FEED, ZONE, expand, manifest, write_zip, written

pytestmark = [pytest.mark.core, pytest.mark.slow]


@pytest.fixture
def ingest(minio_bucket, tmp_path):
    """Ingest a feed of the bucket into a lake of this machine."""
    name, options = minio_bucket

    def run(key: str, lake: str = "lake", **more):
        source = f"s3://{name}/{key}"
        return mp.ingest_gtfs(source, tmp_path / lake, DAY, time_zone=ZONE, source_options=options, **more)

    return run


@pytest.mark.parametrize("below", ["", "gtfs/", "2024/spring/"], ids=["folder", "sub-folder", "deeper"])
def test_a_folder_of_a_bucket_is_the_folder_of_this_machine(minio_bucket, minio_put, ingest, tmp_path, below):
    local = tmp_path / "local" / below
    local.mkdir(parents=True)
    for file, text in {**FEED, "notes of ours.txt": "x"}.items():
        minio_put(minio_bucket[0], f"feeds/tram/{below}{file}", text.encode())
        (local / file).write_text(text)
    minio_put(minio_bucket[0], "feeds/tram/__MACOSX/._stops.txt", b"\x00")
    report = ingest("feeds/tram/")
    assert written(tmp_path / "lake", DAY) == expand(FEED, ZONE, date.fromisoformat(DAY))
    assert report.feeds[0].unread_files == ("notes of ours.txt",)
    mp.ingest_gtfs(tmp_path / "local", tmp_path / "here", DAY, time_zone=ZONE)
    assert manifest(tmp_path / "lake", DAY) == manifest(tmp_path / "here", DAY)


def test_a_zip_of_a_bucket_is_the_zip_of_this_machine_also_in_a_lake_of_the_bucket(
    minio_bucket, minio_put, ingest, tmp_path
):
    name, options = minio_bucket
    packed = write_zip(tmp_path / "feed.zip", FEED, "nested/")
    minio_put(name, "feeds/feed.zip", packed.read_bytes())
    ingest("feeds/feed.zip")
    mp.ingest_gtfs(packed, tmp_path / "here", DAY, time_zone=ZONE)
    assert manifest(tmp_path / "lake", DAY) == manifest(tmp_path / "here", DAY)
    for unchanged in (False, True):
        report = mp.ingest_gtfs(
            f"s3://{name}/feeds/feed.zip", f"s3://{name}/raw", DAY, time_zone=ZONE, lake_options=options
        )
        assert (report.unchanged, report.days[0].trips) == (unchanged, 2)


def test_what_is_no_feed_in_a_bucket_is_refused(minio_bucket, minio_put, ingest):
    with pytest.raises(mp.NotFoundError, match="is not there"):
        ingest("feeds/none/")
    for folder in ("a", "b"):
        for file, text in FEED.items():
            minio_put(minio_bucket[0], f"two/{folder}/{file}", text.encode())
    with pytest.raises(mp.ConfigError, match="2 feeds, in a and b"):
        ingest("two/")
    assert ingest("two/", folder="b").days[0].trips == 2
