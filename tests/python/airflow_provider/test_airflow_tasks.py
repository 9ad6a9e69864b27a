"""Operators, sensor and trigger, without a metadata database."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest

pytest.importorskip("airflow.sdk")

from metropulse import exceptions
from metropulse.airflow import operators as ops
from metropulse.airflow._compat import AirflowFailException, AirflowSensorTimeout, AirflowSkipException
from metropulse.airflow._errors import ERROR_XCOM_KEY
from metropulse.airflow.hooks import MetropulseHook
from metropulse.airflow.partitions import resolve_partition
from metropulse.airflow.progress import ProgressLog
from metropulse.airflow.sensors import RawPartitionSensor
from metropulse.airflow.triggers import RawPartitionTrigger
from metropulse.airflow.waiting import why_waiting

pytestmark = pytest.mark.airflow
OPERATORS = [getattr(ops, name) for name in ops.__all__]
# What an operator cannot do without.
NEEDED = {
    "CopyParquetOperator": {"source": "a.parquet", "table": "t"},
    "ExportTidesOperator": {"to": "package/", "date_from": "2024-05-01", "date_to": "2024-05-02"},
    "IngestGtfsOperator": {"source": "feed.zip"},
    "IngestGtfsRtOperator": {"sources": "recordings/"},
    "IngestTidesOperator": {"source": "package.zip"},
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
        (ops.IngestGtfsOperator, {"source": "feed.zip", "days": "3", "feed": "tram"}, (
            "ingest_gtfs",
            {"sources": ["feed.zip"], "source_options": None, "date": "2024-05-01", "days": 3, "feed": "tram",
             "folder": None, "replace_newer": False, "dry_run": False},
        )),
        (ops.IngestGtfsRtOperator, {"sources": "rt/", "schedule": "other", "feed": "tram"},
         ("ingest_gtfs_rt", ["rt/"], "2024-05-01", "other", "tram", False)),
        (ops.IngestTidesOperator, {"source": "package.zip", "date_from": "2024-05-01", "date_to": "2024-05-02"}, (
            "ingest_tides",
            {"source": "package.zip", "source_options": None, "date_from": "2024-05-01", "date_to": "2024-05-02",
             "dry_run": False},
        )),
        (ops.ExportTidesOperator,
         {"to": "out", "date_from": "2024-05-01", "date_to": "2024-05-02", "fill": {"fare_capped": "false"}}, (
            "export_tides",
            {"date_from": "2024-05-01", "date_to": "2024-05-02", "to": "out", "to_options": None, "format": "csv",
             "fill": {"fare_capped": "false"}, "agency": None},
        )),
        (ops.LoadCalendarOperator, {}, ("load_calendar", "2023-12-01", "2025-01-31")),
        (ops.LoadCalendarOperator, {"start": "2024-01-01", "end": "2024-02-01"}, ("load_calendar", "2024-01-01", "2024-02-01")),
        (ops.StageRawOperator, {}, ("stage", "2024-05-01")),
        (ops.LoadDimensionsOperator, {}, ("load_dimensions", "2024-05-01", False)),
        (ops.LoadDimensionsOperator, {"dry_run": True}, ("load_dimensions", "2024-05-01", True)),
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
    ranges = (ops.BuildRouteHourlyOperator, ops.ExportTidesOperator, ops.IngestTidesOperator)
    day = {} if operator in ranges else {"dt": "2024-05-01"}
    found = operator(task_id="t", **day, **arguments).execute(context())
    assert core.made[0].calls == [expected]
    assert type(found) is dict
    assert json.loads(json.dumps(found))["step"] == expected[0]
    assert not [s for s in SECRETS if s in json.dumps(found)]


def test_connections_reach_the_core(core):
    ops.StageRawOperator(task_id="t", dt="2024-05-01", time_zone="Asia/Tokyo", positions="telemetry").execute(context())
    settings = core.made[0].settings
    assert settings["warehouse"] == "postgresql://u:pg-secret@h/d"
    assert (settings["mart"], settings["mart_password"]) == ("http://c:8123/default", "ch-secret")
    assert (settings["lake"], settings["lake_options"]["aws_secret_access_key"]) == ("s3://raw", "s3-secret")
    assert (settings["time_zone"], settings["positions"]) == ("Asia/Tokyo", "telemetry")


@pytest.mark.parametrize("operator", OPERATORS)
def test_every_operator_renders_its_fields_and_stores_no_secret(operator):
    needed = NEEDED.get(operator.__name__, {})
    made = operator(
        task_id="t", lake="{{ params.lake or '' }}", time_zone="{{ zone }}", positions="{{ where }}", **needed
    )
    made.render_template_fields({"params": {"lake": "s3://b"}, "zone": "Asia/Tokyo", "where": "telemetry"})
    assert (made.lake, made.time_zone, made.positions) == ("s3://b", "Asia/Tokyo", "telemetry")
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


def test_the_test_button_says_which_of_lake_warehouse_and_mart_answer(core, monkeypatch):
    works, said = MetropulseHook().test_connection()
    assert works
    assert [part.split(":")[0].split()[0] for part in said.split("; ")] == ["lake", "warehouse", "mart"]
    assert said.count("answers") == 3
    assert "postgresql://u:***@h/d" in said
    core.fail = exceptions.NotFoundError("the bucket does not exist", retryable=False)
    works, said = MetropulseHook().test_connection()
    assert not works
    assert "lake s3://raw FAILS: the bucket does not exist" in said
    assert "warehouse postgresql://u:***@h/d answers" in said
    core.fail = None
    monkeypatch.delenv("AIRFLOW_CONN_METROPULSE_MART_DEFAULT")
    assert MetropulseHook().test_connection()[1].endswith("mart: not named")
    works, said = MetropulseHook(mart_conn_id="nowhere").test_connection()
    assert not works
    assert "'nowhere' does not exist" in said
    assert not [secret for secret in SECRETS if secret in said]


def test_airflow_finds_the_test_button_by_the_connections_type(core, monkeypatch):
    from airflow.models.connection import Connection

    monkeypatch.setenv("AIRFLOW__CORE__TEST_CONNECTION", "Enabled")
    given = Connection(conn_id="tried", conn_type="metropulse", schema="Asia/Tokyo")
    monkeypatch.setenv("AIRFLOW_CONN_TRIED", given.as_json())
    works, said = given.test_connection()
    assert works, said
    assert "mart http://c:8123/default answers" in said
    assert core.made[-1].settings["time_zone"] == "Asia/Tokyo"


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
        deferrable=True,
        poke_interval=3,
        timeout=60,
    )
    sensor.render_template_fields({"params": {"partition": "2024-05-01"}})
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute(context())
    assert deferred.value.timeout > timedelta(seconds=60), "Airflow's own timeout knows nothing of the day"
    path, arguments = deferred.value.trigger.serialize()
    assert not [secret for secret in SECRETS if secret in json.dumps(arguments)]
    assert arguments["deadline"] == pytest.approx(time.time() + 60, abs=5)
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


@pytest.mark.parametrize(("configured", "given", "expected"), [
    (None, None, False), ("True", None, True), ("False", None, False), ("True", False, False), ("False", True, True),
])  # fmt: skip
def test_a_sensor_defers_as_the_configuration_says(monkeypatch, configured, given, expected):
    if configured is not None:
        monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", configured)
    assert RawPartitionSensor(task_id="t", deferrable=given).deferrable is expected


LACKING = {
    "ready": False,
    "has_manifest": True,
    "missing": ["dt=2024-05-01/routes.parquet"],
    "differing": [{"path": "dt=2024-05-01/trips.parquet", "bytes": 5, "manifest_bytes": 1234}],
    "last_change": "2024-05-01T03:04:05Z",
    "fingerprint": "f",
}


@pytest.mark.parametrize(
    ("found", "stable", "said"),
    [
        (LACKING, 60, ["dt=2024-05-01/routes.parquet", "trips.parquet has 5 bytes where the manifest says 1,234", "unchanged since 2024-05-01T03:04:05Z"]),
        ({"ready": False, "missing": ["routes"]}, 60, ["missing: routes"]),
        ({"ready": False, "missing": []}, 60, ["no file that is read is there"]),
        ({"ready": True, "has_manifest": False}, 60, ["without a manifest", "unchanged for 60 s"]),
        ({"ready": True, "has_manifest": False}, None, ["only a manifest counts"]),
        ({"error": "refused"}, 60, ["the lake does not answer: refused"]),
    ],
)  # fmt: skip
def test_what_is_waited_for_is_said(found, stable, said):
    why = why_waiting(found, stable)
    assert [part for part in said if part not in why] == []


def test_a_trigger_tells_its_log_what_changes_and_times_out_with_what_is_missing(core, monkeypatch):
    class Waiting(core):
        async def wait_for_partition(self, dt, required, poll_seconds, stable_seconds, *, watch=None):
            watch(json.dumps({"ready": False, "missing": ["routes", "trips"]}))
            await asyncio.sleep(0.01)
            watch(json.dumps(LACKING))
            await asyncio.sleep(60)

    monkeypatch.setattr("metropulse._core.Pipeline", Waiting)
    monkeypatch.setattr(RawPartitionTrigger, "log", log := Log())
    trigger = RawPartitionTrigger(dt="2024-05-01", deadline=time.time() + 0.3)

    async def first():
        return await anext(trigger.run())

    event = asyncio.run(first())
    assert log.lines[0] == "waiting for 2024-05-01: missing: routes, trips"
    assert "1,234" in log.lines[1]
    with pytest.raises(
        AirflowSensorTimeout, match=r"timed out after 7 seconds.*2024-05-01.*5 bytes where the manifest says 1,234"
    ):
        RawPartitionSensor(task_id="t", dt="2024-05-01", timeout=7).execute_complete(context(), event.payload)


def test_a_poking_sensor_times_out_with_what_is_missing(core):
    core.ready = LACKING
    sensor = RawPartitionSensor(task_id="t", dt="2024-05-01", deferrable=False, timeout=0, poke_interval=0)
    with pytest.raises(AirflowSensorTimeout, match=r"timed out.*not complete.*routes\.parquet"):
        sensor.execute(context())


def instance(**more):
    return SimpleNamespace(dag_id="d", task_id="t", run_id="r", xcom_push=MagicMock(), **{"map_index": -1, **more})


def test_servers_show_the_task(core):
    ops.StageRawOperator(task_id="t", dt="2024-05-01").execute(context(ti=instance()))
    ops.StageRawOperator(task_id="t", dt="2024-05-01").execute(context(ti=instance(map_index=3)))
    assert [made.settings["run_label"] for made in core.made] == ["d.t r", "d.t r [3]"]


def test_rendered_templates_show_the_day_and_mapped_tasks_are_labelled_by_it(core):
    for make in (ops.StageRawOperator, ops.CheckQualityOperator, RawPartitionSensor):
        task, given = make(task_id="t"), context(partition_key="2024-05-04", ti=instance(map_index=2))
        task.render_template_fields(given)
        assert task.dt == "2024-05-04"
        assert given["map_index_template"] == "{{ task.dt }}"
    unmapped = context(partition_key="2024-05-04", ti=instance())
    ops.StageRawOperator(task_id="t").render_template_fields(unmapped)
    assert "map_index_template" not in unmapped


class Log:
    """What a task's log would show."""

    def __init__(self):
        self.lines = []

    def info(self, message, *args):
        self.lines.append(message % args)

    error = info

    def warning(self, message, *args):
        """Airflow warns that this is no task runner."""


