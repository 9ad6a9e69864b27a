"""A build without a cluster, step by step: its lock, and what it swaps in."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import partial
from types import SimpleNamespace

import pytest

pa = pytest.importorskip("pyarrow")
pytest.importorskip("metropulse._core")
pytest.importorskip("pandas")

import metropulse as mp
from answers import DATA, PROTOTYPE_DAYS, mart_rows, same_rows
from metropulse import _core
from metropulse.spark.mart import FillTask, NewestTask, SharesTask
from metropulse.spark.packed import bucket_of_key, date_of_share

pytestmark = [pytest.mark.core, pytest.mark.embedded]

KEYED, UNKEYED = ["trips", "payments"], ["vehicle_positions", "scheduled_trips"]


def build_of(number: int) -> str:
    began = datetime.now(UTC).isoformat()
    return json.dumps({"build": 1 << 48 | number, "snapshot_ts": began, "date_from": None, "date_to": None})


def driver_of(p: mp.Pipeline) -> _core.Pipeline:
    return _core.Pipeline(p.settings.to_json())


def numbers(count: int):
    return iter([pa.RecordBatch.from_pydict({"id": list(range(count))})])


def by_place(batches: list) -> list:
    return pa.Table.from_batches(batches).sort_by("place").to_batches() if batches else []


def filled_by(p: mp.Pipeline, driver: _core.Pipeline, build: str, routes) -> str:
    """What the tasks of a cluster would leave, made here."""
    listed = driver.listed(None, [*KEYED, *UNKEYED])
    shared = SimpleNamespace(value={"settings": p.settings.to_json(), "build": build, "routes": pa.table(routes)})

    def shares(names: list[str], place) -> list:
        work = [one for one in listed if one[1] in names]
        return list(SharesTask(shared, work, place)(numbers(len(work))))

    keyed = shares(KEYED, partial(bucket_of_key, buckets=1))
    counting = NewestTask([None, None])(iter(by_place(keyed)))
    [done] = FillTask(shared)(iter(by_place([*counting, *shares(UNKEYED, date_of_share)])))
    [row] = done.to_pylist()
    assert row["failed"] is None
    return row["filled"]


def test_a_build_step_by_step_is_that_of_one_machine(pipeline_on):
    here, there = pipeline_on(DATA / "prototype_raw"), pipeline_on(DATA / "prototype_raw")
    here.build_route_hourly("2024-04-30", "2024-05-05", source="lake")
    driver, build = driver_of(there), build_of(1)
    routes = driver.begin_mart()
    report = json.loads(driver.swap_mart(filled_by(there, driver, build, routes), build))
    assert report["service_dates_rebuilt"]
    same_rows(mart_rows(there), mart_rows(here))


def test_nobody_else_builds_between_beginning_and_end(pipeline_on):
    p = pipeline_on(DATA / "prototype_raw", lock_deadline_seconds=1)
    p.run(PROTOTYPE_DAYS[0])
    driver, build = driver_of(p), build_of(2)
    for end in (driver.abandon_mart, lambda build: driver.swap_mart("[]", build)):
        driver.begin_mart()
        for source in ("warehouse", "lake"):
            with pytest.raises(mp.ConflictError, match="another run has held the mart"):
                p.build_route_hourly(source=source)
        end(build)
        p.build_route_hourly()


def test_a_lock_that_was_lost_is_taken_anew_and_who_built_meanwhile_shows(pipeline_on):
    import psycopg

    p = pipeline_on(DATA / "prototype_raw")
    p.apply_schema()
    driver, build = driver_of(p), build_of(3)
    cut = """
        select pg_terminate_backend(pid) from pg_locks
        where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())
    """
    with psycopg.connect(p.settings.warehouse, autocommit=True) as admin:
        filled = filled_by(p, driver, build, driver.begin_mart())
        assert admin.execute(cut).fetchall() == [(True,)]
        driver.swap_mart(filled, build)
        assert mart_rows(p)

        filled = filled_by(p, driver, build, driver.begin_mart())
        assert admin.execute(cut).fetchall() == [(True,)]
        p.run(PROTOTYPE_DAYS[0])
        before = mart_rows(p)
        with pytest.raises(mp.ConflictError, match="somebody else wrote") as caught:
            driver.swap_mart(filled, build)
        assert caught.value.retryable
        assert mart_rows(p) == before


def test_an_end_without_a_beginning_is_a_defect(pipeline_on):
    driver = driver_of(pipeline_on(DATA / "prototype_raw"))
    with pytest.raises(mp.InternalError, match="no build of the mart was begun"):
        driver.swap_mart("[]", build_of(4))
