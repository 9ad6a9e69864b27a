"""Digests beside a table change how long a merge takes and nothing else: two tables, one with and one without them."""

from __future__ import annotations

import json
import os
import threading
import time

import pytest

pytest.importorskip("metropulse._core")
pytestmark = [pytest.mark.core, pytest.mark.embedded]

from datetime import UTC, datetime
from decimal import Decimal

import psycopg
import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import metropulse as mp
from merging import Dim, day, empty_schema
from metropulse.merge import merge_snapshot
from thoroughness import cases

SOAK = bool(os.environ.get("METROPULSE_SOAK"))
SCHEMA = pa.schema([("part", pa.string()), ("number", pa.int64()), ("colour", pa.string()), ("size", pa.float64())])
NEVER = 10**9
DIGESTS = "pair.with_digests"
TABLES = (DIGESTS, "pair.without")
OPEN = "INSERT INTO {t} (part, number, colour, size, valid_from) VALUES "


class Pair:
    """A table whose digests are kept, and one without; whatever is done is done to both and must end alike."""

    def __init__(self, connection, dsn: str, **options) -> None:
        self.connection = connection
        for table in TABLES:
            for suffix in ("", "_said", "_loads", "_digests"):
                connection.execute(f"DROP TABLE IF EXISTS {table}{suffix}")
        options = {"key": ["part", "number"], **options}
        self.dims = [Dim(connection, dsn, name, keys, **options) for name, keys in zip(TABLES, (0, NEVER), strict=True)]

    def load(self, rows, number: int, **more):
        """Merge into both; the report, or the error."""
        return self.both(lambda dim: dim.load(table(rows) if isinstance(rows, list) else rows, number, **more))

    def rewind(self, number: int):
        """Rewind both."""
        return self.both(lambda dim: dim.rewind(number))

    def both(self, step):
        outcomes = [self.outcome(step, dim) for dim in self.dims]
        assert outcomes[0] == outcomes[1]
        self.check()
        return outcomes[0]

    @staticmethod
    def outcome(step, dim: Dim):
        try:
            # Samples show surrogate keys, which are given in the order in which changes are found.
            given = {**step(dim), "table": None, "sample": None, "digests_not_kept": None}
            return {name: value for name, value in given.items() if name != "seconds"}
        except mp.MetropulseError as e:
            return type(e).__name__, str(e).replace("with_digests", "without")

    def run(self, sql: str) -> None:
        """Do something by hand."""
        for dim in self.dims:
            self.connection.execute(sql.replace("{t}", dim.name))

    def check(self) -> None:
        """The same versions, logs and loads."""
        for suffix, columns in (("", "valid_from, valid_to"), ("_said", "said_from, said_to, stated")):
            sql = f"SELECT part, number, colour, size, {columns} FROM {{}}{suffix} ORDER BY 1, 2, 5, 6"
            with_, without = [self.connection.execute(sql.format(name)).fetchall() for name in TABLES]
            assert with_ == without
        sql = "SELECT effective, stated, row_count FROM {}_loads ORDER BY 1"
        with_, without = [self.connection.execute(sql.format(name)).fetchall() for name in TABLES]
        assert with_ == without

    def header(self):
        """The header of the digests, with the transaction that wrote it; None without any."""
        if self.connection.execute(f"SELECT to_regclass('{DIGESTS}_digests')").fetchone()[0] is None:
            return None
        sql = f"SELECT header FROM {DIGESTS}_digests WHERE part = 0"
        row = self.connection.execute(sql).fetchone()
        return row and row[0] and json.loads(row[0])

    def is_trusted(self, number: int) -> bool:
        """Whether the next merge, of a day and with one change, uses the digests: it adds to them then."""
        before = self.header()
        rows = world()
        rows[7]["colour"] = f"of day {number}"
        assert "rows" in self.load(rows, number)
        after = self.header()
        assert after is not None and after["keys"] == len(rows)
        return bool(before) and after["changes"] > before["changes"]


def world(count: int = 40, colour: str = "red"):
    rows = [{"part": "p", "number": number, "colour": colour, "size": 1.5} for number in range(count)]
    rows[0] |= {"part": None}
    rows[1] |= {"number": None, "size": None}
    return rows


def moment(second: int, microsecond: int = 0) -> datetime:
    return datetime(2024, 5, 1, 12, 0, second, microsecond, tzinfo=UTC)


