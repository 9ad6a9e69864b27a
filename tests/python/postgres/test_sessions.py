"""Sessions that are not ours alone: connection poolers, and settings of roles and databases."""

from __future__ import annotations

import contextlib
import threading
import time
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import metropulse as mp
from answers import DATA, check_prototype
from conftest import execute_on_mart
from metropulse.copy import copy_parquet
from waiting import until

pytestmark = [pytest.mark.core, pytest.mark.embedded, pytest.mark.slow]

OWN = {
    "search_path": "app, public",
    "default_transaction_read_only": "off",
    "statement_timeout": "3min",
    "lock_timeout": "2min",
    "idle_in_transaction_session_timeout": "4min",
    "timezone": "Asia/Tokyo",
    "jit": "on",
    "client_min_messages": "notice",
}
"""What the database of the pools gives to its sessions."""


@pytest.fixture(scope="module")
def pooled(pools, debian_postgres):
    """The pools over a database whose sessions have settings of their own, and its direct URL."""
    direct = urlunsplit(urlsplit(debian_postgres)._replace(path="/pooled"))
    with psycopg.connect(direct, autocommit=True) as admin:
        admin.execute("create schema app; create table app.heard (n bigint)")
        for name, value in OWN.items():
            admin.execute(f"alter database pooled set {name} = {value if name == 'search_path' else repr(value)}")
    return pools, direct


class Application(threading.Thread):
    """Another application on a pool: it looks at its settings and writes a row, over and over."""

    def __init__(self, url: str, stays: bool) -> None:
        super().__init__(daemon=True)
        self.url, self.stays, self.ended = url, stays, threading.Event()
        self.written, self.faults = 0, []

    def run(self) -> None:
        """Work until told to end; a connection for each look where the pool gives sessions."""
        with contextlib.ExitStack() as stack:
            link = stack.enter_context(self.connect()) if self.stays else None
            while not self.ended.wait(0.005):
                try:
                    with contextlib.nullcontext(link) if link else self.connect() as at:
                        self.look(at)
                except psycopg.Error as fault:
                    self.faults.append(str(fault))
                    return

    def connect(self) -> psycopg.Connection:
        """A connection without prepared statements."""
        return psycopg.connect(self.url, autocommit=True, prepare_threshold=None)

    def look(self, link: psycopg.Connection) -> None:
        """One look at the settings, in one statement, and one row."""
        names = ", ".join(f"current_setting('{name}')" for name in OWN)
        found = link.execute(f"select {names}, (select count(*) from pg_prepared_statements), "
                             "(select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid())")  # fmt: skip
        expected = (*OWN.values(), 0, 0)
        row = found.fetchone()
        if row != expected:
            self.faults.append(f"{row} instead of {expected}")
        link.execute("insert into heard values (1)")
        self.written += 1

    def __enter__(self) -> Application:
        """Begin."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End, and look once more at every server connection of the pool."""
        self.ended.set()
        self.join(60)
        if not self.stays:
            with contextlib.ExitStack() as stack:
                for _ in range(12):
                    self.look(stack.enter_context(self.connect()))


def test_a_whole_day_in_session_mode_leaves_nothing_behind(pooled, running_engines):
    pools, _ = pooled
    execute_on_mart(running_engines, "CREATE DATABASE pooled_day")
    try:
        p = mp.Pipeline(
            lake=DATA / "prototype_raw",
            warehouse=pools("session"),
            mart=running_engines.mart_url.rpartition("/")[0] + "/pooled_day",
            mart_user=running_engines.mart_user,
            mart_password=running_engines.mart_password,
            time_zone="UTC",
        )
        with Application(pools("session"), stays=False) as other:
            for dt in ("2024-05-03", "2024-05-01", "2024-05-02"):
                p.run(dt)
            assert p.run("2024-05-01").unchanged
            check_prototype(p)
            assert p.warehouse.read_table("dwh.dim_route", connections=2).num_rows > 0
            rows = pa.table({"k": [1, 2], "v": ["a", "b"]})
            mp.copy_parquet(rows, pools("session"), "public.copied", create=True)
            mp.merge_snapshot(rows, pools("session"), "public.merged", key=["k"], effective="2024-05-01")
            with pytest.raises(mp.DatabaseError):
                p.warehouse.query("select 1 from nowhere")
        assert other.faults == []
        assert other.written > 20
    finally:
        execute_on_mart(running_engines, "DROP DATABASE pooled_day")


@pytest.mark.parametrize("mode", ["transaction", "statement"])
def test_pools_without_sessions_are_refused_before_anything_is_set(pooled, mode):
    pools, direct = pooled
    url = pools(mode)
    p = mp.Pipeline(lake=DATA / "prototype_raw", warehouse=url)
    rows = pa.table({"k": [1], "v": ["a"]})
    attempts = [
        lambda: p.run("2024-05-01"),
        lambda: p.warehouse.query("select 1"),
        lambda: mp.copy_parquet(rows, url, "public.never", create=True),
        lambda: mp.merge_snapshot(rows, url, "public.never", key=["k"], effective="2024-05-01"),
    ]

    def are_refused() -> None:
        for attempt in attempts:
            with pytest.raises(mp.ConfigError, match="pool_mode = session") as caught:
                attempt()
            assert not caught.value.retryable
            assert urlsplit(url).password not in str(caught.value)

    with Application(url, stays=True) as other:
        for _ in range(10):
            are_refused()
        # On a machine that does other things too the other application is not heard much in ten rounds.
        until(lambda: are_refused() or other.faults or other.written > 20, 60, "the other application stands still", 0)
    assert other.faults == []
    with psycopg.connect(direct) as link:
        assert link.execute("select to_regclass('public.never')").fetchone() == (None,)


