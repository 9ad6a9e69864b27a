"""Servers with a proxy before them, which a test may let fail."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from answers import DATA
from faults.proxies import Proxy, proxy_before

DAY = DATA / "prototype_raw" / "dt=2024-05-01"


@pytest.fixture
def postgres(debian_postgres: str) -> Iterator[tuple[str, Proxy]]:
    """An empty database of the distribution's PostgreSQL and a proxy before it."""
    name = f"f{os.urandom(6).hex()}"

    def administer(sql: str) -> None:
        # Not one connection throughout: a test may crash the server.
        with psycopg.connect(debian_postgres, autocommit=True) as admin:
            admin.execute(sql)

    administer(f"create database {name} template template0")
    parts = urlsplit(debian_postgres)
    with proxy_before(parts.hostname, parts.port) as proxy:
        yield urlunsplit(parts._replace(path=f"/{name}")), proxy
    administer(f"drop database {name} with (force)")


@pytest.fixture
def s3(minio_bucket, minio_put) -> Iterator[tuple[str, dict[str, str], Proxy]]:
    """A day of the prototype in a bucket, the options that reach it through a proxy, and the proxy."""
    bucket, options = minio_bucket
    for path in sorted(DAY.glob("*.parquet")):
        minio_put(bucket, f"{DAY.name}/{path.name}", path.read_bytes())
    parts = urlsplit(options["aws_endpoint"])
    with proxy_before(parts.hostname, parts.port) as proxy:
        yield f"s3://{bucket}", {**options, "aws_endpoint": f"http://127.0.0.1:{proxy.port}"}, proxy


@pytest.fixture
def lake_of_trips(tmp_path: Path) -> Path:
    """A lake whose one day has trips alone, so that a step publishes one table."""
    day = tmp_path / "lake" / DAY.name
    day.mkdir(parents=True)
    (day / "trips.parquet").write_bytes((DAY / "trips.parquet").read_bytes())
    return day.parent
