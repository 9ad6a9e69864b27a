"""Recordings of GTFS-Realtime: a day of positions into a raw day, and the stop times of trip updates."""

from __future__ import annotations

import random
import shutil
import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from protocol import Arm, Trial, measure, options, say

DAY = "2024-05-01"
START = int(datetime(2024, 5, 1, tzinfo=UTC).timestamp())
COLUMNS = (
    "event_ts", "vehicle_id", "route_id", "lat", "lon", "speed", "heading", "provider_ts", "trip_id", "start_date",
    "direction_id", "stop_id", "current_stop_sequence", "current_status", "occupancy_status", "odometer_m",
    "vehicle_label", "received_at",
)  # fmt: skip


def varint(value: int) -> bytes:
    """Encode a number."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def part(number: int, payload: bytes) -> bytes:
    """Encode a field of bytes."""
    return bytes([number << 3 | 2]) + varint(len(payload)) + payload


def message(timestamp: int, entities: list[bytes]) -> bytes:
    """Encode a message."""
    return part(1, part(1, b"2.0") + b"\x18" + varint(timestamp)) + b"".join(part(2, entity) for entity in entities)


def positions(polls: int, vehicles: int) -> Iterator[bytes]:
    """Make polls every ten seconds of vehicles that all move; each report is a new one."""
    chance = random.Random(7)
    fleet = []
    for n in range(vehicles):
        route, trip = f"R{n % 120}", f"{n % 120:03}_{n * 7919 % 40_000:05}_{n % 2}"
        descriptor = part(1, trip.encode()) + part(3, b"20240501") + part(5, route.encode()) + bytes([0x30, n % 2])
        vehicle = part(1, f"bus-{n:05}".encode()) + part(2, f"{n:05}".encode())
        fleet.append((part(1, f"e{n}".encode()), part(1, descriptor), part(8, vehicle)))
    for poll in range(polls):
        at = START + 10 * poll
        entities = []
        for n, (entity, trip, vehicle) in enumerate(fleet):
            place = struct.pack(
                "<BfBfBfBf", 0x0D, 52 + chance.random(), 0x15, 13 + chance.random(), 0x1D, chance.random() * 360,
                0x2D, chance.random() * 20,
            )  # fmt: skip
            stop = part(7, f"stop-{(n + poll // 6) % 3_000}".encode())
            report = trip + part(2, place) + b"\x28" + varint(at - n % 10) + stop + vehicle
            entities.append(entity + part(4, report))
        yield message(at, entities)


def updates(polls: int, runs: int, stops: int) -> Iterator[bytes]:
    """Make polls of predictions for every stop that lies ahead."""
    for poll in range(polls):
        at = START + 30 * poll
        entities = []
        for run in range(runs):
            trip = part(1, f"{run:05}_20240501".encode()) + part(3, b"20240501") + part(5, f"R{run % 120}".encode())
            calls = b"".join(
                part(2, b"\x08" + varint(stop) + part(2, event(at, stop, run)) + part(3, event(at + 20, stop, run))
                     + part(4, f"stop-{(run + stop) % 3_000}".encode()))
                for stop in range(1 + poll % 5, stops)
            )  # fmt: skip
            entities.append(part(1, f"u{run}".encode()) + part(3, part(1, trip) + calls + b"\x20" + varint(at)))
        yield message(at, entities)


def event(at: int, stop: int, run: int) -> bytes:
    """Encode an arrival or departure."""
    return b"\x08" + varint((at + run) % 300) + b"\x10" + varint(at + 90 * stop)


def write(folder: Path, polls: Iterator[bytes]) -> int:
    """Write recordings, once, and return their bytes."""
    if not (folder / ".ready").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for number, poll in enumerate(polls):
            (folder / f"{number:06}.pb").write_bytes(poll)
        (folder / ".ready").touch()
    return sum(path.stat().st_size for path in folder.glob("*.pb"))


class Ours(Trial):
    """`ingest_gtfs_rt`: repeats left out, dates resolved, the day sealed with digests."""

    distributions = ("metropulse",)

    def __init__(self, recordings: str, lake: str, dataset: str) -> None:
        """Remember where."""
        import metropulse

        self.recordings, self.lake, self.dataset = recordings, lake, dataset
        self.metropulse = metropulse

    def prepare(self) -> None:
        """Forget the day."""
        shutil.rmtree(self.lake, ignore_errors=True)

    def run(self) -> None:
        """Ingest the day."""
        self.metropulse.ingest_gtfs_rt(self.recordings, self.lake, DAY, time_zone="UTC")

    def result(self) -> Any:
        """Return what was written, in sums."""
        import pyarrow.parquet as pq

        path = Path(self.lake, f"dt={DAY}", f"{self.dataset}.parquet")
        return sums(pq.read_table(path)) if self.dataset == "vehicle_positions" else last_words(pq.read_table(path))


def sums(table: Any) -> dict[str, Any]:
    """Add up every column of positions."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found: dict[str, Any] = {"rows": table.num_rows}
    for name in COLUMNS:
        column = table[name]
        if pa.types.is_dictionary(column.type):
            column = column.cast(pa.string())
        if pa.types.is_string(column.type):
            found[name] = [column.null_count, pc.count_distinct(column).as_py(), pc.sum(pc.utf8_length(column)).as_py()]
        else:
            number = column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
            number = number.cast(pa.int32()) if pa.types.is_date(number.type) else number
            found[name] = [column.null_count, pc.sum(number.cast(pa.float64())).as_py()]
    return found


