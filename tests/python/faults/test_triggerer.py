"""What the triggerer makes of a store that is away, and of keys that have ended, while it waits for a day."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

pytest.importorskip("airflow.sdk")

from faults.proxies import expired
from metropulse.airflow.triggers import RawPartitionTrigger

pytestmark = [pytest.mark.core, pytest.mark.airflow, pytest.mark.slow]
DT = "2024-05-01"


@pytest.fixture
def fire(s3, monkeypatch):
    """Run the trigger over the bucket behind the proxy; its one event and the seconds it took."""
    lake, options, _ = s3
    connection = {
        "conn_type": "aws",
        "login": options["aws_access_key_id"],
        "password": options["aws_secret_access_key"],
        "extra": {"lake": lake, "endpoint_url": options["aws_endpoint"]},
    }
    monkeypatch.setenv("AIRFLOW_CONN_METROPULSE_LAKE_DEFAULT", json.dumps(connection))

    def run(**how):
        trigger = RawPartitionTrigger(dt=DT, required=["routes", "trips"], poll_seconds=0.2, stable_seconds=0.5, **how)
        began = time.monotonic()
        event = asyncio.run(anext(trigger.run()))
        return event.payload, time.monotonic() - began

    return run


def test_a_store_that_drops_connections_for_a_while_ends_no_wait(s3, fire):
    lake, _, proxy = s3
    began = time.monotonic()
    proxy.accept = lambda: b"" if time.monotonic() - began < 6 else None
    event, seconds = fire()
    assert event["partition"]["ready"]
    assert event["lake"] == [lake, ""]
    assert seconds >= 6, "more than one look at the store failed, each with its retries"


def test_keys_that_have_ended_end_the_wait_with_their_name(s3, fire):
    lake, _, proxy = s3
    proxy.accept = lambda: expired("400 Bad Request")
    event, seconds = fire()
    assert "ExpiredToken" in event["error"]["message"]
    assert event["error"]["retryable"] is False
    assert event["lake"] == [lake, ""]
    assert seconds < 60


def test_a_day_that_does_not_come_times_out_though_the_store_is_away(s3, fire):
    _, _, proxy = s3
    proxy.accept = lambda: b""
    event, seconds = fire(deadline=time.time() + 2)
    assert event["timeout"]
    assert seconds < 60
