"""A history follows its table: columns that go, come, or have another name, the zone of its days, keys that are gone."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("metropulse._core")
pytestmark = [pytest.mark.core, pytest.mark.embedded]

import pyarrow as pa
import pyarrow.parquet as pq
from click.testing import CliRunner

import metropulse as mp
from merging import Dim, day, empty_schema, start


@pytest.fixture
def connection(running_engines):
    with empty_schema(running_engines, "changed") as connection:
        yield connection


@pytest.fixture
def dim(connection, running_engines):
    return Dim(connection, running_engines.warehouse_url, "changed.dim", key="id")


def one(**columns):
    return [{"id": 1, **columns}]


def keyed(dim, columns: str):
    """Versions with their surrogate keys."""
    return dim.spans(f"dim_sk, {columns}")


def rules(dim):
    return dim.connection.execute(f"SELECT rules FROM {dim.name}_loads WHERE effective IS NULL").fetchone()[0]


def columns_of(dim, table: str) -> set[str]:
    sql = "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
    return {name for (name,) in dim.connection.execute(sql, (table,))}


def test_a_column_dropped_in_source_and_table_is_retired_and_the_history_goes_on(dim):
    dim.load(one(name="a", size=1, place="x"), 1)
    dim.load(one(name="a", size=2, place="x"), 2)
    dim.load(one(name="b", size=2, place="y"), 4)
    dim.connection.execute("ALTER TABLE changed.dim DROP COLUMN size")
    report = dim.load(one(name="b", place="z"), 5)
    assert (report.retired_columns, report.versions_deleted, report.unchanged) == (("size",), 1, False)
    # Versions that differed in nothing else are one, under the key of the first.
    assert keyed(dim, "name, place") == [(1, "a", "x", 1, 4), (3, "b", "y", 4, 5), (4, "b", "z", 5, None)]
    assert columns_of(dim, "changed.dim_said") == {"said_id", "id", "name", "place", "said_from", "said_to", "stated"}
    assert (rules(dim)["columns"], rules(dim)["retired"]) == (["name", "place"], ["size"])
    # Late days, corrections and rewinds are told of the columns that are left.
    dim.load(one(name="c", place="x"), 3)
    assert dim.spans("name, place") == [("a", "x", 1, 3), ("b", "y", 4, 5), ("b", "z", 5, None), ("c", "x", 3, 4)]
    dim.rewind(2)
    assert keyed(dim, "name, place") == [(1, "a", "x", 1, None)]
    assert dim.load(one(name="a", place="x"), 2).unchanged


def test_a_rewind_follows_a_dropped_column_too(dim):
    for number, size in enumerate((1, 2, 2), 1):
        dim.load(one(name="ab"[number // 3], size=size), number)
    dim.connection.execute("ALTER TABLE changed.dim DROP COLUMN size")
    before = dim.connection.execute("SELECT * FROM changed.dim ORDER BY dim_sk").fetchall()
    assert dim.rewind(3, dry_run=True).retired_columns == ("size",)
    assert dim.connection.execute("SELECT * FROM changed.dim ORDER BY dim_sk").fetchall() == before
    assert dim.rewind(3).retired_columns == ("size",)
    assert keyed(dim, "name") == [(1, "a", 1, 3), (3, "b", 3, None)]
    assert "retired_columns" not in dim.rewind(2)
    assert keyed(dim, "name") == [(1, "a", 1, None)]


def test_a_column_dropped_in_the_table_alone_gives_no_key_a_version(dim):
    rows = [{"id": number, "name": "a", "size": number} for number in range(3)]
    dim.load(rows, 1)
    dim.connection.execute("ALTER TABLE changed.dim DROP COLUMN size")
    report = dim.load(rows, 2)
    assert (report.retired_columns, report.unknown_columns, report.rows) == (("size",), ("size",), 0)
    report = dim.load([{**row, "size": 9} for row in rows], 3)
    assert (report.unknown_columns, report.rows, report.keys_changed) == (("size",), 0, 0)
    assert "retired_columns" not in report
    assert columns_of(dim, "changed.dim") == {"dim_sk", "id", "name", "valid_from", "valid_to", "is_current"}
    with pytest.raises(mp.ConfigError, match='"size" is named in tracked or overwritten, but the table has lost it'):
        dim.load(rows, 4, tracked=["name", "size"])
    # Whoever adds it again has a new column.
    dim.connection.execute("ALTER TABLE changed.dim ADD COLUMN size bigint")
    assert dim.load(rows[:2], 4).rows == 5
    assert dim.spans("id, size") == [
        (0, None, 1, 4),
        (0, 0, 4, None),
        (1, None, 1, 4),
        (1, 1, 4, None),
        (2, None, 1, 4),
    ]
    assert "retired" not in rules(dim)


def test_a_table_that_lost_its_key_or_every_column_says_so(dim):
    dim.load(one(name="a"), 1)
    dim.connection.execute("ALTER TABLE changed.dim RENAME name TO title")
    with pytest.raises(mp.SchemaError, match=r"lost every column of its history \(name\)"):
        dim.load(one(title="a"), 2)
    dim.connection.execute("ALTER TABLE changed.dim RENAME title TO name; ALTER TABLE changed.dim RENAME id TO number")
    with pytest.raises(mp.SchemaError, match='key column "id" is gone from the table'):
        dim.load(one(name="b"), 2)


def test_a_rename_that_is_told_keeps_the_history_and_writes_no_version(dim):
    dim.load(one(name="a", size=1), 1, overwritten=["size"])
    dim.load(one(name="b", size=2), 3, overwritten=["size"])
    places = "SELECT dim_sk, ctid::text, xmin::text FROM changed.dim ORDER BY 1"
    before = dim.connection.execute(places).fetchall()
    told = {"renamed": {"name": "title", "size": "length"}, "overwritten": ["length"]}
    would = dim.load(one(title="b", length=2), 4, dry_run=True, **told)
    assert (would.renamed_columns, would.versions_inserted) == (("name is now title", "size is now length"), 0)
    assert "name" in columns_of(dim, "changed.dim")
    report = dim.load(one(title="b", length=2), 4, **told)
    assert (report.renamed_columns, report.rows, report.unchanged) == (would.renamed_columns, 0, False)
    assert "changed_rules" not in report
    assert dim.connection.execute(places).fetchall() == before
    assert columns_of(dim, "changed.dim_said") >= {"title", "length"}
    # It may stay in the call, and late files with the former names are read by the new ones, told or not.
    assert dim.load(one(title="b", length=2), 4, **told).unchanged
    dim.load(one(name="c", size=9), 2, overwritten=["length"])
    assert dim.spans("title, length") == [("a", 2, 1, 2), ("b", 2, 3, None), ("c", 2, 2, 3)]
    dim.rewind(1)
    assert dim.spans("title, length") == [("a", 1, 1, None)]


def test_a_rename_done_in_the_table_is_taken_up_and_so_is_a_key(dim):
    dim.load(one(name="a"), 1)
    dim.connection.execute("ALTER TABLE changed.dim RENAME name TO title; ALTER TABLE changed.dim RENAME id TO number")
    report = dim.load([{"number": 1, "title": "a"}], 2, key="number", renamed={"id": "number", "name": "title"})
    assert (report.rows, len(report.renamed_columns)) == (0, 2)
    dim.load([{"number": 1, "title": "b"}], 3, key="number")
    assert dim.spans("number, title") == [(1, "a", 1, 3), (1, "b", 3, None)]


@pytest.mark.parametrize(
    ("renamed", "message"),
    [
        ({"colour": "title"}, "the history has neither, expected one of name, size"),
        ({"name": "size"}, "both are part of the history"),
        ({"name": "valid_to"}, "needs that name for itself"),
        ({"name": "extra"}, "the table has both"),
        ({"name": "a", "size": "a"}, "names more than once"),
        ({"name": "size", "size": "name"}, "names more than once"),
    ],
)
def test_a_rename_that_cannot_be_meant_is_refused(dim, renamed, message):
    dim.load(one(name="a", size=1), 1)
    dim.connection.execute("ALTER TABLE changed.dim ADD COLUMN extra text")
    with pytest.raises(mp.ConfigError, match=message):
        dim.load(one(name="a", size=1), 2, renamed=renamed)
    assert dim.load(one(name="a", size=1), 1).unchanged


def test_a_column_added_with_its_values_counts_as_said(dim):
    for number, name in enumerate("abb", 1):
        dim.load([*one(name=name), {"id": 2, "name": "z"}], number)
    dim.load([{"id": 2, "name": "z"}], 4)
    dim.load([*one(name="b"), {"id": 2, "name": "z"}], 5)
    dim.connection.execute("ALTER TABLE changed.dim ADD COLUMN city text")
    dim.connection.execute("UPDATE changed.dim SET city = 'Perm ' || name WHERE id = 1")
    report = dim.load([*one(name="b", city="Perm b"), {"id": 2, "name": "z", "city": None}], 6)
    assert (report.adopted_columns, report.rows) == (("city",), 0)
    shown = [(1, "a", "Perm a", 1, 2), (1, "b", "Perm b", 2, 4), (1, "b", "Perm b", 5, None), (2, "z", None, 1, None)]
    assert dim.spans("id, name, city") == shown
    # What was said goes on being told apart by day.
    dim.load([*one(name="b", city="Omsk"), {"id": 2, "name": "z", "city": None}], 7)
    dim.rewind(6)
    assert dim.spans("id, name, city") == shown
    dim.rewind(2)
    assert dim.spans("id, name, city") == [
        (1, "a", "Perm a", 1, 2),
        (1, "b", "Perm b", 2, None),
        (2, "z", None, 1, None),
    ]


def test_a_column_added_without_values_begins_with_the_snapshot_that_states_it(dim):
    dim.load(one(name="a"), 1)
    dim.connection.execute("ALTER TABLE changed.dim ADD COLUMN city text")
    assert "adopted_columns" not in dim.load(one(name="a", city="Perm"), 3)
    dim.load(one(name="a", city="Omsk"), 2)
    assert dim.spans("name, city") == [("a", None, 1, 2), ("a", "Omsk", 2, 3), ("a", "Perm", 3, None)]


def test_digests_of_a_large_table_follow_a_rename_and_a_lost_column(connection, running_engines):
    dim = Dim(connection, running_engines.warehouse_url, "changed.dim", digest_keys=0, key="id")
    rows = [{"id": number, "name": "a", "size": number, "place": "x"} for number in range(50)]
    for number in (1, 2, 3):
        dim.load(rows, number)
    assert connection.execute("SELECT count(*) > 1 FROM changed.dim_digests").fetchone() == (True,)
    renamed = [{"id": r["id"], "title": r["name"], "size": r["size"], "place": r["place"]} for r in rows]
    assert dim.load(renamed, 4, renamed={"name": "title"}).rows == 0
    connection.execute("ALTER TABLE changed.dim DROP COLUMN size")
    assert dim.load(renamed, 5).rows == 0
    changed = [{**row, "place": "y" if row["id"] == 7 else "x"} for row in renamed]
    assert dim.load(changed, 6).keys_changed == 1
    assert dim.load(changed, 7).rows == 0
    assert [row for row in dim.spans("id, title, place") if row[0] == 7] == [
        (7, "a", "x", 1, 6),
        (7, "a", "y", 6, None),
    ]


def test_the_zone_is_a_rule_of_the_table(connection, running_engines):
    dim = Dim(connection, running_engines.warehouse_url, "changed.dim", key="id", time_zone="Europe/Moscow")
    dim.load(one(name="a"), 1)
    assert rules(dim)["zone"] == "Europe/Moscow"
    with pytest.raises(
        mp.ConfigError, match="time_zone is UTC, but this table keeps its history with days of Europe/M"
    ):
        dim.load(one(name="b"), 1, time_zone="UTC")
    with pytest.raises(mp.ConfigError, match="time_zone is UTC"):
        mp.rewind_snapshot(dim.dsn, dim.name, to=day(1))
    dim.load(one(name="b"), 1)
    assert [(name, since.hour) for name, since, _ in dim.rows("name")] == [("b", 21)]
    # A table of an earlier release gets it by its next merge.
    connection.execute("UPDATE changed.dim_loads SET rules = rules - 'zone' WHERE effective IS NULL")
    assert dim.load(one(name="b"), 1).rows == 0
    assert rules(dim)["zone"] == "Europe/Moscow"
    assert dim.load(one(name="b"), 1).unchanged


def changes(*rows, **types):
    """Rows of a feed: id, name, day of May, and what tells that the key is gone."""
    schema = {"id": pa.int64(), "name": pa.string(), "at": pa.timestamp("us", "UTC"), **types}
    named = [dict(zip(schema, (*row[:2], start(row[2]), *row[3:]), strict=True)) for row in rows]
    return pa.Table.from_pylist(named, schema=pa.schema(list(schema.items())))


@pytest.mark.parametrize(
    ("deleted", "kind", "gone", "there"),
    [
        ("is_deleted", pa.bool_(), True, (False, None)),
        (("is_deleted", True), pa.bool_(), True, (False, None)),
        (("is_deleted", "D"), pa.string(), "D", ("I", None)),
        (["is_deleted", "D"], pa.dictionary(pa.int8(), pa.string()), "D", ("U", "d")),
        (("is_deleted", 3), pa.int16(), 3, (1, None)),
    ],
)
def test_a_change_feed_says_that_a_key_is_gone(connection, running_engines, deleted, kind, gone, there):
    feed = Dim(connection, running_engines.warehouse_url, "changed.feed", key="id", effective_column="at")
    rows = [
        (1, "a", 1, there[0]),
        (1, None, 3, gone),
        (1, "a", 5, there[1]),
        (2, "b", 2, there[0]),
        (2, "left as it was", 4, gone),
        (3, None, 2, gone),
    ]
    report = feed.load(changes(*rows, is_deleted=kind), deleted=deleted)
    assert (report.keys_new, report.keys_vanished) == (3, 3)
    expected = [(1, "a", 1, 3), (1, "a", 5, None), (2, "b", 2, 4)]
    assert feed.spans("id, name") == expected
    assert columns_of(feed, "changed.feed") == {"feed_sk", "id", "name", "valid_from", "valid_to", "is_current"}
    # What else such a row holds plays no part, and a repeat none either.
    again = [(k, "other" if flag == gone else name, at, flag) for k, name, at, flag in rows]
    assert feed.load(changes(*again, *again, is_deleted=kind), deleted=deleted).unchanged
    # A key gone by a rewind comes back as it was; what was gone before anything was said stays so.
    feed.rewind(3)
    assert feed.spans("id, name") == [(1, "a", 1, 3), (2, "b", 2, None)]
    feed.load(changes((3, "c", 1)), deleted=None)
    assert feed.spans("id, name")[2:] == [(3, "c", 1, 2)]
    # The word is taken back by a row of the same instant.
    feed.load(changes((3, "d", 2)))
    assert feed.spans("id, name")[2:] == [(3, "c", 1, 2), (3, "d", 2, None)]


def test_deleted_goes_with_a_change_feed_and_a_column_that_can_tell(connection, running_engines):
    feed = Dim(connection, running_engines.warehouse_url, "changed.feed", key="id", effective_column="at")
    with pytest.raises(mp.ConfigError, match="a full snapshot says that a key is gone by not naming it"):
        feed.load([{"id": 1, "name": "a", "gone": True}], 1, effective_column=None, deleted="gone")
    texts = changes((1, "a", 1, "D"), op=pa.string())
    with pytest.raises(mp.SchemaError, match=r"has Arrow type Utf8, expected Boolean, or name the value"):
        feed.load(texts, deleted="op")
    with pytest.raises(mp.SchemaError, match="has Arrow type Float64, expected strings, integers or Boolean"):
        feed.load(changes((1, "a", 1, 1.0), op=pa.float64()), deleted=("op", "1"))
    with pytest.raises(mp.SchemaError, match='column "gone" is missing in the snapshot'):
        feed.load(texts, deleted="gone")
    with pytest.raises(mp.ConfigError, match="named twice"):
        feed.load(texts, deleted=("name", "D"), tracked=["name"])
    with pytest.raises(mp.ConfigError, match=r"deleted is \('op',\), expected"):
        feed.load(texts, deleted=("op",))
    with pytest.raises(mp.DataError, match="two rows with one effective time that differ"):
        feed.load(changes((1, "a", 1, None), (1, "a", 1, "D"), op=pa.string()), deleted=("op", "D"))


def test_the_command_line_tells_renames_and_what_is_gone(connection, running_engines, tmp_path):
    from metropulse.cli import cli

    dsn = running_engines.warehouse_url
    feed = Dim(connection, dsn, "changed.feed", key="id", effective_column="at")
    feed.load(changes((1, "a", 1)))
    rows = changes((1, None, 3, "D"), op=pa.string()).rename_columns(["id", "title", "at", "op"])
    pq.write_table(rows, tmp_path / "f.parquet")
    arguments = ["merge-snapshot", str(tmp_path / "f.parquet"), "--table", "changed.feed", "--warehouse", dsn, "--json"]
    arguments += ["--quiet", "--key", "id", "--effective-column", "at", "--deleted", "op=D", "--renamed"]
    done = CliRunner().invoke(cli, [*arguments, "name=title"], catch_exceptions=False)
    assert json.loads(done.stdout)["renamed_columns"] == ["name is now title"]
    assert feed.spans("id, title") == [(1, "a", 1, 3)]
    assert CliRunner().invoke(cli, [*arguments, "name"]).exit_code == 2


def of_dbt(connection, name: str, *rows, extra: str = "", bounds: str = "timestamp") -> None:
    """A table as dbt's snapshots leave it; bounds are days of May 2024, which dbt writes in UTC."""
    connection.execute(
        f"CREATE TABLE {name} (id integer, name text, size float8, dbt_scd_id text, dbt_updated_at timestamp, "
        f"dbt_valid_from {bounds}, dbt_valid_to {bounds}{extra})"
    )
    for number, (key, name_shown, size, first, last) in enumerate(rows):
        since, until = (None if bound is None else start(bound).replace(tzinfo=None) for bound in (first, last))
        connection.execute(
            f"INSERT INTO {name} (id, name, size, dbt_scd_id, dbt_updated_at, dbt_valid_from, dbt_valid_to) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s)",
            (key, name_shown, size, f"scd{number}", since, since, until),
        )


