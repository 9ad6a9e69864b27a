"""The assets that operators declare, and the events that their tasks emit."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest

pytest.importorskip("airflow.sdk")

from airflow.sdk import Asset, AssetAlias
from airflow.sdk.execution_time.context import OutletEventAccessors

from metropulse.airflow import assets, operators
from metropulse.airflow.assets import facts_asset, mart_asset, raw_asset, table_asset

pytestmark = pytest.mark.airflow
ROOT = Path(__file__).parents[3]

WAREHOUSE = "postgres://db.example:5433/dwh"
SECRETS = ("pg-secret", "ch-secret", "s3-secret", "somebody")


@pytest.fixture(autouse=True)
def connections(monkeypatch, core):
    """Real servers by Airflow connections, looked up anew in each test."""
    for role, value in {
        "LAKE": {"conn_type": "aws", "login": "somebody", "password": "s3-secret", "extra": {"bucket": "transport"}},
        "WAREHOUSE": {
            "conn_type": "postgres", "host": "db.example", "port": 5433, "schema": "dwh", "login": "somebody",
            "password": "pg-secret",
        },
        "MART": {
            "conn_type": "clickhouse", "host": "ch.example", "port": 8123, "schema": "city", "login": "somebody",
            "password": "ch-secret",
        },
    }.items():  # fmt: skip
        monkeypatch.setenv(f"AIRFLOW_CONN_METROPULSE_{role}_DEFAULT", json.dumps(value))
    assets._bases.cache_clear()
    yield
    assets._bases.cache_clear()


def names(found):
    return [getattr(asset, "uri", None) or asset.name for asset in found]


DIMENSIONS = [f"{WAREHOUSE}/dwh/dim_{name}" for name in ("route", "user", "vehicle", "stop", "shape", "payment_method")]
STAGING = [
    f"{WAREHOUSE}/staging/{name}_raw"
    for name in (
        "routes", "stops", "users", "vehicles", "trips", "payments", "vehicle_positions",
        "scheduled_trips", "scheduled_stop_times", "shapes", "trip_updates", "alerts",
    )
]  # fmt: skip
RAW, FACTS = "s3://transport/dt=", f"{WAREHOUSE}/dwh/facts"


@pytest.mark.parametrize(
    ("operator", "arguments", "inlets", "outlets"),
    [
        ("GenerateRawOperator", {}, [], [RAW]),
        ("IngestGtfsOperator", {"source": "s3://feeds/gtfs.zip"}, ["s3://feeds/gtfs.zip"], [RAW]),
        ("IngestGtfsRtOperator", {"sources": "/recordings"}, ["file:///recordings"], [RAW]),
        ("IngestTidesOperator", {"source": "s3://feeds/tides.zip"}, ["s3://feeds/tides.zip"], [RAW]),
        ("ExportTidesOperator", {"to": "s3://out/package", "date_from": "{{ ds }}", "date_to": "{{ ds }}"},
         [RAW], ["s3://out/package"]),
        ("LoadCalendarOperator", {}, [], [f"{WAREHOUSE}/dwh/dim_date", f"{WAREHOUSE}/dwh/dim_time"]),
        ("StageRawOperator", {}, [RAW], STAGING),
        ("LoadDimensionsOperator", {}, [RAW], DIMENSIONS),
        ("LoadFactsOperator", {}, [RAW, *DIMENSIONS], [FACTS]),
        ("BuildRouteHourlyOperator", {}, [*DIMENSIONS, FACTS], ["clickhouse://ch.example:8123/city/mart_route_hourly"]),
        ("BuildRouteHourlyOperator", {"source": "lake"}, [RAW], ["clickhouse://ch.example:8123/city/mart_route_hourly"]),
        ("LoadTelemetryOperator", {}, [RAW], ["clickhouse://ch.example:8123/city/vehicle_position"]),
        ("CheckQualityOperator", {}, [*STAGING, *DIMENSIONS, FACTS], [f"{WAREHOUSE}/dwh/quality_result"]),
        ("AnnounceRawOperator", {}, [RAW], [RAW]),
        ("UndoOperator", {}, [], [*STAGING, *DIMENSIONS, FACTS]),
        ("RewindOperator", {"to": "2024-05-01"}, [], [*STAGING, *DIMENSIONS, FACTS]),
        ("RequeueRejectedOperator", {}, STAGING, [*STAGING, FACTS]),
        ("PurgeOperator", {}, STAGING, []),
        ("CopyParquetOperator", {"source": "s3://b/x.parquet", "table": "public.trips"},
         ["s3://b/x.parquet"], [f"{WAREHOUSE}/public/trips"]),
        ("CopyParquetOperator", {"source": "s3://b/*.parquet", "table": "trips"}, [], [f"{WAREHOUSE}/public/trips"]),
        ("MergeSnapshotOperator", {"snapshot": ["/a", "/b"], "table": "{{ params.t }}", "key": "k"},
         ["file:///a", "file:///b"], []),
        ("RollupHourlyOperator", {"source": "gs://b/{{ ds }}", "target": "gs://b/out.parquet"},
         [], ["gs://b/out.parquet"]),
    ],
)  # fmt: skip
def test_every_operator_declares_what_it_reads_and_writes(operator, arguments, inlets, outlets):
    made = getattr(operators, operator)(task_id="t", **arguments)
    assert (names(made.inlets), names(made.outlets)) == (inlets, outlets)
    assert not [secret for secret in SECRETS if secret in str([made.inlets, made.outlets])]


def test_no_operator_is_left_out_of_the_table():
    cases = test_every_operator_declares_what_it_reads_and_writes.pytestmark[0].args[1]
    assert {case[0] for case in cases} == set(operators.__all__)


def test_consumers_name_the_same_assets():
    load = operators.LoadFactsOperator(task_id="t")
    mart = operators.BuildRouteHourlyOperator(task_id="m")
    assert [facts_asset()] == load.outlets
    assert [mart_asset()] == mart.outlets
    assert raw_asset() in load.inlets
    assert table_asset("dwh.dim_user") in load.inlets


def test_what_the_author_declares_stands():
    own = Asset("s3://theirs/x")
    made = operators.LoadFactsOperator(task_id="t", outlets=[own])
    assert (made.outlets, names(made.inlets)[0]) == ([own], RAW)


@pytest.mark.parametrize(
    ("warehouse", "base"),
    [
        ("postgresql://u:p%40q@h/db?sslmode=require", "postgres://h:5432/db"),
        ("postgresql://u:p@a:1,b:2/db", "postgres://a:1/db"),
        ("postgresql://u@/db?host=/run/postgresql", "postgres://metropulse_warehouse_default:5432/db"),
        ("host=h port=6000 dbname=d user=u password='a b'", "postgres://h:6000/d"),
        ("jdbc:postgresql://h:5/db", "postgres://h:5/db"),
        ("", "postgres://metropulse_warehouse_default:5432/dwh"),
    ],
)
def test_the_uri_of_a_warehouse_named_by_the_environment(monkeypatch, warehouse, base):
    monkeypatch.delenv("AIRFLOW_CONN_METROPULSE_WAREHOUSE_DEFAULT")
    monkeypatch.setenv("PG_URL", warehouse)
    assert facts_asset().uri == f"{base}/dwh/facts"


def test_connections_that_only_a_run_names_have_aliases():
    made = operators.LoadFactsOperator(
        task_id="t", warehouse_conn_id="{{ params.city }}_warehouse", lake_conn_id="{{ params.city }}_lake"
    )
    assert made.outlets == [AssetAlias("metropulse_facts", group="metropulse")]
    assert names(made.inlets) == ["metropulse_raw", "metropulse_dimensions"]


class Told:
    """A task's context, with Airflow's own accessors of events."""

    def __init__(self, try_number=1, partition_key=None, **conf):
        run = SimpleNamespace(conf=conf, partition_key=partition_key)
        self.events = OutletEventAccessors()
        self.context = {
            "ti": MagicMock(try_number=try_number), "dag_run": run, "params": {}, "partition_key": partition_key,
            "outlet_events": self.events,
        }  # fmt: skip

    def of(self, asset):
        accessor = self.events[asset]
        return accessor.extra, accessor.partition_keys


def test_an_event_tells_the_counts_and_the_day_whichever_way_it_came(core):
    for told, keys in (
        (Told(partition="2024-05-01"), {"2024-05-01"}),
        (Told(partition_key="2024-05-01"), set()),  # the run's own key goes into the event by itself
        (Told(partition_key="2024-05-09", partition="2024-05-01"), {"2024-05-01"}),
    ):
        made = operators.LoadFactsOperator(task_id="t")
        report = made.execute(told.context)
        extra, found = told.of(facts_asset())
        assert found == keys
        assert extra["step"] == "load_facts"
        assert extra["days"] == ["2024-05-01"]
        assert extra["rows"] == report["rows"]
        assert extra["tables"].keys() == report["tables"].keys()
        assert json.loads(json.dumps(extra)) == extra


def test_the_event_of_a_table_tells_that_tables_counts(core):
    told = Told(partition="2024-05-01")
    made = operators.StageRawOperator(task_id="t")
    report = made.execute(told.context)
    (table,) = report["tables"]
    extra, _ = told.of(table_asset(table))
    assert extra["rows_read"] == report["tables"][table]["rows_read"]


def test_what_did_not_change_is_not_told_unless_an_earlier_try_may_have_published(core):
    core.unchanged = True
    first = operators.LoadFactsOperator(task_id="t")
    first.execute(Told(partition="2024-05-01").context)
    assert first.outlets == []
    told, second = Told(try_number=2, partition="2024-05-01"), operators.LoadFactsOperator(task_id="t")
    second.execute(told.context)
    assert second.outlets == [facts_asset()]
    assert told.of(facts_asset())[1] == {"2024-05-01"}


def test_outlets_of_others_are_left_alone(core):
    core.unchanged = True
    own = Asset("s3://theirs/x")
    made = operators.LoadFactsOperator(task_id="t", outlets=[own, facts_asset()])
    made.execute(Told(partition="2024-05-01").context)
    assert made.outlets == [own]


@pytest.mark.parametrize("unchanged", [False, True])
def test_an_alias_takes_up_the_asset_that_the_run_named(core, monkeypatch, unchanged):
    monkeypatch.setenv("AIRFLOW_CONN_AUSTIN", '{"conn_type": "postgres", "host": "austin", "schema": "dwh"}')
    core.unchanged = unchanged
    told = Told(partition_key="2024-05-01")
    made = operators.LoadFactsOperator(task_id="t", warehouse_conn_id="{{ params.city }}")
    made.render_template_fields({"params": {"city": "austin"}})
    made.execute(told.context)
    events = told.events[made.outlets[0]].asset_alias_events
    wanted = [] if unchanged else ["postgres://austin:5432/dwh/dwh/facts"]
    assert [event.dest_asset_key.uri for event in events] == wanted


@pytest.mark.parametrize("connection", ["metropulse_warehouse_default", "{{ params.city }}"])
def test_a_dry_run_tells_nothing(core, monkeypatch, connection):
    monkeypatch.setenv("AIRFLOW_CONN_AUSTIN", '{"conn_type": "postgres", "host": "austin", "schema": "dwh"}')
    told = Told(partition_key="2024-05-01")
    made = operators.UndoOperator(task_id="t", warehouse_conn_id=connection, dry_run=True)
    made.render_template_fields({"params": {"city": "austin"}})
    made.execute(told.context)
    assert all(isinstance(outlet, AssetAlias) for outlet in made.outlets)
    assert not [event for outlet in made.outlets for event in told.events[outlet].asset_alias_events]


def test_the_tables_are_those_of_the_schema():
    schema = (ROOT / "ddl" / "dwh_schema.sql").read_text()
    made = set(re.findall(r"CREATE TABLE IF NOT EXISTS ((?:staging|dwh)\.\w+)", schema))
    told = {table for role, tables in assets.KINDS.values() if role == "warehouse" for table in tables}
    assert told - made == {"dwh.facts"}
    kept = {name for name in made if re.fullmatch(r"staging\.\w+_raw|dwh\.dim_(?!\w+_said)\w+", name)}
    assert kept - told == set(), "a table that no step declares"


class State(dict):
    """An asset's state, as Airflow 3.3 keeps it."""

    def set(self, key, value):
        self[key] = value


def test_a_day_that_arrived_is_told_of_once_and_again_when_its_files_change(core):
    state = State()

    def look(**more):
        told = Told(**more)
        told.context["asset_state_store"] = {raw_asset(): state}
        made = operators.AnnounceRawOperator(task_id="t")
        made.execute(told.context)
        return told.of(raw_asset())[1] if made.outlets else set()

    core.ready = {"ready": False, "has_manifest": False, "missing": ["routes"], "fingerprint": "f0"}
    assert look() == set()
    core.ready = {"ready": True, "has_manifest": True, "missing": [], "fingerprint": "f1"}
    core.day_state = "missing"
    assert [look(), look()] == [{"2024-05-01"}, set()]
    core.ready["fingerprint"] = "f2"
    assert [look(), look(), look(try_number=2)] == [{"2024-05-01"}, set(), {"2024-05-01"}]
    core.day_state = "loaded"
    assert (look(), state) == (set(), {"announced": {}})
