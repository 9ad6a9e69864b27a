"""A proxy between metropulse and a server, which cuts, delays and refuses as a test tells it."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit, urlunsplit

CHUNK_BYTES = 1 << 16

BUSY = b"HTTP/1.1 503 Slow Down\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
"""What a store answers that is busy."""


def expired(status: str) -> bytes:
    """What a store answers to keys that have expired."""
    body = b"<?xml version='1.0'?><Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body


class CutError(Exception):
    """Raised by a rule: both ends of the connection are closed at once."""


class HalfCutError(CutError):
    """Raised by a rule: whoever spoke is cut off, and the other end goes on waiting for words that never come."""


class LastWords(bytes):
    """What a rule lets pass before both ends are closed."""


class Proxy:
    """Passes TCP through. What a rule is told of, it may change, delay, or cut.

    ``up`` hears of what the client sends, ``down`` of what the server answers, ``accept`` of each new connection, whose
    return value, if it is bytes, answers the client's first words in the server's place.
    """

    def __init__(self, host: str, port: int, listen: int = 0) -> None:
        self._behind = (host, port)
        self._listener = socket.create_server(("127.0.0.1", listen))
        self._waiting: list[socket.socket] = []
        self.port = self._listener.getsockname()[1]
        self.up: Callable[[bytes], bytes] = lambda data: data
        self.down: Callable[[bytes], bytes] = lambda data: data
        self.accept: Callable[[], bytes | None] = lambda: None
        self.accepted: list[float] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def calm(self) -> None:
        """Let everything pass from now on."""
        self.up = self.down = lambda data: data
        self.accept = lambda: None

    def close(self) -> None:
        for end in (self._listener, *self._waiting):
            end.close()

    @property
    def connections(self) -> int:
        """How many connections came."""
        return len(self.accepted)

    def _listen(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted.append(time.monotonic())
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        if (answer := self.accept()) is not None:
            with client, contextlib.suppress(OSError):
                client.recv(CHUNK_BYTES)
                client.sendall(answer)
            return
        try:
            server = socket.create_connection(self._behind)
        except OSError:
            client.close()
            return
        pumps = [
            threading.Thread(target=self._pump, args=(client, server, "up"), daemon=True),
            threading.Thread(target=self._pump, args=(server, client, "down"), daemon=True),
        ]
        for pump in pumps:
            pump.start()

    def _pump(self, source: socket.socket, target: socket.socket, rule: str) -> None:
        try:
            while data := source.recv(CHUNK_BYTES):
                passed = getattr(self, rule)(data)
                target.sendall(passed)
                if isinstance(passed, LastWords):
                    raise CutError
            target.shutdown(socket.SHUT_WR)
        except HalfCutError:
            self._waiting.append(target)
            source.shutdown(socket.SHUT_RDWR)
            source.close()
        except (OSError, CutError):
            for end in (source, target):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()


@contextlib.contextmanager
def proxy_before(host: str, port: int, listen: int = 0) -> Iterator[Proxy]:
    """A proxy before a server, closed afterwards."""
    proxy = Proxy(host, port, listen)
    try:
        yield proxy
    finally:
        proxy.close()


def cut_at(pattern: bytes, *, after_bytes: int = 0, times: int = 1) -> Callable[[bytes], bytes]:
    """A rule that cuts when a pattern was seen and so many more bytes have passed.

    Args:
        pattern: What must have been seen.
        after_bytes: Bytes that still pass.
        times: How often it cuts; later everything passes.
    """
    state = {"seen": False, "passed": 0, "left": times}
    lock = threading.Lock()

    def rule(data: bytes) -> bytes:
        with lock:
            if not state["left"]:
                return data
            state["seen"] = state["seen"] or re.search(pattern, data) is not None
            if state["seen"]:
                state["passed"] += len(data)
            if not state["seen"] or state["passed"] <= after_bytes:
                return data
            state.update(seen=False, passed=0, left=state["left"] - 1)
        raise CutError

    return rule


def deaf_after(pattern: bytes) -> tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]:
    """Rules for both ways: once the server hears the words with the pattern, and its answer is cut off."""
    heard, cut = threading.Event(), threading.Event()

    def up(data: bytes) -> bytes:
        if re.search(pattern, data):
            heard.set()
        return data

    def down(data: bytes) -> bytes:
        if heard.is_set() and not cut.is_set():
            cut.set()
            raise CutError
        return data

    return up, down


def once_after(before: bytes, pattern: bytes, act: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """A rule that does something to the first words with a pattern that come after another one was seen."""
    state = {"seen": False, "done": False}

    def rule(data: bytes) -> bytes:
        state["seen"] = state["seen"] or re.search(before, data) is not None
        if state["done"] or not state["seen"] or re.search(pattern, data) is None:
            return data
        state["done"] = True
        return act(data)

    return rule


def through(url: str, port: int) -> str:
    """The same address behind a proxy."""
    parts = urlsplit(url)
    user = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    return urlunsplit(parts._replace(netloc=f"{user}127.0.0.1:{port}"))


def slowly(bytes_per_second: int) -> Callable[[bytes], bytes]:
    """A rule that lets no more than so many bytes pass in a second."""

    def rule(data: bytes) -> bytes:
        time.sleep(len(data) / bytes_per_second)
        return data

    return rule
