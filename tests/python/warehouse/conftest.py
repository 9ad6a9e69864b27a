"""A database of its own for each test, on engines that run for the whole session."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

import metropulse as mp
from conftest import execute_on_mart

from .city import write_world

if TYPE_CHECKING:
    from metropulse.embedded import Engines

_NUMBERS = itertools.count(1)


@contextmanager
def _empty_database(engines: Engines) -> Iterator[str]:
    name = f"life_{next(_NUMBERS)}"
    with psycopg.connect(engines.warehouse_url, autocommit=True) as link:
        link.execute(f"CREATE DATABASE {name}")
    yield urlunsplit(urlsplit(engines.warehouse_url)._replace(path=f"/{name}"))
    with psycopg.connect(engines.warehouse_url, autocommit=True) as link:
        link.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(running_engines: Engines) -> Iterator[str]:
    """The URL of an empty PostgreSQL database."""
    with _empty_database(running_engines) as url:
        yield url


@pytest.fixture
def other_database(running_engines: Engines) -> Iterator[str]:
    """One more, to compare with."""
    with _empty_database(running_engines) as url:
        yield url


@pytest.fixture
def run_on_mart(running_engines: Engines, mart: dict[str, str]) -> Callable[[str], None]:
    """Run a statement in the mart's database, as anybody might."""
    return partial(execute_on_mart, running_engines, database=urlsplit(mart["mart"]).path.strip("/"))


@pytest.fixture
def mart(running_engines: Engines) -> Iterator[dict[str, str]]:
    """The settings of an empty ClickHouse database."""
    name = f"life_{next(_NUMBERS)}"
    execute_on_mart(running_engines, f"CREATE DATABASE {name}")
    url = urlunsplit(urlsplit(running_engines.mart_url)._replace(path=f"/{name}"))
    yield {"mart": url, "mart_user": running_engines.mart_user, "mart_password": running_engines.mart_password}
    execute_on_mart(running_engines, f"DROP DATABASE {name}")


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """The three days, as files."""
    return write_world(tmp_path / "raw")


@pytest.fixture
def pipeline(database: str, lake: Path) -> mp.Pipeline:
    """A pipeline over both, without a mart."""
    return mp.Pipeline(lake=lake, warehouse=database, reject_limit=0.5, allow_vanishing=True)
