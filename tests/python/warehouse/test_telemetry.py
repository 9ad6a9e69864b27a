"""Positions that ClickHouse keeps: the same days come to the same warehouse, mart and verdicts as with a fact table."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import pytest

import metropulse as mp

from . import feeds
from .city import DAYS, WORLD, ask, load, position, state, trip, write_day
from .marts import VERSIONS, mart_of, tell

SETTINGS: dict[str, Any] = {"reject_limit": 0.5, "allow_vanishing": True}
POSITIONS = "SELECT toString(dt) AS day, event_us, vehicle_id, route_id, speed FROM vehicle_position ORDER BY day, event_us, vehicle_id"
MART = (
    "SELECT route_id, toString(hour_bucket) AS hour, name, transport_type, toString(service_date) AS date, toInt64(trip_cnt) AS t, "
    "avg_fare, avg_speed, speed_sum, toInt64(speed_cnt) AS s, toInt64(position_cnt) AS p, toInt64(payment_cnt) AS pay, "
    "toInt64(revenue * 100) AS cents, toInt64(vehicle_cnt) AS v, toInt64(finalizeAggregation(vehicles)) AS exact "
    "FROM mart_route_hourly ORDER BY route_id, hour"
)
# What only the other setting has: positions in PostgreSQL, staged or as facts.
APART = {"positions", "staged", "tables", "ledger"}


@pytest.fixture(params=VERSIONS)
def any_mart(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """An empty database on each server."""
    with mart_of(request.param, request) as settings:
        yield settings


@pytest.fixture
def apart(database: str, lake: Path, mart: dict[str, str]) -> mp.Pipeline:
    """A pipeline whose positions are in ClickHouse."""
    return mp.Pipeline(lake=lake, warehouse=database, positions="telemetry", **SETTINGS, **mart)


@pytest.fixture
def here(request: pytest.FixtureRequest, other_database: str, lake: Path) -> Iterator[mp.Pipeline]:
    """A pipeline over the same lake whose positions are in PostgreSQL, with a mart of its own."""
    with mart_of(VERSIONS[0], request) as settings:
        yield mp.Pipeline(lake=lake, warehouse=other_database, **SETTINGS, **settings)


def known(url: str) -> dict[str, list[Any]]:
    """What a warehouse knows, wherever its positions are."""
    found = {name: rows for name, rows in state(url).items() if name not in APART}
    ledger = (
        "SELECT target, dt, file, sha256, rows_read, rows_loaded, rows_duplicate, rows_rejected FROM dwh.load_ledger"
    )
    marks = "SELECT DISTINCT service_date FROM dwh.mart_dirty"
    return found | {"ledger": sorted(map(repr, ask(url, ledger))), "dirty": sorted(map(repr, ask(url, marks)))}


def verdicts(p: mp.Pipeline, day: str) -> list[tuple[Any, ...]]:
    try:
        report: Any = p.check_quality(day)
    except mp.QualityError as error:
        checks = error.report["checks"]
        return sorted((c["name"], c["table"], c["severity"], c["found"], c["passed"]) for c in checks)
    return sorted((c.name, c.table, c.severity, c.found, c.passed) for c in report.checks)


def stands(p: mp.Pipeline) -> dict[str, Any]:
    """What status says, but for times."""
    report = p.status()
    tables = {
        t.table: (t.days, t.newest_dt, t.rows_loaded) for t in report.tables if not t.table.endswith("positions_raw")
    }
    days = {
        day.dt: (
            {name: step.state for name, step in day.steps.items()},
            {n: (t.state, t.rows_read, t.rows_loaded, t.rows_rejected) for n, t in day.steps.load_facts.tables.items()},
            [(m.fact, m.dimension, m.before_first, m.gap) for m in day.get("as_of_misses", ())],
        )
        for day in report.days
    }
    return {
        "state": report.state,
        "days": days,
        "tables": tables,
        "mart": (report.mart.rows, report.mart.service_dates),
    }


def agree(apart: mp.Pipeline, here: mp.Pipeline, *days: str) -> None:
    """Both warehouses know the same, both marts show the same, and the checks of both say the same."""
    assert known(apart.settings.warehouse) == known(here.settings.warehouse)
    for p in (apart, here):
        p.build_route_hourly()
    assert apart.mart.query(MART).to_pylist() == here.mart.query(MART).to_pylist()
    for day in days:
        assert verdicts(apart, day) == verdicts(here, day)
    assert stands(apart) == stands(here)


def test_the_days_of_both_settings_come_to_the_same_on_every_server(database, other_database, lake, any_mart, here):
    apart = mp.Pipeline(lake=lake, warehouse=database, positions="telemetry", **SETTINGS, **any_mart)
    for day in (DAYS[1], DAYS[2], DAYS[0]):
        for p in (apart, here):
            p.run(day)
    agree(apart, here, *DAYS)
    rows = [tuple(row.values()) for row in apart.mart.query(POSITIONS).to_pylist()]
    facts = ask(
        other_database,
        "SELECT f.dt::text, (extract(epoch from event_ts) * 1000000)::bigint, v.vehicle_id, coalesce(r.route_id, ''), speed "
        "FROM dwh.fact_vehicle_position f JOIN dwh.dim_vehicle v USING (vehicle_sk) JOIN dwh.dim_route r USING (route_sk) "
        "ORDER BY 1, 2, 3",
    )
    assert rows == facts
    assert len(rows) == 6
    for table in ("dwh.fact_vehicle_position", "staging.vehicle_positions_raw"):
        assert ask(database, f"SELECT count(*) FROM {table}") == [(0,)]
    # Every step again, the day from its files too: nothing is written.
    assert apart.run(DAYS[0]).unchanged


def test_late_corrections_undo_and_rewind_keep_both_settings_together(apart, here, lake):
    for p in (apart, here):
        load(p, DAYS[2], DAYS[0])
    agree(apart, here, DAYS[0], DAYS[2])
    for p in (apart, here):
        load(p, DAYS[1])  # late: what it says moves the keys of positions that are loaded
    agree(apart, here, *DAYS)
    # A correction takes the only reference of V9 on the third day away, and brings a stranger.
    corrected = [position(3, 8, "V2", route="R2"), position(2, 22, "VX", route="RX")]
    write_day(lake, DAYS[2], {"vehicle_positions": corrected})
    for p in (apart, here):
        load(p, DAYS[2])
    agree(apart, here, *DAYS)
    for p in (apart, here):
        p.undo(DAYS[0])
    agree(apart, here, *DAYS[1:])
    for p in (apart, here):
        load(p, DAYS[0])
    agree(apart, here, *DAYS)
    for p in (apart, here):
        p.rewind(DAYS[0])
    agree(apart, here, DAYS[0])
    assert {row["day"] for row in apart.mart.query(POSITIONS).to_pylist()} == {DAYS[0]}


def test_a_vanished_file_takes_its_rows_out(apart, here, lake):
    for p in (apart, here):
        load(p, *DAYS)
    (lake / f"dt={DAYS[1]}" / "vehicle_positions.parquet").unlink()
    for p in (apart, here):
        load(p, DAYS[1])
    agree(apart, here, *DAYS)
    assert {row["day"] for row in apart.mart.query(POSITIONS).to_pylist()} == {DAYS[0], DAYS[2]}
    assert apart.load_facts(DAYS[1]).unchanged


def test_the_registry_counts_as_a_reference_of_inferred_members(apart, database, lake):
    load(apart, DAYS[2])
    inferred = "SELECT vehicle_id FROM dwh.dim_vehicle WHERE is_inferred ORDER BY 1"
    # V1 is of trips as well; V2 and V9 are known from positions alone.
    assert ask(database, inferred) == [("V1",), ("V2",), ("V9",)]
    registry = "SELECT vehicle_id, route_id, position_cnt, local_date::text FROM dwh.telemetry_reference ORDER BY 1"
    assert ask(database, registry) == [("V2", "R2", 1, DAYS[2]), ("V9", "R1", 1, DAYS[2])]
    write_day(lake, DAYS[2], {"vehicle_positions": [position(3, 8, "V2", route="R2")]})
    load(apart, DAYS[2])
    assert ask(database, inferred) == [("V1",), ("V2",)]
    # With the snapshot that knows V2 gone again it is inferred once more, because the registry refers to it.
    load(apart, DAYS[1])
    assert ("V2",) not in ask(database, inferred)
    apart.undo(DAYS[1])
    assert ask(database, inferred) == [("V1",), ("V2",)]
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        ask(database, "DELETE FROM dwh.dim_vehicle WHERE vehicle_id = 'V2'")


def test_rejected_positions_are_kept_and_can_be_repaired(apart, here):
    for p in (apart, here):
        p.run(DAYS[0])
        [row] = p.rejected(dataset="vehicle_positions").rejected
        assert row.reasons == ("speed",)
        fixed = [{"file": row.file, "row_number": row.row_number, "row": {"speed": 50.0}}]
        assert p.requeue(fixed).rows_passed == 1
        assert p.run(DAYS[0]).steps[3].unchanged
    agree(apart, here, DAYS[0])
    assert [row["speed"] for row in apart.mart.query(POSITIONS).to_pylist()] == [30.0, 30.0, 50.0]


def test_purging_staging_finds_nothing_of_positions_and_leaves_them(apart, here):
    for p in (apart, here):
        load(p, *DAYS)
    dry = apart.purge(0, dry_run=True)
    assert "staging.vehicle_positions_raw" in here.purge(0).tables
    gone = apart.purge(0)
    assert gone.tables == dry.tables
    assert "staging.vehicle_positions_raw" not in gone.tables
    agree(apart, here, *DAYS)
    assert apart.load_facts(DAYS[0]).unchanged
    assert len(apart.mart.query(POSITIONS).to_pylist()) == 6


def test_a_dry_run_of_undo_touches_neither_database(apart, database):
    load(apart, *DAYS)
    before, rows = known(database), apart.mart.query(POSITIONS).to_pylist()
    dry = apart.undo(DAYS[1], dry_run=True)
    assert (known(database), apart.mart.query(POSITIONS).to_pylist()) == (before, rows)
    assert dry.tables == apart.undo(DAYS[1]).tables
    assert dry.tables["dwh.fact_vehicle_position"].rows_removed == 2


def test_rows_that_clickhouse_lost_are_loaded_again(apart, mart):
    load(apart, *DAYS)
    before = apart.mart.query(POSITIONS).to_pylist()
    tell(mart, f"ALTER TABLE vehicle_position DROP PARTITION '{DAYS[1]}'")
    assert verdicts(apart, DAYS[1]).count(("facts_conserve_rows", "dwh.fact_vehicle_position", "error", -2, False)) == 1
    again = apart.load_facts(DAYS[1])
    assert (again.tables["dwh.fact_vehicle_position"].rows_written, again.unchanged) == (2, False)
    assert apart.mart.query(POSITIONS).to_pylist() == before


@pytest.mark.parametrize(
    ("spoil", "check"),
    [
        ("INSERT INTO vehicle_position (dt, event_us, vehicle_id, lat, lon) VALUES ('{dt}', 1, 'V1', 1, 1)", "facts_conserve_rows"),
        ("INSERT INTO vehicle_position (dt, event_us, vehicle_id, lat, lon) VALUES ('{dt}', 1, 'V1', 91, 1)", "coordinates_in_range"),
        ("INSERT INTO vehicle_position (dt, event_us, vehicle_id, lat, lon) VALUES ('{dt}', 1, 'V1', 0, 0)", "coordinates_in_range"),
        ("INSERT INTO vehicle_position (dt, event_us, vehicle_id, lat, lon, speed) VALUES ('{dt}', 1, 'V1', 1, 1, 291)", "speed_in_range"),
    ],
)  # fmt: skip
def test_checks_notice_what_somebody_did_to_the_rows_in_clickhouse(database, lake, any_mart, spoil, check):
    apart = mp.Pipeline(lake=lake, warehouse=database, positions="telemetry", **SETTINGS, **any_mart)
    apart.run(DAYS[0])
    tell(any_mart, spoil.format(dt=DAYS[0]))
    with pytest.raises(mp.QualityError, match=check):
        apart.check_quality(DAYS[0])


@pytest.mark.parametrize(
    ("spoil", "check"),
    [
        ("DELETE FROM dwh.telemetry_reference WHERE vehicle_id = 'V9'", "keys_not_null"),
        ("UPDATE dwh.telemetry_reference SET local_date = '1999-01-01'", "dates_in_calendar"),
    ],
)
def test_checks_notice_what_somebody_did_to_the_registry(apart, database, spoil, check):
    apart.run(DAYS[0])
    ask(database, spoil)
    assert [name for name, _, _, _, passed in verdicts(apart, DAYS[0]) if not passed and name == check] == [check]


def test_checks_pass_nothing_while_clickhouse_does_not_answer(apart, database, lake):
    load(apart, DAYS[0])
    away = mp.Pipeline(lake=lake, warehouse=database, mart="http://127.0.0.1:9/away", **SETTINGS)
    with pytest.raises(mp.DatabaseError, match=r"127\.0\.0\.1:9"):
        away.check_quality(DAYS[0])
    assert ask(database, "SELECT count(*) FROM dwh.quality_result") == [(0,)]


# -- where a warehouse keeps its positions ---------------------------------------------------------------------------


def test_a_warehouse_remembers_where_its_positions_are(apart, database, lake, mart):
    def other(**settings: Any) -> mp.Pipeline:
        return mp.Pipeline(lake=lake, warehouse=database, **SETTINGS, **mart, **settings)

    load(apart, DAYS[0])
    mixed = other(positions="warehouse")
    for verb in (mixed.stage, mixed.load_facts, mixed.undo, mixed.check_quality, mixed.run):
        with pytest.raises(mp.ConfigError, match=r'positions is "warehouse".*"telemetry".*metropulse rewind') as error:
            verb(DAYS[1])
        assert not error.value.retryable
    with pytest.raises(mp.ConfigError, match="load-facts"):
        apart.load_telemetry(DAYS[0])
    silent = other()
    assert silent.status().positions == "telemetry"
    assert silent.load_facts(DAYS[0]).unchanged
    # The way out that the message names.
    silent.rewind("2024-04-30")
    assert ask(database, "SELECT name FROM dwh.deployment WHERE name = 'positions'") == []
    assert silent.mart.query(POSITIONS).num_rows == 0
    load(mixed, DAYS[0])
    assert mixed.status().positions == "warehouse"
    assert ask(database, "SELECT count(*) FROM dwh.fact_vehicle_position") == [(2,)]
    with pytest.raises(mp.ConfigError, match=r'positions is "telemetry"'):
        load(apart, DAYS[1])


def test_the_environment_and_the_command_line_say_where_positions_are(database, lake, mart, monkeypatch):
    from click.testing import CliRunner

    from metropulse.cli.app import cli

    for name, value in (("CH_USER", mart["mart_user"]), ("CH_PASSWORD", mart["mart_password"])):
        monkeypatch.setenv(name, value)
    places = ["--lake", str(lake), "--warehouse", database, "--mart", mart["mart"], "--json", "--quiet"]
    limits = ["--reject-limit", "0.5", "--allow-vanishing"]
    done = CliRunner().invoke(cli, ["run", "--date", DAYS[0], "--positions", "telemetry", *limits, *places])
    assert done.exit_code == 0, done.output
    shown = CliRunner().invoke(cli, ["status", *places], catch_exceptions=False)
    assert json.loads(shown.stdout)["positions"] == "telemetry"
    monkeypatch.setenv("METROPULSE_POSITIONS", "warehouse")
    with pytest.raises(mp.ConfigError, match="metropulse rewind"):
        CliRunner().invoke(cli, ["status", *places], catch_exceptions=False)


def test_what_is_no_place_of_positions_is_refused_by_name(database):
    with pytest.raises(mp.ConfigError, match=r"warehouse.*telemetry"):
        mp.Pipeline(warehouse=database, positions="clickhouse").status()


def test_without_a_mart_it_says_what_is_missing(database, lake):
    with pytest.raises(mp.ConfigError, match="no mart is set"):
        mp.Pipeline(lake=lake, warehouse=database, positions="telemetry", **SETTINGS).load_facts(DAYS[0])


# -- what agencies' feeds report --------------------------------------------------------------------------------------

REPORTS = (
    "SELECT trip_id, toString(start_date) AS start, direction_id, stop_id, current_stop_sequence, current_status, "
    "occupancy_status, odometer_m, vehicle_label, received_us, toString(received_ts) AS received FROM vehicle_position "
    "ORDER BY vehicle_id"
)


def test_the_columns_of_feeds_reach_clickhouse(database, tmp_path, any_mart):
    lake, more = tmp_path / "feeds", feeds.REPORT
    bare = {"trip_id": None, "stop_id": "", "start_date": date(1969, 12, 31), "direction_id": -1}
    rows = [feeds.position("V1", feeds.local(1, 8), **more), feeds.position("V2", feeds.local(1, 9), **bare)]
    feeds.write(lake / f"dt={feeds.FIRST}", "vehicle_positions", rows)
    p = feeds.pipeline_on(lake, database, positions="telemetry", **any_mart)
    load(p, feeds.FIRST)
    first, second = p.mart.query(REPORTS).to_pylist()
    at = more["received_at"]
    names = (
        "trip_id",
        "direction_id",
        "stop_id",
        "current_stop_sequence",
        "current_status",
        "occupancy_status",
        "odometer_m",
    )
    assert {name: first[name] for name in (*names, "vehicle_label")} == {
        name: more[name] for name in (*names, "vehicle_label")
    }
    assert (first["start"], first["received_us"]) == (more["start_date"].isoformat(), round(at.timestamp() * 1e6))
    assert first["received"] == at.strftime("%Y-%m-%d %H:%M:%S")
    assert (second["trip_id"], second["stop_id"], second["direction_id"]) == (None, "", -1)
    assert p.mart.query("SELECT start_day FROM vehicle_position WHERE vehicle_id = 'V2'").to_pylist() == [
        {"start_day": -1}
    ]
    mentions = ask(database, "SELECT column_name, value, position_cnt FROM dwh.telemetry_mention ORDER BY 1, 2")
    assert mentions == [("stop_id", "", 1), ("stop_id", more["stop_id"], 1), ("trip_id", more["trip_id"], 1)]


# -- killed between ClickHouse's swap and PostgreSQL's commit ---------------------------------------------------------

_SLOW = """
    CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
        IF coalesce(NEW.target, OLD.target) = 'dwh.fact_vehicle_position' THEN PERFORM pg_sleep(120); END IF;
        RETURN NULL;
    END$$;
    CREATE CONSTRAINT TRIGGER wait AFTER INSERT OR DELETE ON dwh.load_ledger DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION wait();
    ALTER TABLE dwh.load_ledger DISABLE TRIGGER wait
