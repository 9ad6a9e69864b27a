"""What breaks underneath: no fault loses a row, doubles one, hangs, or hides its cause."""

from __future__ import annotations

import asyncio
import itertools
import time
from urllib.parse import urlsplit

import pytest

import metropulse as mp
from answers import DATA
from faults.proxies import BUSY, CutError, cut_at, deaf_after, proxy_before, slowly, through
from metropulse import exceptions

pytestmark = [pytest.mark.core, pytest.mark.embedded, pytest.mark.slow]
DT = "2024-05-01"
RAW = DATA / "prototype_raw"
COUNTS = "select (select count(*) from dwh.fact_trip) trips, (select count(*) from dwh.fact_payment) payments, (select count(*) from dwh.fact_vehicle_position) positions, (select count(*) from staging.trips_raw) staged, (select sum(rows_loaded) from dwh.load_ledger) ledger"
MART = "select count() as rows, sum(trip_cnt) as trips, sum(revenue) as revenue from mart_route_hourly"
# Side tables that a broken load leaves are dropped by the next one.
SIDE_TABLES = "select count(*) as n from pg_class c join pg_namespace s on s.oid = c.relnamespace where s.nspname in ('dwh', 'staging') and c.relkind = 'r' and not c.relispartition and c.relname ~ '_[0-9]{8}_'"


def counts(p):
    return p.warehouse.query(COUNTS).to_pylist()


@pytest.fixture
def expected(pipeline_on):
    """The state of a load that nothing disturbed."""
    p = pipeline_on(RAW)
    p.run(DT)
    return counts(p), p.mart.query(MART).to_pylist()


def test_a_store_that_is_busy_for_a_while_is_asked_again(s3, pipeline_on, expected):
    lake, options, proxy = s3
    busy = itertools.chain([BUSY, BUSY, None, BUSY], itertools.repeat(None))
    proxy.accept = lambda: next(busy)
    p = pipeline_on(lake, lake_options=options)
    p.run(DT)
    assert proxy.connections > 3
    assert (counts(p), p.mart.query(MART).to_pylist()) == expected


def test_a_store_that_stays_busy_is_an_error_that_a_retry_may_mend(s3, pipeline_on):
    lake, options, proxy = s3
    proxy.accept = lambda: BUSY
    p = pipeline_on(lake, lake_options=options)
    began = time.monotonic()
    with pytest.raises(mp.StorageError, match="503") as caught:
        p.stage(DT)
    assert caught.value.retryable
    assert time.monotonic() - began < 60
    proxy.calm()
    assert p.stage(DT).rows > 0


def test_a_read_that_is_cut_off_loses_and_doubles_nothing(s3, pipeline_on, expected):
    lake, options, proxy = s3
    proxy.down = cut_at(rb"PAR1", after_bytes=2_000, times=2)
    p = pipeline_on(lake, lake_options=options)
    for _ in range(3):
        try:
            p.run(DT)
            break
        except mp.StorageError as error:
            assert error.retryable, error
    assert (counts(p), p.mart.query(MART).to_pylist()) == expected


def test_a_slow_store_is_waited_for(s3, pipeline_on, expected):
    lake, options, proxy = s3
    proxy.down = slowly(400_000)
    p = pipeline_on(lake, lake_options=options)
    p.run(DT)
    assert (counts(p), p.mart.query(MART).to_pylist()) == expected


def test_a_bucket_that_is_not_there_ends_a_wait_and_a_load_at_once(s3, pipeline_on):
    _, options, _ = s3
    p = pipeline_on("s3://nowhere-at-all", lake_options=options)
    began = time.monotonic()
    with pytest.raises(mp.NotFoundError, match="does not exist") as caught:
        asyncio.run(p.wait_for_partition(DT, required=["routes"], poll_seconds=0.1))
    assert not caught.value.retryable
    with pytest.raises(mp.NotFoundError, match="NoSuchBucket"):
        p.stage(DT)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("verb", ["stage", "load_facts"])
def test_a_connection_that_drops_in_the_middle_of_a_copy_leaves_each_table_whole_or_as_it_was(postgres, verb, expected):
    url, proxy = postgres
    direct = mp.Pipeline(lake=RAW, warehouse=url)
    direct.load_calendar("2024-01-01", "2024-12-31")
    if verb == "load_facts":
        direct.stage(DT)
        direct.load_dimensions(DT)
    [before], [after] = counts(direct), expected[0]
    # The connection that copies: one that is only being made would be made again.
    proxy.up = cut_at(rb"PGCOPY\n")
    broken = mp.Pipeline(lake=RAW, warehouse=through(url, proxy.port))
    with pytest.raises(mp.DatabaseError) as caught:
        getattr(broken, verb)(DT)
    assert caught.value.retryable, caught.value
    [now] = counts(direct)
    tables = ("trips", "payments", "positions", "staged")
    assert all(now[table] in {before[table], after[table]} for table in tables), now
    assert any(now[table] != after[table] for table in tables), "something was cut"
    assert getattr(broken, verb)(DT).rows > 0
    assert getattr(direct, verb)(DT).unchanged
    assert direct.warehouse.query(SIDE_TABLES).to_pylist() == [{"n": 0}]


