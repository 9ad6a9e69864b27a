"""What is away for a moment is asked again: after pauses that grow, that differ between callers, and that end."""

from __future__ import annotations

import itertools
import threading
import time
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

import metropulse as mp
from faults.proxies import BUSY, proxy_before, through
from services import free_port

pytestmark = [pytest.mark.core, pytest.mark.slow]
DT = "2024-05-01"
ATTEMPTS = 5
SLACK = 0.35
"""Seconds that a loaded machine may add to a pause."""


def gaps(times):
    return [later - sooner for sooner, later in itertools.pairwise(times)]


def quickest(schedules):
    """The shortest of each pause: a machine that stalls lengthens one of them, not all."""
    return [min(pauses) for pauses in zip(*schedules, strict=True)]


@contextmanager
def away_for(seconds: float, host: str, port: int):
    """A port where nobody listens, and after a while a server does."""
    listen = free_port()
    ready = threading.Event()

    def come():
        time.sleep(seconds)
        with proxy_before(host, port, listen):
            ready.wait(30)

    thread = threading.Thread(target=come, daemon=True)
    thread.start()
    yield listen
    ready.set()
    thread.join()


def test_a_busy_store_is_asked_five_times_within_seconds(s3):
    lake, options, proxy = s3
    proxy.accept = lambda: BUSY
    p = mp.Pipeline(lake=lake, lake_options=options)
    schedules = []
    for _ in range(3):
        proxy.accepted.clear()
        with pytest.raises(mp.StorageError, match="503") as caught:
            p.partition_ready(DT)
        assert caught.value.retryable
        schedules.append(gaps(proxy.accepted))
    for schedule in schedules:
        assert len(schedule) == ATTEMPTS - 1
        assert all(pause >= 0.09 for pause in schedule), schedule
    assert all(pause <= 0.1 * 2**nth + SLACK for nth, pause in enumerate(quickest(schedules))), schedules
    # The first pause is always the same, those that follow are drawn.
    assert len({round(sum(schedule[1:]), 3) for schedule in schedules}) > 1


def test_a_warehouse_that_cuts_every_connection_is_asked_five_times_within_seconds(postgres):
    url, proxy = postgres
    proxy.accept = lambda: b""
    schedules = []
    for _ in range(3):
        proxy.accepted.clear()
        with pytest.raises(mp.DatabaseError) as caught:
            mp.Pipeline(warehouse=through(url, proxy.port) + "?sslmode=disable").warehouse.query("select 1")
        assert caught.value.retryable
        schedules.append(gaps(proxy.accepted))
    spans = [min(0.2 * 2**nth, 2.0) for nth in range(ATTEMPTS - 1)]
    for schedule in schedules:
        assert len(schedule) == ATTEMPTS - 1
        assert all(pause >= span / 2 for span, pause in zip(spans, schedule, strict=True)), schedule
    assert all(pause <= span + SLACK for span, pause in zip(spans, quickest(schedules), strict=True)), schedules
    assert len({round(sum(schedule), 3) for schedule in schedules}) > 1


def test_a_warehouse_that_comes_back_within_a_second_fails_nothing(postgres):
    url, _ = postgres
    parts = urlsplit(url)
    with away_for(0.8, parts.hostname, parts.port) as port:
        assert mp.Pipeline(warehouse=through(url, port)).warehouse.query("select 7 as n").to_pylist() == [{"n": 7}]


def test_a_wrong_password_is_told_at_once(postgres):
    url, proxy = postgres
    wrong = through(url, proxy.port).replace("pg-secret", "pg-guessed") + "?sslmode=disable"
    with pytest.raises(mp.ConfigError, match="password authentication failed") as caught:
        mp.Pipeline(warehouse=wrong).warehouse.query("select 1")
    assert not caught.value.retryable
    assert proxy.connections == 1


@pytest.mark.embedded
def test_a_mart_that_comes_back_within_a_second_fails_nothing(running_engines):
    parts = urlsplit(running_engines.mart_url)
    access = {"mart_user": running_engines.mart_user, "mart_password": running_engines.mart_password}
    with away_for(0.8, parts.hostname, parts.port) as port:
        mart = mp.Pipeline(mart=f"http://127.0.0.1:{port}/default", **access).mart
        assert mart.query("select 7 as n").to_pylist() == [{"n": 7}]


def test_a_mart_that_stays_away_is_an_error_within_seconds():
    began = time.monotonic()
    with pytest.raises(mp.DatabaseError, match="refused") as caught:
        mp.Pipeline(mart=f"http://127.0.0.1:{free_port()}/default").mart.query("select 1")
    assert caught.value.retryable
    assert 1 < time.monotonic() - began < 60
