"""`rollup_hourly` against a model in plain Python, and against DuckDB on the same file."""

from __future__ import annotations

import decimal
import json
import math
import os
import subprocess
import sys
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

np = pytest.importorskip("numpy")
pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("metropulse._core")
duckdb = pytest.importorskip("duckdb")

import metropulse as mp

pytestmark = pytest.mark.core

MEASURES = {
    "n": "count",
    "speeds": ("count", "speed"),
    "speed_sum": ("sum", "speed"),
    "speed_avg": ("avg", "speed"),
    "slowest": ("min", "speed"),
    "fastest": ("max", "speed"),
    "paid": ("sum", "fare"),
    "stops": ("sum", "stop_cnt"),
    "least_stops": ("min", "stop_cnt"),
    "riders": ("count_distinct", "user_id"),
    "days": ("count_distinct", "day"),
    "first_seen": ("min", "at"),
}
SCHEMA = pa.schema(
    [
        ("route_id", pa.string()),
        ("lane", pa.int8()),
        ("at", pa.timestamp("us", tz="UTC")),
        ("speed", pa.float64()),
        ("fare", pa.decimal128(12, 2)),
        ("stop_cnt", pa.int32()),
        ("user_id", pa.string()),
        ("day", pa.date32()),
    ]
)
IDS = st.one_of(
    st.uuids().map(str),
    st.integers(0, 5).map(lambda n: f"00000000-0000-4000-8000-{n:012d}"),
    st.integers(0, 20).map(lambda n: f"U{n}"),
    st.integers(0, 5).map(lambda n: f"a rider with quite a long name, number {n}"),
    st.text(max_size=40),
)
INSTANTS = st.one_of(
    st.datetimes(datetime(2024, 4, 5), datetime(2024, 4, 9)),
    st.datetimes(datetime(1980, 1, 1), datetime(2090, 1, 1)),
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "route_id": st.none() | st.sampled_from(["R1", "R2", "", "Ü"]),
            "lane": st.none() | st.integers(-2, 2),
            "at": st.none() | INSTANTS.map(lambda at: at.replace(tzinfo=UTC)),
            "speed": st.none() | st.floats(-1e6, 1e6),
            "fare": st.none() | st.decimals(-(10**9), 10**9, places=2),
            "stop_cnt": st.none() | st.integers(-(2**31), 2**31 - 1),
            "user_id": st.none() | IDS,
            "day": st.none() | st.dates(date(2024, 4, 5), date(2024, 4, 9)),
        }
    ),
    max_size=60,
)


def bucket(at: datetime, zone: str) -> datetime:
    local = at.astimezone(ZoneInfo(zone))
    # By the offset, so that an hour that comes twice gives two buckets.
    past = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    return at - past


def model(rows: list[dict], zone: str) -> list[dict]:
    groups = defaultdict(list)
    for row in rows:
        if row["at"] is not None:
            groups[row["route_id"], row["lane"], bucket(row["at"], zone)].append(row)
    out = []

    def order(key):
        return ((key[0] is not None, (key[0] or "").encode()), (key[1] is not None, key[1] or 0), key[2])

    for key in sorted(groups, key=order):
        members = groups[key]
        values = {name: [r[name] for r in members if r[name] is not None] for name in SCHEMA.names}
        speed, fare, stops = values["speed"], values["fare"], values["stop_cnt"]
        out.append(
            {
                "route_id": key[0],
                "lane": key[1],
                "hour_bucket": key[2],
                "n": len(members),
                "speeds": len(speed),
                "speed_sum": math.fsum(speed) if speed else None,
                "speed_avg": math.fsum(speed) / len(speed) if speed else None,
                "slowest": min(speed, default=None),
                "fastest": max(speed, default=None),
                "paid": sum(fare) if fare else None,
                "stops": sum(stops) if stops else None,
                "least_stops": min(stops, default=None),
                "riders": len(set(values["user_id"])),
                "days": len(set(values["day"])),
                "first_seen": min(values["at"], default=None),
            }
        )
    return out


def same(found: list[dict], expected: list[dict]) -> None:
    assert len(found) == len(expected)
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.keys() == theirs.keys()
        for name, value in theirs.items():
            if isinstance(value, float):
                # The sum of numbers that cancel out is exact to the precision of its largest summand.
                assert mine[name] == pytest.approx(value, rel=1e-9, abs=1e-6), name
            else:
                assert mine[name] == value, name


