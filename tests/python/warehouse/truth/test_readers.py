"""What others see while days are loaded: the state before or after, at once, and without waiting longer than a swap."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from metropulse.exceptions import ConflictError

from .cities import DAYS, City, sample, states
from .model import COLUMNS, Model
from .warehouse import Truth, part

pytestmark = [pytest.mark.alone, pytest.mark.core, pytest.mark.embedded]

UTC = dt.UTC


@contextmanager
def repeating(act: Callable[[], None]) -> Iterator[list[BaseException]]:
    """Repeat something on a thread until the block ends; its first error is told."""
    errors: list[BaseException] = []
    stop = threading.Event()

    def loop() -> None:
        try:
            while not stop.is_set():
                act()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield errors
    finally:
        stop.set()
        thread.join()
        if errors:
            raise errors[0]


@pytest.fixture
def city(truth: Truth, tmp_path: Path) -> City:
    city = City(tmp_path, truth.lake, 1_500)
    for name, day in (("1", DAYS[0]), ("3", DAYS[2])):
        city.put(name)
        truth.pipeline.load_dimensions(day)
        truth.pipeline.load_facts(day)
    return city


def test_a_reader_sees_each_publication_whole_or_not_at_all(truth: Truth, city: City):
    versions = ("a", "b", "c", "a")
    allowed = [states(truth.pipeline, city, name, truth.reader) for name in versions]
    # Once more from the last state, each version as one load now, with a reader that never stops looking.
    with psycopg.connect(truth.url, autocommit=True) as reader:
        seen: list[tuple[str, str | None]] = []
        for name, expected in zip(versions[1:], allowed[1:], strict=True):
            city.put(name)
            seen.clear()
            with repeating(lambda: seen.append(sample(reader))):
                truth.pipeline.load_dimensions(DAYS[1])
                truth.pipeline.load_facts(DAYS[1])
            seen.append(sample(reader))
            assert [disagreement for _, disagreement in seen if disagreement] == []
            places = [expected.index(signature) for signature, _ in seen]
            assert places == sorted(places)
            assert seen[-1][0] == expected[-1]
            assert len(seen) > 3


def test_readers_without_a_gap_between_them_let_a_day_come_change_and_go(truth: Truth, city: City):
    """Some reader always holds the dimensions and waits for the facts: whoever wants both must not take the facts first."""
    hasty = truth.open(swap_deadline_seconds=20)
    with ExitStack() as stack:
        for _ in range(2):
            reader = stack.enter_context(psycopg.connect(truth.url, autocommit=True))
            stack.enter_context(repeating(partial(sample, reader)))
        time.sleep(0.5)
        for name in ("a", "b", "c"):
            city.put(name)
            hasty.load_dimensions(DAYS[1])
            hasty.load_facts(DAYS[1])
        hasty.undo(DAYS[1])


def test_a_reader_of_several_statements_that_locks_first_sees_one_state(truth: Truth, city: City):
    for name in ("a", "b"):
        city.put(name)
        truth.pipeline.load_facts(DAYS[1])
    counted = "SELECT dt, count(*) FROM dwh.fact_trip GROUP BY dt ORDER BY dt"
    told = (
        "SELECT dt, sum(rows_loaded)::bigint FROM dwh.load_ledger WHERE target = 'dwh.fact_trip' GROUP BY dt "
        "HAVING sum(rows_loaded) > 0 ORDER BY dt"
    )
    with psycopg.connect(truth.url) as reader:

        def look() -> None:
            reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            reader.execute("LOCK TABLE dwh.fact_trip IN ACCESS SHARE MODE")
            ledger = reader.execute(told).fetchall()
            time.sleep(0.01)
            found = reader.execute(counted).fetchall()
            reader.rollback()
            assert found == ledger
            time.sleep(0.01)

        with repeating(look):
            for name in ("c", "a", "b", "c", "a"):
                city.put(name)
                truth.pipeline.load_facts(DAYS[1])


def test_readers_wait_no_longer_than_an_attempt_at_the_swap_while_a_long_query_runs(truth: Truth, city: City):
    city.put("a")
    truth.pipeline.load_facts(DAYS[1])

    def waits_while(name: str) -> list[float]:
        """What a reader waits each time while a load goes on, longest last."""
        waits: list[float] = []
        city.put(name)
        with psycopg.connect(truth.url) as slow, psycopg.connect(truth.url, autocommit=True) as quick:
            slow.execute("SELECT count(*) FROM dwh.fact_trip")

            def look() -> None:
                begin = time.monotonic()
                quick.execute("SELECT count(*) FROM dwh.fact_trip WHERE dt = '2024-05-02'")
                waits.append(time.monotonic() - begin)
                time.sleep(0.005)

            with ThreadPoolExecutor(1) as pool, repeating(look):
                load = pool.submit(truth.pipeline.load_facts, DAYS[1])
                time.sleep(4)
                assert not load.done()
                slow.rollback()
                load.result(timeout=60)
        return sorted(waits)

    # An attempt takes 0.15 s; the rest is what a busy machine may add, and a machine that stalls spoils one of two loads.
    assert any(len(waits) > 20 and waits[-1] < 1.5 for waits in map(waits_while, "bc"))


def test_a_swap_that_readers_never_let_through_ends_in_a_conflict_and_changes_nothing(truth: Truth, city: City):
    city.put("a")
    truth.pipeline.load_dimensions(DAYS[1])
    truth.pipeline.load_facts(DAYS[1])
    before = sample(truth.reader)
    city.put("b")
    hasty = truth.open(swap_deadline_seconds=1)
    with psycopg.connect(truth.url) as slow:
        slow.execute("SELECT count(*) FROM dwh.fact_trip")
        with pytest.raises(ConflictError, match="swap_deadline_seconds"):
            hasty.load_facts(DAYS[1])
    assert sample(truth.reader) == before
    assert truth.leftovers() == []
    truth.pipeline.load_facts(DAYS[1])
    assert sample(truth.reader)[0] != before[0]


def test_two_runs_of_one_day_at_once_load_it_once(truth: Truth, city: City):
    alone = states(truth.pipeline, city, "a", truth.reader)[-1]
    city.put("b")
    for step in ("stage", "load_dimensions", "load_facts"):
        getattr(truth.pipeline, step)(DAYS[1])
    city.put("a")

    def load(_: int) -> None:
        pipeline = truth.open()
        for step in ("stage", "load_dimensions", "load_facts", "build_route_hourly"):
            getattr(pipeline, step)(*([] if step == "build_route_hourly" else [DAYS[1]]))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(load, range(2)))
    assert sample(truth.reader) == (alone, None)
    truth.check_house()


def test_different_days_at_once_lose_nothing(truth: Truth):
    model = Model()
    days = [dt.date(2024, 5, n) for n in (1, 2, 3, 4)]
    for number, day in enumerate(days):
        noon = dt.datetime.combine(day, dt.time(12), UTC)
        ids = range(50)
        files = {
            "routes": [{"route_id": f"R{i}", "name": f"n{(i + number) % 3}"} for i in range(5)],
            "users": [{"user_id": f"U{i}", "city": f"c{(i + number) % 2}"} for i in range(20)],
            "trips": [
                {"trip_id": f"T{i + 20 * number}", "route_id": f"R{i % 6}", "user_id": f"U{i % 25}", "start_ts": noon}
                for i in ids
            ],
            "payments": [
                {"payment_id": f"P{i + 20 * number}", "trip_id": f"T{i}", "route_id": f"R{i % 6}", "paid_at": noon}
                for i in ids
            ],
        }
        parts = {dataset: [part(dataset, day, rows)] for dataset, rows in files.items()}
        for dataset in parts:
            truth.write(dataset, day, parts[dataset])
        model.load(COLUMNS, day, parts)
    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(lambda day: truth.open().run(day), days))
    assert all(report.step == "run" for report in reports)
    truth.check(model)
    truth.pipeline.build_route_hourly()
    truth.check_mart(model)
    assert truth.rows("SELECT dt, count(*) FROM staging.trips_raw GROUP BY 1 ORDER BY 1") == [(d, 50) for d in days]


def test_a_mart_built_during_swaps_shows_each_date_before_or_after(truth: Truth, city: City):
    totals: dict[str, Any] = {}
    asked = "SELECT sum(trip_cnt) AS n, sum(position_cnt) AS p FROM mart_route_hourly WHERE service_date = '2024-05-02'"
    for name in ("b", "a"):
        city.put(name)
        truth.pipeline.load_facts(DAYS[1])
        truth.pipeline.build_route_hourly()
        totals[name] = truth.clickhouse(asked)
    seen: list[Any] = []
    builder = truth.open()
    with repeating(lambda: seen.append(builder.build_route_hourly() and truth.clickhouse(asked))):
        for name in ("b", "a") * 4:
            city.put(name)
            # The facts are three publications: trips and payments may be a version ahead of positions.
            truth.pipeline.load_facts(DAYS[1])
    trips, positions = ({str(t[0][key]) for t in totals.values()} for key in ("n", "p"))
    assert {str(rows[0]["n"]) for rows in seen} <= trips
    assert {str(rows[0]["p"]) for rows in seen} <= positions
    assert len(seen) > 3