def time_of_day(second: int, microsecond: int = 0):
    return moment(second, microsecond).time()


def table(rows, schema: pa.Schema = SCHEMA) -> pa.Table:
    """A table; columns that are to be dictionaries are encoded afterwards."""
    coded = [field for field in schema if pa.types.is_dictionary(field.type)]
    for field in coded:
        schema = schema.set(schema.get_field_index(field.name), field.with_type(field.type.value_type))
    made = pa.Table.from_pylist(rows, schema=schema)
    for field in coded:
        column = made[field.name].dictionary_encode()
        made = made.set_column(made.schema.get_field_index(field.name), field.name, column)
    return made


@pytest.fixture
def connection(running_engines):
    with empty_schema(running_engines, "pair") as connection:
        yield connection


@pytest.fixture
def pair(connection, running_engines):
    """Two days are loaded, the digests of the second one are kept."""
    pair = Pair(connection, running_engines.warehouse_url)
    pair.load(world(), 1)
    assert pair.header() is None
    changed = world()
    changed[3]["colour"] = "blue"
    pair.load(changed, 2)
    assert pair.header()["changes"] == 0
    return pair


def test_digests_are_used_and_kept_up_without_a_look_at_the_table(pair):
    for number in (3, 4, 5, 6):
        assert pair.is_trusted(number)
    header = pair.header()
    same = world()
    same[7]["colour"] = "of day 6"
    assert pair.load(same, 6)["unchanged"]
    assert pair.header() == header
    assert not pair.load(same, 7)["unchanged"]  # a load is noted, nothing else
    assert pair.header() == header
    assert pair.is_trusted(8)


@pytest.mark.parametrize(
    ("statement", "is_trusted"),
    [
        ("UPDATE {t} SET colour = 'by hand' WHERE number = 5", False),
        ("UPDATE {t} SET colour = colour WHERE number = 5", False),
        ("DELETE FROM {t} WHERE number = 5", False),
        (f"{OPEN} ('q', 5, 'by hand', 1, '2024-05-01')", False),
        ("TRUNCATE {t}", False),
        (f"DELETE FROM {{t}} WHERE number = 5; {OPEN} ('p', 5, 'by hand', 1, '2024-05-01')", False),
        ("ALTER TABLE {t} DROP COLUMN colour; ALTER TABLE {t} ADD COLUMN colour text DEFAULT 'red'", False),
        ("ALTER TABLE {t} ALTER colour TYPE varchar(90)", False),
        ("ALTER TABLE {t} ALTER part TYPE varchar(90)", False),
        ("VACUUM FULL {t}", False),
        ("VACUUM (FREEZE) {t}", True),
        ("ANALYZE {t}", True),
        ("CREATE INDEX ON {t} (colour)", True),
        ("ALTER TABLE {t} ADD COLUMN note text DEFAULT 'by hand'", True),
    ],
)
def test_what_is_done_to_the_table_by_hand_is_noticed(pair, statement, is_trusted):
    pair.run(statement)
    assert pair.is_trusted(3) == is_trusted
    assert is_trusted or pair.header()["changes"] == 0
    assert pair.is_trusted(4)


@pytest.mark.parametrize(
    "statement",
    [f"{OPEN} ('q', 5, 'by hand', 1, '2024-05-20')", "UPDATE {t} SET valid_to = '2024-05-20' WHERE number = 5"],
)
def test_bounds_that_lie_ahead_leave_no_digests_until_they_have_passed(pair, statement):
    pair.run(statement)
    assert not pair.is_trusted(3)
    assert not pair.is_trusted(4)
    pair.load(world(), 21)
    assert pair.is_trusted(22)


def test_a_bound_that_is_made_anew_without_a_row_written_is_noticed(connection, running_engines):
    """Without the flag, which would be computed anew and write all rows."""
    pair = Pair(connection, running_engines.warehouse_url, current=None)
    for number in (1, 2):
        pair.load(world(), number)
    header = pair.header()
    pair.run("ALTER TABLE {t} DROP COLUMN valid_to")
    pair.run("ALTER TABLE {t} ADD COLUMN valid_to timestamptz DEFAULT '2024-05-02'")
    report = pair.load(world(), 3)
    assert report["keys_new"] == len(world())
    assert pair.header()["table"] != header["table"]


