"""A proxy before an object store: it counts what is read, may delay every answer, and may change what it says of bytes."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


class CountingProxy(ThreadingHTTPServer):
    """Passes requests on to a store as they are, and counts the bytes that go back for each object read."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, store: str, delay_seconds: float = 0) -> None:
        self.store = urlsplit(store).netloc
        self.delay_seconds = delay_seconds
        self.etag_salt = b""
        self.bytes_read: Counter[str] = Counter()
        self.requests = 0
        self.in_flight = self.most_in_flight = 0
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def forget(self) -> None:
        """Begin to count anew."""
        with self.lock:
            self.bytes_read.clear()
            self.requests = self.most_in_flight = 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: CountingProxy

    def _pass_on(self) -> None:
        server = self.server
        with server.lock:
            server.requests += 1
            server.in_flight += 1
            server.most_in_flight = max(server.most_in_flight, server.in_flight)
        time.sleep(server.delay_seconds)
        try:
            answer, content = self._ask()
        finally:
            # Before a byte is sent: whoever has the answer finds it counted.
            with server.lock:
                server.in_flight -= 1
        self._answer(answer, content)

    def _ask(self) -> tuple[http.client.HTTPResponse, bytes]:
        store = http.client.HTTPConnection(self.server.store, timeout=30)
        store.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            store.putheader(name, value)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        store.endheaders(body or None)
        answer = store.getresponse()
        content = answer.read()
        store.close()
        is_object = b"<ListBucketResult" not in content[:500]
        if not is_object:
            content = content.replace(b"</ETag>", self.server.etag_salt + b"</ETag>")
        elif self.command == "GET" and answer.status < 300:
            with self.server.lock:
                self.server.bytes_read[unquote(urlsplit(self.path).path)] += len(content)
        return answer, content

    def _answer(self, answer: http.client.HTTPResponse, content: bytes) -> None:
        salt = self.server.etag_salt
        length = len(content) if self.command == "GET" else answer.getheader("Content-Length") or len(content)
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in {"transfer-encoding", "connection", "content-length", "date", "server"}:
                self.send_header(name, value + salt.decode() if name.lower() == "etag" else value)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass_on  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Say nothing."""
