"""What cannot be loaded: a clear error that names the place, and not a row changed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import metropulse as mp
from metropulse import embedded

DATA = Path(__file__).parents[2] / "data" / "prototype_raw"
DT = "2024-05-02"

pytestmark = [pytest.mark.core, pytest.mark.embedded]

EVERYTHING = """
    select n.nspname || '.' || c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname in ('staging', 'dwh') and c.relkind in ('r', 'p', 'S') order by 1
"""

MART = "select route_id, hour_bucket, trip_cnt, speed_sum, snapshot_ts from mart_route_hourly order by route_id, hour_bucket"


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A copy of the prototype's days that a test may spoil."""
    shutil.copytree(DATA, tmp_path / "raw")
    return tmp_path / "raw"


def tables(p: mp.Pipeline) -> dict[str, tuple]:
    """Every table, with its number of rows and newest transaction; the record of failed steps is meant to change."""
    names = [row["name"] for row in p.warehouse.query(EVERYTHING).to_pylist() if row["name"] != "dwh.step_failure"]
    return {
        name: tuple(
            p.warehouse.query(
                f"select count(*) as n, max(xmin::text::bigint) as x from {name}"
                if not name.endswith("_sk")
                else "select 0 as n, 0 as x"
            )
            .to_pylist()[0]
            .values()
        )
        for name in names
    }


def rewrite(path: Path, **columns: pa.Array | None) -> None:
    """Replace columns of a file, or leave them out."""
    table = pq.read_table(path)
    for name, column in columns.items():
        index = table.schema.get_field_index(name)
        table = table.remove_column(index) if column is None else table.set_column(index, name, column)
    pq.write_table(table, path)


def truncate(lake: Path) -> None:
    """Cut the file off in its middle."""
    path = lake / f"dt={DT}" / "trips.parquet"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damage(lake: Path) -> None:
    """Flip bytes of a page; the footer stays whole."""
    path = lake / f"dt={DT}" / "vehicle_positions.parquet"
    data = bytearray(path.read_bytes())
    middle = len(data) // 3
    data[middle : middle + 512] = bytes(b ^ 0x5A for b in data[middle : middle + 512])
    path.write_bytes(bytes(data))


def no_text(lake: Path) -> None:
    """Not Parquet at all."""
    (lake / f"dt={DT}" / "payments.parquet").write_text("payment_id,paid_at\n1,2024-05-02\n")


def missing_column(lake: Path) -> None:
    """A required column is not there."""
    rewrite(lake / f"dt={DT}" / "trips.parquet", start_ts=None)


def wrong_type(lake: Path) -> None:
    """Money as a list."""
    path = lake / f"dt={DT}" / "trips.parquet"
    rows = pq.read_metadata(path).num_rows
    rewrite(path, fare=pa.array([[1.5]] * rows, pa.list_(pa.float64())))


def two_forms(lake: Path) -> None:
    """A file beside a folder of the same dataset."""
    folder = lake / f"dt={DT}"
    (folder / "trips").mkdir()
    shutil.copy(folder / "trips.parquet", folder / "trips" / "part-0.parquet")


def too_many_rejects(lake: Path) -> None:
    """Every tenth trip has no key."""
    path = lake / f"dt={DT}" / "trips.parquet"
    keys = pq.read_table(path)["trip_id"].to_pylist()
    rewrite(path, trip_id=pa.array([None if n % 10 == 0 else key for n, key in enumerate(keys)], pa.large_string()))


def contradiction(lake: Path) -> None:
    """One route, two names."""
    path = lake / f"dt={DT}" / "routes.parquet"
    table = pq.read_table(path)
    names = table["name"].to_pylist()
    again = table.slice(3, 1).set_column(1, "name", pa.array([names[3] + " again"], table.schema.field("name").type))
    pq.write_table(pa.concat_tables([table, again]), path)


def vanished(lake: Path) -> None:
    """Most routes are gone."""
    path = lake / f"dt={DT}" / "routes.parquet"
    pq.write_table(pq.read_table(path).slice(0, 5), path)


def empty_snapshot(lake: Path) -> None:
    """No route at all."""
    path = lake / f"dt={DT}" / "routes.parquet"
    pq.write_table(pq.read_table(path).slice(0, 0), path)


def empty_partition(lake: Path) -> None:
    """The folder is there, and nothing in it."""
    shutil.rmtree(lake / f"dt={DT}")
    (lake / f"dt={DT}").mkdir()


