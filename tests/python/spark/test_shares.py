"""How row groups are shared over tasks, and what a task need not tell the others."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("metropulse._core")

import metropulse as mp
from metropulse import _core
from metropulse.rollup import spec_json
from metropulse.settings import resolve
from metropulse.spark.shares import own_hours, shared, tasks_for

pytestmark = pytest.mark.core

START = datetime(2024, 5, 1, tzinfo=UTC)
ASKED = {"keys": ["k"], "time": "at", "measures": {"n": "count", "ids": ("count_distinct", "id")}}


@pytest.fixture(autouse=True)
def small_shares(monkeypatch):
    """Shares as small as the files, so that each file has several."""
    monkeypatch.setattr("metropulse.spark.shares._LEAST_ROWS", 10_000)


def test_shares_cut_large_files_and_gather_small_ones():
    def file(name, *rows):
        return {"file": name, "size_bytes": 1, "rows": list(rows)}

    def piece(name, first, end):
        return {"file": name, "size_bytes": 1, "first": first, "end": end}

    layout = [file("large", 9_000, 9_000, 2_000), file("a", 3_000), file("b", 4_000), file("c", 5_000)]
    assert shared(layout, 100) == [
        [piece("large", 0, 1)],
        [piece("large", 1, 2)],
        [piece("large", 2, 3), piece("a", 0, 1)],
        [piece("b", 0, 1), piece("c", 0, 1)],
    ]
    assert [len(share) for share in shared(layout, 1)] == [4]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.integers(0, 50_000), max_size=6), max_size=8), st.integers(1, 9))
def test_shares_hold_every_row_group_once_in_order_and_are_alike(files, tasks):
    layout = [{"file": str(number), "size_bytes": 1, "rows": rows} for number, rows in enumerate(files)]
    shares = shared(layout, tasks)
    groups = [[(p["file"], group) for p in share for group in range(p["first"], p["end"])] for share in shares]
    every = [(file["file"], group) for file in layout for group in range(len(file["rows"]))]
    assert [one for share in groups for one in share] == every
    assert len(shares) <= tasks
    rows_of = {(file["file"], group): rows for file in layout for group, rows in enumerate(file["rows"])}
    fair = max(10_000, sum(rows_of.values()) / tasks)
    assert all(sum(map(rows_of.get, share)) <= fair + max(map(rows_of.get, share)) for share in groups)


def test_more_rounds_of_tasks_are_made_where_their_rows_are_worth_it():
    def tasks(*rows):
        return tasks_for([{"file": str(rows), "size_bytes": 1, "rows": list(rows)}], 4, 3)

    assert [tasks(), tasks(5), tasks(79_999_999)] == [4, 4, 4]
    assert tasks(40_000_000, 40_000_000) == 8
    assert tasks(120_000_000) == tasks(1_000_000_000) == 12


def layout_of(spans: list[list[tuple[int, int] | None]]) -> tuple[list[dict], list[list[dict]]]:
    """A file of each list, whose row groups have these hours; each file is a share."""
    layout = [
        {"file": str(number), "size_bytes": 1, "rows": [5] * len(hours), "hours": hours}
        for number, hours in enumerate(spans)
    ]
    shares = [[{"file": file["file"], "size_bytes": 1, "first": 0, "end": len(file["rows"])}] for file in layout]
    return layout, shares


SPANS = st.tuples(st.integers(0, 30), st.integers(0, 6)).map(lambda span: (span[0], span[0] + span[1]))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(SPANS, max_size=5), max_size=5))
def test_an_hour_is_a_share_s_own_where_no_other_has_it(spans):
    own = own_hours(*layout_of(spans))
    assert len(own) == len(spans)
    for hour in range(-1, 40):
        having = [n for n, hours in enumerate(spans) if any(first <= hour <= last for first, last in hours)]
        owning = [n for n, ranges in enumerate(own) if any(first <= hour <= last for first, last in ranges)]
        assert owning == (having if len(having) == 1 else [])


def test_no_hour_is_anybodys_own_where_one_footer_is_silent_about_rows():
    layout, shares = layout_of([[(1, 2), None], [(5, 6)]])
    assert own_hours(layout, shares) == [[], []]
    layout[0]["rows"][1] = 0
    assert own_hours(layout, shares) == [[(1, 2)], [(5, 6)]]


def states_of(file, tasks: int) -> tuple[list[pa.Table], list[list[tuple[int, int]]]]:
    spec = spec_json(ASKED["keys"], ASKED["time"], ASKED["measures"])
    told = resolve(lake=None, time_zone="Asia/Kolkata", threads=1).to_json()
    layout = json.loads(_core.parquet_layout(told, [str(file)], spec))
    shares = shared(layout, tasks)
    own = own_hours(layout, shares)
    made = (_core.rollup_pieces(told, json.dumps(share), spec, hours) for share, hours in zip(shares, own, strict=True))
    return [pa.table(state) for state in made], own


@pytest.mark.parametrize("kind", ["u{:06}", "12345678-0000-0000-0000-{:012}", "a longer text {:06}", "int"])
def test_values_of_own_hours_do_not_travel_and_the_counts_are_those_of_one_pass(tmp_path, kind):
    """In an hour of 5,000 rows some 3,161 of 5,000 values; hours begin at half past, where shares do not."""
    numbers = [(n * 7919) % 100_003 % 5_000 for n in range(60_000)]
    rows = pa.table(
        {
            "k": ["a", "b"] * 30_000,
            "at": pa.array([START + timedelta(seconds=n * 0.72) for n in range(60_000)], pa.timestamp("us", tz="UTC")),
            "id": numbers if kind == "int" else [kind.format(number) for number in numbers],
        }
    )
    pq.write_table(rows, tmp_path / "rows.parquet", row_group_size=6_000)
    wanted = pa.table(mp.rollup_hourly(rows, time_zone="Asia/Kolkata", **ASKED)).to_pylist()
    assert len(wanted) == 2 * 13
    states, own = states_of(tmp_path / "rows.parquet", 3)
    assert pa.table(mp.merge_rollups(states)).to_pylist() == wanted
    counted = 0
    for state, ranges in zip(states, own, strict=True):
        for row in state.to_pylist():
            hour_micros = row["hour_bucket"].timestamp() * 1_000_000
            is_own = any(first <= hour_micros <= last for first, last in ranges)
            assert (len(row["ids.values"]) == 0, row["ids.different"] > 0) == (is_own, is_own)
            counted += is_own
    assert counted == 2 * (13 - 2), "all but the hours in which one share ends and the next begins"
    # Merged in two steps, in another order, and kept as a file.
    between = pa.table(mp.merge_rollups(states[1:], partial=True))
    pq.write_table(between, tmp_path / "between.parquet")
    found = mp.merge_rollups([tmp_path / "between.parquet", states[0]])
    assert pa.table(found).to_pylist() == wanted
    listed = mp.rollup_hourly(rows.slice(60_000), time_zone="Asia/Kolkata", partial=True, **ASKED)
    assert pa.table(mp.merge_rollups([listed, *states])).to_pylist() == wanted, "of both versions"


def test_a_state_twice_is_found_out_where_it_counted(tmp_path):
    rows = pa.table({"k": ["a"], "at": pa.array([START], pa.timestamp("us", tz="UTC")), "id": ["u"]})
    pq.write_table(rows, tmp_path / "rows.parquet")
    [state], own = states_of(tmp_path / "rows.parquet", 1)
    assert own == [[(int(START.timestamp() - 1_800) * 1_000_000,) * 2]]
    with pytest.raises(mp.DataError, match="measure ids: an hour was counted as one whose rows are all in one place"):
        mp.merge_rollups([state, state])
    listed = mp.rollup_hourly(rows, time_zone="Asia/Kolkata", partial=True, **ASKED)
    for both in ([state, listed], [listed, state]):
        with pytest.raises(mp.DataError, match="another state has rows of it"):
            mp.merge_rollups(both)
