"""Watches the clients of running queries: one that goes away has its query killed. Ends idle sessions too."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Iterator

from metropulse.embedded.clickhouse_http.engine import Engine
from metropulse.embedded.clickhouse_http.errors import RefusedError

_PERIOD_SECONDS = 0.1
_SWEEP_PERIODS = 50


class Watch:
    """A thread that looks at the sockets of running queries ten times a second."""

    def __init__(self, engine: Engine) -> None:
        """Watch the clients of an engine."""
        self._engine = engine
        self._running: dict[int, tuple[socket.socket, str]] = {}
        self._guard = threading.Lock()
        self._ended = threading.Event()

    def start(self) -> None:
        """Begin to watch."""
        threading.Thread(target=self._loop, name="watch", daemon=True).start()

    def stop(self) -> None:
        """Stop watching."""
        self._ended.set()

    @contextlib.contextmanager
    def over(self, client: socket.socket | None, query_id: str) -> Iterator[None]:
        """Watch a client while its query runs.

        Args:
            client: The client's socket; None to watch nobody.
            query_id: The query.

        Yields:
            Nothing; the client is watched inside the block.
        """
        if client is None:
            yield
            return
        key = id(client)
        with self._guard:
            self._running[key] = (client, query_id)
        try:
            yield
        finally:
            with self._guard:
                self._running.pop(key, None)

    def _loop(self) -> None:
        """Look, again and again."""
        periods = 0
        while not self._ended.wait(_PERIOD_SECONDS):
            periods += 1
            if periods % _SWEEP_PERIODS == 0:
                self._engine.expire()
            with self._guard:
                gone = {key: query_id for key, (client, query_id) in self._running.items() if _left(client)}
                for key in gone:
                    self._running.pop(key)
            for query_id in gone.values():
                with contextlib.suppress(RefusedError):
                    self._engine.kill(query_id)


def _left(client: socket.socket) -> bool:
    """Whether the other side has closed the connection."""
    try:
        ready, _, _ = select.select([client], [], [], 0)
        return bool(ready) and not client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except (BlockingIOError, InterruptedError):
        return False
    except (OSError, ValueError):
        return True