def test_a_step_that_works_is_heard_of_every_few_seconds():
    log, now = Log(), [0.0]
    progress = ProgressLog(log, clock=lambda: now[0])
    for second, label, done in (
        (0, "read trips", 0), (1, "read trips", 300), (2, "load dwh.fact_trip", 0), (5, "load dwh.fact_trip", 900),
        (6, "load dwh.fact_trip", 1500), (11, "load dwh.fact_trip", 1500), (12, "publish facts", 0), (19, "publish facts", 0),
    ):  # fmt: skip
        now[0] = second
        progress(label, done, 0 if label == "publish facts" else 2000)
    assert log.lines == [
        "load dwh.fact_trip: 900 of 2,000 rows (45%), 300 rows/s",
        "load dwh.fact_trip: 1,500 of 2,000 rows (75%), 100 rows/s",
        "publish facts: under way for 7 s",
    ]
    now[0] = 25
    progress("check quality", 3, 40)
    now[0] = 31
    progress("check quality", 3, 40)
    assert log.lines[3:] == [
        "check quality: 3 of 40 checks (8%)",
        "check quality: 3 of 40 checks (8%), none in the last 6 s",
    ]


def test_the_end_of_a_step_is_a_line_and_a_table(core, monkeypatch):
    def load_facts(self, dt, *, progress=None):
        progress("load dwh.fact_trip", 0, 0)
        table = {
            "files": 1,
            "rows_read": 2001,
            "rows_loaded": 2000,
            "rows_rejected": 1,
            "rejected_by_reason": {"speed": 1},
        }
        counts = {"rows": 2000, "files": 1, "bytes": 5_000_000, "tables": {"dwh.fact_trip": table}}
        return json.dumps({"step": "load_facts", "dt": dt, "seconds": 17.1, "unchanged": False, **counts})

    monkeypatch.setattr(core, "load_facts", load_facts)
    monkeypatch.setattr(ops.LoadFactsOperator, "log", log := Log())
    ops.LoadFactsOperator(task_id="t", dt="2024-05-01").execute(context())
    assert log.lines == [
        "load_facts 2024-05-01: 2,000 rows written, from 1 file of 5.0 MB (17.10 s)",
        "  table          files   read  loaded  rejected",
        "  dwh.fact_trip      1  2,001   2,000         1  speed 1",
    ]


