"""A fleet that reports, made fast: whole polls at a time, as tables of bytes in which a few columns change."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from realtime_messages import encode, message

DAY = "2024-05-01"
START = int(datetime(2024, 5, 1, tzinfo=UTC).timestamp())
POLL_SECONDS = 10
DAY_POLLS = 86_400 // POLL_SECONDS
_LAT, _LON = 52.0, 13.0
_ENTITY = {
    "id": (1, str),
    "vehicle": (
        4,
        {
            "trip": (1, {"trip_id": (1, str), "start_date": (3, str), "route_id": (5, str)}),
            "position": (
                2,
                {"latitude": (1, float), "longitude": (2, float), "bearing": (3, float), "speed": (5, float)},
            ),
            "timestamp": (5, int),
            "stop_id": (7, str),
            "vehicle": (8, {"id": (1, str)}),
        },
    ),
}


def _entity(vehicle: int) -> bytes:
    told = {
        "trip": {"trip_id": f"trip-{vehicle:05}-hh", "start_date": "20240501", "route_id": f"R{vehicle % 120:03}"},
        "position": {"latitude": _LAT, "longitude": _LON, "bearing": vehicle % 360.0, "speed": 8.5},
        "timestamp": START,
        "stop_id": "stop-ssss",
        "vehicle": {"id": f"bus-{vehicle:05}"},
    }
    return encode({"entity": (2, _ENTITY)}, {"entity": {"id": f"e{vehicle:05}", "vehicle": told}})


def _digits(numbers: np.ndarray, count: int) -> np.ndarray:
    return np.stack([numbers // 10**place % 10 + ord("0") for place in reversed(range(count))], axis=1)


def _varint(numbers: np.ndarray) -> np.ndarray:
    """The five bytes of numbers of 29 to 35 bits."""
    return np.stack([numbers >> 7 * at & 0x7F | (0x80 if at < 4 else 0) for at in range(5)], axis=1)


def polls(count: int, vehicles: int) -> Iterator[tuple[int, bytes]]:
    """Yield time and message of polls from midnight on; every vehicle moves, drives another trip each hour and says so."""
    fleet = [_entity(vehicle) for vehicle in range(vehicles)]
    rows = np.frombuffer(b"".join(fleet), dtype=np.uint8).reshape(vehicles, -1).copy()
    at = {name: fleet[0].index(mark) for name, mark in {
        "lat": struct.pack("<f", _LAT), "lon": struct.pack("<f", _LON), "hour": b"hh", "stop": b"ssss", "time": b"\x28",
    }.items()}  # fmt: skip
    numbers, chance = np.arange(vehicles), np.random.default_rng(7)
    for poll in range(count):
        now = START + POLL_SECONDS * poll
        for name, start in (("lat", _LAT), ("lon", _LON)):
            # Digits that no codec makes smaller, as receivers have them.
            places = (start + chance.random(vehicles)).astype("<f4")
            rows[:, at[name] : at[name] + 4] = places.view(np.uint8).reshape(vehicles, 4)
        rows[:, at["hour"] : at["hour"] + 2] = _digits(np.full(vehicles, poll * POLL_SECONDS // 3600), 2)
        rows[:, at["stop"] : at["stop"] + 4] = _digits((numbers + poll // 6) % 3_000, 4)
        rows[:, at["time"] + 1 : at["time"] + 6] = _varint(now - numbers % 10)
        yield now, message(now, []) + rows.tobytes()


def record(folder: Path, count: int, vehicles: int, *, backwards: bool = False) -> int:
    """Write polls, packed by zstd, named in the order of time or against it; return their bytes."""
    folder.mkdir(parents=True)
    codec, written = pa.Codec("zstd", compression_level=1), 0
    for number, (_, poll) in enumerate(polls(count, vehicles)):
        name = count - number if backwards else number
        written += (folder / f"{name:06}.pb.zst").write_bytes(codec.compress(poll, asbytes=True))
    return written
