"""What stands of a call that was stopped, and what the servers show of one that runs."""

from __future__ import annotations

import re
import threading
import time
from contextlib import contextmanager

import psycopg
import pytest

import metropulse as mp
from answers import DATA

pytestmark = [pytest.mark.core, pytest.mark.embedded]
DT = "2024-05-01"
RAW = DATA / "prototype_raw"
SHOWN = "select application_name from pg_stat_activity where datname = current_database() and application_name like 'metropulse%'"
STAGED = "select (select count(*) from staging.routes_raw) routes, (select count(*) from staging.trips_raw) trips"


@contextmanager
def holding(p, table):
    """A reader that keeps the publication of a table waiting."""
    with psycopg.connect(p.settings.warehouse) as reader:
        reader.execute(f"lock table {table} in access share mode")
        yield


def when_waiting(p, call):
    """Call something once the swap of a table has waited for a while."""

    def later():
        with psycopg.connect(p.settings.warehouse, autocommit=True) as link:
            while not link.execute("select 1 from dwh.load_ledger where target = 'staging.routes_raw'").fetchone():
                time.sleep(0.05)
        time.sleep(1)
        call()

    threading.Thread(target=later, daemon=True).start()


def test_a_cancelled_step_names_what_it_had_published(pipeline_on):
    p = pipeline_on(RAW)
    p.apply_schema()
    with holding(p, "staging.trips_raw"):
        when_waiting(p, p.cancel)
        with pytest.raises(mp.CancelledError) as caught:
            p.stage(DT)
    said = str(caught.value)
    assert f"staging.routes_raw dt={DT}" in said
    assert "staging.trips_raw" not in said
    assert "the rest is as it was" in said
    [staged] = p.warehouse.query(STAGED).to_pylist()
    assert staged["routes"] > 0
    assert staged["trips"] == 0
    p.stage(DT)
    assert p.warehouse.query(STAGED).to_pylist()[0]["trips"] == 73
    assert p.stage(DT).unchanged


def test_a_step_that_published_nothing_says_so(pipeline_on):
    p = pipeline_on(RAW)
    p.apply_schema()
    with holding(p, "staging.routes_raw"):
        threading.Timer(1.5, p.cancel).start()
        with pytest.raises(mp.CancelledError, match=r"stopped by the caller; .*nothing was published"):
            p.stage(DT)
    assert p.warehouse.query(STAGED).to_pylist() == [{"routes": 0, "trips": 0}]


def test_what_stops_a_step_from_outside_carries_what_stands_as_a_note(pipeline_on):
    p = pipeline_on(RAW)
    p.apply_schema()
    stop = threading.Event()

    def progress(*_):
        if stop.is_set():
            raise TimeoutError("the task took too long")

    with holding(p, "staging.trips_raw"):
        when_waiting(p, stop.set)
        with pytest.raises(TimeoutError, match="too long") as caught:
            p.stage(DT, progress=progress)
    [note] = caught.value.__notes__
    assert f"staging.routes_raw dt={DT}" in note


def test_the_servers_show_run_and_label(pipeline_on):
    p = pipeline_on(RAW, run_label="daily.stage manual__2024")
    p.apply_schema()
    shown = []
    with holding(p, "staging.trips_raw"), psycopg.connect(p.settings.warehouse, autocommit=True) as link:

        def look():
            shown.extend(name for (name,) in link.execute(SHOWN).fetchall())
            p.cancel()

        when_waiting(p, look)
        with pytest.raises(mp.CancelledError):
            p.stage(DT)
    [(run, label)] = {tuple(re.fullmatch(r"metropulse (\w{16}) (.*)", name).groups()) for name in shown}
    assert label == "daily.stage manual__2024"
    ledger = p.warehouse.query("select distinct run_id from dwh.load_ledger").to_pylist()
    assert ledger == [{"run_id": run}]
    [row] = p.mart.query("select getSetting('log_comment') as comment").to_pylist()
    assert re.fullmatch(r"metropulse \w{16} daily\.stage manual__2024", row["comment"])


def test_an_old_clickhouse_takes_no_comment_and_works_all_the_same(clickhouse_18_url):
    p = mp.Pipeline(mart=clickhouse_18_url, run_label="daily.mart manual__2024")
    assert p.mart.query("select 1 as one").to_pylist() == [{"one": 1}]
