"""The recorder before a store that refuses to be written: what was recorded waits, is told of, and is sent again."""

from __future__ import annotations

from pathlib import Path

import pytest
from bucket_store import BucketStore, bucket_store
from feed_server import feed_server, script
from recorders import Running, wait_for_counts, wait_for_status
from recordings import archives, synced

import metropulse as mp

pytest.importorskip("pyarrow")

pytestmark = [pytest.mark.core, pytest.mark.slow]


def uploaded(store: BucketStore, folder: Path) -> set[bytes]:
    """The messages in the archives that the store holds, read as files."""
    folder.mkdir()
    for path, body in store.objects.items():
        (folder / path.rpartition("/")[2]).write_bytes(body)
    return {body for archive in archives(folder) for body in archive.recordings.values()}


def pipeline_to(store: BucketStore) -> mp.Pipeline:
    return mp.Pipeline(lake="s3://bucket/raw", lake_options=store.options)


def test_an_upload_whose_last_request_is_refused_is_told_of_and_sent_again(tmp_path):
    spool = tmp_path / "spool"
    with bucket_store() as store, feed_server(lambda _: "new") as server:
        store.refuses = True
        with Running(server, tmp_path, pipeline_to(store), every="200ms", archive_every="1s") as recorder:
            failing = wait_for_status(tmp_path, lambda found: found.uploads_failed > 0 or recorder.error)
            assert (recorder.error, failing.archives_uploaded, store.objects) == (None, 0, {})
            assert store.refused > 1, "the store's client tries again by itself, too"
            assert "raw/recordings/" in failing.upload_error
            assert failing.archives_waiting > 0
            kept = synced(spool)
            assert kept != set()
            store.refuses = False
            found = wait_for_status(tmp_path, lambda found: found.archives_uploaded > 0 or recorder.error)
            wait_for_status(
                tmp_path, lambda found: (found.uploads_failed, found.upload_error) == (0, None) or recorder.error
            )
    assert found.bytes_uploaded > 0
    recorded = uploaded(store, tmp_path / "copy") | synced(spool)
    assert kept <= recorded <= set(server.bodies)


def test_an_upload_that_is_refused_at_the_end_leaves_all_in_the_spool_for_the_next_recorder(tmp_path):
    spool = tmp_path / "spool"
    with bucket_store() as store, feed_server(script("new", "same")) as server:
        asked = {"vehicle_positions": server.url("vehicle_positions"), "every": "200ms", "spool": spool}
        store.refuses = True
        with Running(server, tmp_path, pipeline_to(store), every="200ms"):
            wait_for_counts(tmp_path, recorded=1)
        with pytest.raises(mp.StorageError, match="writing recordings/"):
            mp.collect("s3://bucket/raw", lake_options=store.options, duration="0s", **asked)
        kept = synced(spool)
        assert kept == set(server.bodies) != set()
        store.refuses = False
        server.behave = script("new", "same")
        with Running(server, tmp_path, pipeline_to(store), every="200ms"):
            wait_for_counts(tmp_path, recorded=1)
        mp.collect("s3://bucket/raw", lake_options=store.options, duration="0s", **asked)
        assert len(store.objects) >= 2
        assert not list((spool / "archives").iterdir())
        assert uploaded(store, tmp_path / "copy") == set(server.bodies) > kept
