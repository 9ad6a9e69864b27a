"""Empty databases of ClickHouse, on the embedded server and on the oldest one that is promised."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from urllib.request import Request, urlopen

import pytest

VERSIONS = ("26.9", "18.16")
_NUMBERS = itertools.count(1)


def tell(mart: dict[str, str], sql: str) -> None:
    """Run a statement in the mart's database, as anybody might."""
    parts = urlsplit(mart["mart"])
    request = Request(urlunsplit(parts._replace(path="/", query=f"database={parts.path.strip('/')}")), sql.encode())
    if "mart_user" in mart:
        request.add_header("X-ClickHouse-User", mart["mart_user"])
        request.add_header("X-ClickHouse-Key", mart["mart_password"])
    urlopen(request, timeout=60).read()


@contextmanager
def mart_of(version: str, request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """The settings of an empty database on a server of this version."""
    if version == "18.16":
        server = {"mart": request.getfixturevalue("clickhouse_18_url")}
    else:
        engines: Any = request.getfixturevalue("running_engines")
        server = {"mart": engines.mart_url, "mart_user": engines.mart_user, "mart_password": engines.mart_password}
    name = f"telemetry_{next(_NUMBERS)}"
    tell(server, f"CREATE DATABASE {name}")
    yield server | {"mart": urlunsplit(urlsplit(server["mart"])._replace(path=f"/{name}"))}
    tell(server, f"DROP DATABASE {name}")
