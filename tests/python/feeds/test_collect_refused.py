"""The recorder before a store that refuses to be written: what was recorded waits, is told of, and is sent again."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from bucket_store import BucketStore, bucket_store
from feed_server import feed_server
from recordings import archives, synced

import metropulse as mp

pytest.importorskip("pyarrow")

pytestmark = [pytest.mark.core, pytest.mark.slow]


def wait_for(spool: Path, condition, seconds: float = 30.0) -> mp.Report:
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


def test_an_upload_whose_last_request_is_refused_is_told_of_and_sent_again(tmp_path):
    spool, ended = tmp_path / "spool", []
    with bucket_store() as store, feed_server(lambda _: "new") as server:
        store.refuses = True
        pipeline = mp.Pipeline(lake="s3://bucket/raw", lake_options=store.options)

        def work() -> None:
            try:
                pipeline.collect(
                    vehicle_positions=server.url("vehicle_positions"), every="200ms", archive_every="1s", spool=spool
                )
            except BaseException as error:
                ended.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        try:
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
        finally:
            pipeline.cancel()
            thread.join(5)
        assert not thread.is_alive()
    assert all(isinstance(error, mp.CancelledError) for error in ended), ended
    assert found.bytes_uploaded > 0
    recorded = uploaded(store, tmp_path / "copy") | synced(spool)
    assert kept <= recorded <= set(server.bodies)


def test_an_upload_that_is_refused_at_the_end_leaves_all_in_the_spool_for_the_next_recorder(tmp_path):
    spool = tmp_path / "spool"
    with bucket_store() as store, feed_server(lambda _: "new") as server:
        asked = {"vehicle_positions": server.url("vehicle_positions"), "every": "200ms", "spool": spool}
        store.refuses = True
        with pytest.raises(mp.StorageError, match="writing recordings/"):
            mp.collect("s3://bucket/raw", lake_options=store.options, duration="500ms", **asked)
        kept = synced(spool)
        assert kept == set(server.bodies) != set()
        store.refuses = False
        report = mp.collect("s3://bucket/raw", lake_options=store.options, duration="200ms", **asked)
        assert report.files >= 2
        assert not list((spool / "archives").iterdir())
        assert uploaded(store, tmp_path / "copy") == set(server.bodies) > kept
