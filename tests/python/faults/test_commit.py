"""A connection that is lost while a transaction commits: what became of it is found out, not guessed."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
import time

import psycopg
import pyarrow as pa
import pytest

import metropulse as mp
from faults.proxies import HalfCutError, LastWords, once_after, through
from waiting import until

pytestmark = [pytest.mark.core, pytest.mark.slow]
DT = "2024-05-01"
TRIPS = 73
HELD_SECONDS = 3
# What a transaction says last before it commits: its ledger line, its load, its rows.
LEDGER, LOADS, COPY = rb"INSERT INTO dwh.load_ledger", rb"_loads", rb"COPY "
# As a statement of its own, not in ON COMMIT DROP.
COMMIT = rb"COMMIT\0"


def held_up(url: str, table: str, only: str, seconds: float = HELD_SECONDS) -> None:
    """Let the commit of a transaction that writes a certain row take so long."""
    with psycopg.connect(url, autocommit=True) as link:
        link.execute(
            f"create function public.hold_up() returns trigger language plpgsql as "
            f"$$ begin perform pg_sleep({seconds}); return null; end $$"
        )
        link.execute(
            f"create constraint trigger hold_up after insert on {table} deferrable initially deferred "
            f"for each row when ({only}) execute function public.hold_up()"
        )


def cut_behind_commit(proxy, url: str, before: bytes, count: str) -> list[int]:
    """Let the server hear the COMMIT and cut at once; gives what a look would have shown then."""
    seen: list[int] = []

    def act(data):
        with psycopg.connect(url) as link:
            seen.extend(link.execute(count).fetchone())
        return LastWords(data)

    proxy.up = once_after(before, COMMIT, act)
    return seen


def cut_before_commit(proxy, before: bytes) -> None:
    """Cut the client off before its COMMIT; the server never hears of that and keeps waiting for more."""

    def act(_data):
        raise HalfCutError

    proxy.up = once_after(before, COMMIT, act)


def table(rows: int) -> pa.Table:
    return pa.table({"id": pa.array(range(rows), pa.int64()), "name": [f"n{n}" for n in range(rows)]})


@pytest.fixture
def staging(postgres, lake_of_trips):
    """A pipeline behind the proxy over a warehouse that is ready, the warehouse's own URL, and the proxy."""
    url, proxy = postgres
    mp.Pipeline(lake=lake_of_trips, warehouse=url).apply_schema()
    return mp.Pipeline(lake=lake_of_trips, warehouse=through(url, proxy.port), lock_deadline_seconds=30), url, proxy


STAGED = "select count(*)::int from staging.trips_raw"
LOADED = "select count(*)::int from dwh.load_ledger where target = 'staging.trips_raw'"


def counted(url: str, count: str) -> int:
    with psycopg.connect(url) as link:
        return link.execute(count).fetchone()[0]


def test_a_commit_that_the_server_heard_is_waited_for_and_then_found(staging):
    p, url, proxy = staging
    held_up(url, "dwh.load_ledger", "new.target = 'staging.trips_raw'")
    shown = cut_behind_commit(proxy, url, LEDGER, LOADED)
    began = time.monotonic()
    report = p.stage(DT)
    assert shown == [0], "asked at once, the ledger would have known nothing"
    assert time.monotonic() - began >= HELD_SECONDS
    assert report.rows == TRIPS == counted(url, STAGED)
    assert p.stage(DT).unchanged


def test_a_commit_that_the_server_never_heard_is_rolled_back_and_holds_up_no_retry(staging):
    p, url, proxy = staging
    cut_before_commit(proxy, LEDGER)
    began = time.monotonic()
    with pytest.raises(mp.DatabaseError, match="rolled it back") as caught:
        p.stage(DT)
    assert caught.value.retryable
    assert counted(url, STAGED) == 0
    assert p.stage(DT).rows == TRIPS == counted(url, STAGED)
    assert time.monotonic() - began < 28, "the session that was cut off kept its locks"


