"""Asks a PostgreSQL server whether it answers: a handshake and `SELECT 1` over its unix socket, without any driver."""

from __future__ import annotations

import enum
import socket
import struct
from pathlib import Path


class Health(enum.Enum):
    """What a server answered."""

    READY = "ready"
    STARTING = "starting"
    BUSY = "busy"
    DOWN = "down"

    @property
    def up(self) -> bool:
        """Whether a server is there and serving, be it that all its connections are taken."""
        return self in (Health.READY, Health.BUSY)


def probe(path: Path, *, user: str, database: str, timeout_seconds: float = 5.0) -> Health:
    """Connect, authenticate and run `SELECT 1`.

    Args:
        path: The unix socket.
        user: Role.
        database: Database.
        timeout_seconds: How long to wait for each answer.

    Returns:
        The server's health; DOWN when nothing answers, or not in PostgreSQL's words.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(timeout_seconds)
        try:
            link.connect(str(path))
            body = struct.pack("!I", 196608)
            for name, value in (("user", user), ("database", database), ("application_name", "metropulse probe")):
                body += name.encode() + b"\0" + value.encode() + b"\0"
            link.sendall(struct.pack("!I", len(body) + 5) + body + b"\0")
            answer = _until_ready(link)
            if answer is not None:
                return answer
            link.sendall(b"Q" + struct.pack("!I", 13) + b"SELECT 1\0")
            answer = _until_ready(link)
            link.sendall(b"X" + struct.pack("!I", 4))
        except (OSError, EOFError):
            return Health.DOWN
    return answer or Health.READY


def _until_ready(link: socket.socket) -> Health | None:
    """Read messages up to ReadyForQuery (None) or an error (what it means)."""
    while True:
        kind, size = struct.unpack("!cI", _exactly(link, 5))
        body = _exactly(link, size - 4)
        if kind == b"Z":
            return None
        if kind == b"R" and body[:4] != b"\0\0\0\0":
            return Health.DOWN
        if kind == b"E":
            fields = {part[:1]: part[1:] for part in body.split(b"\0") if part}
            return {b"57P03": Health.STARTING, b"53300": Health.BUSY}.get(fields.get(b"C", b""), Health.DOWN)


def _exactly(link: socket.socket, size: int) -> bytes:
    """Read so many bytes."""
    data = b""
    while len(data) < size:
        part = link.recv(size - len(data))
        if not part:
            raise EOFError
        data += part
    return data
