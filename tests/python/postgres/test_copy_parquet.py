"""Parquet and Arrow into tables of PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

pytest.importorskip("metropulse._core")
pytestmark = [pytest.mark.core, pytest.mark.embedded]

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from click.testing import CliRunner

import metropulse as mp


@pytest.fixture
def db(running_engines, request):
    """A connection in autocommit, with a schema of the test's own in its search path."""
    schema = "copy_" + request.node.name.partition("[")[0].removeprefix("test_")[:40]
    with psycopg.connect(running_engines.warehouse_url, autocommit=True) as connection:
        connection.execute(
            f"DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}; SET search_path = {schema}"
        )
        connection.schema, connection.dsn = schema, running_engines.warehouse_url
        yield connection
        connection.execute(f"DROP SCHEMA {schema} CASCADE")


def rows(db, sql):
    return db.execute(sql).fetchall()


def numbers(first: int, count: int) -> pa.Table:
    ids = pa.array(range(first, first + count), pa.int64())
    return pa.table({"id": ids, "name": pa.array([f"n{i}" for i in range(first, first + count)])})


def test_a_table_is_made_after_the_file_and_holds_its_rows_frozen(db, tmp_path):
    table = pa.table(
        {
            "flag": pa.array([True, None]),
            "small": pa.array([1, -1], pa.int16()),
            "big": pa.array([2**64 - 1, 0], pa.uint64()),
            "money": pa.array([Decimal("12.30"), None], pa.decimal128(12, 2)),
            "Name": pa.array(["né", ""]).dictionary_encode(),
            "at": pa.array([datetime(2024, 5, 1, 12, tzinfo=UTC), None], pa.timestamp("us", "UTC")),
            "day": pa.array([date(2024, 5, 1), None]),
            "tags": pa.array([["a", None], []], pa.list_(pa.string())),
        }
    )
    pq.write_table(table, tmp_path / "x.parquet")
    report = mp.copy_parquet(tmp_path / "x.parquet", db.dsn, f'{db.schema}."Made"', create=True)
    assert (report.rows, report.files, report.created, report.frozen) == (2, 1, True, True)
    assert rows(db, 'SELECT * FROM "Made"') == [
        (
            True,
            1,
            Decimal(2**64 - 1),
            Decimal("12.30"),
            "né",
            datetime(2024, 5, 1, 12, tzinfo=UTC),
            date(2024, 5, 1),
            ["a", None],
        ),
        (None, -1, Decimal(0), None, "", None, None, []),
    ]
    again = mp.copy_parquet(tmp_path / "x.parquet", db.dsn, f'{db.schema}."Made"', create=True)
    assert (again.created, again.frozen) == (False, False)
    assert rows(db, 'SELECT count(*) FROM "Made"') == [(4,)]


@pytest.mark.parametrize("connections", [1, 2, 3])
def test_files_folders_globs_lists_and_streams_bring_the_same_rows(db, tmp_path, connections):
    parts = [numbers(0, 5000), numbers(5000, 5000), numbers(10_000, 1)]
    for number, part in enumerate(parts):
        pq.write_table(part, tmp_path / f"p{number}.parquet", row_group_size=700)
    whole = pa.concat_tables(parts)
    db.execute("CREATE TABLE t (name text, id bigint, more int DEFAULT 7)")
    for source in (
        tmp_path,
        f"{tmp_path}/p*.parquet",
        f"file://{tmp_path}",
        [tmp_path / f"p{n}.parquet" for n in range(3)],
        whole,
        whole.to_reader(max_chunksize=500),
    ):
        report = mp.copy_parquet(source, db.dsn, f"{db.schema}.t", connections=connections)
        assert (report.rows, report.connections) == (10_001, connections)
        assert rows(db, "SELECT count(*), sum(id), count(DISTINCT name), min(more) FROM t") == [
            (10_001, 50_005_000, 10_001, 7)
        ]
        db.execute("TRUNCATE t")


