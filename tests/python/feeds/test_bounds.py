"""What sources may ask for at most: each bound by what goes one beyond it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

import metropulse as mp
from expansion import DAY, FEED, ZONE
from realtime_messages import message, report

pytestmark = pytest.mark.core

NOON = int(datetime(2024, 5, 6, 12, tzinfo=UTC).timestamp())


def written(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name, text in FEED.items():
        (folder / name).write_text(text)
    return folder


def ingest(source: Path, lake: Path) -> mp.Report:
    return mp.ingest_gtfs(source, lake, DAY, time_zone=ZONE)


@pytest.mark.slow
def test_a_folder_of_more_than_ten_thousand_files_is_no_feed(tmp_path):
    feed = written(tmp_path / "feed")
    for number in range(10_000 - len(FEED)):
        (feed / f"{number}.txt").touch()
    assert len(ingest(feed, tmp_path / "lake").feeds[0].unread_files) == 10_000 - len(FEED)
    (feed / "one_more.txt").touch()
    with pytest.raises(mp.DataError, match="more than 10000 files, expected the folder of one feed"):
        ingest(feed, tmp_path / "lake")


def test_a_feed_is_looked_for_eight_folders_down_and_no_further(tmp_path):
    eight = Path(*"abcdefgh")
    written(tmp_path / "near" / eight)
    written(tmp_path / "far" / eight / "i")
    assert ingest(tmp_path / "near", tmp_path / "lake").rows > 0
    with pytest.raises(mp.SchemaError, match="holds no GTFS feed"):
        ingest(tmp_path / "far", tmp_path / "lake")


def test_of_recordings_that_cannot_be_read_a_hundred_are_named_and_all_are_counted(tmp_path):
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    for number in range(150):
        (recordings / f"{number:03}.pb").write_bytes(b"")
    (recordings / "good.pb").write_bytes(message(NOON, [report("v1", at=NOON)]))
    found = mp.ingest_gtfs_rt(recordings, tmp_path / "lake", "2024-05-06", time_zone="UTC")
    assert (found.recordings, found.recordings_unreadable, len(found.damaged)) == (1, 150, 100)