def roll(source, *, zone="UTC", keys=("route_id", "lane"), measures=None, **extra):
    measures = MEASURES if measures is None else measures
    return mp.rollup_hourly(source, keys=list(keys), time="at", measures=measures, time_zone=zone, **extra)


ZONES = st.sampled_from(
    ["UTC", "Europe/Moscow", "America/Chicago", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe"]
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, zone=ZONES, groups=st.integers(1, 20), encoded=st.booleans(), cut=st.integers(0, 60))
def test_any_rows_in_any_form_give_what_the_model_gives(tmp_path, rows, zone, groups, encoded, cut):
    table = pa.Table.from_pylist(rows, SCHEMA)
    expected = model(rows, zone)
    file = tmp_path / "rows.parquet"
    pq.write_table(table, file, row_group_size=groups, use_dictionary=encoded)
    same(roll(file, zone=zone).to_pylist(), expected)
    same(roll(table, zone=zone, threads=2).to_pylist(), expected)
    states = [roll(table.slice(0, cut), zone=zone, partial=True), roll(table.slice(cut), zone=zone, partial=True)]
    same(mp.merge_rollups(states).to_pylist(), expected)
    pq.write_table(pa.table(mp.merge_rollups(states, partial=True)), tmp_path / "state.parquet")
    same(mp.merge_rollups([tmp_path / "state.parquet"]).to_pylist(), expected)


HOURS_ALONE = {name: measure for name, measure in MEASURES.items() if name != "first_seen"}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=ROWS, zone=ZONES, groups=st.integers(1, 60), pages=st.integers(1, 20), version=st.sampled_from(["1.0", "2.0"]),
    encoded=st.booleans(), ordered=st.booleans(), told=st.booleans(), index=st.booleans(),
)  # fmt: skip
def test_hours_are_the_same_where_footer_and_pages_tell_them(
    tmp_path, rows, zone, groups, pages, version, encoded, ordered, told, index
):
    if ordered:
        rows = sorted(rows, key=lambda row: row["at"] or datetime(1970, 1, 1, tzinfo=UTC))
    file = tmp_path / "rows.parquet"
    how = {"write_batch_size": pages, "data_page_size": 1, "data_page_version": version, "use_dictionary": encoded}
    how |= {"write_statistics": told, "write_page_index": index}
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), file, row_group_size=groups, **how)
    expected = [{name: row[name] for name in row if name != "first_seen"} for row in model(rows, zone)]
    same(roll(file, zone=zone, measures=HOURS_ALONE).to_pylist(), expected)


def hours_file(path: Path, starts: list[datetime], **how) -> None:
    """Each hour is a row group: two rows at its start, one in its last second."""
    times = [start + timedelta(seconds=second) for start in starts for second in (0, 0, 3599)]
    table = pa.table({"at": pa.array(times, pa.timestamp("ms", tz="UTC")), "n": [*range(len(times))]})
    pq.write_table(table, path, row_group_size=3, compression="none", use_dictionary=False, **how)


def without_times(path: Path) -> None:
    """Overwrite the times of every row group, and nothing else."""
    content = bytearray(path.read_bytes())
    metadata = pq.read_metadata(path)
    for group in range(metadata.num_row_groups):
        chunk = metadata.row_group(group).column(0)
        length = chunk.total_compressed_size
        content[chunk.data_page_offset : chunk.data_page_offset + length] = bytes(length)
    path.write_bytes(content)