def test_a_commit_that_waits_for_a_standby_is_not_taken_for_lost(staging):
    """Its rows are on the disk by then, and nobody sees them yet."""
    p, url, proxy = staging

    def standbys(names: str) -> None:
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute(f"alter system set synchronous_standby_names = '{names}'")
            admin.execute("select pg_reload_conf()")

    def a_commit_waits() -> bool:
        with contextlib.closing(psycopg.connect(url, autocommit=True)) as probe, psycopg.connect(url) as link:
            probe.pgconn.send_query(b"select pg_logical_emit_message(true, 'probe', '')")
            return link.execute("select 1 from pg_stat_activity where wait_event = 'SyncRep'").fetchone() is not None

    def act(data):
        standbys("nobody")
        until(a_commit_waits, 60, "commits wait for no standby", every=0.1)
        threading.Timer(HELD_SECONDS, standbys, [""]).start()
        return LastWords(data)

    proxy.up = once_after(LEDGER, COMMIT, act)
    began = time.monotonic()
    try:
        assert p.stage(DT).rows == TRIPS
    finally:
        standbys("")
    assert time.monotonic() - began >= HELD_SECONDS
    assert counted(url, STAGED) == TRIPS
    assert p.stage(DT).unchanged


COMMITTING = "select pid from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()"


def once_committing(url: str, act) -> threading.Thread:
    """Do something to the process of the server that is about to commit, once it is."""

    def wait():
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(url, autocommit=True) as admin:
            while not (found := admin.execute(COMMITTING).fetchone()):
                time.sleep(0.05)
            act(admin, found[0])

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("how", ["is ended by an administrator", "crashes, and its server with it"])
def test_a_session_that_ends_in_mid_commit_leaves_nothing_and_may_be_repeated(staging, how):
    p, url, _ = staging
    held_up(url, "dwh.load_ledger", "new.target = 'staging.trips_raw'", seconds=600)

    def act(admin, process_id):
        if how.startswith("crashes"):
            os.kill(process_id, signal.SIGKILL)
        else:
            admin.execute("select pg_terminate_backend(%s)", [process_id])

    ending = once_committing(url, act)
    with pytest.raises(mp.DatabaseError, match="rolled it back") as caught:
        p.stage(DT)
    assert caught.value.retryable
    ending.join(30)
    assert counted(url, STAGED) == 0
    with psycopg.connect(url, autocommit=True) as link:
        link.execute("drop trigger hold_up on dwh.load_ledger")
    assert p.stage(DT).rows == TRIPS == counted(url, STAGED)


def test_a_commit_that_is_not_decided_by_the_deadline_is_unknown_and_says_how_to_see_it(postgres, lake_of_trips):
    url, proxy = postgres
    mp.Pipeline(lake=lake_of_trips, warehouse=url).apply_schema()
    held_up(url, "dwh.load_ledger", "new.target = 'staging.trips_raw'", seconds=600)
    p = mp.Pipeline(lake=lake_of_trips, warehouse=through(url, proxy.port), lock_deadline_seconds=2)
    cut_behind_commit(proxy, url, LEDGER, LOADED)
    began = time.monotonic()
    with pytest.raises(mp.DatabaseError, match="is unknown") as caught:
        p.stage(DT)
    assert time.monotonic() - began < 60
    assert caught.value.retryable
    asks = f"txid_status({caught.value.context['transaction']})"
    assert f"SELECT {asks}" in str(caught.value)
    with psycopg.connect(url, autocommit=True) as link:
        assert link.execute(f"select {asks}").fetchone() == ("in progress",)
        ended = f"select pg_terminate_backend(pid, 30000) from ({COMMITTING}) c"
        until(lambda: link.execute(ended).fetchone(), 30, "nobody commits")
        assert link.execute(f"select {asks}").fetchone() == ("aborted",)
        link.execute("drop trigger hold_up on dwh.load_ledger")
    assert p.stage(DT).rows == TRIPS


