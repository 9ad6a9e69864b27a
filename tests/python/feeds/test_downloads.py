"""Feeds from web servers that say no length or too much, send too little, refuse, or fall silent."""

from __future__ import annotations

import hashlib
import threading
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
def server(announced: int, body: bytes, *, silent: threading.Event | None = None) -> Iterator[str]:
    """Serve one file in which as many bytes are announced, or fall silent and say so; gives its address."""
    is_over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(announced))
            self.end_headers()
            with suppress(BrokenPipeError, ConnectionResetError):
                self.wfile.write(body)
                self.wfile.flush()
                if silent:
                    silent.set()
                    is_over.wait(60)

        def log_message(self, *_: object) -> None:
            pass

    with running(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as serving:
        try:
            yield f"http://127.0.0.1:{serving.server_port}/gtfs.zip"
        finally:
            is_over.set()


@contextmanager
def answering(*answers: bytes) -> Iterator[tuple[str, list[str]]]:
    """Give one answer after the other, byte by byte, and the last one from then on; gives the address and what was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.wfile.write(answers[min(len(asked), len(answers)) - 1])
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    with running(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as serving:
        yield f"http://127.0.0.1:{serving.server_port}/gtfs.zip?key=my-secret-key", asked


def in_chunks(body: bytes) -> bytes:
    """Frame a body as chunks of 1,000 bytes; the last one ends it."""
    parts = [body[start : start + 1000] for start in range(0, len(body), 1000)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in [*parts, b""])


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
UNTIL_CLOSED = b"HTTP/1.0 200 OK\r\n\r\n"


def status(line: str) -> bytes:
    """Answer with a status and nothing else."""
    return f"HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n".encode()


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
    p, ended, silent = pipeline(tmp_path), [], threading.Event()

    def work(url: str) -> None:
        try:
            p.ingest_gtfs(url, DAY)
        except mp.MetropulseError as error:
            ended.append(error)

    with server(1 << 20, bytes(1 << 10), silent=silent) as url:
        thread = threading.Thread(target=work, args=(url,))
        thread.start()
        assert silent.wait(60)
        assert thread.is_alive()
        p.cancel()
        thread.join(30)
        assert not thread.is_alive()
    assert [type(error) for error in ended] == [mp.CancelledError]
    assert list((tmp_path / "spool").iterdir()) == []


@pytest.mark.parametrize("form", ["chunked", "until closed"])
def test_a_server_need_not_say_how_long_a_feed_is(tmp_path, form):
    body = write_zip(tmp_path / "feed.zip", FEED).read_bytes()
    answer = CHUNKED + in_chunks(body) if form == "chunked" else UNTIL_CLOSED + body
    with answering(answer) as (url, asked):
        report = pipeline(tmp_path).ingest_gtfs(url, DAY)
    assert (report.days[0].trips, len(asked)) == (2, 1)
    assert report.feeds[0].sha256 == hashlib.sha256(body).hexdigest()
    assert list((tmp_path / "spool").iterdir()) == []


@pytest.mark.parametrize("trouble", ["503", "429", "chunks that break off"])
def test_a_server_in_trouble_for_a_moment_is_asked_again(tmp_path, trouble):
    body = write_zip(tmp_path / "feed.zip", FEED).read_bytes()
    whole = CHUNKED + in_chunks(body)
    first = whole[:-100] if trouble.startswith("chunks") else status(f"{trouble} Wait")
    with answering(first, first, whole) as (url, asked):
        assert pipeline(tmp_path).ingest_gtfs(url, DAY).days[0].trips == 2
    assert len(asked) == 3
    assert list((tmp_path / "spool").iterdir()) == []


@pytest.mark.parametrize(
    ("answer", "kind", "says", "retryable", "times"),
    [
        (status("404 Not Found"), mp.NotFoundError, "is not there (404 Not Found)", True, 1),
        (status("410 Gone"), mp.NotFoundError, "is not there (410 Gone)", True, 1),
        (status("401 Unauthorized"), mp.StorageError, "the server refuses", False, 1),
        (status("403 Forbidden"), mp.StorageError, "check the key in its address", False, 1),
        (status("400 Bad Request"), mp.StorageError, "answers 400 Bad Request, expected 200 OK", False, 1),
        (status("204 No Content"), mp.StorageError, "answers 204 No Content, expected 200 OK", False, 1),
        (status("502 Bad Gateway"), mp.StorageError, "answers 502 Bad Gateway, expected 200 OK", True, 5),
        (CHUNKED + b"5\r\nabcde\r\n", mp.StorageError, "gtfs.zip failed", True, 5),
        (b"no HTTP\r\n\r\n", mp.StorageError, "gtfs.zip failed", True, 5),
    ],
    ids=["404", "410", "401", "403", "400", "204", "502", "broken off", "no HTTP"],
)
def test_what_a_server_answers_says_whether_a_retry_helps(tmp_path, answer, kind, says, retryable, times):
    with answering(answer) as (url, asked), pytest.raises(kind) as caught:
        pipeline(tmp_path).ingest_gtfs(url, DAY)
    assert says in str(caught.value)
    assert (caught.value.retryable, len(asked)) == (retryable, times)
    assert caught.value.context["source"] == url.split("?")[0]
    assert "my-secret-key" not in repr(caught.value) + str(caught.value.__cause__) + str(caught.value.context)
    assert list((tmp_path / "spool").iterdir()) == []


def test_a_server_that_is_away_is_named_without_its_key(tmp_path):
    with answering(b"") as (url, _):
        pass
    with pytest.raises(mp.StorageError, match=r"reading http://127\.0\.0\.1:\d+/gtfs\.zip failed: .*refused") as caught:
        pipeline(tmp_path).ingest_gtfs(url, DAY)
    assert caught.value.retryable
    assert "my-secret-key" not in str(caught.value)