def test_every_column_that_does_not_fit_is_named_before_anything_is_sent(db, tmp_path):
    pq.write_table(pa.table({"a": [1.5], "b": ["x"], "e": [1], "s": [{"k": 1}]}), tmp_path / "one.parquet")
    pq.write_table(pa.table({"a": [1.5], "b": ["x"], "e": [1]}), tmp_path / "two.parquet")
    db.execute(
        "CREATE TABLE t (a int, b numeric(5,2), c int NOT NULL, d int NOT NULL DEFAULT 1, g int GENERATED ALWAYS AS (1) STORED)"
    )
    with pytest.raises(mp.SchemaError) as raised:
        mp.copy_parquet(tmp_path, db.dsn, f"{db.schema}.t", truncate=True)
    text = str(raised.value)
    for told in (
        'one.parquet: column "a" is Float64, the table has integer: cast it to an integer',
        'two.parquet: column "a" is Float64',
        'column "b" is Utf8, the table has numeric(5,2): cast it to a decimal',
        'column "e" (Int64) is not in the table',
        'column "s"',
        'has no column "c" (integer), which is NOT NULL without a default',
    ):
        assert told in text, text
    assert '"d"' not in text and '"g"' not in text
    # A column that a file lacks is NULL there, and no misfit of that file.
    assert 'two.parquet: column "s"' not in text
    with pytest.raises(mp.SchemaError, match="turn it into JSON text"):
        mp.copy_parquet(tmp_path / "one.parquet", db.dsn, f"{db.schema}.new_one", create=True)


@pytest.mark.parametrize("connections", [1, 2])
def test_a_value_that_does_not_fit_is_named_and_leaves_the_table_as_it_was(db, tmp_path, connections):
    db.execute("CREATE TABLE t (id int, CHECK (id >= 0)); INSERT INTO t VALUES (7)")
    wide = pa.table({"id": pa.array([*range(3000), 2**40], pa.int64())})
    pq.write_table(wide, tmp_path / "wide.parquet", row_group_size=1000)
    with pytest.raises(mp.DataError) as raised:
        mp.copy_parquet(tmp_path, db.dsn, f"{db.schema}.t", truncate=connections == 1, connections=connections)
    assert raised.value.context["row"] == "3001"
    assert raised.value.context["column"] == "id"
    assert raised.value.context["file"].endswith("wide.parquet")
    refused = pa.table({"id": pa.array([*range(3000), -1], pa.int64())})
    with pytest.raises(mp.DataError, match="check"):
        mp.copy_parquet(refused.to_reader(max_chunksize=100), db.dsn, f"{db.schema}.t", connections=connections)
    assert rows(db, "SELECT id FROM t") == [(7,)]


def test_a_table_made_over_several_connections_appears_when_it_is_full(db, tmp_path):
    pq.write_table(numbers(0, 20_000), tmp_path / "x.parquet", row_group_size=1000)
    db.execute('CREATE TABLE "t_loading_0123abcd" (left_by_a_killed_copy int); CREATE TABLE t_loading_mine (kept int)')
    report = mp.copy_parquet(tmp_path, db.dsn, f"{db.schema}.t", create=True, connections=2)
    assert (report.rows, report.connections, report.created) == (20_000, 2, True)
    tables = [
        name for (name,) in rows(db, f"SELECT relname FROM pg_class WHERE relnamespace = '{db.schema}'::regnamespace")
    ]
    assert sorted(tables) == ["t", "t_loading_mine"]
    broken = pa.table({"id": pa.array([*range(5000)], pa.int64()), "name": ["\0"] * 5000})
    with pytest.raises(mp.DataError, match="U\\+0000"):
        mp.copy_parquet(broken.to_reader(max_chunksize=100), db.dsn, f"{db.schema}.u", create=True, connections=2)
    tables = [
        name for (name,) in rows(db, f"SELECT relname FROM pg_class WHERE relnamespace = '{db.schema}'::regnamespace")
    ]
    assert sorted(tables) == ["t", "t_loading_mine"]