def test_a_busy_pool_without_sessions_is_refused_too(pooled):
    pools, _ = pooled
    with contextlib.ExitStack() as stack:
        others = [stack.enter_context(Application(pools("transaction"), stays=True)) for _ in range(6)]
        for _ in range(15):
            with pytest.raises(mp.ConfigError, match="pool_mode = session"):
                mp.copy_parquet(pa.table({"k": [1]}), pools("transaction"), "public.never", create=True)
    assert [fault for other in others for fault in other.faults] == []


def test_a_pool_of_one_session_is_one_session(pooled):
    pools, _ = pooled
    report = mp.copy_parquet(pa.table({"k": [1, 2]}), pools("tight"), "public.tight", create=True)
    assert report.rows == 2


def test_a_parameter_that_the_pooler_does_not_take_is_named(pooled):
    pools, _ = pooled
    with pytest.raises(mp.ConfigError, match="ignore_startup_parameters") as caught:
        mp.copy_parquet(
            pa.table({"k": [1]}), pools("session") + "?options=-c%20geqo%3Doff", "public.never", create=True
        )
    assert "options" in str(caught.value)


@pytest.fixture
def limited(running_engines):
    """A database whose sessions may do next to nothing before they are stopped."""
    with psycopg.connect(running_engines.warehouse_url, autocommit=True) as admin:
        admin.execute("create database limited template template0")
        version = admin.info.server_version
        limits = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"]
        for limit in [*limits, *(["transaction_timeout"] if version >= 170_000 else [])]:
            admin.execute(f"alter database limited set {limit} = '2s'")
        # All hold from the first moment on, before anybody can set them: a busy machine needs that long.
        admin.execute("alter database limited set idle_session_timeout = '30s'")
        yield urlunsplit(urlsplit(running_engines.warehouse_url)._replace(path="/limited"))
        admin.execute("drop database limited with (force)")


def test_limits_of_role_or_database_do_not_stop_a_load(limited):
    p = mp.Pipeline(lake=DATA / "prototype_raw", warehouse=limited)
    p.stage("2024-05-01")
    p.load_dimensions("2024-05-01")
    assert p.load_facts("2024-05-01").rows > 0
    assert copy_parquet(_slow_rows(), p, "public.slow", create=True).rows == 2
    slow = p.warehouse.query("select pg_sleep(2.5)::text as slept, current_setting('statement_timeout') as limit")
    assert slow.to_pylist() == [{"slept": "", "limit": "0"}]


def _slow_rows() -> pa.RecordBatchReader:
    """Rows that keep a transaction idle for longer than any of the limits."""
    schema = pa.schema([("n", pa.int64())])

    def batches():
        for n in range(2):
            time.sleep(2.5)
            yield pa.record_batch([[n]], schema)

    return pa.RecordBatchReader.from_batches(schema, batches())


def test_a_statement_that_somebody_else_stops_is_a_failure_and_kept(pipeline_on):
    p = pipeline_on(DATA / "prototype_raw")
    p.apply_schema()
    url = p.settings.warehouse
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("begin; lock table dwh.load_ledger in access exclusive mode")
        stopper = threading.Thread(target=_stop_a_waiting_statement, args=(url,))
        stopper.start()
        with pytest.raises(mp.DatabaseError) as caught:
            p.stage("2024-05-01")
        stopper.join()
        admin.execute("rollback")
        assert caught.value.context["sqlstate"] == "57014"
        assert caught.value.retryable
    with psycopg.connect(url, autocommit=True) as admin:
        kept = admin.execute("select step, kind from dwh.step_failure").fetchall()
    assert kept == [("stage", "database")]


def _stop_a_waiting_statement(url: str) -> None:
    """Cancel the first statement of ours that waits for a lock, as an administrator would."""
    sql = (
        "select pg_cancel_backend(pid) from pg_stat_activity where wait_event_type = 'Lock' and pid <> pg_backend_pid()"
    )
    with psycopg.connect(url, autocommit=True) as admin:
        for _ in range(600):
            if admin.execute(sql).fetchall():
                return
            admin.execute("select pg_sleep(0.05)")


def test_a_lock_on_the_target_of_a_copy_is_waited_for_up_to_the_deadline(pipeline_on, tmp_path):
    p = pipeline_on(DATA / "prototype_raw", lock_deadline_seconds=1)
    url = p.settings.warehouse
    pq.write_table(pa.table({"n": [1, 2]}), tmp_path / "n.parquet")
    with psycopg.connect(url) as holder:
        holder.execute("create table public.held (n bigint)")
        holder.commit()
        holder.execute("lock table public.held in access exclusive mode")
        with pytest.raises(mp.ConflictError, match=r"another session has held a lock on .*held.* for 1 s") as caught:
            copy_parquet(tmp_path / "n.parquet", p, "public.held")
        assert caught.value.retryable
        holder.rollback()
        assert copy_parquet(tmp_path / "n.parquet", p, "public.held").rows == 2
