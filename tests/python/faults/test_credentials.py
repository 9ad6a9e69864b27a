"""Keys that a role is given, keys that end, and passwords that change between two tasks."""

from __future__ import annotations

import asyncio
import json
import time
from types import SimpleNamespace

import pytest

import metropulse as mp
import services
from faults.identities import Authority, authority, minio_keys
from faults.proxies import expired
from metropulse.airflow.connections import Sources
from metropulse.settings import resolve

pytestmark = [pytest.mark.core, pytest.mark.slow]
DT = "2024-05-01"
ROLE = "arn:aws:iam::1:role/loader"


@pytest.mark.parametrize("status", ["400 Bad Request", "403 Forbidden"])
def test_keys_that_have_expired_are_named_as_such_and_asked_with_once(s3, status):
    lake, options, proxy = s3
    proxy.accept = lambda: expired(status)
    p = mp.Pipeline(lake=lake, lake_options={**options, "aws_session_token": "hush-hush-token"})
    with pytest.raises(mp.StorageError, match=r"have expired \(ExpiredToken\)") as caught:
        p.partition_ready(DT)
    assert not caught.value.retryable
    assert proxy.connections == 1
    began = time.monotonic()
    with pytest.raises(mp.StorageError, match="have expired"):
        asyncio.run(p.wait_for_partition(DT, required=["routes"], poll_seconds=0.1))
    assert time.monotonic() - began < 60, "a wait does not go on with keys that will not come to life again"
    assert "hush-hush-token" not in f"{caught.value} {caught.value.context} {caught.value.__cause__}"


@pytest.fixture
def keys(minio_server):
    """Short-lived keys of MinIO's own STS."""
    return minio_keys(minio_server[0], services.MINIO_KEY, services.MINIO_SECRET)


def connection(**given):
    """A connection of Airflow with an extra field."""
    named = {name: given.pop(name, None) for name in ("login", "password", "host", "port", "schema")}
    return SimpleNamespace(conn_id="lake", conn_type="aws", extra_dejson=given, **named)


def lake_of(connection, environ):
    """The lake as a task would open it."""
    sources = Sources(lake_connection=connection, environ=environ)
    return mp.Pipeline.from_settings(resolve(**sources.arguments()))


def reads(p) -> bool:
    found = p.partition_ready(DT, required=["routes", "trips"])
    return bool(found.ready)


def waits(p) -> None:
    """Look again and again for a manifest that does not come, through one opened lake."""
    wait = p.wait_for_partition(DT, required=["routes"], poll_seconds=0.5, stable_seconds=None)
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(wait, 3))


def test_a_session_token_of_a_connection_is_used(s3, keys):
    lake, options, _ = s3
    place = {"lake": lake, "endpoint_url": options["aws_endpoint"]}
    p = lake_of(connection(login=keys.key, password=keys.secret, aws_session_token=keys.token, **place), {})
    assert reads(p)
    assert keys.token not in repr(p)
    without = lake_of(connection(login=keys.key, password=keys.secret, **place), {})
    with pytest.raises(mp.StorageError) as caught:
        reads(without)
    assert not caught.value.retryable


@pytest.mark.parametrize("named_by", ["the connection", "the pod's environment"])
def test_a_web_identity_is_exchanged_for_keys(s3, keys, tmp_path, named_by):
    lake, options, _ = s3
    proof = tmp_path / "token"
    proof.write_text(Authority.PROOF)
    with authority(keys, tmp_path) as (sts, url):
        more = {"lake": lake, "endpoint_url": options["aws_endpoint"], "verify": str(tmp_path / "ca.pem")}
        environ = {"AWS_WEB_IDENTITY_TOKEN_FILE": str(proof)}
        if named_by == "the connection":
            more |= {
                "role_arn": ROLE,
                "assume_role_method": "assume_role_with_web_identity",
                "assume_role_with_web_identity_federation": "file",
                "service_config": {"sts": {"endpoint_url": url}},
            }
        else:
            environ |= {"AWS_ROLE_ARN": ROLE, "AWS_ROLE_SESSION_NAME": "metropulse", "AWS_ENDPOINT_URL_STS": url}
        p = lake_of(connection(**more), environ)
        assert reads(p)
        assert sts.asked == [ROLE, "metropulse", "web identity"], "once for all requests of a call"
        proof.write_text("somebody else's")
        with pytest.raises(mp.StorageError, match="InvalidIdentityToken") as caught:
            reads(lake_of(connection(**more), environ))
        assert Authority.PROOF not in str(caught.value)


@pytest.mark.parametrize("way", ["machine", "container"])
def test_a_role_gives_its_keys_and_renews_them_before_they_end(s3, keys, tmp_path, way):
    lake, options, _ = s3
    proof = tmp_path / "token"
    proof.write_text(Authority.PROOF)
    with authority(keys) as (role, url):
        environ = {
            "machine": {"AWS_METADATA_ENDPOINT": url},
            "container": {
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{url}/container",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(proof),
            },
        }[way]
        named = connection(lake=lake, endpoint_url=options["aws_endpoint"])
        assert reads(lake_of(named, environ))
        waits(lake_of(named, environ))
        assert role.given() == [way, way], "once for a call: keys are kept while they live"
        role.lives_seconds = 1
        waits(lake_of(named, environ))
        assert len(role.given()) >= 4, "keys at their end are fetched anew by a wait that goes on"


def test_keys_of_a_connection_come_before_a_role_of_the_machine(s3):
    lake, options, _ = s3
    nowhere = {
        "AWS_METADATA_ENDPOINT": "http://127.0.0.1:9",
        "AWS_WEB_IDENTITY_TOKEN_FILE": "/nowhere",
        "AWS_ROLE_ARN": ROLE,
    }
    named = connection(
        login=options["aws_access_key_id"],
        password=options["aws_secret_access_key"],
        lake=lake,
        endpoint_url=options["aws_endpoint"],
    )
    assert reads(lake_of(named, nowhere))


def test_a_password_that_changes_between_two_tasks_fails_the_one_that_has_the_old(rotating_role, lake_of_trips):
    mp.Pipeline(lake=lake_of_trips, warehouse=rotating_role.url("first-word")).stage(DT)
    rotating_role.change("second-word")
    with pytest.raises(mp.ConfigError, match="password authentication failed") as caught:
        mp.Pipeline(lake=lake_of_trips, warehouse=rotating_role.url("first-word")).load_facts(DT)
    assert not caught.value.retryable
    assert "first-word" not in json.dumps(caught.value.to_dict())
    second = mp.Pipeline(lake=lake_of_trips, warehouse=rotating_role.url("second-word"))
    assert second.load_facts(DT).rows == 73
