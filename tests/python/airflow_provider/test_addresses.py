"""Addresses of back ends as assets and lineage name them: the whole place, and no secret."""

from __future__ import annotations

import pytest

from metropulse.airflow.addresses import Address, lake_address, mart_address, warehouse_address


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ("/data/raw/", Address("file", "", "/data/raw")),
        ("file:///data/raw", Address("file", "", "/data/raw")),
        ("s3://bucket/team@acme/raw", Address("s3", "bucket", "team@acme/raw")),
        ("s3://key:hunter2@bucket/raw/?token=hunter2", Address("s3", "bucket", "raw")),
        ("abfss://raw@acct.dfs.core.windows.net/x", Address("abfss", "acct.dfs.core.windows.net", "x", "raw")),
        ("az://raw/x", Address("az", "raw", "x")),
    ],
)
def test_a_lake(place, found):
    assert lake_address(place) == found


@pytest.mark.parametrize(
    ("text", "host", "database"),
    [
        ("postgresql://u:hunter2@h:5433/dwh", "h:5433", "dwh"),
        ("postgresql://h/dwh?port=5433", "h:5433", "dwh"),
        ("postgresql://h", "h:5432", "postgres"),
        ("postgresql://u@[::1]/dwh", "[::1]:5432", "dwh"),
        ("postgresql://a:1,b:2/dwh", "a:1", "dwh"),
        ("postgresql:///dwh?host=/run/postgresql", "", "dwh"),
        ("host=a,b port=6000,6001 dbname=dwh password='hunter2 host=x'", "a:6000", "dwh"),
    ],
)
def test_a_warehouse(text, host, database):
    assert warehouse_address(text) == Address("postgres", host, database)


@pytest.mark.parametrize(
    ("url", "host", "database"),
    [
        ("http://u:hunter2@c:8123/city", "c:8123", "city"),
        ("https://c:8443", "c:8443", "default"),
        ("http://gateway:8123/proxy?database=dwh", "gateway:8123", "dwh"),
    ],
)
def test_a_mart(url, host, database):
    assert mart_address(url) == Address("clickhouse", host, database)
