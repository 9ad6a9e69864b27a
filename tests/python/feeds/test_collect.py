"""The recorder of feeds: what it keeps, what it skips, how it stops, and what it says of itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from feed_server import feed_server, script
from recorders import Running, status, wait_for, wait_for_counts
from recordings import archives, lasting_day, synced

import metropulse as mp

pq = pytest.importorskip("pyarrow.parquet")

pytestmark = [pytest.mark.core, pytest.mark.slow]


def collect(server: Any, folder: Path, **more: Any) -> mp.Report:
    asked = {"every": "100ms", "duration": "1s", "timeout": "60s", "spool": folder / "spool", **more}
    return mp.collect(folder / "lake", vehicle_positions=server.url("vehicle_positions"), **asked)


def test_new_messages_are_recorded_once_and_unchanged_ones_are_skipped(tmp_path):
    with feed_server(script("new", "same", "untagged", "new", "gzip", "same")) as server:
        with Running(server, tmp_path):
            wait_for_counts(tmp_path, polls=6)
        recorder = status(tmp_path)
        report = collect(server, tmp_path, duration="0s")
    counts = recorder.feeds.vehicle_positions
    assert (counts.recorded, counts.failed, counts.not_kept) == (3, 0, 0)
    assert counts.unchanged == counts.polls - 3 >= 3
    found = archives(tmp_path / "lake" / "recordings")
    assert [body for archive in found for body in archive.recordings.values()] == list(server.bodies)
    polls = [poll for archive in found for poll in archive.polls]
    first, second, third = polls[:3]
    assert (first["became"], first["status"], first["etag"]) == ("recorded", 200, '"vehicle_positions-1"')
    assert (second["became"], second["status"], third["became"]) == ("unchanged", 304, "unchanged")
    assert len(polls) == counts.polls
    assert recorder.archives_uploaded + report.files == len(found)
    assert not list((tmp_path / "spool" / "archives").iterdir())


def test_the_report_of_a_recorder_that_ends_by_itself_counts_what_its_status_counts(tmp_path):
    with feed_server(script("new", "same", "500", "same")) as server:
        report = collect(server, tmp_path)
    told, counts = report.feeds.vehicle_positions, status(tmp_path).feeds.vehicle_positions
    assert told == {count: counts[count] for count in ("polls", "recorded", "unchanged", "failed", "not_kept")}
    assert report.files == len(archives(tmp_path / "lake"))


def test_what_was_recorded_is_ingested_by_its_date_with_the_time_of_receipt(tmp_path):
    day = lasting_day()
    with feed_server(script("new", "new", "same")) as server:
        with Running(server, tmp_path, archive_every="1s"):
            wait_for_counts(tmp_path, recorded=2)
        collect(server, tmp_path, archive_every="1s", duration="0s")
    polls = [poll for archive in archives(tmp_path / "lake") for poll in archive.polls if poll["became"] == "recorded"]
    report = mp.ingest_gtfs_rt(None, tmp_path / "lake", day, time_zone="UTC")
    assert (report.recordings, report.recordings_unreadable) == (2, 0)
    rows = pq.read_table(tmp_path / "lake" / f"dt={day}" / "vehicle_positions.parquet").to_pylist()
    received = {row["vehicle_id"]: row["received_at"] for row in rows}
    told = [datetime.fromisoformat(poll["received_at"]).replace(tzinfo=UTC) for poll in polls]
    assert received == {"vehicle_positions-1": told[0], "vehicle_positions-2": told[1]}
    with mp.Pipeline(lake=tmp_path / "lake") as pipeline:
        looked = pipeline.recordings(day)
        assert (looked.complete, looked.archives) == (False, len(archives(tmp_path / "lake")))
        # Of a day of which nothing comes any more, the recordings of the next hours tell that it is whole.
        assert pipeline.recordings(day, hours_past=-24).complete
        assert pipeline.recordings("2024-05-01").recorded_until is None
    with pytest.raises(mp.NotFoundError, match="no recordings of 2024-05-01"):
        mp.ingest_gtfs_rt(None, tmp_path / "lake", "2024-05-01")


def test_a_feed_that_fails_is_asked_less_often_and_comes_back(tmp_path):
    bad = ("500", "busy", "cut", "cut chunks", "dropped", "401")
    with feed_server(script("new", *bad, "new", "same")) as server, Running(server, tmp_path):
        wait_for_counts(tmp_path, recorded=2)
        counts = status(tmp_path).feeds.vehicle_positions
        assert (counts.failed, counts.failures, counts.error) == (len(bad), 0, None)
        assert [behaviour for _, behaviour, _ in server.requests[: len(bad) + 2]] == ["new", *bad, "new"]


def test_an_answer_that_is_no_message_is_kept_as_it_is_and_is_a_failure(tmp_path):
    with feed_server(script("new", "garbage", "new", "same")) as server:
        with Running(server, tmp_path):
            wait_for_counts(tmp_path, polls=4)
        counts = status(tmp_path).feeds.vehicle_positions
        collect(server, tmp_path, duration="0s")
    assert (counts.recorded, counts.failed) == (3, 1)
    (wrong,) = [poll for archive in archives(tmp_path / "lake") for poll in archive.polls if poll.get("error")]
    assert "no message that can be read" in wrong["error"]
    # It is not taken for the feed's state: what comes after it is asked for without its ETag.
    assert '"garbage"' not in server.acknowledged


@pytest.mark.parametrize(
    ("behaviour", "says"),
    [
        ("endless", "the answer has more than 67108864 bytes"),
        ("bomb", "the answer unpacks to more than 67108864 bytes"),
        ("to /vehicle_positions", "the server sends on and on"),
    ],
)
def test_an_answer_without_end_is_a_failed_poll_that_keeps_nothing(tmp_path, behaviour, says):
    with feed_server(lambda _: behaviour) as server, Running(server, tmp_path):
        wait_for_counts(tmp_path, failed=1)
        counts = status(tmp_path).feeds.vehicle_positions
    assert (counts.recorded, says in counts.error) == (0, True), counts.error
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 1 << 20


def test_keys_are_read_anew_for_each_request_and_never_written_down(tmp_path, monkeypatch):
    first, second, of_environment = "first-secret-key", "second-secret-key", "key-of-environment"
    secrets = tmp_path / "secrets"
    secrets.write_text(f"FEED_KEY={first}\n")
    monkeypatch.setenv("OTHER_KEY", of_environment)
    with feed_server(lambda _: "new") as server:
        server.keys = {first}
        headers = {"X-Api-Key": "${FEED_KEY}", "X-Other": "${OTHER_KEY}"}
        with Running(server, tmp_path, headers=headers, secrets=secrets, archive_every="1s"):
            wait_for(lambda: len(server.requests) > 3)
            server.keys = {second}
            wait_for(lambda: (found := status(tmp_path)) and found.feeds.vehicle_positions.failures > 1)
            secrets.write_text(f"FEED_KEY={second}\n")
            wait_for(lambda: status(tmp_path).feeds.vehicle_positions.failures == 0)
        seen = [(request["x-api-key"], request["x-other"]) for _, _, request in server.requests]
    assert set(seen) == {(first, of_environment), (second, of_environment)}
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path != secrets]
    assert len(written) > 3
    for path in written:
        assert not any(key.encode() in path.read_bytes() for key in (first, second, of_environment)), path


def test_a_key_does_not_follow_to_another_host(tmp_path):
    with feed_server(lambda _: "new") as server:
        elsewhere = f"http://localhost:{server.server_port}/other"
        server.behave = lambda path: f"to {elsewhere}" if path == "vehicle_positions" else "new"
        with Running(server, tmp_path, headers={"X-Api-Key": "a-secret-key"}):
            wait_for_counts(tmp_path, failed=1)
        assert {path for path, _, _ in server.requests} == {"vehicle_positions"}
        assert status(tmp_path).feeds.vehicle_positions.recorded == 0
        with Running(server, tmp_path):
            wait_for_counts(tmp_path, recorded=1)


def test_a_spool_has_one_recorder(tmp_path):
    with feed_server(script("new", "same")) as server, Running(server, tmp_path):
        wait_for(lambda: (found := status(tmp_path)) and found.is_running)
        with pytest.raises(mp.ConflictError, match=f"another recorder .process {os.getpid()}"):
            collect(server, tmp_path)


def test_a_full_spool_is_told_of_and_keeps_what_it_has(tmp_path):
    (tmp_path / "lake").write_text("no folder: nothing can be uploaded")
    with feed_server(lambda _: "new") as server, Running(server, tmp_path, spool_limit_bytes=9_000):
        wait_for(lambda: (found := status(tmp_path)) and found.not_kept_since)
        before = synced(tmp_path / "spool")
        time.sleep(0.5)
        assert synced(tmp_path / "spool") == before != set()
        found = mp.collect_status(tmp_path / "spool")
    assert not found.is_healthy
    assert any(
        "new messages are not kept since" in problem and "the spool is full" in problem for problem in found.problems
    )
    assert found.feeds.vehicle_positions.not_kept > 0


def test_archives_wait_until_the_lake_is_there(tmp_path):
    (tmp_path / "lake").write_text("no folder: nothing can be uploaded")
    with feed_server(script("new", "same")) as server:
        with Running(server, tmp_path):
            wait_for_counts(tmp_path, recorded=1)
        with pytest.raises(mp.MetropulseError, match="lake"):
            collect(server, tmp_path, duration="0s")
        kept = synced(tmp_path / "spool")
        assert kept == set(server.bodies) != set()
        (tmp_path / "lake").unlink()
        server.behave = lambda _: "500"
        with Running(server, tmp_path):
            wait_for_counts(tmp_path, failed=1)
        collect(server, tmp_path, duration="0s")
    found = archives(tmp_path / "lake")
    assert len(found) >= 2
    assert kept == {body for archive in found for body in archive.recordings.values()}


def test_a_recorder_is_stopped_by_sigterm_and_the_next_one_goes_on(tmp_path, interruptible):
    with feed_server(lambda _: "new") as server:
        asked = ["--vehicle-positions", server.url("vehicle_positions"), "--to", str(tmp_path / "lake")]
        command = [
            sys.executable,
            "-m",
            "metropulse",
            "collect",
            "--spool",
            str(tmp_path / "spool"),
            "--every",
            "200ms",
        ]
        child = subprocess.Popen([*command, *asked], stderr=subprocess.PIPE, text=True)
        wait_for(lambda: len(server.acknowledged) > 2)
        child.send_signal(signal.SIGTERM)
        said = child.communicate(timeout=60)[1]
        assert child.returncode == 143
        assert "recording vehicle_positions into" in said
        assert "Traceback" not in said
        stopped = subprocess.run([*command[:4], "--status", "--spool", str(tmp_path / "spool"), "--json"],
                                 capture_output=True, text=True, check=False)  # fmt: skip
        told = json.loads(stopped.stdout)
        assert (stopped.returncode, told["is_running"], told["is_stopped"]) == (6, False, True)
        assert "it was stopped" in told["problems"][0]
        assert list((tmp_path / "spool" / "open").iterdir())
        subprocess.run([*command, *asked, "--for", "500ms"], check=True, capture_output=True)
    recorded = {body for archive in archives(tmp_path / "lake") for body in archive.recordings.values()}
    assert {server.tags[tag] for tag in server.acknowledged} <= recorded <= set(server.bodies)


def test_archives_go_to_a_bucket_and_are_read_from_it(tmp_path, minio_bucket):
    name, options = minio_bucket
    pipeline = mp.Pipeline(lake=f"s3://{name}/raw", lake_options=options)
    day = lasting_day()
    with feed_server(script("new", "new", "same")) as server:
        feeds = {feed: server.url(feed) for feed in ("vehicle_positions", "alerts")}
        with Running(server, tmp_path, pipeline, alerts=feeds["alerts"]):
            wait_for_counts(tmp_path, recorded=2)
            wait_for_counts(tmp_path, "alerts", recorded=2)
        mp.collect(f"s3://{name}/raw", duration="0s", spool=tmp_path / "spool", lake_options=options, **feeds)
    report = mp.ingest_gtfs_rt(None, f"s3://{name}/raw", day, lake_options=options, time_zone="UTC")
    assert (report.recordings, report.vehicle_positions.reports) == (4, 4)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"vehicle_positions": "ftp://x/y"}, "the URL of vehicle_positions is none"),
        ({"vehicle_positions": "http://x/?key=${METROPULSE_NOT_SET}"}, "METROPULSE_NOT_SET is not set"),
        ({"vehicle_positions": "http://x/y", "headers": {"a b": "c"}}, "no name of a header"),
        ({"vehicle_positions": "http://x/y", "every": "soon"}, "every is 'soon', expected a time such as 10s"),
        ({"vehicle_positions": "http://x/y", "every": "1ms"}, "every is 0.001 s, expected 0.1 seconds to an hour"),
        ({"vehicle_positions": "http://x/y", "archive_every": "7m"}, "archive_every is 420 s, expected a whole part"),
        ({}, "no feed is named"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_written(tmp_path, wrong, says):
    with pytest.raises(mp.ConfigError, match=says.replace("?", r"\?")):
        mp.collect(tmp_path / "lake", spool=tmp_path / "spool", duration="1s", **wrong)
    assert not list(tmp_path.iterdir())


def test_the_status_of_a_spool_that_nobody_used_is_not_found(tmp_path):
    with pytest.raises(mp.NotFoundError, match="no recorder has used this spool"):
        mp.collect_status(tmp_path)