def test_connections_that_could_wait_for_each_other_are_not_opened(db):
    db.execute("CREATE TABLE t (id bigint PRIMARY KEY, name text)")
    twice = pa.concat_tables([numbers(0, 3000), numbers(0, 3000)]).to_reader(max_chunksize=500)
    with pytest.raises(mp.DataError, match="duplicate key"):
        mp.copy_parquet(twice, db.dsn, f"{db.schema}.t", connections=2)
    report = mp.copy_parquet(numbers(0, 10), db.dsn, f"{db.schema}.t", connections=2)
    assert (report.connections, report.one_connection_because) == (1, "the unique index t_pkey")
    report = mp.copy_parquet(numbers(20, 5), db.dsn, f"{db.schema}.t", connections=2, truncate=True)
    assert report.frozen and rows(db, "SELECT count(*), min(id) FROM t") == [(5, 20)]


def test_domains_partitions_and_quoted_names_are_followed(db):
    db.execute(
        'CREATE DOMAIN cents AS numeric(12,2) CHECK (value >= 0); CREATE TABLE "od d" ("i""d" bigint, c cents)'
        ' PARTITION BY RANGE ("i""d"); CREATE TABLE p PARTITION OF "od d" FOR VALUES FROM (0) TO (100)'
    )
    table = pa.table({'i"d': [1, 2], "c": pa.array([Decimal("1.25"), None], pa.decimal64(10, 2))})
    report = mp.copy_parquet(table, db.dsn, f'{db.schema}."od d"', truncate=True)
    assert (report.rows, report.frozen) == (2, False)
    assert rows(db, "SELECT * FROM p") == [(1, Decimal("1.25")), (2, None)]


def test_a_wrong_table_or_source_is_a_clear_error(db, tmp_path):
    with pytest.raises(mp.NotFoundError, match="is not there; create it"):
        mp.copy_parquet(numbers(0, 1), db.dsn, f"{db.schema}.nothing")
    with pytest.raises(mp.ConfigError, match="no name of a table"):
        mp.copy_parquet(numbers(0, 1), db.dsn, 'a."b')
    with pytest.raises(mp.NotFoundError, match="names no Parquet file"):
        mp.copy_parquet(tmp_path, db.dsn, f"{db.schema}.t", create=True)
    with pytest.raises(mp.ConfigError, match="connections is 0"):
        mp.copy_parquet(numbers(0, 1), db.dsn, "t", connections=0)
    db.execute("CREATE VIEW v AS SELECT 1::bigint AS id")
    with pytest.raises(mp.ConfigError, match="is no table"):
        mp.copy_parquet(numbers(0, 1), db.dsn, f"{db.schema}.v")


def test_copies_into_one_table_at_once_lose_nothing(db):
    db.execute("CREATE TABLE t (id bigint, name text)")
    with ThreadPoolExecutor(4) as pool:
        jobs = [
            pool.submit(mp.copy_parquet, numbers(n * 1000, 1000), db.dsn, f"{db.schema}.t", connections=2)
            for n in range(4)
        ]
    assert sum(job.result().rows for job in jobs) == 4000
    assert rows(db, "SELECT count(*), count(DISTINCT id) FROM t") == [(4000, 4000)]


def test_the_command_line_copies_too(db, tmp_path):
    from metropulse.cli.app import cli

    pq.write_table(numbers(0, 10), tmp_path / "x.parquet")
    words = [
        "copy-parquet",
        str(tmp_path / "x.parquet"),
        "--table",
        f"{db.schema}.t",
        "--create",
        "--warehouse",
        db.dsn,
        "--json",
    ]
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == 0 and '"rows": 10' in done.output
    assert rows(db, "SELECT count(*) FROM t") == [(10,)]
