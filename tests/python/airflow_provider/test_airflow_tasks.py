"""Operators, sensor and trigger, without a metadata database."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest

pytest.importorskip("airflow.sdk")

from metropulse import exceptions
from metropulse.airflow import operators as ops
from metropulse.airflow._compat import AirflowFailException, AirflowSkipException
from metropulse.airflow._errors import ERROR_XCOM_KEY
from metropulse.airflow.hooks import MetropulseHook
from metropulse.airflow.partitions import resolve_partition
from metropulse.airflow.sensors import RawPartitionSensor
from metropulse.airflow.triggers import RawPartitionTrigger

pytestmark = pytest.mark.airflow
OPERATORS = [getattr(ops, name) for name in ops.__all__]
# What an operator cannot do without.
NEEDED = {
    "CopyParquetOperator": {"source": "a.parquet", "table": "t"},
    "MergeSnapshotOperator": {"snapshot": "a.parquet", "table": "t", "key": "k"},
    "RewindOperator": {"to": "2024-05-01"},
    "RollupHourlyOperator": {"source": "a.parquet", "target": "b.parquet"},
}
SECRETS = ("pg-secret", "ch-secret", "s3-secret")


@pytest.fixture(autouse=True)
def connections(monkeypatch, core):
    """Name real servers by Airflow connections, each with a secret."""
    for role, value in {
        "LAKE": {"conn_type": "aws", "login": "k", "password": "s3-secret", "extra": {"endpoint_url": "http://m:9000"}},
        "WAREHOUSE": {"conn_type": "postgres", "host": "h", "schema": "d", "login": "u", "password": "pg-secret"},
        "MART": {"conn_type": "http", "host": "c", "port": 8123, "login": "u", "password": "ch-secret"},
    }.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_METROPULSE_{role}_DEFAULT", json.dumps(value))


def context(**more):
    return {"ti": MagicMock(), "dag_run": SimpleNamespace(conf={}), "params": {}, **more}


@pytest.mark.parametrize(
    ("operator", "arguments", "expected"),
    [
        (ops.GenerateRawOperator, {"days": "2", "scale": "0.5"}, ("generate", "2024-05-01", 2, 7, 0.5)),
        (ops.LoadCalendarOperator, {}, ("load_calendar", "2023-12-01", "2025-01-31")),
        (ops.LoadCalendarOperator, {"start": "2024-01-01", "end": "2024-02-01"}, ("load_calendar", "2024-01-01", "2024-02-01")),
        (ops.StageRawOperator, {}, ("stage", "2024-05-01")),
        (ops.LoadDimensionsOperator, {}, ("load_dimensions", "2024-05-01")),
        (ops.LoadFactsOperator, {}, ("load_facts", "2024-05-01")),
        (ops.BuildRouteHourlyOperator, {}, ("build_route_hourly", None, None, False)),
        (ops.BuildRouteHourlyOperator, {"date_from": "2024-05-01", "date_to": "2024-05-02", "force": True},
         ("build_route_hourly", "2024-05-01", "2024-05-02", True)),
        (ops.BuildRouteHourlyOperator, {"source": "lake"}, ("build_route_hourly", None, None, False, "lake")),
        (ops.CheckQualityOperator, {}, ("check_quality", "2024-05-01")),
        (ops.CheckQualityOperator, {"everything": True}, ("check_quality", None)),
    ],
)  # fmt: skip
def test_an_operator_calls_its_verb_and_returns_json(core, operator, arguments, expected):
    day = {} if operator is ops.BuildRouteHourlyOperator else {"dt": "2024-05-01"}
    found = operator(task_id="t", **day, **arguments).execute(context())
    assert core.made[0].calls == [expected]
    assert type(found) is dict
    assert json.loads(json.dumps(found))["step"] == expected[0]
    assert not [s for s in SECRETS if s in json.dumps(found)]


def test_connections_reach_the_core(core):
    ops.StageRawOperator(task_id="t", dt="2024-05-01", time_zone="Asia/Tokyo").execute(context())
    settings = core.made[0].settings
    assert settings["warehouse"] == "postgresql://u:pg-secret@h/d"
    assert (settings["mart"], settings["mart_password"]) == ("http://c:8123/default", "ch-secret")
    assert (settings["lake"], settings["lake_options"]["aws_secret_access_key"]) == ("s3://raw", "s3-secret")
    assert settings["time_zone"] == "Asia/Tokyo"


@pytest.mark.parametrize("operator", OPERATORS)
def test_every_operator_renders_its_fields_and_stores_no_secret(operator):
    needed = NEEDED.get(operator.__name__, {})
    made = operator(task_id="t", lake="{{ params.lake or '' }}", time_zone="{{ zone }}", **needed)
    made.render_template_fields({"params": {"lake": "s3://b"}, "zone": "Asia/Tokyo"})
    assert (made.lake, made.time_zone) == ("s3://b", "Asia/Tokyo")
    assert set(made.template_fields) <= set(vars(made)) | {"dt"}
    shown = json.dumps({name: str(getattr(made, name)) for name in made.template_fields})
    assert not [secret for secret in SECRETS if secret in shown]


def test_a_secret_in_the_lake_argument_is_refused(core):
    operator = ops.StageRawOperator(task_id="t", dt="2024-05-01", lake="s3://k:hunter2@b")
    with pytest.raises(AirflowFailException) as caught:
        operator.execute(context())
    assert "hunter2" not in f"{caught.value} {caught.value.__cause__}"


@pytest.mark.parametrize("kind", [getattr(exceptions, name) for name in exceptions.__all__])
def test_what_a_retry_cannot_help_fails_at_once(core, kind):
    core.fail = kind("found 3, expected 4", {"file": "x.parquet"})
    given = context()
    wanted = kind if core.fail.retryable else AirflowFailException
    with pytest.raises(wanted) as caught:
        ops.StageRawOperator(task_id="t", dt="2024-05-01").execute(given)
    assert "found 3, expected 4" in str(caught.value)
    given["ti"].xcom_push.assert_called_once()
    assert given["ti"].xcom_push.call_args.kwargs["key"] == ERROR_XCOM_KEY
    assert given["ti"].xcom_push.call_args.kwargs["value"]["context"] == {"file": "x.parquet"}


def test_nothing_to_do_skips_only_when_asked(core):
    core.fail = exceptions.NotFoundError("no partition")
    with pytest.raises(AirflowSkipException):
        ops.StageRawOperator(task_id="t", dt="2024-05-01", skip_if_missing=True).execute(context())
    with pytest.raises(exceptions.NotFoundError):
        ops.StageRawOperator(task_id="t", dt="2024-05-01").execute(context())
    core.fail, core.unchanged = None, True
    with pytest.raises(AirflowSkipException):
        ops.StageRawOperator(task_id="t", dt="2024-05-01", skip_if_unchanged=True).execute(context())
    assert ops.StageRawOperator(task_id="t", dt="2024-05-01").execute(context())["unchanged"]


def test_killing_a_task_cancels_the_running_verb(core, monkeypatch):
    operator = ops.StageRawOperator(task_id="t", dt="2024-05-01")
    operator.on_kill()

    def stage(self, dt, *, progress=None):
        operator.on_kill()
        raise exceptions.CancelledError("stopped by the caller; nothing was published")

    monkeypatch.setattr(core, "stage", stage)
    with pytest.raises(AirflowFailException, match="cancelled"):
        operator.execute(context())
    assert core.made[0].cancelled


def test_a_failed_check_leaves_the_failed_ones_as_xcom(core):
    checks = [{"name": "a", "passed": True}, {"name": "b", "passed": False}]
    core.fail = exceptions.QualityError("1 of 2 checks failed", report={"checks": checks, "failed": 1})
    given = context()
    with pytest.raises(AirflowFailException):
        ops.CheckQualityOperator(task_id="t", dt="2024-05-01").execute(given)
    assert given["ti"].xcom_push.call_args.kwargs["value"]["report"]["checks"] == [{"name": "b", "passed": False}]


def run_with(**conf):
    return SimpleNamespace(conf=conf)


@pytest.mark.parametrize(
    ("explicit", "given", "expected"),
    [
        ("2024-05-01", {"dag_run": run_with(partition="2024-05-09")}, "2024-05-01"),
        (None, {"dag_run": run_with(partition="2024-05-02"), "partition_key": "2024-05-09"}, "2024-05-02"),
        ("", {"params": {"partition": "2024-05-03"}, "partition_key": "2024-05-09"}, "2024-05-03"),
        ("None", {"params": {"partition": None}, "partition_key": "2024-05-04"}, "2024-05-04"),
        (None, {"partition_key": "2024-05-04T00:00:00"}, "2024-05-04"),
        (None, {"data_interval_start": datetime(2024, 5, 5, tzinfo=UTC)}, "2024-05-05"),
        (
            None,
            {
                "data_interval_start": datetime(2024, 5, 4, 21, tzinfo=UTC),
                "dag": SimpleNamespace(timezone=__import__("zoneinfo").ZoneInfo("Europe/Moscow")),
            },
            "2024-05-05",
        ),
    ],
)
def test_the_day_is_the_runs_own(explicit, given, expected):
    assert resolve_partition({"dag_run": None, **given}, explicit) == expected


@pytest.mark.parametrize("given", [{}, {"dag_run": run_with(partition="yesterday")}, {"partition_key": "2024-05"}])
def test_the_day_is_never_guessed(core, given):
    with pytest.raises(AirflowFailException, match="partition"):
        ops.StageRawOperator(task_id="t").execute(context(**given))
    assert [call for made in core.made for call in made.calls] == []


def test_a_named_connection_that_does_not_exist_fails_clearly(core):
    with pytest.raises(AirflowFailException, match="'nowhere' does not exist"):
        ops.StageRawOperator(task_id="t", dt="2024-05-01", warehouse_conn_id="nowhere").execute(context())


def test_a_state_folder_starts_engines_and_leaves_them_running(core, engines, monkeypatch):
    for role in ("LAKE", "WAREHOUSE", "MART"):
        monkeypatch.delenv(f"AIRFLOW_CONN_METROPULSE_{role}_DEFAULT")
    monkeypatch.setenv("AIRFLOW_CONN_METROPULSE_DEFAULT", '{"conn_type": "metropulse", "extra": {"state": "/var/mp"}}')
    ops.StageRawOperator(task_id="t", dt="2024-05-01").execute(context())
    assert engines.started == ["/var/mp"]
    assert engines.ended == []
    assert core.made[0].settings["mart_password"] == "engine-secret"
    ops.GenerateRawOperator(task_id="t", dt="2024-05-01").execute(context())
    assert RawPartitionSensor(task_id="t", dt="2024-05-01").execute(context())["ready"]
    assert engines.started == ["/var/mp"]


def test_the_hooks_test_button(core):
    assert MetropulseHook().test_connection() == (True, "warehouse and mart answer")
    assert MetropulseHook(mart_conn_id="nowhere").test_connection()[0] is False


READY = {"ready": True, "has_manifest": False, "missing": [], "fingerprint": "f1"}


def test_a_complete_day_is_seen_at_once(core):
    found = RawPartitionSensor(task_id="t", dt="2024-05-01").execute(context())
    assert found["has_manifest"]
    assert core.made[0].calls == [("partition_ready", "2024-05-01", ["routes", "vehicle_positions"])]


def test_an_incomplete_day_is_deferred_to_a_trigger_that_survives_the_database(core, monkeypatch):
    from airflow.sdk.exceptions import TaskDeferred
    from airflow.sdk.module_loading import import_string

    core.ready = {"ready": False, "has_manifest": False, "missing": ["routes"], "fingerprint": ""}
    sensor = RawPartitionSensor(
        task_id="t",
        dt="{{ params.partition }}",
        required="routes, trips",
        stable_seconds="5",
        poke_interval=3,
        timeout=60,
    )
    sensor.render_template_fields({"params": {"partition": "2024-05-01"}})
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute(context())
    assert deferred.value.timeout == timedelta(seconds=60)
    path, arguments = deferred.value.trigger.serialize()
    assert not [secret for secret in SECRETS if secret in json.dumps(arguments)]
    again = import_string(path)(**json.loads(json.dumps(arguments)))
    assert again.serialize() == (path, arguments)

    async def first():
        return await anext(again.run())

    event = asyncio.run(first())
    assert core.made[-1].calls == [("wait_for_partition", "2024-05-01", ["routes", "trips"], 3.0, 5.0)]
    assert core.made[-1].settings["lake_options"]["aws_secret_access_key"] == "s3-secret"
    assert sensor.execute_complete(context(), event.payload)["ready"]


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (exceptions.StorageError("lake away"), exceptions.StorageError),
        (exceptions.ConfigError("no lake"), AirflowFailException),
    ],
)
def test_an_error_in_the_trigger_is_the_tasks_error(core, error, wanted):
    core.fail = error

    async def first():
        return await anext(RawPartitionTrigger(dt="2024-05-01").run())

    payload = json.loads(json.dumps(asyncio.run(first()).payload))
    with pytest.raises(wanted, match=str(error)):
        RawPartitionSensor(task_id="t").execute_complete(context(), payload)


def test_poking_waits_until_a_day_without_manifest_is_stable(core, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("metropulse.airflow.sensors.time.monotonic", lambda: now[0])
    core.ready = READY
    sensor = RawPartitionSensor(task_id="t", dt="2024-05-01", deferrable=False, stable_seconds=60)
    seen = []
    for second, fingerprint in ((0, "f1"), (59, "f1"), (61, "f2"), (120, "f2"), (121, "f2")):
        now[0], core.ready = second, {**READY, "fingerprint": fingerprint}
        seen.append(sensor.poke(context()).is_done)
    assert seen == [False, False, False, False, True]


@pytest.mark.parametrize(("stable", "done"), [(0, True), ("0", True), (None, False), ("None", False), (60, False)])
def test_a_day_without_manifest_counts_as_the_sensor_was_told(core, stable, done):
    core.ready = READY
    assert RawPartitionSensor(task_id="t", dt="2024-05-01", stable_seconds=stable).poke(context()).is_done is done


def test_poke_mode_and_reschedule_mode(core):
    assert RawPartitionSensor(task_id="t", dt="2024-05-01", deferrable=False).execute(context())["ready"]
    core.ready = READY
    sensor = RawPartitionSensor(task_id="t", dt="2024-05-01", deferrable=False, mode="reschedule")
    with pytest.raises(AirflowFailException, match="deferrable=True"):
        sensor.poke(context())