"""
_CHILD = "import json, sys, metropulse as mp; getattr(mp.Pipeline(**json.loads(sys.argv[1])), sys.argv[2])(sys.argv[3])"


def kill_between(p: mp.Pipeline, mart: dict[str, str], verb: str, day: str) -> None:
    """Kill a verb whose swap is done and whose commit is under way: a trigger holds the commit up."""
    database = str(p.settings.warehouse)
    enable = "ALTER TABLE dwh.load_ledger {} TRIGGER wait"
    if ask(database, "SELECT to_regproc('wait')") == [(None,)]:
        ask(database, _SLOW)
    ask(database, enable.format("ENABLE"))
    before = p.mart.query(POSITIONS).to_pylist()
    settings = {"lake": str(p.settings.lake), "warehouse": database, "positions": "telemetry", **SETTINGS, **mart}
    child = subprocess.Popen([sys.executable, "-c", _CHILD, json.dumps(settings), verb, day])
    deadline = time.monotonic() + 60
    committing = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query = 'COMMIT' AND state = 'active'"
    while ask(database, committing) == [(0,)] or p.mart.query(POSITIONS).to_pylist() == before:
        assert child.poll() is None and time.monotonic() < deadline, "it never came to the swap"
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    ask(
        database,
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid() AND application_name LIKE 'metropulse%'",
    )
    ask(database, enable.format("DISABLE"))


def unfinished(p: mp.Pipeline, day: str) -> str:
    """Why status calls a day's positions stale; empty when it does not."""
    [found] = [d for d in p.status().days if d.dt == day]
    table = found.steps.load_facts.get("tables", {}).get("dwh.fact_vehicle_position")
    return str(table.why) if table and table.state == "stale" else ""


