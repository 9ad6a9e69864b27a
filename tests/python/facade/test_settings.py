"""Settings: the forms of addresses, the order of sources, and the hiding of secrets."""

from __future__ import annotations

import json
import pickle

import pytest

from metropulse.exceptions import ConfigError
from metropulse.redaction import redact
from metropulse.settings import Settings, resolve, taken_over
from metropulse.stores import s3_options
from metropulse.urls import clickhouse_endpoint, postgres_url

PROTOTYPE = {
    "PG_URL": "jdbc:postgresql://postgres:5432/dwh",
    "PG_USER": "dwh",
    "PG_PASSWORD": "dwhpass",
    "MINIO_ENDPOINT": "http://minio:9000",
    "MINIO_ACCESS_KEY": "admin",
    "MINIO_SECRET_KEY": "admin123",
    "MINIO_SECURE": "false",
    "CH_JDBC_URL": "jdbc:clickhouse://clickhouse:8123/default",
    "CH_USER": "reader",
    "CH_PASSWORD": "chpass",
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://u:p@h:5432/db", "postgresql://u:p@h:5432/db"),
        ("postgres://h/db", "postgresql://env:s%40x@h/db"),
        ("postgresql+psycopg2://u@h/db", "postgresql://u:s%40x@h/db"),
        ("postgresql://u:@h/db", "postgresql://u@h/db"),
        ("postgresql://postgres@/postgres?host=/tmp/s", "postgresql://postgres:s%40x@/postgres?host=%2Ftmp%2Fs"),
        ("jdbc:postgresql://h:5432/db", "postgresql://env:s%40x@h:5432/db"),
        ("jdbc:postgresql://h/db?user=u&password=a%2Bb", "postgresql://u:a%2Bb@h/db"),
        ("jdbc:postgresql://h/db?ssl=true&reWriteBatchedInserts=true", "postgresql://env:s%40x@h/db?sslmode=require"),
        ("jdbc:postgresql://h/db?sslmode=verify-full&ssl=true", "postgresql://env:s%40x@h/db?sslmode=verify-full"),
        ("jdbc:postgresql://h/db?ApplicationName=a b", "postgresql://env:s%40x@h/db?application_name=a%20b"),
        ("jdbc:postgresql://h1:1,h2:2/db?targetServerType=primary",
         "postgresql://env:s%40x@h1:1,h2:2/db?target_session_attrs=read-write"),
        ("jdbc:postgresql://h1,h2/db?targetServerType=preferSecondary",
         "postgresql://env:s%40x@h1,h2/db?target_session_attrs=prefer-standby"),
        ("jdbc:postgresql://h/db?sslrootcert=/x", "postgresql://env:s%40x@h/db?sslrootcert=%2Fx"),
        ("postgresql://h/db?user=u&password=a+b", "postgresql://u:a%2Bb@h/db"),
        ("host=h options='user=x password=y'", "host=h options='user=x password=y' user='env' password='s@x'"),
        ("jdbc:postgresql:db", "postgresql://env:s%40x@localhost/db"),
        ("jdbc:postgresql://h", "postgresql://env:s%40x@h/"),
        ("host=h dbname=db", "host=h dbname=db user='env' password='s@x'"),
        ("host=h user=u password=p", "host=h user=u password=p"),
    ],
)  # fmt: skip
def test_every_form_of_a_warehouse_address_becomes_postgresqls_own(text, expected):
    assert postgres_url(text, "env", "s@x") == expected


@pytest.mark.parametrize(
    "text",
    [
        "mysql://h/db",
        "jdbc:oracle:thin:@h",
        "nonsense",
        "jdbc:postgresql://h/db?sslkey=/x",
        "jdbc:postgresql://h/db?targetServerType=best",
    ],
)
def test_other_warehouse_addresses_are_refused(text):
    with pytest.raises(ConfigError):
        postgres_url(text)


