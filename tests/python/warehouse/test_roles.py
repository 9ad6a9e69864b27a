"""Least privilege: the loader can run every verb of a day, the reader can only read."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

import metropulse as mp

from .city import DAYS, ask, load, state

ROLES = Path(__file__).parents[3] / "ddl" / "roles.sql"


def login(database: str, name: str, role: str) -> str:
    """The same database, as a login of a role."""
    with psycopg.connect(database, autocommit=True) as link:
        if not link.execute("SELECT FROM pg_roles WHERE rolname = %s", [name]).rowcount:
            link.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'life-secret' IN ROLE {role}")
    parts = urlsplit(database)
    return urlunsplit(parts._replace(netloc=f"{name}:life-secret@"))


@pytest.fixture
def roles(pipeline, database):
    pipeline.migrate()
    load(pipeline, DAYS[0])
    for _ in range(2):
        with psycopg.connect(database) as link:
            link.execute(ROLES.read_text())  # type: ignore[arg-type]


def test_the_loader_runs_every_verb_of_a_day_and_comes_to_the_same_state(
    roles, pipeline, database, other_database, mart
):
    url = login(database, "life_etl", "metropulse_loader")
    loader = mp.Pipeline(lake=pipeline.settings.lake, warehouse=url, reject_limit=0.5, allow_vanishing=True, **mart)
    for day in DAYS[1:]:
        loader.run(day)
    loader.run(DAYS[0])
    assert loader.status().days[2].steps.check_quality.state == "loaded"
    loader.undo(DAYS[1])
    loader.run(DAYS[1])
    other = mp.Pipeline(lake=pipeline.settings.lake, warehouse=other_database, reject_limit=0.5, allow_vanishing=True)
    load(other, *DAYS)
    assert state(database) == state(other_database)
    assert loader.purge(0).rows > 0


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE dwh.dim_route",
        "TRUNCATE dwh.load_ledger",
        "ALTER TABLE dwh.dim_user ADD x int",
        "DROP SCHEMA dwh CASCADE",
    ],
)
def test_the_loader_changes_no_table_but_the_partitioned_ones(roles, database, statement):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        ask(login(database, "life_etl", "metropulse_loader"), statement)


def test_the_loader_is_told_who_migrates(roles, pipeline, database):
    ask(database, "UPDATE dwh.deployment SET value = '1' WHERE name = 'schema_version'")
    loader = mp.Pipeline(lake=pipeline.settings.lake, warehouse=login(database, "life_etl", "metropulse_loader"))
    with pytest.raises(mp.ConfigError, match="let its owner run `metropulse migrate`"):
        loader.stage(DAYS[1])


def test_the_reader_reads_dwh_and_nothing_else_and_writes_nothing(roles, database, pipeline):
    url = login(database, "life_bi", "metropulse_reader")
    reader = mp.Pipeline(warehouse=url, lake=pipeline.settings.lake)
    assert reader.warehouse.query("SELECT count(*) AS n FROM dwh.fact_trip").to_pylist() == [{"n": 3}]
    assert reader.warehouse.query("SELECT count(*) AS n FROM dwh.load_ledger").to_pylist()[0]["n"] > 0
    assert reader.status().days[0].steps.load_facts.state == "loaded"
    for statement in (
        "SELECT * FROM staging.users_raw",
        "INSERT INTO dwh.dim_payment_method (code) VALUES ('x')",
        "UPDATE dwh.dim_route SET name = ''",
        "DELETE FROM dwh.fact_trip",
        "CREATE TABLE dwh.mine (a int)",
        "SELECT nextval('dwh.trip_sk')",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            ask(url, statement)
    # New partitions are readable through their table, without another grant.
    load(pipeline, DAYS[1])
    assert reader.warehouse.query("SELECT count(*) AS n FROM dwh.fact_trip").to_pylist()[0]["n"] > 3
    with pytest.raises(mp.MetropulseError):
        reader.undo(DAYS[0])
