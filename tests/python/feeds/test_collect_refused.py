"""The recorder before a store that refuses to be written: what was recorded waits, is told of, and is sent again."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from bucket_store import BucketStore, bucket_store
from feed_server import feed_server
from recordings import archives, synced
from test_collect import script

import metropulse as mp

pytest.importorskip("pyarrow")

pytestmark = [pytest.mark.core, pytest.mark.slow]


def wait_for(spool: Path, condition, seconds: float = 60.0) -> mp.Report:
    """The recorder's state, once it is as asked."""
    until = time.monotonic() + seconds
    while True:
        try:
            found = mp.collect_status(spool)
            if condition(found):
                return found
        except mp.NotFoundError:
            found = None
        assert time.monotonic() < until, found
        time.sleep(0.05)


def uploaded(store: BucketStore, folder: Path) -> set[bytes]:
    """The messages in the archives that the store holds, read as files."""
    folder.mkdir()
    for path, body in store.objects.items():
        (folder / path.rpartition("/")[2]).write_bytes(body)
    return {body for archive in archives(folder) for body in archive.recordings.values()}


@contextmanager
def recording(store: BucketStore, **asked: Any) -> Iterator[list[BaseException]]:
    """A recorder in a thread, until the block ends; gives what it ended with."""
    ended: list[BaseException] = []
    pipeline = mp.Pipeline(lake="s3://bucket/raw", lake_options=store.options)

    def work() -> None:
        try:
            pipeline.collect(**asked)
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield ended
    finally:
        pipeline.cancel()
        thread.join(60)
    assert not thread.is_alive()
    assert all(isinstance(error, mp.CancelledError) for error in ended), ended


def test_an_upload_whose_last_request_is_refused_is_told_of_and_sent_again(tmp_path):
    spool = tmp_path / "spool"
    with bucket_store() as store, feed_server(lambda _: "new") as server:
        store.refuses = True
        asked = {"vehicle_positions": server.url("vehicle_positions"), "every": "200ms", "spool": spool}
        with recording(store, archive_every="1s", **asked) as ended:
            failing = wait_for(spool, lambda found: found.uploads_failed > 0 or ended)
            assert (ended, failing.archives_uploaded, store.objects) == ([], 0, {})
            assert store.refused > 1, "the store's client tries again by itself, too"
            assert "raw/recordings/" in failing.upload_error
            assert failing.archives_waiting > 0
            kept = synced(spool)
            assert kept != set()
            store.refuses = False
            found = wait_for(spool, lambda found: found.archives_uploaded > 0 or ended)
            wait_for(spool, lambda found: (found.uploads_failed, found.upload_error) == (0, None) or ended)
    assert found.bytes_uploaded > 0
    recorded = uploaded(store, tmp_path / "copy") | synced(spool)
    assert kept <= recorded <= set(server.bodies)


def test_an_upload_that_is_refused_at_the_end_leaves_all_in_the_spool_for_the_next_recorder(tmp_path):
    spool = tmp_path / "spool"
    with bucket_store() as store, feed_server(script("new", "same")) as server:
        asked = {"vehicle_positions": server.url("vehicle_positions"), "every": "200ms", "spool": spool}
        store.refuses = True
        with recording(store, **asked) as ended:
            wait_for(spool, lambda found: found.feeds.vehicle_positions.recorded or ended)
        with pytest.raises(mp.StorageError, match="writing recordings/"):
            mp.collect("s3://bucket/raw", lake_options=store.options, duration="0s", **asked)
        kept = synced(spool)
        assert kept == set(server.bodies) != set()
        store.refuses = False
        server.behave = script("new", "same")
        with recording(store, **asked) as ended:
            wait_for(spool, lambda found: found.feeds.vehicle_positions.recorded or ended)
        mp.collect("s3://bucket/raw", lake_options=store.options, duration="0s", **asked)
        assert len(store.objects) >= 2
        assert not list((spool / "archives").iterdir())
        assert uploaded(store, tmp_path / "copy") == set(server.bodies) > kept
