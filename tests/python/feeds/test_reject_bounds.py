"""What is kept of rows that cannot be used, and what of one a message shows: bounded, whatever the format."""

from __future__ import annotations

import pytest

import metropulse as mp
from expansion import DAY, FEED, ZONE, write_zip
from tides_packages import LOCATIONS, PACKAGE, read_day, write_package

pytestmark = pytest.mark.core

LONG = "x" * 1_000_000
SHORTENED = 3_000


def ping(status: str, number: int) -> str:
    return f"p{number}{LONG},2024-05-01,2024-05-01T09:00:00Z,,bus 1,{status},41,-87,\n"


def ingest(folder, bad: int, good: int):
    text = LOCATIONS + "".join(ping("Parked", n) for n in range(bad)) + "".join(ping("", n) for n in range(good))
    package = write_package(folder / "p", {**PACKAGE, "vehicle_locations": text})
    return mp.Pipeline(lake=folder / "lake", time_zone="America/Chicago", reject_limit=1.0).ingest_tides(package)


def test_bad_rows_of_a_package_are_kept_up_to_a_number_of_bytes(tmp_path):
    with pytest.raises(mp.DataError) as raised:
        ingest(tmp_path, bad=34, good=0)
    text = str(raised.value)
    assert "rows of more than 33554432 bytes of the package cannot be used" in text
    assert "such as row 37 of vehicle_locations.csv (unconvertible)" in text
    assert text.index("repair the package") < SHORTENED
    assert not list((tmp_path / "lake").glob("dt=*/*.parquet"))


def test_long_bad_rows_within_the_bound_go_to_quarantine(tmp_path):
    report = ingest(tmp_path, bad=33, good=1)
    assert report.tables["vehicle_positions"].rows_rejected == 33
    assert [day.rejected for day in report.days] == [33, 0]
    assert len(read_day(tmp_path / "lake", "2024-05-01", "vehicle_positions")) == 2


def test_a_share_of_long_bad_rows_is_told_of_with_a_short_one(tmp_path):
    text = LOCATIONS + "".join(ping("Parked", n) for n in range(10))
    with pytest.raises(
        mp.DataError, match=r"10 of 12 rows of vehicle_locations .*such as row 4 of .*…; repair"
    ) as raised:
        mp.ingest_tides(
            write_package(tmp_path / "p", {**PACKAGE, "vehicle_locations": text}), tmp_path / "lake", time_zone="UTC"
        )
    assert str(raised.value).index("repair the package") < SHORTENED


def test_bad_rows_of_a_feed_are_kept_up_to_the_same_number_of_bytes(tmp_path):
    rows = "".join(f"S{n},Stop,{LONG},north,west\n" for n in range(34))
    files = {**FEED, "stops.txt": "stop_id,stop_name,stop_desc,stop_lat,stop_lon\n" + rows}
    pipeline = mp.Pipeline(lake=tmp_path / "lake", time_zone=ZONE, reject_limit=1.0)
    with pytest.raises(mp.DataError) as raised:
        pipeline.ingest_gtfs(write_zip(tmp_path / "feed.zip", files), DAY)
    text = str(raised.value)
    assert "rows of more than 33554432 bytes of the feed cannot be used" in text
    assert text.index("repair the feed") < SHORTENED
