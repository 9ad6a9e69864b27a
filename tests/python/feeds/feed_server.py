"""A server of GTFS-Realtime feeds that misbehaves as it is told, and remembers what it served."""

from __future__ import annotations

import gzip
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from http_servers import running
from realtime_messages import message, report

GOOD = ("new", "same", "gzip", "untagged")
BAD = ("500", "busy", "slow", "garbage", "cut", "cut chunks", "dropped")


def script(*behaviours: str) -> Callable[[str], str]:
    """Answer each feed with these, one after the other, and with the last of them from then on."""
    left: dict[str, list[str]] = {}

    def behave(path: str) -> str:
        coming = left.setdefault(path, list(behaviours))
        return coming.pop(0) if len(coming) > 1 else coming[0]

    return behave


class FeedServer(ThreadingHTTPServer):
    """One feed at each path. `behave` names what the next answer shall be like."""

    daemon_threads = True

    def __init__(self, behave: Callable[[str], str], slow_seconds: float = 3.0) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behave = behave
        self.slow_seconds = slow_seconds
        self.lock = threading.Lock()
        self.numbers: dict[str, int] = {}
        self.bodies: dict[bytes, str] = {}
        """Each body that was sent to its end, with its ETag or nothing."""
        self.tags: dict[str, bytes] = {}
        self.acknowledged: set[str] = set()
        """ETags that came back: whoever sends one has taken the message."""
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.keys: set[str] | None = None
        """The keys that are accepted; None asks for none."""

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{path}"

    def body(self, path: str, is_new: bool) -> tuple[bytes, str]:
        """The feed's message as it is now, and its ETag; each message has a vehicle of its own."""
        with self.lock:
            number = self.numbers.setdefault(path, 0) + is_new
            self.numbers[path] = number
        now = int(time.time())
        tag = f'"{path}-{number}"'
        with self.lock:
            body = self.tags.setdefault(tag, message(now, [report(f"{path}-{number}", at=now)]))
        return body, tag


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FeedServer

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].strip("/")
        keys = self.server.keys
        has_key = keys is None or self.headers.get("X-Api-Key") in keys
        behaviour = self.server.behave(path) if has_key else "401"
        held = self.headers.get("If-None-Match")
        with self.server.lock:
            self.server.requests.append((path, behaviour, dict(self.headers)))
            if held:
                self.server.acknowledged.add(held)
        if behaviour.startswith("to "):
            self.answer(302, b"", {"Location": behaviour.removeprefix("to ")})
        elif behaviour in {"401", "500"}:
            self.answer(int(behaviour), b"sorry")
        elif behaviour == "busy":
            self.answer(503, b"", {"Retry-After": "1"})
        elif behaviour == "dropped":
            self.close_connection = True
        elif behaviour == "slow":
            time.sleep(self.server.slow_seconds)
            self.close_connection = True
        elif behaviour in {"endless", "bomb"}:
            body = bytes(65 << 20)
            packed = {"Content-Encoding": "gzip"} if behaviour == "bomb" else {}
            self.answer(200, body, packed, gzip.compress(body, 1) if packed else None)
        elif behaviour == "garbage":
            self.answer(200, random.randbytes(200), {"ETag": '"garbage"'})
        else:
            body, tag = self.server.body(path, behaviour not in {"same", "untagged"})
            if held == tag:
                self.answer(304, b"", {"ETag": tag})
            elif behaviour == "cut":
                self.cut({"Content-Length": str(len(body)), "ETag": tag}, body[: len(body) // 2])
            elif behaviour == "cut chunks":
                self.cut({"Transfer-Encoding": "chunked", "ETag": tag}, b"%x\r\n%s\r\n" % (len(body), body))
            elif behaviour == "gzip":
                self.answer(200, body, {"ETag": tag, "Content-Encoding": "gzip"}, gzip.compress(body))
            else:
                self.answer(200, body, {} if behaviour == "untagged" else {"ETag": tag})

    def answer(
        self, status: int, body: bytes, headers: dict[str, str] | None = None, sent: bytes | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        sent = body if sent is None else sent
        if status != 304:
            self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)
        self.wfile.flush()
        if status == 200:
            with self.server.lock:
                self.server.bodies[body] = (headers or {}).get("ETag", "")

    def cut(self, headers: dict[str, str], part: bytes) -> None:
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(part)
        self.wfile.flush()
        self.close_connection = True

    def handle(self) -> None:
        try:
            super().handle()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def finish(self) -> None:
        try:
            super().finish()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def feed_server(behave: Callable[[str], str], slow_seconds: float = 3.0) -> Iterator[FeedServer]:
    with running(FeedServer(behave, slow_seconds)) as server:
        yield server
