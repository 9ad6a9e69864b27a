"""Tables of PostgreSQL into Arrow, in parts by several connections."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

pytest.importorskip("metropulse._core")
pytestmark = [pytest.mark.core, pytest.mark.embedded]

import psycopg
from psycopg import sql

import metropulse as mp

# Wide rows, so that few of them fill many parts of 2,048 blocks.
MANY = "SELECT g AS id, repeat('x', 1900) || g AS pad, g % 7 AS seven FROM generate_series(1, 30000) g"


@pytest.fixture
def db(running_engines) -> Iterator[psycopg.Connection]:
    """A connection in autocommit, with a schema of its own in its search path."""
    with psycopg.connect(running_engines.warehouse_url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS reading CASCADE; CREATE SCHEMA reading; SET search_path = reading")
        yield connection
        connection.execute("DROP SCHEMA reading CASCADE")


@pytest.fixture
def warehouse(running_engines):
    """The warehouse of the session's server."""
    return mp.Pipeline(warehouse=running_engines.warehouse_url).warehouse


@pytest.fixture
def guest(db, running_engines):
    """The warehouse as a role sees it that owns nothing."""
    db.execute("DROP ROLE IF EXISTS reading_guest; CREATE ROLE reading_guest LOGIN PASSWORD 'guest'")
    db.execute("GRANT USAGE ON SCHEMA reading TO reading_guest")
    parts = psycopg.conninfo.conninfo_to_dict(running_engines.warehouse_url)
    url = psycopg.conninfo.make_conninfo(**{**parts, "user": "reading_guest", "password": "guest"})
    yield mp.Pipeline(warehouse=url).warehouse
    db.execute("DROP OWNED BY reading_guest; DROP ROLE reading_guest")


def read(warehouse, name, columns=None, connections=3):
    return [tuple(row.values()) for row in warehouse.read_table(name, columns, connections=connections).to_pylist()]


def expected(db, query):
    return db.execute(query).fetchall()


@pytest.mark.parametrize("connections", [1, 2, 5])
def test_a_heap_of_many_parts_is_read_whole_and_in_order(db, warehouse, connections):
    db.execute(f"CREATE TABLE many AS {MANY}; ALTER TABLE many DROP COLUMN pad, ADD COLUMN pad2 text DEFAULT 'y'")
    db.execute("DELETE FROM many WHERE seven = 3; UPDATE many SET seven = -1 WHERE id % 1000 = 1")
    assert db.execute("SELECT pg_relation_size('many') / 8192 > 2 * 2048").fetchone() == (True,)
    assert read(warehouse, "reading.many", connections=connections) == expected(db, "SELECT * FROM many ORDER BY ctid")
    assert read(warehouse, "reading.many", ["seven"], connections) == expected(
        db, "SELECT seven FROM many ORDER BY ctid"
    )


def test_partitions_whose_columns_stand_in_another_order(db, warehouse):
    db.execute(
        "CREATE TABLE parted (id int, name text) PARTITION BY RANGE (id);"
        "CREATE TABLE late (name text, gone int, id int); ALTER TABLE late DROP COLUMN gone;"
        "CREATE TABLE early PARTITION OF parted FOR VALUES FROM (0) TO (100) PARTITION BY RANGE (id);"
        "CREATE TABLE first PARTITION OF early FOR VALUES FROM (0) TO (50);"
        "CREATE TABLE empty PARTITION OF early FOR VALUES FROM (50) TO (100);"
        "ALTER TABLE parted ATTACH PARTITION late FOR VALUES FROM (100) TO (200);"
        "INSERT INTO parted SELECT g, 'n' || g FROM generate_series(1, 49) g;"
        "INSERT INTO parted SELECT g, 'n' || g FROM generate_series(100, 199) g"
    )
    assert sorted(read(warehouse, "reading.parted")) == expected(db, "SELECT * FROM parted ORDER BY 1")
    assert read(warehouse, "reading.empty") == []
    assert warehouse.read_table("reading.empty").column_names == ["id", "name"]


def test_views_and_heirs_and_tables_without_rows(db, warehouse):
    db.execute(
        "CREATE TABLE base (id int, name text); CREATE TABLE heir (more int) INHERITS (base);"
        "INSERT INTO base VALUES (1, 'a'); INSERT INTO heir VALUES (2, 'b', 3);"
        "CREATE VIEW seen AS SELECT name FROM base; CREATE MATERIALIZED VIEW kept AS SELECT id FROM base;"
        "CREATE TABLE nothing (at timestamptz)"
    )
    assert sorted(read(warehouse, "reading.base")) == [(1, "a"), (2, "b")]
    assert sorted(read(warehouse, "reading.seen")) == [("a",), ("b",)]
    assert sorted(read(warehouse, "reading.kept")) == [(1,), (2,)]
    assert read(warehouse, "reading.nothing") == []


