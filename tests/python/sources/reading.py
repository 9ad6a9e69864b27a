"""Readers and stores for tests of sources: each reader takes the name of a place and gives the keys that it read."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq

import metropulse as mp

DAY = "2024-05-01"
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def rows(*keys: str, **columns: list[Any]) -> bytes:
    """A Parquet file with a row for each key."""
    table = pa.table({"vehicle_id": list(keys), "event_ts": [NOON] * len(keys), **columns})
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


@dataclass
class Store:
    """A place to put files: how names of it begin, and how it is reached."""

    name: str
    begin: str
    put: Callable[[str, bytes], None]
    options: dict[str, str] = field(default_factory=dict)

    def fill(self, files: dict[str, bytes]) -> None:
        for path, data in files.items():
            self.put(path, data)


def local_store(folder: Path) -> Store:
    def put(path: str, data: bytes) -> None:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)

    return Store("local", f"{folder}/", put)


class Readers:
    """The readers of one test, with a database of their own."""

    NAMES = ("copy", "merge", "rollup", "lake")

    def __init__(self, make: Callable[..., mp.Pipeline]) -> None:
        self.make = make
        self.dsn = str(make(None).settings.warehouse)

    def read(self, reader: str, place: str, store: Store, **how: Any) -> list[str]:
        """The keys that a reader finds; of a lake those of the vehicles of its day."""
        return sorted(getattr(self, reader)(place, store, **how))

    def copy(self, place: str, store: Store, **how: Any) -> list[str]:
        mp.copy_parquet(place, self.dsn, "copied", create=True, truncate=True, lake_options=store.options, **how)
        return [key for (key,) in self.ask("SELECT vehicle_id FROM copied")]

    def merge(self, place: str, store: Store, **how: Any) -> list[str]:
        mp.merge_snapshot(place, self.dsn, "merged", key="vehicle_id", effective=DAY, lake_options=store.options, **how)
        return [key for (key,) in self.ask("SELECT vehicle_id FROM merged WHERE is_current")]

    def rollup(self, place: str, store: Store, **how: Any) -> list[str]:
        table = mp.rollup_hourly(
            place, keys=["vehicle_id"], time="event_ts", measures={"n": "count"}, lake_options=store.options, **how
        )
        return [row["vehicle_id"] for row in table.to_pylist() for _ in range(row["n"])]

    def lake(self, place: str, store: Store, **settings: Any) -> list[str]:
        day, _, _folder = place.rpartition("/vehicles")
        pipeline = self.make(day.rpartition("/")[0], lake_options=store.options, **settings)
        pipeline.apply_schema()
        pipeline.stage(DAY)
        found = pipeline.warehouse.query("SELECT vehicle_id FROM staging.vehicles_raw").to_pylist()
        return [row["vehicle_id"] for row in found]

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn, autocommit=True) as link:
            return link.execute(sql).fetchall()