def test_a_copy_of_table_and_companions_does_not_trust_the_digests(pair, connection):
    connection.execute(f"UPDATE {DIGESTS} SET colour = 'by hand' WHERE number = 9")
    for suffix in ("", "_said", "_loads", "_digests"):
        name = f"with_digests{suffix}"
        connection.execute(f"ALTER TABLE {DIGESTS}{suffix} RENAME TO old{suffix}")
        connection.execute(f"CREATE TABLE pair.{name} (LIKE pair.old{suffix} INCLUDING ALL)")
        columns = connection.execute(
            "SELECT string_agg(attname, ', ') FROM pg_attribute WHERE attrelid = %s::regclass "
            "AND attnum > 0 AND attgenerated = ''",
            (f"pair.{name}",),
        ).fetchone()[0]
        connection.execute(f"INSERT INTO pair.{name} ({columns}) SELECT {columns} FROM pair.old{suffix}")
    connection.execute("UPDATE pair.without SET colour = 'by hand' WHERE number = 9")
    for name in TABLES:  # identities begin anew in a copy
        connection.execute(f"SELECT setval(pg_get_serial_sequence('{name}', '{name.split('.')[1]}_sk'), 100)")
    assert not pair.is_trusted(3)
    assert pair.is_trusted(4)


def test_rewinds_partial_snapshots_and_corrections_of_earlier_days_are_noticed(pair):
    assert pair.is_trusted(5)
    pair.rewind(3)
    assert not pair.is_trusted(6)
    partial = pa.table({"part": ["p"], "number": [5], "colour": ["partial"]}).cast(SCHEMA.remove(3))
    pair.load(partial, 7, allow_vanishing=True)
    pair.load(world(), 8)
    pair.load(world(39), 4)
    pair.load(world(38), 9)
    pair.load(world(38), 9)
    pair.load(world(37), 9)


def test_keys_vanish_alike(connection, running_engines):
    for absent in ("close", "ignore", "error"):
        pair = Pair(connection, running_engines.warehouse_url, absent=absent)
        for number, count in enumerate((40, 40, 39, 40, 41), 1):
            pair.load(world(count), number)
        pair.load(world(20), 6)  # too many at once: an error that names some
        pair.load(world(20), 6, allow_vanishing=True)
        pair.load([], 7)
        pair.load(world(), 8)
        pair.load(world(39), 8)  # a correction of the last day


def test_duplicates_and_contradictions_are_found_among_known_and_new_rows(pair):
    same, other, new = world()[5], {**world()[5], "colour": "other"}, {**world()[5], "number": 99}
    duplicates = [[same], [same, same], [new], [new, new]]
    for number, extra in enumerate(duplicates, 3):
        assert pair.load([*world(), *extra], number)["rows_duplicate"] == len(extra) - (extra[0] is new)
    base = [row for row in world() if row["number"] != 5]
    for rows in ([same, other], [other, same], [same, same, other], [other, other, same], [new, {**new, "size": 9.0}]):
        assert "two rows in one snapshot that differ" in pair.load([*base, *rows], 9)[1]
    assert pair.load([*base, other, other], 9)["rows_duplicate"] == 1


def test_a_dry_run_and_a_refused_or_killed_merge_leave_the_digests_alone(pair, connection):
    header = pair.header()
    changed = world()
    changed[9]["colour"] = "green"
    assert pair.load(changed, 3, dry_run=True)["keys_changed"] == 2
    assert pair.load(world(5), 3)[0] == "DataError"
    assert pair.header() == header
    dim, failed = pair.dims[0], []

    def merge() -> None:
        try:
            dim.load(table(changed), 3)
        except mp.MetropulseError as e:
            failed.append(e)

    with psycopg.connect(dim.dsn) as other:
        other.execute(f"LOCK TABLE {DIGESTS}_loads IN EXCLUSIVE MODE")  # the last thing that is written
        thread = threading.Thread(target=merge)
        thread.start()
        waiting = (
            "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name LIKE 'metropulse%'"
        )
        while not (found := connection.execute(waiting).fetchone()):
            time.sleep(0.01)
        connection.execute("SELECT pg_terminate_backend(%s)", found)
        thread.join()
    assert failed
    assert pair.header() == header
    pair.check()
    assert pair.is_trusted(3)