def last_words(table: Any) -> dict[str, Any]:
    """Count the rows of trip updates and add up their times."""
    import pyarrow as pa
    import pyarrow.compute as pc

    arrivals = table["arrival_ts"].cast(pa.int64())
    return {"rows": table.num_rows, "arrivals": pc.sum(pc.divide(arrivals, 1_000_000)).as_py()}


class Bindings(Trial):
    """Google's Python bindings on upb, and pyarrow writing the same columns by the same codec."""

    distributions = ("protobuf", "pyarrow")

    def __init__(self, recordings: str, path: str) -> None:
        """Import."""
        import pyarrow as pa
        from google.transit import gtfs_realtime_pb2

        self.feed, self.path = gtfs_realtime_pb2.FeedMessage, path
        self.files = sorted(Path(recordings).glob("*.pb"))
        text, instant = pa.string(), pa.timestamp("us", "UTC")
        kinds = [instant, text, text, pa.float64(), pa.float64(), pa.float64(), pa.float64(), instant, text, pa.date32(),
                 pa.int32(), text, pa.int32(), text, text, pa.float64(), text, instant]  # fmt: skip
        self.schema = pa.schema(list(zip(COLUMNS, kinds, strict=True)))

    def run(self) -> None:
        """Decode and write."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        with pq.ParquetWriter(self.path, self.schema, compression="zstd", compression_level=1) as writer:
            for file in self.files:
                feed = self.feed()
                feed.ParseFromString(file.read_bytes())
                rows = [self.row(entity.vehicle, feed.header.timestamp) for entity in feed.entity]
                columns = [
                    pa.array(list(values), kind)
                    for values, kind in zip(zip(*rows, strict=True), self.schema.types, strict=True)
                ]
                writer.write_batch(pa.record_batch(columns, schema=self.schema))

    @staticmethod
    def row(vehicle: Any, header: int) -> tuple[Any, ...]:
        """Return the columns of one report."""
        trip, place = vehicle.trip, vehicle.position
        start = trip.start_date
        day = (
            (datetime(int(start[:4]), int(start[4:6]), int(start[6:]), tzinfo=UTC).toordinal() - 719_163)
            if start
            else None
        )
        return (
            (vehicle.timestamp or header) * 1_000_000, vehicle.vehicle.id, trip.route_id or None, place.latitude,
            place.longitude, place.speed * 3.6, place.bearing, header * 1_000_000, trip.trip_id or None, day,
            trip.direction_id, vehicle.stop_id or None, None, None, None, None, vehicle.vehicle.label or None, None,
        )  # fmt: skip

    def result(self) -> Any:
        """Return what was written, in sums."""
        import pyarrow.parquet as pq

        return sums(pq.read_table(self.path))


class BareLoop(Trial):
    """Google's Python bindings, and a loop that keeps the last word on each run and stop; nothing is written."""

    distributions = ("protobuf",)

    def __init__(self, recordings: str) -> None:
        """Import."""
        from google.transit import gtfs_realtime_pb2

        self.feed = gtfs_realtime_pb2.FeedMessage
        self.files = sorted(Path(recordings).glob("*.pb"))
        self.last: dict[tuple[str, int], int] = {}

    def run(self) -> None:
        """Decode and keep."""
        self.last = {}
        for file in self.files:
            feed = self.feed()
            feed.ParseFromString(file.read_bytes())
            for entity in feed.entity:
                trip = entity.trip_update.trip.trip_id
                for stop in entity.trip_update.stop_time_update:
                    self.last[trip, stop.stop_sequence] = stop.arrival.time

    def result(self) -> Any:
        """Return the rows and the sum of their times."""
        return {"rows": len(self.last), "arrivals": sum(self.last.values())}


def main() -> None:
    """Run the rows."""
    chosen = options(__doc__)
    polls = chosen.pick(200, 8_640)
    recordings = chosen.data / f"realtime_positions_{polls}"
    say(f"recordings in {recordings}")
    size = write(recordings, positions(polls, 5_000))
    lake, path = chosen.data / "realtime_lake", chosen.data / "realtime_positions.parquet"
    measure(
        "positions of a fleet from recordings into a raw day",
        rows=polls * 5_000,
        size_bytes=size,
        ours=Arm("metropulse", "realtime:Ours",
                 {"recordings": str(recordings), "lake": str(lake), "dataset": "vehicle_positions"}),
        peer=Arm("gtfs-realtime-bindings", "realtime:Bindings", {"recordings": str(recordings), "path": str(path)}),
        required=20.0,
        bounded_by="both cores are busy; zstd is a fifth of our processor time, the wire a sixth, dictionaries of texts a tenth, "
        "the way between two reports a twentieth",
        repeats=chosen.pick(5, 1),
        note="no report repeats another; ours also looks for repeats, resolves dates, adds up trips and hashes the files",
    )  # fmt: skip
    polls = chosen.pick(100, 2_880)
    recordings = chosen.data / f"realtime_updates_{polls}"
    size = write(recordings, updates(polls, 2_000, 30))
    measure(
        "the last word of trip updates on each run and stop",
        rows=sum(2_000 * (29 - poll % 5) for poll in range(polls)),
        size_bytes=size,
        ours=Arm("metropulse", "realtime:Ours",
                 {"recordings": str(recordings), "lake": str(lake), "dataset": "trip_updates"}),
        peer=Arm("gtfs-realtime-bindings", "realtime:BareLoop", {"recordings": str(recordings)}),
        required=10.0,
        bounded_by="the stops of a message are read on all cores, half of our processor time; messages are opened one after the "
        "other, a tenth, and their files copied by the kernel, another",
        repeats=chosen.pick(5, 1),
        note="rows are updates of stops; the peer keeps arrival times alone in a dict, and writes nothing",
    )  # fmt: skip


if __name__ == "__main__":
    main()