@pytest.mark.parametrize(
    ("text", "url", "user", "password"),
    [
        ("jdbc:clickhouse://h:8123/db", "http://h:8123/db", "env", "sx"),
        ("jdbc:ch://h/db", "http://h:8123/db", "env", "sx"),
        ("jdbc:clickhouse:http://h:8123", "http://h:8123/default", "env", "sx"),
        ("jdbc:ch:https://h/db", "https://h:8443/db", "env", "sx"),
        ("jdbc:clickhouse://h:8443/db?ssl=true&user=u&password=p%20w", "https://h:8443/db", "u", "p w"),
        ("clickhouse://u:p%40w@h/db", "http://h:8123/db", "u", "p@w"),
        ("clickhousedb+connect://h:8123/db", "http://h:8123/db", "env", "sx"),
        ("http://h", "http://h:8123/default", "env", "sx"),
        ("https://u@h:9999/?database=x", "https://h:9999/x", "u", "sx"),
        ("http://gw/clickhouse/?database=dwh", "http://gw:8123/clickhouse/?database=dwh", "env", "sx"),
        ("jdbc:ch:https://gw:443/a/b?database=d%20w", "https://gw:443/a/b?database=d%20w", "env", "sx"),
        ("http://[::1]:8123/db", "http://[::1]:8123/db", "env", "sx"),
    ],
)
def test_every_form_of_a_mart_address_becomes_an_http_endpoint(text, url, user, password):
    endpoint = clickhouse_endpoint(text, "env", "sx")
    assert (endpoint.url, endpoint.user, endpoint.password) == (url, user, password)
    assert "sx" not in repr(endpoint)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("clickhouse://h:9000/db", "8123"),
        ("jdbc:clickhouse://h:9440/db", "8443"),
        ("postgresql://h/db", "jdbc:clickhouse"),
        ("http://h:123456/db", "port"),
        ("h:8123", "http(s)"),
    ],
)
def test_a_mart_address_that_cannot_work_says_what_is_expected(text, hint):
    with pytest.raises(ConfigError, match=hint.replace("(", r"\(").replace(")", r"\)")):
        clickhouse_endpoint(text)


def test_the_prototypes_environment_is_understood():
    settings = resolve(environ=PROTOTYPE)
    assert settings.lake == "s3://raw"
    assert dict(settings.lake_options) == {
        "aws_endpoint": "http://minio:9000",
        "aws_virtual_hosted_style_request": "false",
        "aws_allow_http": "true",
        "aws_region": "us-east-1",
        "aws_access_key_id": "admin",
        "aws_secret_access_key": "admin123",
    }
    assert settings.warehouse == "postgresql://dwh:dwhpass@postgres:5432/dwh"
    assert (settings.mart, settings.mart_user) == ("http://clickhouse:8123/default", "reader")
    assert settings.time_zone == "UTC"


def test_arguments_come_before_the_environment(tmp_path):
    settings = resolve(
        lake=tmp_path,
        warehouse="postgresql://me:mine@other/db",
        mart="https://other/db",
        mart_user="me",
        time_zone="Asia/Tokyo",
        threads=3,
        environ={**PROTOTYPE, "METROPULSE_LAKE": "s3://elsewhere", "METROPULSE_TIME_ZONE": "Europe/Moscow"},
    )
    assert settings.lake == str(tmp_path)
    assert dict(settings.lake_options) == {}
    assert settings.warehouse == "postgresql://me:mine@other/db"
    assert (settings.mart, settings.mart_user) == ("https://other:8443/db", "me")
    assert settings.time_zone == "Asia/Tokyo"
    assert json.loads(settings.to_json())["threads"] == 3


def test_nothing_given_leaves_defaults_to_the_core():
    settings = resolve(environ={})
    assert json.loads(settings.to_json()) == {"lake_options": {}, "time_zone": "UTC"}