def test_times_are_not_read_where_the_footer_tells_the_hour(tmp_path):
    starts = [datetime(2024, 4, 7, hour, tzinfo=UTC) for hour in (3, 4, 7)]
    rolled = {"measures": {"n": "count", "total": ("sum", "n")}, "keys": []}
    told, kept_quiet = tmp_path / "told.parquet", tmp_path / "quiet.parquet"
    hours_file(told, starts)
    hours_file(kept_quiet, starts, write_statistics=False)
    whole = roll(told, **rolled).to_pylist()
    assert [(row["hour_bucket"], row["n"], row["total"]) for row in whole] == [
        (starts[0], 3, 3),
        (starts[1], 3, 12),
        (starts[2], 3, 21),
    ]
    assert roll(kept_quiet, **rolled).to_pylist() == whole
    without_times(told)
    without_times(kept_quiet)
    assert roll(told, **rolled).to_pylist() == whole
    with pytest.raises(mp.DataError, match="cannot be decoded in row group"):
        roll(kept_quiet, **rolled)
    # Half an hour later by the clock on the wall, the same instants lie in two hours; and a measure may need them.
    for needs_them in ({"zone": "Asia/Kolkata"}, {"measures": {"last": ("max", "at")}}):
        with pytest.raises(mp.DataError, match="cannot be decoded in row group"):
            roll(told, **rolled | needs_them)


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("kind", ["ms", "us", "ns"])
def test_times_are_not_read_where_a_page_tells_the_hour(tmp_path, kind, index):
    """One row group of six hours and thirty pages, of which the eleventh has rows of two hours."""
    start = datetime(2024, 4, 7, 3, tzinfo=UTC)
    seconds = [hour * 3_600 + row * 60 - 60 * (hour == 2 and row == 0) for hour in range(6) for row in range(50)]
    field = pa.field("at", pa.timestamp(kind, tz="UTC"), nullable=False)
    times = pa.array([start + timedelta(seconds=second) for second in seconds], field.type)
    table = pa.table([times, pa.array(range(300))], pa.schema([field, ("n", pa.int64())]))
    file = tmp_path / "rows.parquet"
    how = {"compression": "none", "use_dictionary": False, "write_batch_size": 10, "data_page_size": 1}
    pq.write_table(table, file, write_page_index=index, **how)
    rolled = {"measures": {"n": "count", "total": ("sum", "n")}, "keys": []}
    whole = roll(file, **rolled).to_pylist()
    assert [(row["hour_bucket"] - start, row["n"]) for row in whole] == [
        (timedelta(hours=hour), {1: 51, 2: 49}.get(hour, 50)) for hour in range(6)
    ]
    content = file.read_bytes()
    for first in [*range(0, 100, 10), *range(110, 300, 10)]:
        page = np.asarray(times[first : first + 10].cast(pa.int64())).tobytes()
        assert content.count(page) == 1
        content = content.replace(page, bytes(80))
    file.write_bytes(content)
    assert roll(file, **rolled).to_pylist() == whole
    # A measure needs them: the times that were overwritten are those of 1970.
    assert roll(file, keys=[], measures={"least": ("min", "at")}).to_pylist()[0]["hour_bucket"].year == 1970


def test_a_damaged_index_of_pages_tells_nothing(tmp_path):
    file = tmp_path / "rows.parquet"
    at = pa.array([minute * 60_000 for minute in range(300)], pa.timestamp("ms", tz="UTC"))
    pq.write_table(pa.table({"at": at}), file, write_batch_size=10, data_page_size=1, write_page_index=True)
    counted = {"keys": [], "measures": {"n": "count"}}
    whole = roll(file, **counted).to_pylist()
    assert [row["n"] for row in whole] == [60] * 5
    content = bytearray(file.read_bytes())
    chunk = pq.read_metadata(file).row_group(0).column(0)
    begin = (chunk.dictionary_page_offset or chunk.data_page_offset) + chunk.total_compressed_size
    end = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    assert end > begin
    content[begin:end] = bytes(end - begin)
    file.write_bytes(content)
    assert roll(file, **counted).to_pylist() == whole


