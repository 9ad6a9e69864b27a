"""Airflow connections as settings. Needs no Airflow: the functions are pure."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from metropulse.airflow.connections import Sources, lake_arguments, mart_arguments, warehouse_arguments
from metropulse.exceptions import ConfigError
from metropulse.settings import resolve

ENGINES = SimpleNamespace(
    warehouse_url="postgresql://postgres@/postgres?host=/run/mp",
    mart_url="http://127.0.0.1:18123/default",
    mart_user="metropulse",
    mart_password="engine-secret",
)


def connection(conn_type: str, **fields: Any) -> SimpleNamespace:
    extra = fields.pop("extra", {})
    empty = dict.fromkeys(("host", "port", "schema", "login", "password"))
    return SimpleNamespace(conn_id="c", conn_type=conn_type, extra_dejson=extra, **{**empty, **fields})


@pytest.mark.parametrize(
    ("given", "lake", "options"),
    [
        (
            connection("aws", login="k", password="s", extra={"endpoint_url": "http://minio:9000"}),
            "s3://raw",
            {
                "aws_access_key_id": "k",
                "aws_secret_access_key": "s",
                "aws_endpoint": "http://minio:9000",
                "aws_allow_http": "true",
                "aws_region": "us-east-1",
                "aws_virtual_hosted_style_request": "false",
            },
        ),
        (
            connection("aws", extra={"region_name": "eu-west-1", "lake": "s3://b/p", "aws_session_token": "t"}),
            "s3://b/p",
            {"aws_region": "eu-west-1", "aws_session_token": "t"},
        ),
        (
            connection("aws", extra={"bucket": "b", "service_config": {"s3": {"endpoint_url": "https://r2"}}}),
            "s3://b",
            {"aws_endpoint": "https://r2", "aws_region": "us-east-1", "aws_virtual_hosted_style_request": "false"},
        ),
        (connection("fs", extra={"path": "/data/raw"}), "/data/raw", {}),
        (
            connection("google_cloud_platform", extra={"lake": "gs://b", "keyfile_dict": {"a": 1}}),
            "gs://b",
            {"google_service_account_key": '{"a": 1}'},
        ),
        (
            connection("wasb", login="acc", password="key", extra={"lake": "az://c"}),
            "az://c",
            {"azure_storage_account_name": "acc", "azure_storage_account_key": "key"},
        ),
    ],
)
def test_a_lake_connection_gives_place_and_options(given, lake, options):
    assert lake_arguments(given) == {"lake": lake, "lake_options": options}


@pytest.mark.parametrize(
    ("given", "url"),
    [
        (connection("postgres", host="h", port=5432, schema="dwh", login="u", password="p@"), "postgresql://u:p%40@h:5432/dwh"),
        (connection("postgres", host="h", extra={"sslmode": "require", "cursor": "x"}), "postgresql://h/postgres?sslmode=require"),
        (connection("postgres", host="/tmp/s", login="u"), "postgresql://u@/postgres?host=%2Ftmp%2Fs"),
        (connection("jdbc", host="jdbc:postgresql://h:1/d", login="u", password="p"), "postgresql://u:p@h:1/d"),
    ],
)  # fmt: skip
def test_a_postgres_connection_gives_the_warehouse(given, url):
    assert warehouse_arguments(given) == {"warehouse": url}


@pytest.mark.parametrize(
    ("given", "url"),
    [
        (connection("clickhouse", host="h", port=8123, schema="db"), "http://h:8123/db"),
        (connection("clickhouse", host="h", extra={"secure": "true", "database": "x"}), "https://h:8443/x"),
        (connection("http", host="h", port=8123, schema="http", extra={"database": "x"}), "http://h:8123/x"),
        (connection("http", host="h", schema="https"), "https://h:8443/default"),
        (connection("http", host="https://h/", port=8444), "https://h:8444/default"),
        (connection("jdbc", host="jdbc:clickhouse://h:8123/db"), "http://h:8123/db"),
    ],
)
def test_a_clickhouse_or_http_connection_gives_the_mart(given, url):
    given.login, given.password = "u", "p"
    settings = resolve(**mart_arguments(given), environ={})
    assert (settings.mart, settings.mart_user, settings.mart_password) == (url, "u", "p")


@pytest.mark.parametrize(
    ("function", "given"),
    [
        (lake_arguments, connection("ftp", host="h")),
        (lake_arguments, connection("fs")),
        (lake_arguments, connection("aws", extra={"role_arn": "arn"})),
        (warehouse_arguments, connection("mysql", host="h")),
        (warehouse_arguments, connection("postgres")),
        (mart_arguments, connection("postgres", host="h")),
        (mart_arguments, connection("clickhouse")),
    ],
)
def test_a_connection_that_cannot_serve_is_named(function, given):
    with pytest.raises(ConfigError, match="connection c"):
        function(given)


def test_arguments_come_first_then_connections_then_the_environment():
    sources = Sources(
        lake="s3://other",
        base_connection=connection("metropulse", extra={"time_zone": "Europe/Moscow", "threads": "3", "lake": "/no"}),
        lake_connection=connection("aws", login="k", password="s"),
        warehouse_connection=connection("postgres", host="h", schema="d"),
        environ={"PG_URL": "postgresql://no/no", "PG_USER": "no", "PG_PASSWORD": "no", "CH_JDBC_URL": "http://c", "CH_USER": "u"},
    )  # fmt: skip
    settings = resolve(**sources.arguments())
    assert settings.lake == "s3://other"
    assert dict(settings.lake_options) == {"aws_access_key_id": "k", "aws_secret_access_key": "s"}
    assert settings.warehouse == "postgresql://h/d"
    assert (settings.mart, settings.mart_user) == ("http://c:8123/default", "u")
    assert settings.time_zone == "Europe/Moscow"
    assert json.loads(settings.to_json())["threads"] == 3
    assert sources.state_folder() is None


def test_a_state_folder_means_embedded_engines_and_no_other_servers_secrets():
    base = connection("metropulse", extra={"state": "/var/mp"})
    sources = Sources(
        base_connection=base, environ={"PG_PASSWORD": "no", "CH_PASSWORD": "no", "PG_URL": "postgresql://no"}
    )
    assert sources.needs_engines()
    settings = resolve(**sources.arguments(ENGINES))
    assert settings.lake == "/var/mp/lake/raw"
    assert settings.warehouse == "postgresql://postgres@/postgres?host=%2Frun%2Fmp"
    assert (settings.mart_user, settings.mart_password) == ("metropulse", "engine-secret")
    lake_only = resolve(**sources.arguments())
    assert (lake_only.lake, lake_only.warehouse, lake_only.mart) == ("/var/mp/lake/raw", None, None)


def test_named_servers_need_no_engines():
    servers = {
        "warehouse_connection": connection("postgres", host="h"),
        "mart_connection": connection("http", host="h"),
    }
    assert not Sources(state="/var/mp", environ={}, **servers).needs_engines()
    assert not Sources(environ={}).needs_engines()
    assert Sources(environ={"METROPULSE_STATE": "/var/mp"}).needs_engines()


def test_no_secret_shows_in_the_repr_of_sources():
    sources = Sources(lake_connection=connection("aws", password="hunter2"), environ={"PG_PASSWORD": "hunter2"})
    assert "hunter2" not in repr(sources)