CORRECTED = [position(1, 8, "V1"), position(1, 12, "V7", route="R2"), position(1, 13, "V7", route="R2")]


@pytest.mark.parametrize("way", ["the same again", "the old file again", "undo"])
def test_a_kill_between_swap_and_commit_is_told_and_repaired(apart, here, database, lake, mart, way):
    for p in (apart, here):
        load(p, DAYS[0])
    before = known(database)
    write_day(lake, DAYS[0], {"vehicle_positions": CORRECTED})
    kill_between(apart, mart, "load_facts", DAYS[0])
    assert known(database) == before, "PostgreSQL has not published"
    assert len(apart.mart.query(POSITIONS).to_pylist()) == 3, "and ClickHouse has"
    assert "a run began to replace the positions in ClickHouse" in unfinished(apart, DAYS[0])
    if way == "undo":
        for p in (apart, here):
            p.undo(DAYS[0])
        assert apart.mart.query(POSITIONS).num_rows == 0
    else:
        if way == "the old file again":
            write_day(lake, DAYS[0], {"vehicle_positions": WORLD[DAYS[0]]["vehicle_positions"]})
        for p in (apart, here):
            load(p, DAYS[0])
        assert apart.mart.query(POSITIONS).num_rows == (3 if way == "the same again" else 2)
    assert unfinished(apart, DAYS[0]) == ""
    assert ask(database, "SELECT count(*) FROM dwh.telemetry_publication") == [(0,)]
    if way != "undo":
        agree(apart, here, DAYS[0])