@pytest.mark.parametrize(
    ("secure", "endpoint", "expected"),
    [(None, "minio:9000", "http://minio:9000"), (True, "minio:9000", "https://minio:9000"), (True, "https://m/", "https://m")],
)  # fmt: skip
def test_an_endpoint_without_a_scheme_gets_one(secure, endpoint, expected):
    options = s3_options(endpoint, None, None, secure=secure)
    assert options["aws_endpoint"] == expected
    assert ("aws_allow_http" in options) == expected.startswith("http://")


@pytest.mark.parametrize(
    "environ",
    [
        {"MINIO_ENDPOINT": "http://minio:9000", "MINIO_SECURE": "true"},
        {"MINIO_ENDPOINT": "https://minio:9000", "MINIO_SECURE": "false"},
        {"MINIO_ENDPOINT": "minio:9000", "MINIO_SECURE": "perhaps"},
    ],
)
def test_contradictions_about_tls_are_refused(environ):
    with pytest.raises(ConfigError):
        resolve(environ=environ)


@pytest.mark.parametrize("wrong", [{"thread": 3}, {"threads": "3"}, {"allow_vanishing": "yes"}])
def test_unknown_and_mistyped_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        resolve(environ={}, **wrong)


def test_cloud_variables_reach_the_lake_they_are_for():
    environ = {"AWS_ACCESS_KEY_ID": "k", "AWS_REGION": "eu-west-1", "AZURE_STORAGE_ACCOUNT_KEY": "z"}
    assert dict(resolve(lake="s3://b/p", environ=environ).lake_options) == {
        "aws_access_key_id": "k",
        "aws_region": "eu-west-1",
    }
    assert dict(resolve(lake="az://c/p", environ=environ).lake_options) == {"azure_storage_account_key": "z"}


def test_another_process_takes_over_what_was_handed_over_and_completes_nothing():
    told = resolve(
        environ=PROTOTYPE,
        mart="http://clickhouse:8123",
        mart_user="writer",
        memory_bytes=1 << 28,
        threads=9,
        spool="/here",
    )
    environ = {**PROTOTYPE, "METROPULSE_LAKE": "/another", "AWS_REGION": "eu", **told.handed_over()}
    found = resolve(**taken_over(environ), environ=environ)
    assert environ == {"AWS_REGION": "eu"}
    assert dict(found.tuning) == {"memory_bytes": 1 << 28}, "threads and scratch files are those of a machine"
    assert json.loads(found.to_json()) == json.loads(
        resolve(environ=PROTOTYPE, mart="http://clickhouse:8123", mart_user="writer", memory_bytes=1 << 28).to_json()
    )
    assert taken_over(dict(PROTOTYPE)) == {}
    assert "lake_options" not in taken_over(resolve(lake="s3://raw", environ={}).handed_over())


def test_no_secret_shows_in_repr_or_pickle():
    settings = resolve(environ=PROTOTYPE)
    shown = f"{settings!r} {settings} {[settings]}"
    for secret in ("dwhpass", "admin123", "chpass"):
        assert secret not in shown
        assert secret in settings.to_json()
    assert "postgresql://dwh:***@postgres:5432/dwh" in shown
    with pytest.raises(TypeError, match="secrets"):
        pickle.dumps(settings)
    assert isinstance(settings, Settings)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("connect postgresql://u:hunter2@h/db failed", "connect postgresql://u:***@h/db failed"),
        ("postgresql://u:a@b:c@h/db", "postgresql://u:***@h/db"),
        ("host=h password=hunter2 user=u", "host=h password=*** user=u"),
        ("password='a b' user=u", "password=*** user=u"),
        ("aws_secret_access_key=abc&x=1", "aws_secret_access_key=***&x=1"),
        ('{"password": "hunter2", "user": "u"}', '{"password": ***, "user": "u"}'),
        ("unexpected token: } at 3", "unexpected token: } at 3"),
        ("dt=2024-05-01/trips.parquet", "dt=2024-05-01/trips.parquet"),
        ("http://127.0.0.1:8123/default", "http://127.0.0.1:8123/default"),
    ],
)
def test_redaction_hides_secrets_and_nothing_else(text, expected):
    assert redact(text) == expected