def pages_of_200(path: Path, index: bool) -> int:
    """6,000 rows in order of time, 2,000 an hour, all columns in pages of 200; returns where the pages end."""
    at = [row * 1_800_000 for row in range(6_000)]
    columns = {
        "k": [f"K{row % 7}" for row in range(6_000)],
        "at": pa.array(at, pa.timestamp("us")),
        "speed": [*range(6_000)],
    }
    how = {"max_rows_per_page": 200, "write_batch_size": 100, "use_dictionary": ["k"], "write_page_index": index}
    pq.write_table(pa.table(columns), path, **how)
    chunk = pq.read_metadata(path).row_group(0).column(2)
    return chunk.data_page_offset + chunk.total_compressed_size


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("column", [0, 1, 2])
@pytest.mark.parametrize("rows", [150, 201])
@pytest.mark.parametrize("measures", [{"n": "count"}, {"n": "count", "avg": ("avg", "speed")}])
def test_a_page_that_lies_about_its_rows_is_an_error_whichever_times_are_read(tmp_path, index, column, rows, measures):
    if column == 2 and len(measures) == 1:
        return  # It is not read.
    file = tmp_path / "rows.parquet"
    pages_of_200(file, index)
    content, chunk = bytearray(file.read_bytes()), pq.read_metadata(file).row_group(0).column(column)
    # The number of values is the first field of a data page's header, in zigzag.
    head = b"\x2c\x15"
    at = content.index(head + bytes([0x90, 0x03]), chunk.dictionary_page_offset or chunk.data_page_offset) + len(head)
    content[at : at + 2] = {150: b"\xac\x02", 201: b"\x92\x03"}[rows]
    file.write_bytes(content)
    with pytest.raises(mp.DataError, match=r"rows\.parquet cannot be decoded"):
        roll(file, keys=["k"], measures=measures)


def test_an_index_that_lies_about_rows_tells_nothing(tmp_path):
    file = tmp_path / "rows.parquet"
    end = pages_of_200(file, index=True)
    whole = roll(file, keys=["k"], measures={"n": "count"}).to_pylist()
    content = file.read_bytes()
    # The third field of a page's place is its first row: 2,200 in zigzag becomes 2,202.
    index = content[end:].replace(b"\x16\xb0\x22", b"\x16\xb4\x22")
    assert index != content[end:]
    file.write_bytes(content[:end] + index)
    assert roll(file, keys=["k"], measures={"n": "count"}).to_pylist() == whole


def test_very_small_pages_are_not_looked_at_one_by_one(tmp_path):
    """With more pages than are looked at, the result is what it is."""
    file = tmp_path / "rows.parquet"
    at = pa.array([(row >= 10) * 3_600_000_000 + row for row in range(6_000)], pa.timestamp("us"))
    pq.write_table(pa.table({"at": at}), file, max_rows_per_page=2, write_batch_size=2, data_page_size=1)
    assert [row["n"] for row in roll(file, keys=[], measures={"n": "count"}).to_pylist()] == [10, 5_990]


def test_a_row_is_named_by_its_number_in_the_file_whichever_times_were_read(tmp_path):
    rows = {"at": [minute * 60_000_000 for minute in range(300)], "lane": [1 + (row == 250) for row in range(300)]}
    table = pa.table({"at": pa.array(rows["at"], pa.timestamp("us")), "lane": rows["lane"]})
    for told in (True, False):
        file = tmp_path / str(told) / "lane=1" / "rows.parquet"
        file.parent.mkdir(parents=True)
        pq.write_table(table, file, write_batch_size=10, data_page_size=1, write_statistics=told)
        with pytest.raises(mp.DataError, match="row 251"):
            roll(file.parent.parent, keys=["lane"], measures={"n": "count"})


def generated(rows: int) -> pa.Table:
    from random import Random

    random = Random(7)
    start = datetime(2024, 5, 1, tzinfo=UTC)
    return pa.Table.from_pylist(
        [
            {
                "route_id": f"R{random.randrange(50)}" if random.random() > 0.01 else None,
                "lane": random.randrange(3),
                "at": start + timedelta(seconds=random.random() * 3 * 86_400) if random.random() > 0.01 else None,
                "speed": random.gauss(30, 12) if random.random() > 0.05 else None,
                "fare": Decimal(random.randrange(10_000)).scaleb(-2),
                "stop_cnt": random.randrange(30) if random.random() > 0.05 else None,
                "user_id": random.choice([f"U{random.randrange(3_000)}", f"{random.randrange(3_000):08x}" + "-0000" * 3 + "-0123456789ab", f"rider number {random.randrange(900)} of the city", None]),
                "day": date(2024, 5, 1) + timedelta(days=random.randrange(3)),
            }
            for _ in range(rows)
        ],
        SCHEMA,
    )  # fmt: skip


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    file = tmp_path_factory.mktemp("rollup") / "large.parquet"
    pq.write_table(generated(40_000), file, row_group_size=3_000, use_dictionary=["route_id"])
    return file