class Adopted(Dim):
    """A table of dbt's shape."""

    def __init__(self, connection, dsn: str, name: str = "changed.snap", **options) -> None:
        names = {"valid_from": "dbt_valid_from", "valid_to": "dbt_valid_to", "adopt": True}
        super().__init__(connection, dsn, name, key="id", **{**names, **options})

    def spans(self, columns: str):
        sql = f"SELECT {columns}, dbt_valid_from, dbt_valid_to FROM {self.name} ORDER BY id, dbt_valid_from"
        return [(*r[:-2], r[-2].day, r[-1] and r[-1].day) for r in self.connection.execute(sql)]


HISTORY = (
    (1, "a", 1.0, 1, 3),
    (1, "b", 1.0, 3, None),
    (2, "z", None, 1, 2),
    (2, "z", None, 4, None),
    (3, "q", 0.5, 2, 4),
)


def test_a_history_of_dbt_is_adopted_and_full_snapshots_go_on_with_it(connection, running_engines):
    of_dbt(connection, "changed.snap", *HISTORY)
    snap = Adopted(connection, running_engines.warehouse_url)
    now = [{"id": 1, "name": "b", "size": 2.0}, {"id": 2, "name": "z", "size": None}]
    with pytest.raises(mp.SchemaError, match=r"or takes a history over \(adopt\)"):
        snap.load(now, 5, adopt=False)
    would = snap.load(now, 5, dry_run=True)
    assert dict(would.adopted) == {
        "versions": 5,
        "key_count": 3,
        "gaps": 1,
        "gap_keys": ("id=2 from 2024-05-01 00:00:00",),
        "opened": 0,
        "changed_columns": (
            "dbt_valid_from is now timestamptz",
            "dbt_valid_to is now timestamptz",
            "snap_sk was added",
            "is_current was added",
        ),
    }
    assert (would.versions_inserted, would.versions_updated) == (1, 1)
    assert columns_of(snap, "changed.snap") >= {"dbt_scd_id"}
    assert "snap_sk" not in columns_of(snap, "changed.snap")
    assert snap.load(now, 5).adopted == would.adopted
    assert snap.spans("id, name, size, snap_sk, is_current, dbt_scd_id") == [
        (1, "a", 1.0, 1, False, "scd0", 1, 3),
        (1, "b", 1.0, 2, False, "scd1", 3, 5),
        (1, "b", 2.0, 6, True, None, 5, None),
        (2, "z", None, 3, False, "scd2", 1, 2),
        (2, "z", None, 4, True, "scd3", 4, None),
        (3, "q", 0.5, 5, False, "scd4", 2, 4),
    ]
    # `adopt` may stay; a late snapshot, the same ones again and a rewind read the adopted versions as what was said.
    again = snap.load(now, 5)
    assert (again.unchanged, "adopted" in again) == (True, False)
    snap.load(
        [
            {"id": 1, "name": "b", "size": 1.0},
            {"id": 2, "name": "z", "size": None},
            {"id": 3, "name": "q", "size": 0.5},
        ],
        3,
    )
    assert snap.spans("id, name, size") == [
        (1, "a", 1.0, 1, 3),
        (1, "b", 1.0, 3, 5),
        (1, "b", 2.0, 5, None),
        (2, "z", None, 1, 2),
        (2, "z", None, 3, None),
        (3, "q", 0.5, 2, 4),
    ]
    mp.rewind_snapshot(snap.dsn, snap.name, to=day(2))
    assert snap.spans("id, name, snap_sk") == [(1, "a", 1, 1, None), (2, "z", 3, 1, 2), (3, "q", 5, 2, None)]


