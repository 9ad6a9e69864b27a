"""The recorder against a server that misbehaves, killed at random instants: nothing synced is lost, nothing is torn."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from feed_server import BAD, GOOD, feed_server
from recordings import archives, lasting_day, synced

import metropulse as mp

pytest.importorskip("pyarrow")

pytestmark = pytest.mark.core
SOAK = os.environ.get("METROPULSE_SOAK") == "1"
SECONDS = 600 if SOAK else 60
FEEDS = ("vehicle_positions", "trip_updates", "alerts")


def start(urls: dict[str, str], folder: Path, *more: str) -> subprocess.Popen[bytes]:
    feeds = [word for name, url in urls.items() for word in (f"--{name.replace('_', '-')}", url)]
    command = [sys.executable, "-m", "metropulse", "collect", *feeds, "--every", "150ms", "--archive-every", "1s"]
    places = ["--timeout", "1s", "--to", str(folder / "lake"), "--spool", str(folder / "spool")]
    return subprocess.Popen([*command, *places, *more], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


# `make soak` picks by mark.
@(pytest.mark.soak if SOAK else pytest.mark.slow(seconds=65))
def test_no_synced_poll_is_lost_and_every_file_is_readable_whenever_the_recorder_is_killed(tmp_path):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    day = lasting_day(SECONDS + 180)

    def behave(_path: str) -> str:
        return chance.choice(GOOD if chance.random() < 0.8 else BAD)

    with feed_server(behave, slow_seconds=1.5) as server:
        urls = {feed: server.url(feed) for feed in FEEDS}
        until, kills, kept = time.monotonic() + SECONDS, 0, set()
        while time.monotonic() < until:
            before = len(server.requests)
            child = start(urls, tmp_path)
            # Some are killed while they begin, most while they work.
            patience = time.monotonic() + (20 if chance.random() < 0.8 else 0.5)
            while len(server.requests) == before and time.monotonic() < patience:
                time.sleep(0.02)
            time.sleep(chance.uniform(0, 3))
            child.kill()
            child.wait()
            kills += 1
            if (tmp_path / "spool").exists():
                kept |= synced(tmp_path / "spool")
        server.behave = lambda _path: "same"
        assert start(urls, tmp_path, "--for", "1s").wait(60) == 0

    found = archives(tmp_path / "lake")
    recorded = {body for archive in found for body in archive.recordings.values()}
    acknowledged = {server.tags[tag] for tag in server.acknowledged if tag in server.tags}
    print(f"{kills} kills, {len(server.requests)} polls, {len(kept)} synced, {len(acknowledged)} acknowledged, "
          f"{len(found)} archives, {len(recorded)} recordings")  # fmt: skip
    # Beginning takes a second, and many where others use the machine.
    assert kills >= SECONDS / 20
    assert len(acknowledged) > kills
    assert kept <= recorded, "a message that was synced when the recorder was killed is lost"
    assert acknowledged <= recorded, "a message that the recorder said it had is lost"
    assert recorded <= set(server.bodies), "a recording is none of the answers"
    left = [path for path in (tmp_path / "spool").rglob("*") if path.is_file()]
    assert sorted(path.name for path in left) == ["health.json", "lock"]

    report = mp.ingest_gtfs_rt(tmp_path / "lake" / "recordings", tmp_path / "lake", day, time_zone="UTC", dry_run=True)
    polls = sum(len(archive.recordings) for archive in found)
    assert report.recordings + report.recordings_unreadable == polls
    broken = {body for body, tag in server.bodies.items() if tag == '"garbage"'}
    assert report.recordings_unreadable == sum(body in broken for a in found for body in a.recordings.values())
    # Killed between a recording and its line: the line that it gets later knows nothing of the answer.
    told = [
        (poll, a.recordings[poll["file"]]) for a in found for poll in a.polls if "file" in poll and "status" in poll
    ]
    assert all(("error" in poll) == (body in broken) for poll, body in told)