SQL = """
    select route_id, lane, time_bucket(interval '1 hour', "at") as hour_bucket, count(*) as n, count(speed) as speeds,
      sum(speed) as speed_sum, avg(speed) as speed_avg, min(speed) as slowest, max(speed) as fastest,
      sum(fare) as paid, sum(stop_cnt)::bigint as stops, min(stop_cnt) as least_stops,
      count(distinct user_id) as riders, count(distinct day) as days, min("at") as first_seen
    from '{}' where "at" is not null group by all order by route_id nulls first, lane nulls first, hour_bucket
"""


def test_the_same_file_gives_what_duckdb_gives(large):
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    theirs = pa.table(connection.sql(SQL.format(large))).to_pylist()
    assert len(theirs) > 5_000
    same(roll(large).to_pylist(), theirs)
    assert pa.table(roll(large)).schema.field("paid").type == pa.decimal128(38, 2)


def test_few_bytes_of_memory_give_the_same_distinct_counts(large):
    measures = {"riders": ("count_distinct", "user_id")}
    bounded = roll(large, measures=measures, memory_bytes=1)
    assert bounded.to_pylist() == roll(large, measures=measures).to_pylist()


TEXTS = [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]
TIMES = [pa.timestamp(unit, tz=zone) for unit in ("s", "ms", "us", "ns") for zone in (None, "UTC", "+03:00")]


@pytest.mark.parametrize("kind", [*TEXTS, pa.int8(), pa.uint64(), pa.bool_(), pa.date32()], ids=str)
def test_every_type_of_key_and_of_distinct_value(tmp_path, kind):
    plain = ["1", "0", None, "1", "0", "1"]
    if not (pa.types.is_string(kind) or kind in TEXTS):
        plain = [None if v is None else int(v) for v in plain]

    def made(values):
        return pa.array(values, pa.int32() if kind == pa.date32() else None).cast(kind)

    keys = made(plain)
    at = pa.array([0] * 5 + [3_600], pa.timestamp("s"))
    table = pa.table({"k": keys, "d": keys, "at": at})
    pq.write_table(table, tmp_path / "t.parquet")
    for source in (table, tmp_path / "t.parquet"):
        found = roll(source, keys=["k"], measures={"n": "count", "d": ("count_distinct", "d")})
        rows = found.to_pylist()

        def key(text):
            return made([text if kind in TEXTS else int(text)])[0].as_py()

        epoch = datetime(1970, 1, 1, tzinfo=UTC)
        hour = timedelta(hours=1)
        assert rows == [
            {"k": None, "hour_bucket": epoch, "n": 1, "d": 0},
            {"k": key("0"), "hour_bucket": epoch, "n": 2, "d": 1},
            {"k": key("1"), "hour_bucket": epoch, "n": 2, "d": 1},
            {"k": key("1"), "hour_bucket": epoch + hour, "n": 1, "d": 1},
        ]


@pytest.mark.parametrize("kind", TIMES, ids=str)
def test_every_type_of_time(tmp_path, kind):
    instants = pa.array([-1, 0, 3_599, 3_600, None], pa.timestamp("s", tz="UTC"))
    at = instants.cast(pa.timestamp(kind.unit, tz="UTC")).cast(pa.int64()).cast(kind)
    table = pa.table({"at": at})
    pq.write_table(table, tmp_path / "t.parquet")
    epoch, hour = datetime(1970, 1, 1, tzinfo=UTC), timedelta(hours=1)
    expected = [(epoch - hour, 1), (epoch, 2), (epoch + hour, 1)]
    for source in (table, tmp_path / "t.parquet"):
        rows = roll(source, keys=[], measures={"n": "count"}).to_pylist()
        assert [(row["hour_bucket"], row["n"]) for row in rows] == expected


NUMBERS = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64(),
           pa.float16(), pa.float32(), pa.float64(), pa.decimal32(6, 2), pa.decimal64(12, 2), pa.decimal128(38, 2)]  # fmt: skip


@pytest.mark.parametrize("kind", NUMBERS, ids=str)
def test_every_type_of_number(kind):
    import numpy as np

    values = [np.float16(v) if kind == pa.float16() else Decimal(v) if pa.types.is_decimal(kind) else v for v in (3, 5)]
    table = pa.table({"at": pa.array([0] * 3, pa.timestamp("s")), "v": pa.array([*values, None], kind)})
    row = roll(table, keys=[], measures={op: (op, "v") for op in ("sum", "avg", "min", "max", "count")}).to_pylist()[0]
    assert (row["sum"], row["avg"], row["min"], row["max"], row["count"]) == (8, 4.0, 3, 5, 2)
    assert isinstance(
        row["sum"], Decimal if pa.types.is_decimal(kind) else float if pa.types.is_floating(kind) else int
    )