@pytest.mark.parametrize("heard", [False, True], ids=["the server never hears of it", "only the answer is lost"])
@pytest.mark.parametrize("nth", [1, 2, 3, 5, 8])
def test_a_connection_that_drops_at_a_commit_doubles_and_loses_nothing(postgres, heard, nth, expected):
    url, proxy = postgres
    commits = itertools.count(1)

    def drop_at(up, down):
        def counting(data):
            if b"COMMIT" in data and next(commits) == nth:
                proxy.up, proxy.down = up, down
                return up(data)
            return data

        return counting

    lose_up, lose_down = deaf_after(rb"COMMIT")
    proxy.up = drop_at(*((lose_up, lose_down) if heard else (cut_at(rb"COMMIT"), lambda data: data)))
    p = mp.Pipeline(lake=RAW, warehouse=through(url, proxy.port))
    p.load_calendar("2024-01-01", "2024-12-31") if nth > 3 else None
    for _ in range(4):
        try:
            p.load_calendar("2024-01-01", "2024-12-31")
            for verb in (p.stage, p.load_dimensions, p.load_facts):
                verb(DT)
            break
        except mp.MetropulseError as error:
            assert error.retryable, error
    assert next(commits) > nth, "there was such a commit"
    assert counts(p) == expected[0]
    assert p.check_quality(DT).failed == 0


def test_a_mart_that_goes_away_in_the_middle_of_an_insert_keeps_the_state_before(
    running_engines, pipeline_on, expected
):
    parts = urlsplit(running_engines.mart_url)
    with proxy_before(parts.hostname, parts.port) as proxy:
        p = pipeline_on(RAW)
        for verb in (p.load_dimensions, p.load_facts):
            verb(DT)
        database = urlsplit(p.settings.mart).path
        broken = mp.Pipeline(
            lake=RAW,
            warehouse=p.settings.warehouse,
            mart=f"http://127.0.0.1:{proxy.port}{database}",
            mart_user=running_engines.mart_user,
            mart_password=running_engines.mart_password,
        )
        broken.apply_schema()
        proxy.up = cut_at(rb"INSERT(\+|%20| )INTO", times=1)
        with pytest.raises(mp.DatabaseError) as caught:
            broken.build_route_hourly()
        assert caught.value.retryable, caught.value
        assert p.mart.query(MART).to_pylist()[0]["rows"] == 0
        assert broken.build_route_hourly().rows > 0
        assert p.mart.query(MART).to_pylist() == expected[1]
        assert p.build_route_hourly().unchanged


def test_a_mart_that_restarts_before_the_swap_shows_no_half_day(running_engines, pipeline_on, expected):
    parts = urlsplit(running_engines.mart_url)
    with proxy_before(parts.hostname, parts.port) as proxy:
        p = pipeline_on(RAW)
        for verb in (p.load_dimensions, p.load_facts):
            verb(DT)
        away = {"is": False}

        def up(data):
            if b"REPLACE" in data:
                away["is"] = True
            if away["is"]:
                raise CutError
            return data

        broken = mp.Pipeline(
            lake=RAW,
            warehouse=p.settings.warehouse,
            mart=f"http://127.0.0.1:{proxy.port}{urlsplit(p.settings.mart).path}",
            mart_user=running_engines.mart_user,
            mart_password=running_engines.mart_password,
        )
        broken.apply_schema()
        proxy.up = up
        with pytest.raises(mp.DatabaseError) as caught:
            broken.build_route_hourly()
        assert caught.value.retryable, caught.value
        assert p.mart.query(MART).to_pylist()[0]["rows"] == 0
        proxy.calm()
        broken.build_route_hourly()
        assert p.mart.query(MART).to_pylist() == expected[1]


@pytest.mark.parametrize(
    ("settings", "call", "kind"),
    [
        (
            {"lake": "s3://raw", "lake_options": {"aws_endpoint": "http://no-such-host.invalid:9000", "aws_region": "x", "aws_access_key_id": "k", "aws_secret_access_key": "secret"}},
            lambda p: p.partition_ready(DT), exceptions.StorageError,
        ),
        ({"warehouse": "postgresql://u:secret@no-such-host.invalid/d"}, lambda p: p.warehouse.query("select 1"), exceptions.DatabaseError),
        ({"mart": "http://no-such-host.invalid:8123", "mart_password": "secret", "mart_user": "u"}, lambda p: p.mart.query("select 1"), exceptions.DatabaseError),
    ],
    ids=["lake", "warehouse", "mart"],
)  # fmt: skip
def test_a_name_that_does_not_resolve_is_named_and_may_be_tried_again(settings, call, kind):
    began = time.monotonic()
    with pytest.raises(kind) as caught:
        call(mp.Pipeline(**settings))
    text = f"{caught.value} {caught.value.__cause__}"
    assert caught.value.retryable, text
    assert "no-such-host.invalid" in text
    assert "secret" not in text
    assert time.monotonic() - began < 180