def missing_partition(lake: Path) -> None:
    """The folder is not there."""
    shutil.rmtree(lake / f"dt={DT}")


def broken_manifest(lake: Path) -> None:
    """A listed file differs from what the manifest says."""
    path = lake / f"dt={DT}" / "trips.parquet"
    listed = {"path": "trips.parquet", "rows": 108, "bytes": path.stat().st_size, "sha256": "0" * 64}
    (lake / f"dt={DT}" / "_manifest.json").write_text(json.dumps({"version": 1, "files": [listed]}))


CASES = [
    (truncate, mp.DataError, ["trips.parquet"], False),
    (damage, mp.DataError, ["vehicle_positions.parquet"], False),
    (no_text, mp.DataError, ["payments.parquet"], False),
    (missing_column, mp.SchemaError, ["trips.parquet", "start_ts"], False),
    (wrong_type, mp.SchemaError, ["trips.parquet", "fare", "List", "money"], False),
    (two_forms, mp.DataError, ["trips.parquet", "trips/"], False),
    (too_many_rejects, mp.DataError, ["trips", "11 of 108", "5.0 %", "no_key 11"], False),
    (contradiction, mp.DataError, ["dim_route", "R003", "name"], False),
    (vanished, mp.DataError, ["dim_route", "15 of 20", "allow"], False),
    (empty_snapshot, mp.DataError, ["dim_route", "no row", "allow"], False),
    (empty_partition, mp.NotFoundError, [DT], True),
    (missing_partition, mp.NotFoundError, [DT], True),
    (broken_manifest, mp.DataError, ["trips.parquet", "SHA-256"], False),
]


@pytest.mark.parametrize(("spoil", "error", "words", "retryable"), CASES, ids=[case[0].__name__ for case in CASES])
def test_bad_input_is_named_and_changes_nothing(pipeline_on, lake, spoil, error, words, retryable):
    p = pipeline_on(lake)
    p.run("2024-05-01")
    before = tables(p)
    mart = p.mart.query(MART).to_pylist()
    spoil(lake)
    # Each step by itself refuses what it would read, whatever the one before it did.
    raised = []
    for step in (p.stage, p.load_dimensions, p.load_facts):
        try:
            step(DT)
        except mp.MetropulseError as caught:
            raised.append(caught)
            if step == p.stage:
                assert tables(p) == before, "a refused step wrote something"
    assert raised, "nothing was refused"
    first = raised[0]
    assert type(first) is error, repr(first)
    assert first.retryable is retryable
    text = f"{first} {first.context}"
    missing = [word for word in words if word not in text]
    assert not missing, f"{missing} not in: {text}"
    assert "\n" not in str(first)
    if first not in raised[1:] and len(raised) == 3:
        assert tables(p) == before
    assert p.mart.query(MART).to_pylist() == mart


def test_a_stopped_server_is_a_retryable_error_and_the_next_run_completes(state_dir):
    p = mp.Pipeline.embedded(state_dir, lake=DATA)
    try:
        p.run("2024-05-01")
        counts = p.warehouse.query("select count(*) as n from dwh.load_ledger").to_pylist()
        embedded.stop(state_dir)
        with pytest.raises(mp.DatabaseError) as caught:
            p.run(DT)
        assert caught.value.retryable
        assert "warehouse" in f"{caught.value} {caught.value.context}"
    finally:
        p.close()
    with mp.Pipeline.embedded(state_dir, lake=DATA) as again:
        assert again.warehouse.query("select count(*) as n from dwh.load_ledger").to_pylist() == counts
        assert not again.run(DT).unchanged


def test_a_day_without_files_for_a_step_is_unchanged(pipeline_on, lake):
    """A partition may lack datasets: a step that finds none of its own wrote nothing, and says so."""
    for name in ("trips", "payments", "vehicle_positions"):
        (lake / f"dt={DT}" / f"{name}.parquet").unlink()
    p = pipeline_on(lake)
    assert not p.load_dimensions(DT).unchanged
    report = p.load_facts(DT)
    assert (report.rows, report.unchanged) == (0, True)


def test_a_server_that_is_not_there_is_named_with_its_port():
    with pytest.raises(mp.DatabaseError) as caught:
        mp.Pipeline(warehouse="postgresql://me:hunter2@127.0.0.1:1/city").warehouse.query("select 1")
    assert "127.0.0.1:1/city" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "refused" in str(caught.value)  # by nobody at that port, rather than by a server
    assert caught.value.retryable