def test_decimals_are_exact_to_the_last_digit():
    decimal.getcontext().prec = 60
    values = [Decimal("12345678901234567890123456789.01"), Decimal("0.01"), Decimal("-0.03")]
    table = pa.table({"at": pa.array([0] * 3, pa.timestamp("s")), "v": pa.array(values, pa.decimal128(38, 2))})
    assert roll(table, keys=[], measures={"s": ("sum", "v")}).to_pylist()[0]["s"] == sum(values)


def test_an_hour_that_comes_twice_has_two_rows():
    # New York, 2024-11-03: 01:30 comes at 05:30Z and again at 06:30Z.
    at = [datetime(2024, 11, 3, hour, 30, tzinfo=UTC) for hour in (5, 6)]
    rows = roll(pa.table({"at": at}), keys=[], measures={"n": "count"}, zone="America/New_York").to_pylist()
    assert [row["hour_bucket"].hour for row in rows] == [5, 6]


def test_sources_by_glob_list_and_folder(tmp_path, monkeypatch):
    table = pa.Table.from_pylist([{"route_id": "R", "at": datetime(2024, 5, 1, tzinfo=UTC)}], SCHEMA)
    for day in ("2024-05-01", "2024-05-02"):
        (tmp_path / f"dt={day}").mkdir()
        pq.write_table(table, tmp_path / f"dt={day}" / "trips.parquet")
    (tmp_path / "dt=2024-05-01" / ".hidden.parquet").write_bytes(b"no Parquet")

    def count(source):
        return sum(row["n"] for row in roll(source, measures={"n": "count"}).to_pylist())

    assert count(f"{tmp_path}/dt=*/trips.parquet") == 2
    assert count(f"file://{tmp_path}/dt=2024-05-0[1]/*.parquet") == 1
    assert count(tmp_path) == 2
    assert count([tmp_path / "dt=2024-05-01" / "trips.parquet"] * 3) == 3
    monkeypatch.chdir(tmp_path)
    assert count("dt=2024-05-02") == 1
    with pytest.raises(mp.ConfigError, match="lacks the slashes of a URL") as caught:
        count("s3:me:hunter2@raw/part-0.parquet")
    assert "hunter2" not in str(caught.value)
    with pytest.raises(mp.NotFoundError, match="names no Parquet file"):
        count(f"{tmp_path}/dt=2025*/trips.parquet")
    with pytest.raises(mp.NotFoundError):
        count(tmp_path / "absent.parquet")


def test_files_may_differ_in_types_of_one_kind(tmp_path):
    at = pa.array([0], pa.timestamp("s"))
    narrow = pa.table({"k": ["a"], "at": at, "v": pa.array([1], pa.int8())})
    wide = pa.table({"k": pa.array(["a"]).dictionary_encode(), "at": at.cast(pa.timestamp("ns")), "v": [2]})
    text = pa.table({"k": ["a"], "at": at, "v": ["2"]})
    for name, table in (("narrow", narrow), ("wide", wide), ("text", text)):
        pq.write_table(table, tmp_path / f"{name}.parquet")
    names = [tmp_path / "narrow.parquet", tmp_path / "wide.parquet"]
    assert roll(names, keys=["k"], measures={"s": ("sum", "v")}).to_pylist()[0]["s"] == 3
    with pytest.raises(
        mp.SchemaError,
        match=r'column "v" is Int64 in .*narrow\.parquet and .*Utf8.* in .*text\.parquet: write both alike',
    ):
        roll([*names, tmp_path / "text.parquet"], keys=["k"], measures={"s": ("sum", "v")})


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"keys": ["line_id"]}, mp.SchemaError, "column line_id is missing; the columns are"),
        ({"keys": ["speed"]}, mp.SchemaError, "column speed is Float64, expected text"),
        ({"measures": {"m": "sum"}}, mp.ConfigError, "needs a column"),
        ({"measures": {"m": ("median", "speed")}}, mp.ConfigError, "expected one of count, sum"),
        ({"measures": {"m": ("avg", "user_id")}}, mp.SchemaError, "column user_id is Utf8"),
        ({"measures": {"route_id": "count"}}, mp.ConfigError, "two columns"),
        ({"zone": "Mars/Olympus"}, mp.ConfigError, "Mars/Olympus"),
    ],
)
def test_what_cannot_be_rolled_up_is_said(change, error, words):
    with pytest.raises(error, match=words):
        roll(pa.Table.from_pylist([], SCHEMA), **change)