def test_of_quality_checks_only_the_failed_ones_and_the_verdict_are_told(core, monkeypatch):
    checks = [{"name": f"c{n}", "table": "dwh.fact_trip", "severity": "warn", "passed": n != 7, "found": n, "expected": "0"}
              for n in range(40)]  # fmt: skip
    report = {"step": "check_quality", "dt": "2024-05-01", "seconds": 1.0, "checks": checks, "failed": 0, "warned": 1}
    monkeypatch.setattr(core, "check_quality", lambda self, dt, *, progress=None: json.dumps(report))
    monkeypatch.setattr(ops.CheckQualityOperator, "log", log := Log())
    left = ops.CheckQualityOperator(task_id="t", dt="2024-05-01").execute(context())
    assert log.lines[0] == "check_quality 2024-05-01: passed with warnings: 40 checks, 0 failed, 1 warned (1.00 s)"
    assert [line.split() for line in log.lines[2:]] == [["warn", "dwh.fact_trip", "c7", "7", "0"]]
    assert (left["checked"], [check["name"] for check in left["checks"]]) == (40, ["c7"])


def test_a_bucket_that_does_not_exist_is_no_day_to_skip(core):
    core.fail = exceptions.NotFoundError("the bucket does not exist", retryable=False)
    with pytest.raises(AirflowFailException, match="bucket"):
        ops.StageRawOperator(task_id="t", dt="2024-05-01", skip_if_missing=True).execute(context())