def test_what_only_the_parent_opens_comes_through_the_parent(db, guest):
    """A role with rights on the partitioned table alone, and one behind a policy, get what a query gives them."""
    db.execute(
        "CREATE TABLE parted (id int, owner text) PARTITION BY RANGE (id);"
        "CREATE TABLE one PARTITION OF parted FOR VALUES FROM (0) TO (100);"
        "INSERT INTO parted SELECT g, CASE g % 2 WHEN 0 THEN 'reading_guest' ELSE 'other' END FROM generate_series(0, 99) g;"
        "GRANT SELECT ON parted TO reading_guest"
    )
    assert len(read(guest, "reading.parted")) == 100
    db.execute(
        "GRANT SELECT ON one TO reading_guest; ALTER TABLE parted ENABLE ROW LEVEL SECURITY;"
        "CREATE POLICY mine ON parted USING (owner = current_user)"
    )
    assert len(read(guest, "reading.parted")) == 50


def test_all_parts_are_of_one_snapshot(db, warehouse, running_engines):
    """A writer moves amounts between far ends of the table; their sum never changes to a reader."""
    db.execute(f"CREATE TABLE many AS {MANY}; ALTER TABLE many ADD COLUMN amount int NOT NULL DEFAULT 10")
    over = threading.Event()

    def move() -> None:
        with psycopg.connect(running_engines.warehouse_url, autocommit=True) as link:
            number = 0
            while not over.is_set():
                number = number % 14_000 + 1
                link.execute(
                    "UPDATE reading.many SET amount = amount + CASE WHEN id = %s THEN 1 ELSE -1 END WHERE id IN (%s, %s)",
                    (number, number, 30_001 - number),
                )

    db.execute("CREATE INDEX ON many (id)")
    writer = threading.Thread(target=move)
    writer.start()
    try:
        for _ in range(5):
            rows = read(warehouse, "reading.many", ["id", "amount"])
            assert (len({number for number, _ in rows}), sum(amount for _, amount in rows)) == (30_000, 300_000)
    finally:
        over.set()
        writer.join()


SWAP = "BEGIN; ALTER TABLE many RENAME TO gone; ALTER TABLE other RENAME TO many; COMMIT"


@pytest.mark.parametrize("connections", [2, 8])
@pytest.mark.parametrize("change", ["TRUNCATE many", SWAP], ids=["truncate", "swap"])
def test_who_changes_the_table_meanwhile_waits_or_comes_first(db, warehouse, connections, change):
    """A session that came late to the table's lock once read what the change had left."""
    for _ in range(3):
        db.execute("DROP TABLE IF EXISTS many, other, gone")
        db.execute(f"CREATE TABLE many AS SELECT *, 'old' AS v FROM ({MANY}) m")
        db.execute(f"CREATE TABLE other AS SELECT *, 'new' AS v FROM ({MANY}) m")
        oid = db.execute("SELECT 'many'::regclass::oid").fetchone()[0]
        found = []
        reader = threading.Thread(
            target=lambda found=found: found.extend(read(warehouse, "reading.many", ["v"], connections))
        )
        reader.start()
        held = "SELECT count(*) FROM pg_locks WHERE relation = %s AND granted AND pid <> pg_backend_pid()"
        while reader.is_alive() and not db.execute(held, (oid,)).fetchone()[0]:
            pass
        db.execute(change)
        reader.join(60)
        assert not reader.is_alive()
        assert found == [("old",)] * 30_000


def test_a_role_with_some_columns_reads_those(db, guest):
    db.execute(
        "CREATE TABLE partly (id int, secret text); INSERT INTO partly VALUES (1, 'x');"
        "GRANT SELECT (id) ON partly TO reading_guest"
    )
    assert read(guest, "reading.partly", ["id"]) == [(1,)]
    with pytest.raises(mp.DatabaseError, match="permission denied"):
        read(guest, "reading.partly")


def test_a_read_goes_on_with_the_sessions_that_it_gets(db, guest):
    db.execute(f"CREATE TABLE many AS {MANY}")
    db.execute("GRANT SELECT ON many TO reading_guest; ALTER ROLE reading_guest CONNECTION LIMIT 2")
    assert len(read(guest, "reading.many", ["id"], 4)) == 30_000


def test_what_cannot_be_read_is_named(db, warehouse):
    db.execute(sql.SQL("CREATE TABLE {} (id int, spot point)").format(sql.Identifier("Odd name")))
    assert read(warehouse, 'reading."Odd name"', ["id"]) == []
    for columns in ("id", []):
        with pytest.raises(mp.ConfigError, match="expected a list"):
            warehouse.read_table('reading."Odd name"', columns)
    with pytest.raises(mp.ConfigError, match="connections is 0"):
        warehouse.read_table('reading."Odd name"', connections=0)
    with pytest.raises(mp.NotFoundError, match=r"no table reading\.none"):
        warehouse.read_table("reading.none")
    for name in ("a.b.c.d", "other.reading.none"):
        with pytest.raises(mp.ConfigError, match="no name of a table"):
            warehouse.read_table(name)
    with pytest.raises(mp.SchemaError, match=r"no column ident; it has id, spot"):
        warehouse.read_table('reading."Odd name"', ["ident"])
    with pytest.raises(mp.SchemaError, match=r"spot has type point"):
        warehouse.read_table('reading."Odd name"')