def test_many_changes_write_the_digests_anew(pair):
    header = pair.header()
    changed = world()
    for row in changed[:11]:
        row["colour"] = "new"
    pair.load(changed, 3)
    after = pair.header()
    assert (after["changes"], after["key"]) == (0, header["key"])
    changed[20]["colour"] = "newer"
    pair.load(changed, 4)
    assert pair.header()["changes"] == 1


def by_own_hand(header: str) -> str:
    """A header that says something else, by a transaction that says it wrote it."""
    sql = f"jsonb_set({header}, '{{bound,writer}}', to_jsonb(pg_current_xact_id()::xid::text))::text"
    return f"UPDATE {{t}}_digests SET header = {sql} WHERE part = 0"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE {t}_digests SET stated = 'torn' WHERE part = 1",
        "UPDATE {t}_digests SET stated = substr(stated, 25) WHERE part = 1",
        "UPDATE {t}_digests SET stated = set_byte(stated, 8, get_byte(stated, 8) # 1) WHERE part = 1",
        "UPDATE {t}_digests SET stated = set_byte(stated, 16, get_byte(stated, 16) # 1) WHERE part = 1",
        "UPDATE {t}_digests SET gone = NULL WHERE part > 1",
        "UPDATE {t}_digests SET stated = '' WHERE part = 2",
        "UPDATE {t}_digests SET part = part + 10 WHERE part = 3",
        "UPDATE {t}_digests SET part = -part WHERE part > 1; UPDATE {t}_digests SET part = 5 + part WHERE part < 0",
        "DELETE FROM {t}_digests WHERE part = 1",
        "DELETE FROM {t}_digests WHERE part = 3",
        "INSERT INTO {t}_digests SELECT part + 1, header, stated, gone FROM {t}_digests WHERE part = 3",
        "INSERT INTO {t}_digests VALUES (-5, 'not ours', NULL, NULL)",
        "ALTER TABLE {t}_digests DROP CONSTRAINT with_digests_digests_pkey",
        "ALTER TABLE {t}_digests DROP CONSTRAINT with_digests_digests_pkey; "
        "INSERT INTO {t}_digests SELECT * FROM {t}_digests WHERE part = 0",
        "UPDATE {t}_digests SET stated = NULL WHERE part = 0",
        "UPDATE {t}_digests SET header = NULL WHERE part = 0",
        "UPDATE {t}_digests SET header = '{}' WHERE part = 0",
        by_own_hand("jsonb_set(header::jsonb, '{key}', '[1, 2]')"),
        by_own_hand("jsonb_set(header::jsonb, '{changes}', '18446744073709551615')"),
        by_own_hand("jsonb_set(header::jsonb, '{bound,last_part}', '2')"),
        "DELETE FROM {t}_digests WHERE part = 0",
        "TRUNCATE {t}_digests",
        "DROP TABLE {t}_digests",
    ],
)
def test_digests_that_are_not_as_they_were_left_are_made_anew(pair, statement):
    assert pair.is_trusted(3)
    assert pair.is_trusted(4)
    pair.connection.execute(statement.replace("{t}", DIGESTS))
    is_as_it_was = "pkey" in statement and "INSERT" not in statement
    assert pair.is_trusted(5) == is_as_it_was
    assert pair.is_trusted(6)


def test_parts_of_another_day_are_not_trusted(pair, connection):
    """The key stays the same when much changes and the base is written anew."""
    connection.execute(f"CREATE TABLE pair.old AS SELECT * FROM {DIGESTS}_digests WHERE part = 1")
    pair.load(world(colour="green"), 3)
    assert pair.header()["changes"] == 0
    connection.execute(
        f"UPDATE {DIGESTS}_digests d SET stated = old.stated FROM pair.old WHERE d.part = 1 AND old.part = 1"
    )
    pair.load(world(), 4)
    assert pair.is_trusted(5)