@pytest.mark.parametrize("heard", [True, False], ids=["heard", "never heard"])
def test_a_merge_whose_commit_is_lost_is_there_once_or_not_at_all(postgres, heard):
    url, proxy = postgres
    how = {"table": "public.t", "key": ["id"], "tracked": ["name"]}
    mp.merge_snapshot(table(10), url, effective="2024-05-01", **how)
    held_up(url, "public.t", "new.id = 10")
    behind = through(url, proxy.port)
    rows = "select count(*)::int from public.t where valid_to is null"
    if heard:
        shown = cut_behind_commit(proxy, url, LOADS, rows)
        mp.merge_snapshot(table(12), behind, effective="2024-05-02", **how)
        assert shown == [10]
    else:
        cut_before_commit(proxy, LOADS)
        with pytest.raises(mp.DatabaseError, match="rolled it back") as caught:
            mp.merge_snapshot(table(12), behind, effective="2024-05-02", **how)
        assert caught.value.retryable
        assert counted(url, rows) == 10
        mp.merge_snapshot(table(12), behind, effective="2024-05-02", **how)
    assert counted(url, rows) == 12
    assert mp.merge_snapshot(table(12), url, effective="2024-05-02", **how).unchanged


@contextlib.contextmanager
def a_table(url: str):
    with psycopg.connect(url, autocommit=True) as link:
        link.execute("create table public.c (id bigint, name text)")
        yield link


COPIED = "select count(*)::int from public.c"


@pytest.mark.parametrize("heard", [True, False], ids=["heard", "never heard"])
def test_a_copy_whose_commit_is_lost_adds_its_rows_once_or_not_at_all(postgres, heard):
    url, proxy = postgres
    behind = through(url, proxy.port)
    with a_table(url):
        held_up(url, "public.c", "new.id = 0")
        if heard:
            shown = cut_behind_commit(proxy, url, COPY, COPIED)
            assert mp.copy_parquet(table(50), behind, "public.c", connections=1).rows == 50
            assert shown == [0]
        else:
            cut_before_commit(proxy, COPY)
            with pytest.raises(mp.DatabaseError, match="rolled it back") as caught:
                mp.copy_parquet(table(50), behind, "public.c", connections=1)
            assert caught.value.retryable
            assert counted(url, COPIED) == 0
            mp.copy_parquet(table(50), behind, "public.c", connections=1)
        assert counted(url, COPIED) == 50


@pytest.fixture
def copier(postgres):
    """A role that may write to a table, for sessions of another one."""
    url, _ = postgres
    with a_table(url) as link:
        link.execute("create role copier; grant insert, select on public.c to copier")
        yield "copier"
        link.execute("drop owned by copier; drop role copier")


def test_a_session_that_took_another_role_finds_its_commit_too(postgres, copier):
    """Such a session may not see when it began."""
    url, proxy = postgres
    held_up(url, "public.c", "new.id = 0")
    shown = cut_behind_commit(proxy, url, COPY, COPIED)
    behind = f"{through(url, proxy.port)}?options=-c%20role%3D{copier}"
    began = time.monotonic()
    assert mp.copy_parquet(table(50), behind, "public.c", connections=1).rows == 50 == counted(url, COPIED)
    assert shown == [0]
    assert time.monotonic() - began >= HELD_SECONDS


def test_a_copy_of_unknown_outcome_is_not_repeated_by_itself(postgres):
    url, proxy = postgres
    with a_table(url):
        held_up(url, "public.c", "new.id = 0", seconds=600)
        cut_behind_commit(proxy, url, COPY, COPIED)
        target = mp.Pipeline(warehouse=through(url, proxy.port), lock_deadline_seconds=2)
        with pytest.raises(mp.DatabaseError, match="second copy would add the rows once more") as caught:
            mp.copy_parquet(table(50), target, "public.c", connections=1)
        assert not caught.value.retryable
        assert caught.value.context["transaction"]


def test_a_copy_over_several_connections_asks_all_before_the_first_commits_and_nothing_between(postgres):
    url, proxy = postgres
    asks, commit, said = b"txid_current_if_assigned", b"COMMIT\0", []

    def up(data):
        said.extend(re.findall(asks + b"|" + commit, data))
        return data

    proxy.up = up
    with a_table(url):
        rows = table(90).to_reader(max_chunksize=30)
        assert mp.copy_parquet(rows, through(url, proxy.port), "public.c", connections=3).connections == 3
        assert counted(url, COPIED) == 90
    assert said == [asks] * 3 + [commit] * 3
