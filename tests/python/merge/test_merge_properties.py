"""Any order of snapshots, changes, repeats, corrections and rewinds, against a model that rebuilds from scratch."""

from __future__ import annotations

import os

import pytest

pytest.importorskip("metropulse._core")
pytestmark = [pytest.mark.core, pytest.mark.embedded, pytest.mark.slow(seconds=10)]

import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from history_model import FeedModel, SnapshotModel
from merging import Dim, as_an_earlier_release_made_it, empty_schema, start
from thoroughness import cases

SOAK = bool(os.environ.get("METROPULSE_SOAK"))
EXAMPLES = 5_000 if SOAK else cases(200)
if SOAK:
    pytestmark.append(pytest.mark.soak)  # so that `make soak`, which picks by mark, runs them with all their cases
COLUMNS = ("colour", "size")
TYPES = {"colour": pa.string(), "size": pa.float64()}
KEYS = ((None, 1), ("", 1), ("a", None), ("a", 1), ("b", 2))
RUN = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    derandomize=not SOAK,
)

values = st.fixed_dictionaries({"colour": st.sampled_from([None, "red", "blue"]), "size": st.sampled_from([None, 1.5])})
columns = st.sampled_from([COLUMNS, COLUMNS, COLUMNS, ("colour",), ("size",)])
days = st.integers(1, 6)
repeats = st.sampled_from([True, False, False])
snapshots = st.tuples(days, columns, st.dictionaries(st.sampled_from(KEYS), values), repeats)
rewinds = st.integers(1, 6)
snapshot_steps = st.lists(st.one_of(snapshots, snapshots, snapshots, rewinds), min_size=1, max_size=6)
table_changes = st.sampled_from([("drop", "size"), ("add", "size"), ("rename", "colour", "shade")])
changing_steps = st.lists(st.one_of(*[snapshots] * 3, rewinds, table_changes, table_changes), min_size=2, max_size=7)
change = st.tuples(st.sampled_from(KEYS), days)
feed_steps = st.lists(
    st.one_of(*[st.tuples(columns, st.dictionaries(change, values, min_size=1), repeats)] * 3, rewinds),
    min_size=1,
    max_size=6,
)
said_or_gone = st.tuples(values, st.sampled_from([False, False, True]))
feed_changing_steps = st.lists(
    st.one_of(
        *[st.tuples(columns, st.dictionaries(change, said_or_gone, min_size=1, max_size=5), repeats)] * 4,
        rewinds,
        table_changes,
    ),
    min_size=1,
    max_size=7,
)


@pytest.fixture
def connection(running_engines):
    with empty_schema(running_engines, "random") as connection:
        yield connection


def fresh(connection, dsn: str, **options) -> Dim:
    for table in ("dim", "dim_said", "dim_loads", "dim_digests"):
        connection.execute(f"DROP TABLE IF EXISTS random.{table}")
    return Dim(connection, dsn, "random.dim", key=["part", "number"], **options)


def table(rows, stated, **more):
    fields = {"part": pa.string(), "number": pa.int64(), **{c: TYPES[c] for c in stated}, **more}
    return pa.Table.from_pylist(rows, schema=pa.schema(list(fields.items())))


def check(dim: Dim, model) -> None:
    expected = {
        (key, start(first), start(end), tuple(state[c] for c in sorted(state)))
        for key, versions in model.versions().items()
        for first, end, state in versions
    }
    shown = ", ".join(sorted(model.columns))
    rows = dim.connection.execute(f"SELECT part, number, valid_from, valid_to, {shown} FROM random.dim").fetchall()
    assert len(rows) == len(expected)
    assert {((r[0], r[1]), r[2], r[3], tuple(r[4:])) for r in rows} == expected