def test_a_history_is_adopted_as_a_change_feeds(connection, running_engines):
    of_dbt(connection, "changed.snap", *HISTORY, (4, "w", 1.0, 1, 2), (4, "w", 1.0, 2, None), extra=", snap_sk serial")
    feed = Adopted(connection, running_engines.warehouse_url, current=None, effective_column="at", deleted=("op", "D"))
    rows = changes((1, "a", 2, "U"), (3, "q", 5, "U"), (1, "c", 6, "U"), (2, None, 7, "D"), op=pa.string())
    report = feed.load(rows)
    assert (report.adopted.versions, report.adopted.gaps) == (7, 1)
    # Neighbours that show the same are one version, in what was adopted too.
    assert feed.spans("id, name, least(snap_sk, 8)") == [
        (1, "a", 1, 1, 3),
        (1, "b", 2, 3, 6),
        (1, "c", 8, 6, None),
        (2, "z", 3, 1, 2),
        (2, "z", 4, 4, 7),
        (3, "q", 5, 2, 4),
        (3, "q", 8, 5, None),
        (4, "w", 6, 1, None),
    ]
    assert feed.load(rows).unchanged
    mp.rewind_snapshot(feed.dsn, feed.name, to=day(1))
    assert feed.spans("id, name") == [(1, "a", 1, None), (2, "z", 1, None), (4, "w", 1, None)]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            ((1, "a", 1.0, 1, 4), (1, "b", 1.0, 3, None)),
            r"1 of 2 versions overlap .*: id=1 from 2024-05-01 00:00:00 \(UTC\)",
        ),
        (((1, "a", 1.0, 1, None), (1, "b", 1.0, 3, None)), "1 of 2 versions overlap"),
        (((1, "a", 1.0, 2, None), (1, "b", 1.0, 2, None)), "1 of 2 versions overlap"),
        (((1, "a", 1.0, 2, 2), (1, "b", 1.0, 2, None)), "1 of 2 versions end where or before they begin"),
        (((1, "a", 1.0, None, 2), (2, "b", 1.0, 2, None)), "1 of 2 versions have no start.*: id=1 from NULL"),
        (((None, "a", 1.0, 1, 2),), "1 of 1 versions have no key"),
    ],
)
def test_what_is_no_history_is_not_adopted_and_named(connection, running_engines, rows, message):
    of_dbt(connection, "changed.snap", *rows)
    snap = Adopted(connection, running_engines.warehouse_url)
    before = columns_of(snap, "changed.snap")
    with pytest.raises(mp.DataError, match=message):
        snap.load([{"id": 1, "name": "b", "size": 1.0}], 5)
    assert columns_of(snap, "changed.snap") == before
    assert connection.execute("SELECT to_regclass('changed.snap_said')").fetchone() == (None,)