def test_what_a_trigger_on_the_loads_does_to_the_table_is_noticed(pair, connection):
    """It runs in the transaction of the merge, when that has looked at the table already."""
    for number in (3, 5):
        for name in TABLES:
            connection.execute(
                f"CREATE OR REPLACE FUNCTION {name}_write() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN "
                f"UPDATE {name} SET colour = 'by trigger' WHERE number = 9 AND valid_to IS NULL; RETURN NULL; END$$;"
                f"CREATE TRIGGER write AFTER INSERT ON {name}_loads FOR EACH ROW EXECUTE FUNCTION {name}_write()"
            )
        if number == 5:  # where the digests are made anew
            connection.execute(f"DROP TABLE {DIGESTS}_digests")
        pair.load(world(colour="green"), number)
        pair.run("DROP TRIGGER write ON {t}_loads")
        pair.load(world(colour="blue"), number + 1)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER no BEFORE INSERT OR UPDATE OR DELETE ON {t}_digests EXECUTE FUNCTION pair.refuse()",
        "ALTER TABLE {t}_digests ADD CHECK (part < 2)",
        "ALTER TABLE {t}_digests ADD CHECK (header IS NULL) NOT VALID",
        "CREATE TABLE pair.other (part int REFERENCES {t}_digests); INSERT INTO pair.other VALUES (1)",
        "ALTER TABLE {t}_digests ALTER part ADD GENERATED ALWAYS AS IDENTITY",
        "DROP TABLE {t}_digests; CREATE TYPE {t}_digests AS ENUM ('x')",
    ],
)
def test_whatever_is_done_to_the_digests_stops_no_merge_and_is_told(pair, connection, statement):
    connection.execute(
        "CREATE FUNCTION pair.refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'not here'; END$$"
    )
    connection.execute(statement.replace("{t}", DIGESTS))
    told = []
    for number, colours in enumerate((["a"], ["b"] * 30, ["c"], ["d"] * 30), 3):
        rows = world()
        for row, colour in zip(rows, colours, strict=False):
            row["colour"] = colour
        told += [dim.load(table(rows), number).get("digests_not_kept") for dim in pair.dims]
        pair.check()
    assert any(told[::2])
    assert not any(told[1::2])


