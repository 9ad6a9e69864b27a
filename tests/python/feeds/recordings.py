"""What a recorder wrote, read without any of our code."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

INDEX = "_polls.jsonl"


@dataclass
class Archive:
    """An archive: its recordings by name, and its index."""

    recordings: dict[str, bytes] = field(default_factory=dict)
    polls: list[dict[str, Any]] = field(default_factory=list)


def unpacked(data: bytes) -> bytes:
    with pa.CompressedInputStream(pa.BufferReader(data), "zstd") as plain:
        return bytes(plain.read())


def read(path: Path) -> Archive:
    """Read an archive to its end, and hold it against its name and its index."""
    data = path.read_bytes()
    name = path.name.removesuffix(".tar.zst")
    assert name.rpartition("-")[2] == hashlib.sha256(data).hexdigest()[:16], path
    found = Archive()
    with tarfile.open(fileobj=io.BytesIO(unpacked(data))) as tar:
        for member in tar:
            content = tar.extractfile(member)
            assert content is not None
            if member.name == INDEX:
                found.polls = [json.loads(line) for line in content.read().splitlines()]
            else:
                found.recordings[member.name] = content.read()
    told = [poll["file"] for poll in found.polls if poll["became"] == "recorded"]
    assert sorted(told) == sorted(found.recordings), path
    times = [poll["received_at"] for poll in found.polls]
    assert times == sorted(times), path
    return found


def archives(folder: Path) -> list[Archive]:
    """All archives below a folder, in the order of time."""
    return [read(path) for path in sorted(folder.rglob("*.tar.zst"))]


def synced(spool: Path, tries: int = 10) -> set[bytes]:
    """The messages that lie in a spool under their names, whoever was killed meanwhile or moves them just now."""
    try:
        single = [unpacked(path.read_bytes()) for path in spool.rglob("*.pb.zst") if path.parts[-3] != "trash"]
        return {*single, *(body for archive in archives(spool / "archives") for body in archive.recordings.values())}
    except FileNotFoundError:
        if tries == 1:
            raise
        return synced(spool, tries - 1)


def lasting_day(seconds: float = 180) -> str:
    """The date in UTC, which it stays for so long: shortly before midnight, the next one is waited for."""
    left = 86_400 - time.time() % 86_400
    if left < seconds:
        time.sleep(left + 1)
    return datetime.now(UTC).date().isoformat()