def test_columns_that_cannot_be_a_historys_are_named(connection, running_engines):
    of_dbt(connection, "changed.snap", *HISTORY, extra=", is_current text", bounds="date")
    snap = Adopted(connection, running_engines.warehouse_url)
    rows = [{"id": 1, "name": "b", "size": 1.0}]
    with pytest.raises(mp.SchemaError, match='column "since" is missing, expected the times of the history'):
        snap.load(rows, 5, valid_from="since")
    with pytest.raises(mp.SchemaError, match='column "is_current" has type text, expected boolean'):
        snap.load(rows, 5)
    with pytest.raises(mp.SchemaError, match='column "dbt_scd_id" has type text, expected bigint'):
        snap.load(rows, 5, current=None, surrogate="dbt_scd_id")
    with pytest.raises(mp.SchemaError, match="the table has none of the snapshot's columns"):
        snap.load([{"id": 1, "title": "b"}], 5)
    connection.execute("ALTER TABLE changed.snap ADD COLUMN snap_sk integer DEFAULT 7")
    with pytest.raises(mp.DataError, match='4 versions have no surrogate key "snap_sk" of their own'):
        snap.load(rows, 5, current=None)


def test_dates_sentinels_and_numbered_versions_are_adopted_as_they_are_meant(connection, running_engines):
    of_dbt(connection, "changed.snap", *HISTORY[:2], extra=", number integer", bounds="date")
    connection.execute(
        "UPDATE changed.snap SET number = 10 + (name = 'b')::int, dbt_valid_to = coalesce(dbt_valid_to, '9999-12-31'); "
        "ALTER TABLE changed.snap ALTER dbt_valid_to SET NOT NULL"
    )
    named = {"surrogate": "number", "current": None, "time_zone": "Europe/Moscow"}
    snap = Adopted(connection, running_engines.warehouse_url, **named)
    report = snap.load([{"id": 1, "name": "c", "size": 1.0, "new": 5}], 5)
    assert (report.adopted.opened, report.added_columns) == (1, ("new",))
    found = connection.execute(
        'SELECT name, number, "new", dbt_valid_from FROM changed.snap ORDER BY number'
    ).fetchall()
    assert [row[:3] for row in found] == [("a", 10, None), ("b", 11, None), ("c", 12, 5)]
    assert {row[3].astimezone(start(1).tzinfo).hour for row in found} == {21}
