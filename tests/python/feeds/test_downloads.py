"""Feeds from web servers that announce too much, send too little, or fall silent."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import metropulse as mp
from expansion import DAY, FEED, ZONE, write_zip
from http_servers import running

pytestmark = pytest.mark.core


@contextmanager
def server(announced: int, body: bytes, *, falls_silent: bool = False) -> Iterator[str]:
    """Serve one file in which as many bytes are announced; gives its address."""
    is_over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(announced))
            self.end_headers()
            with suppress(BrokenPipeError, ConnectionResetError):
                self.wfile.write(body)
                self.wfile.flush()
                if falls_silent:
                    is_over.wait(60)

        def log_message(self, *_: object) -> None:
            pass

    with running(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as serving:
        try:
            yield f"http://127.0.0.1:{serving.server_port}/gtfs.zip"
        finally:
            is_over.set()


def pipeline(folder: Path) -> mp.Pipeline:
    (folder / "spool").mkdir()
    return mp.Pipeline(lake=folder / "lake", time_zone=ZONE, spool=folder / "spool")


def test_a_download_that_announces_more_than_a_feed_has_is_refused_before_a_byte_is_kept(tmp_path):
    p = pipeline(tmp_path)
    with (
        server(1 << 40, bytes(8 << 20)) as url,
        pytest.raises(mp.DataError, match=r"gtfs.zip has more than 8589934592 bytes, which is no feed; .* download it"),
    ):
        p.ingest_gtfs(url, DAY)
    assert list((tmp_path / "spool").iterdir()) == []
    assert not (tmp_path / "lake").exists()


def test_a_download_that_breaks_off_is_an_error_that_leaves_nothing(tmp_path):
    p = pipeline(tmp_path)
    body = write_zip(tmp_path / "feed.zip", FEED).read_bytes()
    with server(len(body), body[:-100]) as url, pytest.raises(mp.StorageError, match=r"gtfs\.zip"):
        p.ingest_gtfs(url, DAY)
    assert list((tmp_path / "spool").iterdir()) == []
    with server(len(body), body) as url:
        assert p.ingest_gtfs(url, DAY).days[0].trips == 2


def test_a_download_that_falls_silent_can_be_stopped(tmp_path):
    p, ended = pipeline(tmp_path), []

    def work(url: str) -> None:
        try:
            p.ingest_gtfs(url, DAY)
        except mp.MetropulseError as error:
            ended.append(error)

    with server(1 << 20, bytes(1 << 10), falls_silent=True) as url:
        thread = threading.Thread(target=work, args=(url,))
        thread.start()
        time.sleep(1)
        assert thread.is_alive()
        p.cancel()
        thread.join(2)
        assert not thread.is_alive()
    assert [type(error) for error in ended] == [mp.CancelledError]
    assert list((tmp_path / "spool").iterdir()) == []
