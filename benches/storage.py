"""What a row takes in staging and in facts: loads a generated day into an embedded warehouse and weighs its partitions.

`python benches/storage.py STATE_FOLDER [SCALE]`; scale 4 makes about 2.1 million positions.
"""

from __future__ import annotations

import sys

import psycopg

import metropulse as mp

DT = "2024-05-01"
TABLES = {
    "positions": ("staging.vehicle_positions_raw", "dwh.fact_vehicle_position"),
    "trips": ("staging.trips_raw", "dwh.fact_trip"),
    "payments": ("staging.payments_raw", "dwh.fact_payment"),
}


def main(state: str, scale: float = 4.0) -> None:
    """Print bytes a row, and those of its indexes."""
    pipeline = mp.Pipeline.embedded(state)
    pipeline.generate(DT, scale=scale)
    pipeline.stage(DT)
    pipeline.load_dimensions(DT)
    pipeline.load_facts(DT)
    with psycopg.connect(str(pipeline.settings.warehouse)) as link:
        for rows_of, tables in TABLES.items():
            for table in tables:
                name = f"{table}_{DT.replace('-', '')}"
                ((rows, size, indexes),) = link.execute(
                    f"SELECT count(*), pg_relation_size('{name}'), pg_indexes_size('{name}') FROM {name}"
                ).fetchall()
                kind = table.partition(".")[0]
                print(f"| {rows_of} in {kind} | {rows} | {size / rows:.1f} | {indexes / rows:.1f} |")


if __name__ == "__main__":
    main(sys.argv[1], *map(float, sys.argv[2:]))