def test_a_lock_on_the_digests_is_waited_for_as_long_as_any_other(pair, running_engines):
    header = pair.header()
    pipeline = mp.Pipeline(warehouse=running_engines.warehouse_url, digest_keys=0, lock_deadline_seconds=1)
    with psycopg.connect(running_engines.warehouse_url) as other:
        other.execute(f"LOCK TABLE {DIGESTS}_digests IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(mp.MetropulseError, match="lock timeout") as caught:
            merge_snapshot(table(world(colour="green")), pipeline, DIGESTS, key=["part", "number"], effective=day(3))
    assert caught.value.retryable
    pair.check()
    assert pair.header() == header


def test_a_table_whose_rows_are_not_what_is_written_has_no_digests(connection, running_engines):
    pair = Pair(connection, running_engines.warehouse_url)
    pair.load(world(), 1)
    connection.execute(
        "CREATE OR REPLACE FUNCTION pair.shout() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN NEW.colour = upper(NEW.colour); RETURN NEW; END$$"
    )
    pair.run("CREATE TRIGGER shout BEFORE INSERT OR UPDATE ON {t} FOR EACH ROW EXECUTE FUNCTION pair.shout()")
    for number in (2, 3):
        pair.load(world(colour=f"day {number}"), number)
    assert pair.header() is None


def test_a_table_of_that_name_that_is_somebody_elses_is_left_alone(connection, running_engines):
    pair = Pair(connection, running_engines.warehouse_url)
    columns = "1::int AS part, ''::text AS header, ''::bytea AS stated, ''::bytea AS gone"
    for kind, query in (("TABLE", "SELECT 1::int AS part, ''::text AS header"), ("VIEW", f"SELECT {columns}")):
        connection.execute(f"CREATE {kind} {DIGESTS}_digests AS {query}")
        for number in (1, 2, 3):
            pair.load(world(colour=f"{kind} {number}"), number)
        assert connection.execute(f"SELECT part FROM {DIGESTS}_digests").fetchall() == [(1,)]
        connection.execute(f"DROP {kind} {DIGESTS}_digests")


@pytest.mark.parametrize(
    ("arrow_type", "sql_type", "first", "second", "is_change"),
    [
        (pa.string(), "varchar(3)", "abc", "abc  ", False),
        (pa.string(), "varchar(3)", "a", "a ", True),
        (pa.dictionary(pa.int8(), pa.string()), "varchar(3)", "äöü", "äöü ", False),
        (pa.string(), "char(4)", "a", "a ", False),
        (pa.time64("us"), "time(0)", time_of_day(1), time_of_day(0, 600_000), False),
        (pa.time64("ns"), "time(1)", time_of_day(0), time_of_day(0, 60_000), True),
        (pa.timestamp("us"), "timestamp(0)", moment(1), moment(0, 600_000), False),
        (pa.timestamp("us", "UTC"), "timestamptz(3)", moment(0), moment(0, 400), False),
        (pa.decimal128(9, 3), "numeric(9,1)", Decimal("1.300"), Decimal("1.260"), False),
        (pa.decimal128(9, 2), "numeric(9,-2)", Decimal("1300.00"), Decimal("1251.00"), False),
        (pa.int32(), "numeric(9,-2)", 1300, 1250, False),
        (pa.decimal128(9, 2), "numeric", Decimal("1.30"), Decimal("1.3"), False),
        (pa.dictionary(pa.int8(), pa.decimal128(9, 1)), "numeric(9,0)", Decimal("1.0"), Decimal("1.4"), False),
        (pa.dictionary(pa.int8(), pa.time64("us")), "time(0)", time_of_day(1), time_of_day(0, 600_000), False),
        (pa.dictionary(pa.int8(), pa.timestamp("us")), "timestamp(0)", moment(1), moment(0, 600_000), False),
        (pa.dictionary(pa.int8(), pa.int32()), "numeric(9,-2)", 1300, 1250, False),
    ],
)
def test_a_value_that_the_column_rounds_or_cuts_is_compared_as_it_is_kept(
    connection, running_engines, arrow_type, sql_type, first, second, is_change
):
    """As attribute and, where a column is one, as part of the key; the table has the column before the first load."""
    for role in ("colour", "part"):
        schema = SCHEMA.set(SCHEMA.get_field_index(role), pa.field(role, arrow_type))
        pair = Pair(connection, running_engines.warehouse_url)
        given = [{"part": None, "number": number, "colour": None, "size": 1.0, role: first} for number in range(20)]
        pair.load(table(given, schema), 1)
        pair.run(f"ALTER TABLE {{t}} ALTER {role} TYPE {sql_type}")
        pair.load(table(given, schema), 2)
        given[5][role] = second
        for number in (3, 4, 5):
            report = pair.load(table(given, schema), number)
            assert report["versions_inserted"] == (is_change and number == 3), (role, number)
        versions = connection.execute(f"SELECT count(*), count(DISTINCT {role}::text) FROM {DIGESTS} WHERE number = 5")
        assert versions.fetchone() == (1 + is_change, 1 + is_change)


@pytest.mark.parametrize(
    ("arrow_type", "sql_type", "first", "second"),
    [
        (pa.float64(), "float8", 0.0, -0.0),
        (pa.decimal128(9, 2), "numeric", Decimal("1.00"), Decimal("1.0")),
        (pa.string(), "jsonb", "{}", "{ }"),
        (pa.string(), "bpchar", "a", "a "),
        (pa.string(), "char(4)", "a", "a "),
    ],
)
def test_a_key_stays_as_the_table_spells_it(connection, running_engines, arrow_type, sql_type, first, second):
    schema = SCHEMA.set(0, pa.field("part", arrow_type)).set(1, pa.field("number", pa.int64()))
    pair = Pair(connection, running_engines.warehouse_url)
    using = f"USING part::{sql_type}" if sql_type == "jsonb" else ""
    for number, (part, colour) in enumerate(((first, "red"), (first, "red"), (second, "red"), (second, "blue")), 1):
        given = [{"part": part, "number": n, "colour": colour, "size": 1.0} for n in range(20)]
        pair.load(pa.Table.from_pylist(given, schema=schema), number)
        if number == 1:
            pair.run(f"ALTER TABLE {{t}} ALTER part TYPE {sql_type} {using}")
            pair.run(f"ALTER TABLE {{t}}_said ALTER part TYPE {sql_type} {using}")
    assert connection.execute(f"SELECT count(*), count(DISTINCT part::text) FROM {DIGESTS}").fetchone() == (40, 1)


@pytest.fixture
def merger(connection):
    """A role that may use the schema and its sequences; merges a table as that role."""
    connection.execute("DROP ROLE IF EXISTS merger")
    connection.execute("CREATE ROLE merger; GRANT USAGE ON SCHEMA pair TO merger")

    def merge(dim: Dim, rows, number: int) -> None:
        connection.execute("GRANT ALL ON ALL SEQUENCES IN SCHEMA pair TO merger")
        dsn = f"{dim.dsn}{'&' if '?' in dim.dsn else '?'}options=-c%20role%3Dmerger"
        Dim(connection, dsn, dim.name, 0, **dim.options).load(table(rows), number)

    yield merge
    connection.execute("DROP OWNED BY merger; DROP ROLE merger")


def test_a_role_that_may_make_no_table_merges_without_digests(connection, running_engines, merger):
    pair = Pair(connection, running_engines.warehouse_url)
    pair.load(world(), 1)
    connection.execute("GRANT ALL ON ALL TABLES IN SCHEMA pair TO merger")
    for dim in pair.dims:
        merger(dim, world(colour="blue"), 2)
    assert pair.header() is None
    pair.load(world(colour="green"), 3)
    assert pair.header()["changes"] == 0


def test_a_role_that_may_read_only_some_columns_merges_without_digests(connection, running_engines, merger):
    pair = Pair(connection, running_engines.warehouse_url)
    pair.load(world()[2:], 1)
    connection.execute("GRANT CREATE ON SCHEMA pair TO merger")
    for dim in pair.dims:
        columns = f"{dim.name.split('.')[1]}_sk, part, number, colour, size, valid_from, valid_to"
        connection.execute(
            f"GRANT SELECT ({columns}), INSERT ({columns}), UPDATE ({columns}), DELETE ON {dim.name} TO merger;"
            f"GRANT ALL ON {dim.name}_said, {dim.name}_loads TO merger"
        )
        merger(dim, world(colour="blue")[2:], 2)
    assert pair.header() is None
    pair.check()


KEYS = ((None, 1), ("", 1), ("a", None), ("a", 1), ("b", 2), ("b", 3))
values = st.fixed_dictionaries({"colour": st.sampled_from([None, "red", "blue"]), "size": st.sampled_from([None, 1.5])})
snapshots = st.tuples(
    st.integers(1, 6),
    st.sampled_from([SCHEMA.names[2:]] * 5 + [["colour"]]),
    st.dictionaries(st.sampled_from(KEYS), values),
)
by_hand = st.sampled_from(
    [
        "UPDATE {t} SET colour = 'by hand' WHERE number = 1",
        "UPDATE {t} SET colour = 'by hand' WHERE number = 2 AND valid_to IS NULL",
        "DELETE FROM {t} WHERE number = 1 AND valid_to IS NULL",
        "DELETE FROM {t} WHERE valid_to IS NOT NULL",
        f"DELETE FROM {{t}} WHERE part = 'b'; {OPEN} ('b', 2, 'by hand', 1, '2024-05-02')",
        "TRUNCATE {t}",
        "VACUUM (FREEZE) {t}",
        "VACUUM FULL {t}",
    ]
)
steps = st.lists(
    st.one_of(snapshots, snapshots, snapshots, snapshots, by_hand, st.integers(1, 6)), min_size=2, max_size=8
)


# `make soak` picks by mark.
@(pytest.mark.soak if SOAK else pytest.mark.slow(seconds=10))
@settings(
    max_examples=5_000 if SOAK else cases(100),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    derandomize=not SOAK,
)
@given(steps=steps, absent=st.sampled_from(["close", "close", "ignore"]), overwritten=st.sampled_from([(), ("size",)]))
def test_any_history_is_the_same_with_and_without_digests(connection, running_engines, steps, absent, overwritten):
    pair = Pair(
        connection, running_engines.warehouse_url, absent=absent, allow_vanishing=True, overwritten=list(overwritten)
    )
    everything = {key: {"colour": "red", "size": 1.5} for key in KEYS}
    for step in [(1, SCHEMA.names[2:], everything), (2, SCHEMA.names[2:], everything), *steps]:
        if isinstance(step, int):
            pair.rewind(step)
        elif isinstance(step, str):
            for statement in step.split("; "):
                pair.run(statement)
        else:
            day, stated, said = step
            rows = [{"part": part, "number": number, **row} for (part, number), row in said.items()]
            pair.load(table(rows).select(["part", "number", *stated]), day)