@RUN
@given(steps=snapshot_steps, absent=st.sampled_from(["close", "ignore"]), overwritten=st.sampled_from([(), ("size",)]))
def test_snapshots_in_any_order_give_the_history_of_the_model(connection, running_engines, steps, absent, overwritten):
    dim = fresh(connection, running_engines.warehouse_url, absent=absent, allow_vanishing=True, digest_keys=0)
    model = SnapshotModel(absent, overwritten)
    everything = {key: {"colour": "red", "size": 1.5} for key in KEYS[:3]}
    for step in [(3, COLUMNS, everything, False), *steps]:
        if isinstance(step, int):
            model.rewind(step)
            dim.rewind(step)
        else:
            day, stated, said, is_repeated = step
            if not said and absent == "ignore":
                continue
            said = {key: {c: row[c] for c in stated} for key, row in said.items()}
            rows = [{"part": key[0], "number": key[1], **row} for key, row in said.items()]
            dim.load(table(rows, stated), day, overwritten=list(overwritten))
            model.load(day, said)
            if is_repeated:
                before = dim.rows("part, number")
                assert dim.load(table(rows[::-1], stated), day, overwritten=list(overwritten)).unchanged
                assert dim.rows("part, number") == before
        check(dim, model)


def change_table(dim: Dim, model, step, is_done: bool) -> bool:
    """Do something to the columns of the table, or, of a rename, leave that to the merge; False if there is nothing to do."""
    what, column, *name = step
    alter = f"ALTER TABLE {dim.name}"
    if what == "drop" and column in model.columns and len(model.columns) > 1:
        dim.connection.execute(f"{alter} DROP COLUMN {column}")
        model.drop(column)
    elif what == "add" and column in model.dropped:
        dim.connection.execute(f"{alter} ADD COLUMN {column} float8")
        model.add(column)
    elif what == "rename" and column in model.columns:
        if is_done:
            dim.connection.execute(f"{alter} RENAME {column} TO {name[0]}")
        dim.options["renamed"] = {column: name[0]}
        model.rename(column, name[0])
    else:
        return False
    return True


def follow(dim: Dim, model, steps, is_done: bool, merge) -> None:
    """Take steps, of which some change the table; the next merge, or after a drop a rewind, has to follow."""
    pending = None
    for step in steps:
        if isinstance(step, int):
            if pending in (None, "drop"):
                model.rewind(step)
                dim.rewind(step)
                pending = None
        elif isinstance(step[0], str):
            if pending is None and change_table(dim, model, step, is_done):
                pending = step[0]
        elif merge(step):
            pending = None
        if pending is None:
            check(dim, model)


@RUN
@given(steps=changing_steps, absent=st.sampled_from(["close", "ignore"]), is_done=st.booleans(), is_large=st.booleans())
def test_a_history_follows_its_table_in_any_order(connection, running_engines, steps, absent, is_done, is_large):
    keys = 0 if is_large else None
    dim = fresh(connection, running_engines.warehouse_url, absent=absent, allow_vanishing=True, digest_keys=keys)
    model = SnapshotModel(absent)

    def merge(step) -> bool:
        day, stated, said, _ = step
        said = {key: {c: row[c] for c in stated} for key, row in said.items()}
        if (not said and absent == "ignore") or set(stated) <= model.dropped:
            return False
        dim.load(table([{"part": k[0], "number": k[1], **row} for k, row in said.items()], stated), day)
        model.load(day, said)
        return True

    everything = {key: {"colour": "red", "size": 1.5} for key in KEYS[:3]}
    follow(dim, model, [(3, COLUMNS, everything, False), *steps], is_done, merge)