@pytest.mark.parametrize("way", ["again", "undo"])
def test_a_first_load_that_was_killed_between_them_is_told_and_repaired(apart, database, mart, way):
    apart.load_facts(DAYS[1])  # any other day: the tables are there
    kill_between(apart, mart, "load_facts", DAYS[0])
    assert "a run began to replace" in unfinished(apart, DAYS[0])
    if way == "again":
        apart.load_facts(DAYS[0])
        assert apart.mart.query(POSITIONS).num_rows == 4
    else:
        apart.undo(DAYS[0])
        assert apart.mart.query(POSITIONS).num_rows == 2
        with pytest.raises(mp.NotFoundError):
            apart.undo(DAYS[0])
    assert unfinished(apart, DAYS[0]) == ""


@pytest.mark.parametrize("way", ["again", "load"])
def test_an_undo_that_was_killed_between_them_is_told_and_repaired(apart, here, database, mart, way):
    for p in (apart, here):
        load(p, *DAYS)
    before = known(database)
    kill_between(apart, mart, "undo", DAYS[1])
    assert known(database) == before
    assert apart.mart.query(POSITIONS).num_rows == 4
    assert "a run began to replace" in unfinished(apart, DAYS[1])
    if way == "again":
        for p in (apart, here):
            p.undo(DAYS[1])
    else:
        load(apart, DAYS[1])
    assert unfinished(apart, DAYS[1]) == ""
    agree(apart, here, *DAYS[: 1 if way == "again" else 3])


