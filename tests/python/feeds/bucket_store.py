"""An object store of one bucket in memory that speaks as much of S3 as the recorder needs, and can refuse to be written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from http_servers import running


class BucketStore(ThreadingHTTPServer):
    """Objects by path. While `refuses` is set, every request to write is answered with 503."""

    daemon_threads = True

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.refuses = False
        self.refused = 0
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def options(self) -> dict[str, str]:
        """What reaches it, in the words of the store."""
        return {
            "aws_endpoint": f"http://127.0.0.1:{self.server_port}",
            "aws_allow_http": "true",
            "aws_region": "us-east-1",
            "aws_access_key_id": "anybody",
            "aws_secret_access_key": "any-secret",
        }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: BucketStore

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.server.refuses:
            self.server.refused += 1
            self._answer(503, b"<Error><Code>SlowDown</Code></Error>")
        else:
            self.server.objects[self.path] = body
            self._answer(200, b"", md5(body).hexdigest())

    def do_GET(self) -> None:
        body = self.server.objects.get(self.path)
        if body is None:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        else:
            self._answer(200, body, md5(body).hexdigest())

    def _answer(self, status: int, body: bytes, etag: str | None = None) -> None:
        self.send_response(status)
        if etag:
            self.send_header("ETag", f'"{etag}"')
            self.send_header("Last-Modified", "Wed, 01 May 2024 12:00:00 GMT")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def bucket_store() -> Iterator[BucketStore]:
    with running(BucketStore()) as server:
        yield server