@RUN
@given(steps=feed_changing_steps, is_done=st.booleans())
def test_a_change_feed_takes_keys_away_and_follows_its_table_in_any_order(connection, running_engines, steps, is_done):
    dim = fresh(connection, running_engines.warehouse_url, effective_column="at", deleted=("op", "D"))
    model = FeedModel()

    def merge(step) -> bool:
        stated, said, is_repeated = step
        if set(stated) <= model.dropped:
            return False
        changes = [
            (key, day, None if gone else {c: row[c] for c in stated}) for (key, day), (row, gone) in said.items()
        ]
        rows = [
            {"part": k[0], "number": k[1], "at": start(day), "op": "U" if row else "D", **(row or {"colour": "gone"})}
            for k, day, row in changes
        ]
        given_rows = table(rows, stated, at=pa.timestamp("us", "UTC"), op=pa.string())
        dim.load(given_rows)
        model.load(changes)
        if is_repeated:
            assert dim.load(given_rows).unchanged
        return True

    first = (COLUMNS, {(KEYS[0], 3): ({"colour": "red", "size": None}, False)}, False)
    follow(dim, model, [first, *steps], is_done, merge)


@RUN
@given(steps=snapshot_steps, upgrades=st.lists(st.booleans(), min_size=7, max_size=7))
def test_a_history_that_an_earlier_release_began_goes_on(connection, running_engines, steps, upgrades):
    dim = fresh(connection, running_engines.warehouse_url, absent="close", allow_vanishing=True)
    model = SnapshotModel("close")
    everything = {key: {"colour": "red", "size": 1.5} for key in KEYS[:3]}
    for step, is_old in zip([(3, COLUMNS, everything, False), *steps], upgrades, strict=False):
        if is_old and model.days:
            as_an_earlier_release_made_it(connection, dim.name)
        if isinstance(step, int):
            model.rewind(step)
            dim.rewind(step)
        else:
            day, stated, said, _ = step
            said = {key: {c: row[c] for c in stated} for key, row in said.items()}
            dim.load(table([{"part": k[0], "number": k[1], **row} for k, row in said.items()], stated), day)
            model.load(day, said)
        check(dim, model)


WIDE_KEYS = KEYS[2:]
changed = st.dictionaries(st.tuples(st.sampled_from(WIDE_KEYS), st.integers(0, 299)), st.sampled_from([None, "x", "y"]))
parts = st.tuples(st.integers(0, 299), st.sampled_from([1, 1, 2, 7]))
wide_steps = st.lists(st.one_of(*[st.tuples(days, parts, changed)] * 3, rewinds), min_size=2, max_size=5)