def test_a_load_that_fails_before_the_swap_leaves_both_databases_as_they_were(apart, database, lake, mart):
    load(apart, DAYS[0])
    before, rows = known(database), apart.mart.query(POSITIONS).to_pylist()
    write_day(lake, DAYS[0], {"vehicle_positions": CORRECTED, "trips": [*WORLD[DAYS[0]]["trips"], trip(9, 1, 12)]})
    ask(
        database,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'not now'; END$$;"
        "CREATE TRIGGER refuse BEFORE INSERT ON dwh.telemetry_reference FOR EACH ROW EXECUTE FUNCTION refuse()",
    )
    with pytest.raises(mp.DatabaseError, match="not now"):
        apart.load_facts(DAYS[0])
    assert apart.mart.query(POSITIONS).to_pylist() == rows
    assert "changed since it was loaded" in unfinished(apart, DAYS[0])
    assert ask(database, "SELECT count(*) FROM dwh.telemetry_publication") == [(0,)]
    shadows = (
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND name LIKE 'vehicle_position_shadow%'"
    )
    assert apart.mart.query(shadows).num_rows == 0
    ask(database, "DROP TRIGGER refuse ON dwh.telemetry_reference")
    load(apart, DAYS[0])
    assert len(apart.mart.query(POSITIONS).to_pylist()) == 3
    assert before != known(database)
