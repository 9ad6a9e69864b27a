"""Recorders of several agencies that share a lake: what is recorded of a feed becomes rows of this feed alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from feed_server import FeedServer, feed_server, script
from recordings import archives, lasting_day

import metropulse as mp
from metropulse.feeds import default_spool
from waiting import until

pq = pytest.importorskip("pyarrow.parquet")

pytestmark = [pytest.mark.core, pytest.mark.slow]


FIVE_MESSAGES = (*["new"] * 5, "same")


def record(server: FeedServer, folder: Path, path: str, feed: str | None) -> mp.Report:
    """Record the five messages that the server has at a path, whose vehicles bear its name, in two periods or more."""
    pipeline, spool, seconds = mp.Pipeline(lake=folder / "lake"), folder / f"spool-{path}", set()
    asked = {"vehicle_positions": server.url(path), "feed": feed, "spool": spool, "every": "100ms", "timeout": "60s"}

    def is_recorded() -> bool:
        with suppress(mp.NotFoundError):
            counts = mp.collect_status(spool).feeds.vehicle_positions
            if counts.polls:
                seconds.add(counts.polled_at[: len("2024-05-01T12:00:00")])
            return len(seconds) > 1 and counts.polls >= len(FIVE_MESSAGES)
        return False

    with ThreadPoolExecutor(1) as pool:
        recorder = pool.submit(pipeline.collect, archive_every="1s", **asked)
        try:
            until(lambda: recorder.done() or is_recorded(), 60, "it is not recorded", every=0.05)
        finally:
            pipeline.cancel()
        with suppress(mp.CancelledError):
            recorder.result()
    return pipeline.collect(archive_every="1s", duration="0s", **asked)


def side_by_side(folder: Path, *recorders: tuple[FeedServer, str, str | None]) -> list[mp.Report]:
    with ThreadPoolExecutor(len(recorders)) as pool:
        running = [pool.submit(record, server, folder, path, feed) for server, path, feed in recorders]
        return [recorder.result() for recorder in running]


def ingest(folder: Path, day: str, **more: Any) -> mp.Report:
    return mp.ingest_gtfs_rt(None, folder / "lake", day, time_zone="UTC", **more)


def vehicles(folder: Path, day: str, feed: str) -> set[str]:
    part = folder / "lake" / f"dt={day}" / "vehicle_positions" / f"{feed}.parquet"
    return {row["vehicle_id"] for row in pq.read_table(part).to_pylist()}


def test_two_agencies_are_recorded_into_one_lake_and_their_ids_do_not_mix(tmp_path):
    day = lasting_day()
    with feed_server(script(*FIVE_MESSAGES)) as trams, feed_server(script(*FIVE_MESSAGES)) as buses:
        reports = side_by_side(tmp_path, (trams, "t", "tram"), (buses, "b", "bus"))
    assert [report.feed for report in reports] == ["tram", "bus"]
    for feed, path, server in (("tram", "t", trams), ("bus", "b", buses)):
        report = ingest(tmp_path, day, feed=feed)
        assert report.recordings == len(server.bodies) > 1
        sent = {f"{feed}:{path}-{number}" for number in range(1, server.numbers[path] + 1)}
        assert vehicles(tmp_path, day, feed) == sent
        with mp.Pipeline(lake=tmp_path / "lake") as pipeline:
            looked = pipeline.recordings(day, feed=feed)
        of_feed = archives(tmp_path / "lake" / "recordings" / day / feed)
        assert (looked.feed, looked.archives) == (feed, len(of_feed))
    # Without a name there is nothing to read, and whose recordings there are is said.
    with pytest.raises(mp.NotFoundError, match=r"no recordings of .* but some of feed bus, feed tram; record the feed"):
        ingest(tmp_path, day)


def test_recordings_without_a_name_stay_where_they_are_and_are_nobodys_else(tmp_path):
    day = lasting_day()
    with feed_server(script(*FIVE_MESSAGES)) as server:
        side_by_side(tmp_path, (server, "plain", None), (server, "named", "bus"))
    of_day = tmp_path / "lake" / "recordings" / day
    assert ingest(tmp_path, day, dry_run=True).recordings == server.numbers["plain"]
    assert ingest(tmp_path, day, feed="bus", dry_run=True).recordings == server.numbers["named"]
    with pytest.raises(
        mp.NotFoundError, match=r"of feed tram .* but some of a feed without a name, feed bus; .*--feed tram"
    ):
        ingest(tmp_path, day, feed="tram")
    # Whoever recorded before there was a name gives it now.
    named = mp.ingest_gtfs_rt(f"{of_day}/*.tar.zst", tmp_path / "lake", day, feed="tram", time_zone="UTC")
    assert named.recordings == server.numbers["plain"]


def test_two_recorders_of_one_feed_share_a_lake(tmp_path):
    day = lasting_day()
    with feed_server(script(*FIVE_MESSAGES)) as server:
        side_by_side(tmp_path, (server, "a", "bus"), (server, "b", "bus"))
    assert len(archives(tmp_path / "lake" / "recordings" / day / "bus")) >= 4
    ingest(tmp_path, day, feed="bus")
    seen = {f"bus:{path}-{number}" for path in "ab" for number in range(1, server.numbers[path] + 1)}
    assert vehicles(tmp_path, day, "bus") == seen


def test_a_recorder_says_whose_feed_it_records_and_leaves_the_spool_of_another_alone(tmp_path):
    (tmp_path / "lake").write_text("no folder: nothing can be uploaded")
    with feed_server(lambda _: "new") as server:
        with pytest.raises(mp.MetropulseError, match="lake"):
            record(server, tmp_path, "v", "tram")
        assert mp.collect_status(tmp_path / "spool-v").feed == "tram"
        with pytest.raises(mp.ConfigError, match=r"recordings of feed tram wait in the spool .*, expected feed bus"):
            record(server, tmp_path, "v", "bus")
        with pytest.raises(mp.ConfigError, match='feed is "a/b"'):
            record(server, tmp_path, "v", "a/b")


def test_each_feed_has_a_spool_of_its_own_where_none_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_spool() == tmp_path / "metropulse" / "recorder"
    with feed_server(lambda _: "new") as server:
        mp.collect(tmp_path / "lake", vehicle_positions=server.url("v"), feed="tram", duration="200ms")
    assert mp.collect_status(feed="tram").feed == "tram"
    with pytest.raises(mp.NotFoundError, match="no recorder has used this spool"):
        mp.collect_status()