@settings(RUN, max_examples=max(EXAMPLES // 8, 12))
@given(steps=wide_steps, width=st.sampled_from([100, 300]), absent=st.sampled_from(["close", "ignore"]))
def test_a_table_of_hundreds_of_columns_keeps_history(connection, running_engines, steps, width, absent):
    names = [f"c{number:03}" for number in range(width)]
    overwritten = names[-2:]
    options = {"absent": absent, "allow_vanishing": True, "overwritten": overwritten, "digest_keys": 0}
    dim = fresh(connection, running_engines.warehouse_url, **options)
    model = SnapshotModel(absent, tuple(overwritten))
    for step in [(3, (0, 1), {(WIDE_KEYS[0], width - 1): "x"}), *steps]:
        if isinstance(step, int):
            model.rewind(step)
            dim.rewind(step)
        else:
            day, (first, every), changes = step
            stated = names[first % width :: every]
            said = {key: dict.fromkeys(stated) for key in {WIDE_KEYS[0], *(key for key, _ in changes)}}
            for (key, column), value in changes.items():
                if names[column % width] in said[key]:
                    said[key][names[column % width]] = value
            rows = [{"part": key[0], "number": key[1], **row} for key, row in said.items()]
            schema = {"part": pa.string(), "number": pa.int64(), **dict.fromkeys(stated, pa.string())}
            dim.load(pa.Table.from_pylist(rows, schema=pa.schema(list(schema.items()))), day)
            model.load(day, said)
        check(dim, model)


@RUN
@given(steps=feed_steps)
def test_changes_in_any_order_give_the_history_of_the_model(connection, running_engines, steps):
    dim = fresh(connection, running_engines.warehouse_url, effective_column="at")
    model = FeedModel()
    for step in [(COLUMNS, {(KEYS[0], 3): {"colour": "red", "size": None}}, False), *steps]:
        if isinstance(step, int):
            model.rewind(step)
            dim.rewind(step)
        else:
            stated, said, is_repeated = step
            changes = [(key, day, {c: row[c] for c in stated}) for (key, day), row in said.items()]
            rows = [{"part": k[0], "number": k[1], "at": start(day), **row} for k, day, row in changes]
            given_rows = table(rows, stated, at=pa.timestamp("us", "UTC"))
            dim.load(given_rows)
            model.load(changes)
            if is_repeated:
                assert dim.load(given_rows).unchanged
        check(dim, model)


def a_history(connection, changes) -> list:
    """Write versions as another tool may keep them, and give them: (key, first day, day after the last, row)."""
    drawn = FeedModel()
    drawn.load([(key, day, None if gone else row) for (key, day), (row, gone) in changes.items()])
    connection.execute(
        "CREATE TABLE random.dim (part text, number bigint, colour text, size float8, valid_from timestamptz, valid_to timestamptz)"
    )
    versions = [(key, *version) for key, found in drawn.versions().items() for version in found]
    for key, first, end, row in versions:
        values = (*key, row.get("colour"), row.get("size"), start(first), start(end))
        connection.execute("INSERT INTO random.dim VALUES (%s, %s, %s, %s, %s, %s)", values)
    return versions


histories = st.dictionaries(change, said_or_gone, min_size=1, max_size=8)


@settings(RUN, max_examples=EXAMPLES // 4)
@given(changes=histories, steps=snapshot_steps, absent=st.sampled_from(["close", "ignore"]))
def test_an_adopted_history_goes_on_as_if_its_bounds_were_loaded_snapshots(
    connection, running_engines, changes, steps, absent
):
    dim = fresh(connection, running_engines.warehouse_url, absent=absent, allow_vanishing=True, adopt=True)
    versions, model = a_history(connection, changes), SnapshotModel("close")
    for day in {bound for _, first, end, _ in versions for bound in (first, end) if bound}:
        model.load(
            day, {k: dict(row) for k, first, end, row in versions if first <= day and (end is None or day < end)}
        )
    model.columns, model.absent = set(COLUMNS), absent
    for step in [(3, COLUMNS, {KEYS[0]: {"colour": "red", "size": 1.5}}, False), *steps]:
        if isinstance(step, int):
            model.rewind(step)
            dim.rewind(step)
        else:
            day, stated, said, _ = step
            if not said and absent == "ignore":
                continue
            said = {key: {c: row[c] for c in stated} for key, row in said.items()}
            dim.load(table([{"part": k[0], "number": k[1], **row} for k, row in said.items()], stated), day)
            model.load(day, said)
        check(dim, model)


@settings(RUN, max_examples=EXAMPLES // 4)
@given(changes=histories, steps=feed_steps)
def test_an_adopted_history_goes_on_as_if_its_versions_were_rows_of_the_feed(
    connection, running_engines, changes, steps
):
    dim = fresh(connection, running_engines.warehouse_url, effective_column="at", adopt=True)
    versions, model = a_history(connection, changes), FeedModel()
    starts = {(key, first) for key, first, *_ in versions}
    model.load([(key, end, None) for key, _, end, _ in versions if end and (key, end) not in starts])
    model.load([(key, first, {c: row.get(c) for c in COLUMNS}) for key, first, _, row in versions])
    model.columns = set(COLUMNS)
    for step in [(COLUMNS, {(KEYS[0], 3): {"colour": "red", "size": None}}, False), *steps]:
        if isinstance(step, int):
            model.rewind(step)
            dim.rewind(step)
        else:
            stated, said, _ = step
            changed = [(key, day, {c: row[c] for c in stated}) for (key, day), row in said.items()]
            rows = [{"part": k[0], "number": k[1], "at": start(day), **row} for k, day, row in changed]
            dim.load(table(rows, stated, at=pa.timestamp("us", "UTC")))
            model.load(changed)
        check(dim, model)
