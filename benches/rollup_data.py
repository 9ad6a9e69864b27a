"""Makes the files that the rollup rows read.

Run by the peers' interpreter, which has numpy and pyarrow:

    .venv-bench/bin/python benches/rollup_data.py KIND FILE ROWS

Kinds: `ordered` (positions in order of time, 1,000 routes, 18 hours), `shuffled` (positions in random order over the
same hours), `uuid`, `short`, `long` (trips with ids of that kind, each once, in order of time) and `repeats` (trips
with UUIDs, in random order, every id about four times). The same kind and rows give the same values.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

GROUP_ROWS = 1_000_000
ROUTES = pa.array([f"R{number:05d}" for number in range(1_000)])
START_MICROS = 1_714_521_600_000_000
HOUR_MICROS = 3_600_000_000
_TIME = pa.timestamp("us", tz="UTC")


def _routes(rng: np.random.Generator, rows: int) -> pa.Array:
    return ROUTES.take(pa.array(rng.integers(0, 1_000, rows)))


def positions(rng: np.random.Generator, rows: int, first: int, total: int, ordered: bool) -> pa.Table:
    """Make one row group of positions."""
    if ordered:
        times = START_MICROS + (np.arange(first, first + rows) * (18 * HOUR_MICROS) // total)
    else:
        times = START_MICROS + rng.integers(0, 18 * HOUR_MICROS, rows)
    vehicles = rng.integers(0, 5_000, rows)
    return pa.table(
        {
            "event_ts": pa.array(times).cast(_TIME),
            "vehicle_id": pa.array([f"V{number:05d}" for number in range(5_000)]).take(pa.array(vehicles)),
            "route_id": _routes(rng, rows),
            "lat": pa.array(55.5 + rng.random(rows) * 0.5),
            "lon": pa.array(37.3 + rng.random(rows) * 0.6),
            "speed": pa.array(np.abs(rng.normal(35.0, 12.0, rows))),
            "heading": pa.array(rng.random(rows) * 360.0),
        }
    )


def _uuids(numbers: np.ndarray) -> list[str]:
    """Spread numbers over random-looking UUIDs, one to one."""
    mask = (1 << 64) - 1
    texts = []
    for number in numbers.tolist():
        high = (number * 0x9E3779B97F4A7C15 + 0x1234567) & mask
        low = (high * 0xBF58476D1CE4E5B9 ^ number) & mask
        digits = f"{high:016x}{low:016x}"
        texts.append(f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}")
    return texts


def trips(rng: np.random.Generator, rows: int, first: int, total: int, kind: str) -> pa.Table:
    """Make one row group of trips."""
    numbers = rng.integers(0, total // 4, rows) if kind == "repeats" else np.arange(first, first + rows)
    if kind == "repeats":
        # A trip has one route and one hour, so that its repetitions meet in one group.
        spread = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        routes = ROUTES.take(pa.array((spread >> np.uint64(40)) % np.uint64(1_000)))
        times = START_MICROS + ((spread >> np.uint64(20)) % np.uint64(24 * 3_600)).astype(np.int64) * 1_000_000
    else:
        routes = _routes(rng, rows)
        times = START_MICROS + (numbers * (24 * HOUR_MICROS) // total)
    texts = {"short": lambda: [f"T{number:09d}" for number in numbers.tolist()]}.get(kind, lambda: _uuids(numbers))()
    if kind == "long":
        texts = [f"trip/2024-05-01/{text}" for text in texts]
    return pa.table(
        {
            "trip_id": pa.array(texts),
            "route_id": routes,
            "start_ts": pa.array(times).cast(_TIME),
            "fare": pa.array(rng.integers(2_000, 9_000, rows) / 100.0),
            "duration_sec": pa.array(rng.integers(60, 5_400, rows)),
            "distance_m": pa.array(rng.random(rows) * 20_000.0),
        }
    )


def main(kind: str, file: Path, rows: int) -> None:
    """Write a file, complete or not at all."""
    unfinished = file.with_suffix(".unfinished")
    writer = None
    group_rows = GROUP_ROWS if kind in ("ordered", "shuffled") else GROUP_ROWS // 4
    for number, first in enumerate(range(0, rows, group_rows)):
        rng = np.random.default_rng([7, number])
        count = min(group_rows, rows - first)
        if kind in ("ordered", "shuffled"):
            table = positions(rng, count, first, rows, kind == "ordered")
        else:
            table = trips(rng, count, first, rows, kind)
        if writer is None:
            texts = [field.name for field in table.schema if field.type == pa.string() and field.name != "trip_id"]
            writer = pq.ParquetWriter(unfinished, table.schema, compression="zstd", use_dictionary=texts)
        writer.write_table(table, row_group_size=group_rows)
    assert writer is not None
    writer.close()
    unfinished.rename(file)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