def test_a_bare_text_is_no_list_of_keys():
    with pytest.raises(mp.ConfigError, match="expected a list"):
        mp.rollup_hourly(pa.Table.from_pylist([], SCHEMA), keys="route_id", time="at", measures={"n": "count"})


def test_states_of_different_rollups_do_not_mix():
    table = generated(100)
    one, other = roll(table, partial=True), roll(table, partial=True, zone="Asia/Kolkata")
    with pytest.raises(mp.ConfigError, match="same keys"):
        mp.merge_rollups([one, other])
    with pytest.raises(mp.SchemaError, match="no partial rollup"):
        mp.merge_rollups([table])
    with pytest.raises(mp.ConfigError, match="at least one"):
        mp.merge_rollups([])


def test_a_damaged_file_is_named(tmp_path, large):
    whole = large.read_bytes()
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(whole[:2_000] + bytes(20_000) + whole[22_000:])
    with pytest.raises(mp.DataError, match=r"broken\.parquet"):
        roll(broken)
    broken.write_bytes(whole[:1_000])
    with pytest.raises(mp.DataError, match=r"broken\.parquet"):
        roll(broken)


def test_a_stream_that_breaks_off_is_an_error():
    def batches():
        yield generated(10).to_batches()[0]
        raise ValueError("the source went away")

    reader = pa.RecordBatchReader.from_batches(SCHEMA, batches())
    with pytest.raises(mp.DataError, match="the source went away"):
        roll(reader)


def test_progress_tells_all_rows(large):
    told = []
    roll(large, progress=lambda *now: told.append(now))
    assert told[-1] == ("roll up", 40_000, 40_000)


def test_the_table_shows_itself(large):
    table = roll(large)
    assert repr(table).startswith(f"<ArrowTable {len(table)} rows: route_id, lane, hour_bucket")
    html = table._repr_html_()
    assert html.count("<tr>") < 40
    assert f"{len(table):,} rows, 15 columns, the first 20 shown" in html
    assert (
        "<script>"
        not in roll(
            pa.table({"route_id": ["<script>"], "lane": [1], "at": [datetime(2024, 5, 1)]}), measures={"n": "count"}
        )._repr_html_()
    )


def test_a_forked_child_can_roll_up(large):
    script = (
        "import os, sys, metropulse as mp\n"
        "roll = lambda: len(mp.rollup_hourly(sys.argv[1], keys=['route_id'], time='at', measures={'n': 'count',"
        " 'riders': ('count_distinct', 'user_id')}))\n"
        "rows = roll()\n"
        "for _ in range(20):\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        os._exit(0 if roll() == rows else 1)\n"
        "    assert os.waitpid(child, 0)[1] == 0\n"
        "    roll()\n"
    )
    subprocess.run([sys.executable, "-c", script, os.fspath(large)], check=True, timeout=120)


def test_the_command_makes_states_and_merges_them(tmp_path, large):
    from click.testing import CliRunner

    from metropulse.cli import app

    def run(*words):
        result = CliRunner().invoke(app.cli, ["rollup-hourly", *map(str, words), "--json", "--quiet"])
        assert result.exit_code == 0, result.output
        return [json.loads(line) for line in result.output.splitlines() if line.startswith("{")]

    asked = ("--time", "at", "--key", "lane", "--measure", "n=count", "--measure", "riders=count_distinct:user_id")
    whole = run(large, *asked)
    assert sum(row["n"] for row in whole) == sum(row["n"] for row in roll(large).to_pylist())
    run(large, *asked, "--partial", "--output", tmp_path / "state.parquet")
    merged = run(tmp_path / "state.parquet", tmp_path / "state.parquet", "--merge")
    assert [(row["n"], row["riders"]) for row in merged] == [(2 * row["n"], row["riders"]) for row in whole]
    assert CliRunner().invoke(app.cli, ["rollup-hourly", str(large)]).exit_code != 0


