"""What a feed says of itself before a day is made of it: its zone, its dates, and with which of them to begin."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

import metropulse as mp
from answers import REAL_DATA, needs_real_data
from expansion import FEED, ZONE, write_zip
from realtime_messages import message, report

pytestmark = pytest.mark.core

CALENDAR = FEED["calendar.txt"].splitlines()[0]


@pytest.fixture
def describe(tmp_path):
    def run(calendar: str | None = None, recordings=()):
        files = FEED if calendar is None else {**FEED, "calendar.txt": f"{CALENDAR}\n{calendar}\n"}
        return mp.Pipeline().describe_gtfs(write_zip(tmp_path / "feed.zip", files), recordings=recordings)

    return run


def recording(folder: Path, *local: int, empty: bool = False) -> str:
    at = int(datetime(*local, tzinfo=ZoneInfo(ZONE)).timestamp())
    path = folder / f"{at}.pb"
    path.write_bytes(message(at, [] if empty else [report("v1", at=at)]))
    return str(path)


def test_a_feed_tells_its_zone_version_and_dates_whatever_zone_is_set(describe, monkeypatch):
    monkeypatch.setenv("METROPULSE_TIME_ZONE", "Europe/Moscow")
    told = describe()
    assert (told.zone, told.feed_version, told.valid_from, told.valid_to) == (ZONE, None, "2024-01-01", "2024-12-31")


def test_without_recordings_the_first_day_is_today_else_a_working_day_else_where_the_feed_begins(describe):
    today = datetime.now(ZoneInfo(ZONE)).date()
    days = ",".join("1" if day == today.weekday() else "0" for day in range(7))
    span = f"{today - timedelta(days=40):%Y%m%d},{today + timedelta(days=40):%Y%m%d}"

    def first(calendar: str) -> tuple[str, str]:
        told = describe(calendar)
        return told.first_day, told.first_day_is

    assert first(f"WK,{days},{span}") == (today.isoformat(), "today")
    # The sixth of January 2024 is a Saturday.
    assert first("WK,0,0,1,0,0,1,1,20240106,20241231") == ("2024-01-10", "weekday")
    assert first("WK,0,0,0,0,0,1,1,20240103,20241231") == ("2024-01-03", "beginning")


def test_recordings_decide_by_the_local_dates_on_which_they_say_anything_and_the_feed_holds(describe, tmp_path):
    recordings = [
        recording(tmp_path, 2023, 12, 31, 12),
        recording(tmp_path, 2024, 2, 1, 12, empty=True),
        recording(tmp_path, 2024, 5, 6, 23, 30),
        recording(tmp_path, 2024, 5, 6, 23, 50),
        recording(tmp_path, 2024, 5, 7, 0, 10),
    ]
    told = describe(recordings=recordings)
    assert told.recorded == {"2023-12-31": 1, "2024-05-06": 2, "2024-05-07": 1}
    assert (told.first_day, told.first_day_is) == ("2024-05-06", "recorded")
    assert describe(recordings=recordings[:1]).first_day_is != "recorded"
    with pytest.raises(mp.NotFoundError):
        describe(recordings=str(tmp_path / "none.pb"))


@needs_real_data
def test_a_real_agencys_recordings_and_feed_agree_on_a_day():
    gtfs = REAL_DATA / "gtfs"
    told = mp.Pipeline().describe_gtfs(gtfs / "ct.zip", recordings=str(gtfs / "ct-*.pb"))
    assert (told.zone, told.first_day, told.first_day_is) == ("America/Los_Angeles", "2023-11-07", "recorded")
