"""Where copies lie that go again: the spool that was named, made if need be, whatever the source."""

from __future__ import annotations

import zipfile

import pytest

import metropulse as mp
from expansion import DAY, FEED, ZONE, write_zip
from http_servers import files_of
from realtime_messages import message, report
from tides_packages import pack, read_day, write_package

pytestmark = pytest.mark.core


@pytest.fixture
def spool(tmp_path):
    """A folder that is not there yet, below one that is not there either."""
    return tmp_path / "not" / "yet"


@pytest.fixture(params=["local", "web"])
def reach(request, tmp_path):
    """Names a file of the test's folder: as its path, or by the URL of a web server."""
    if request.param == "local":
        yield lambda path: path
        return
    with files_of(tmp_path) as url:
        yield lambda path: f"{url}/{path.relative_to(tmp_path)}"


def test_a_package_in_a_zip_is_unpacked_into_a_spool_that_is_made(tmp_path, spool, reach):
    zipped = pack(write_package(tmp_path / "package"), tmp_path / "p.zip")
    mp.Pipeline(lake=tmp_path / "lake", time_zone="America/Chicago", spool=spool).ingest_tides(reach(zipped))
    assert [row["vehicle_id"] for row in read_day(tmp_path / "lake", "2024-05-01", "vehicles")] == ["bus 1"]
    assert list(spool.iterdir()) == []


def test_a_feed_in_a_zip_in_a_zip_is_unpacked_into_a_spool_that_is_made(tmp_path, spool, reach):
    inner = write_zip(tmp_path / "inner.zip", FEED)
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as outer:
        outer.write(inner, "google_transit.zip")
    mp.Pipeline(lake=tmp_path / "lake", time_zone=ZONE, spool=spool).ingest_gtfs(reach(tmp_path / "outer.zip"), DAY)
    assert (tmp_path / "lake" / f"dt={DAY}" / "scheduled_trips.parquet").is_file()
    assert list(spool.iterdir()) == []


def test_recordings_out_of_order_are_put_into_order_in_a_spool_that_is_made(tmp_path, spool):
    source = tmp_path / "recordings"
    source.mkdir()
    for name, second in (("1.pb", 1_714_564_860), ("2.pb", 1_714_564_800)):
        (source / name).write_bytes(message(second, [report("v1", at=second)]))
    pipeline = mp.Pipeline(lake=tmp_path / "lake", time_zone="UTC", spool=spool)
    found = pipeline.ingest_gtfs_rt(source, "2024-05-01")
    assert found.tables["vehicle_positions"].rows_written == 2
    assert list(spool.iterdir()) == []


def test_a_spool_that_cannot_be_made_is_told_of(tmp_path):
    (tmp_path / "file").write_text("no folder")
    zipped = pack(write_package(tmp_path / "package"), tmp_path / "p.zip")
    pipeline = mp.Pipeline(lake=tmp_path / "lake", time_zone="America/Chicago", spool=tmp_path / "file" / "spool")
    with pytest.raises(mp.DataError, match=r"p\.zip cannot be read"):
        pipeline.ingest_tides(zipped)