def test_objects_are_read_in_ranges_of_the_columns_asked_for(large, minio_server, minio_put):
    endpoint, folder = minio_server
    (folder / "rollup").mkdir(exist_ok=True)
    for day in ("2024-05-01", "2024-05-02"):
        minio_put("rollup", f"dt={day}/large.parquet", large.read_bytes())
    options = {
        "aws_endpoint": endpoint,
        "aws_access_key_id": "metropulse",
        "aws_secret_access_key": "s3-secret-key",
        "aws_region": "us-east-1",
    }

    def read(source):
        return roll(source, lake_options=options, threads=2).to_pylist()

    local = roll(large).to_pylist()
    same(read("s3://rollup/dt=2024-05-01/large.parquet"), local)
    twice = read("s3://rollup/dt=*/*.parquet")
    assert [row["n"] for row in twice] == [2 * row["n"] for row in local]
    assert [row["riders"] for row in read("s3://rollup")] == [row["riders"] for row in local]
    with pytest.raises(mp.NotFoundError):
        read("s3://rollup/dt=2030*/*.parquet")
    with pytest.raises(mp.StorageError) as caught:
        roll("s3://rollup/dt=*/*.parquet", lake_options={**options, "aws_secret_access_key": "wrong-secret-key"})
    assert "secret-key" not in str(caught.value)


def test_a_rollup_is_written_to_an_object(large, minio_variables):
    from click.testing import CliRunner

    from metropulse.cli import app

    (minio_variables / "rollups").mkdir(exist_ok=True)
    output = "s3://rollups/by/lane.parquet"
    words = ["rollup-hourly", str(large), "--time", "at", "--key", "lane", "--measure", "n=count"]
    result = CliRunner().invoke(app.cli, [*words, "--output", output, "--json", "--quiet"])
    assert result.exit_code == 0, result.output
    written = json.loads(result.output)
    whole = mp.rollup_hourly(large, keys=["lane"], time="at", measures={"n": "count"}).to_pylist()
    assert (written["output"], written["rows"]) == (output, len(whole))
    again = mp.rollup_hourly(output, keys=["lane"], time="hour_bucket", measures={"n": ("sum", "n")}).to_pylist()
    assert [row["n"] for row in again] == [row["n"] for row in whole]
    result = CliRunner().invoke(app.cli, [*words, "--output", "s3://rollups", "--quiet"])
    assert isinstance(result.exception, mp.ConfigError)
    assert "names no file" in str(result.exception)


def test_outputs_of_this_machine_are_ordinary_files(large, tmp_path):
    from click.testing import CliRunner

    from metropulse.cli import app

    def run(output):
        words = [
            "rollup-hourly",
            str(large),
            "--time",
            "at",
            "--measure",
            "n=count",
            "--output",
            str(output),
            "--quiet",
        ]
        return CliRunner().invoke(app.cli, words)

    old = os.umask(0o022)
    try:
        assert run(f"file://{tmp_path}/by/url.parquet").exit_code == 0
        # What a name writes it also reads.
        assert run(odd := f"file://{tmp_path}/by/a%20name.parquet").exit_code == 0
    finally:
        os.umask(old)
    assert (tmp_path / "by" / "url.parquet").stat().st_mode & 0o777 == 0o644
    assert len(mp.rollup_hourly(odd, keys=[], time="hour_bucket", measures={"n": "count"})) > 0
    (tmp_path / "link.parquet").symlink_to(tmp_path / "by" / "url.parquet")
    before = (tmp_path / "by" / "url.parquet").stat().st_ino
    assert run(tmp_path / "link.parquet").exit_code == 0
    assert (tmp_path / "link.parquet").is_symlink()
    assert (tmp_path / "by" / "url.parquet").stat().st_ino != before
    os.mkfifo(tmp_path / "pipe")
    for output in (tmp_path / "pipe", tmp_path, f"{tmp_path}/new/", ""):
        found = run(output).exception
        assert isinstance(found, mp.ConfigError), (output, found)
    assert (tmp_path / "pipe").is_fifo()
