"""The primary of a replicated PostgreSQL is lost in the middle of a load, and its standby takes over."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg
import pytest

import metropulse as mp
from answers import DATA, PROTOTYPE_DAYS, check_prototype
from conftest import postgres_server
from faults.proxies import CutError, Proxy, once_after, proxy_before
from faults.standbys import Pair, followed

pytestmark = [pytest.mark.core, pytest.mark.embedded, pytest.mark.slow]
RAW = DATA / "prototype_raw"
FIRST, SECOND, THIRD = PROTOTYPE_DAYS
TRIPS = "select count(*)::int from dwh.fact_trip where dt = %s"


@pytest.fixture
def pair() -> Iterator[Pair]:
    with postgres_server() as (url, folder), followed(url, folder, folder.parent / "standby") as running:
        yield running


@pytest.fixture
def proxy(pair: Pair) -> Iterator[Proxy]:
    """Before the primary."""
    with proxy_before("127.0.0.1", urlsplit(pair.primary).port) as running:
        yield running


def test_a_load_whose_primary_dies_in_mid_copy_goes_on_at_the_standby_that_took_over(pair, proxy, pipeline_on):
    place = urlsplit(pair.primary)
    hosts = f"127.0.0.1:{proxy.port},127.0.0.1:{urlsplit(pair.standby).port}"
    settings = pipeline_on(RAW).settings
    p = mp.Pipeline(
        lake=RAW,
        warehouse=f"postgresql://{place.username}:{place.password}@{hosts}/postgres?target_session_attrs=read-write",
        mart=settings.mart,
        mart_user=settings.mart_user,
        mart_password=settings.mart_password,
    )
    p.run(FIRST)
    p.stage(SECOND)
    p.load_dimensions(SECOND)
    pair.wait_until_even()

    def die(_data: bytes) -> bytes:
        pair.kill_primary()
        raise CutError

    proxy.up = once_after(rb"COPY [^;]*fact", rb"PGCOPY\n", die)
    with pytest.raises(mp.DatabaseError) as caught:
        p.load_facts(SECOND)
    assert caught.value.retryable
    proxy.close()
    with pytest.raises(mp.DatabaseError, match="read-write") as caught:
        p.load_facts(SECOND)
    assert caught.value.retryable, "the standby may take over yet"

    pair.promote()
    with psycopg.connect(pair.standby) as link:
        assert link.execute(TRIPS, [SECOND]).fetchone() == (0,)
    assert p.load_facts(SECOND).rows > 0
    for day in (SECOND, THIRD):
        p.run(day)
    check_prototype(p)
    assert all(p.run(day).unchanged for day in PROTOTYPE_DAYS)
