"""Exceptions, reports and the facade."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
from datetime import UTC, date, datetime

import pytest

import metropulse
from metropulse import exceptions
from metropulse.results import Report

ERRORS = [getattr(exceptions, name) for name in exceptions.__all__]


@pytest.mark.parametrize("error", ERRORS)
def test_errors_survive_pickling_and_copying(error):
    made = error("found 3, expected 4", {"file": "trips.parquet", "row": "7"}, True)
    for copied in (pickle.loads(pickle.dumps(made)), copy.deepcopy(made)):
        assert type(copied) is error
        assert str(copied) == "found 3, expected 4 [file=trips.parquet, row=7]"
        assert copied.context == {"file": "trips.parquet", "row": "7"}
        assert copied.retryable is True
    json.dumps(made.to_dict())


def test_the_tree_fits_what_python_programs_catch():
    assert issubclass(metropulse.ConfigError, ValueError)
    assert issubclass(metropulse.NotFoundError, FileNotFoundError)
    assert issubclass(metropulse.QualityError, metropulse.DataError)
    assert all(issubclass(error, metropulse.MetropulseError) for error in ERRORS)
    assert [e.kind for e in ERRORS if e("x").retryable] == ["conflict", "database", "not_found", "storage"]
    assert len({error.kind for error in ERRORS if error is not metropulse.MetropulseError}) == len(ERRORS) - 1


def test_an_error_shows_no_password_whoever_wrote_its_message():
    error = metropulse.DatabaseError("no route to postgresql://u:hunter2@h/db", {"dsn": "host=h password=hunter2"})
    assert "hunter2" not in f"{error} {error!r} {error.args} {error.to_dict()}"


def test_a_quality_error_carries_its_report():
    error = metropulse.QualityError("1 check failed", report={"failed": 1, "checks": []})
    assert pickle.loads(pickle.dumps(error)).report == {"failed": 1, "checks": []}


def test_a_report_is_frozen_json_and_readable():
    report = Report.from_json('{"step": "stage", "tables": {"staging.trips_raw": {"rows_read": 7}}, "days": ["a"]}')
    assert report.tables["staging.trips_raw"].rows_read == 7
    assert report.days == ("a",)
    assert json.loads(json.dumps(report)) == report.to_dict()
    assert pickle.loads(pickle.dumps(report)) == copy.deepcopy(report) == report
    for change in (
        lambda: report.update(a=1),
        lambda: report.__setitem__("a", 1),
        lambda: setattr(report, "a", 1),
        lambda: report.tables.pop("staging.trips_raw"),
        lambda: report.__ior__({"a": 1}),
    ):
        with pytest.raises(TypeError, match="frozen"):
            change()
    assert "rows_read: 7" in str(report)
    with pytest.raises(AttributeError, match="it has step, tables, days"):
        _ = report.rows


def test_a_report_in_a_notebook_is_a_table_without_markup_of_its_data():
    html = Report({"dt": "<b>", "tables": {"a<b": {"rows": 1}, "c": {"rows": 1234}}})._repr_html_()
    assert "<td>1,234</td>" in html
    assert "a&lt;b" in html
    assert "<b>" not in html


def test_verbs_reach_the_core_with_days_as_text(core):
    p = metropulse.Pipeline(lake="/lake", time_zone="Europe/Moscow")
    p.generate(date(2024, 5, 1), days=2, seed=3, scale=0.5)
    p.load_calendar("2024-01-01", date(2024, 12, 31))
    p.stage(datetime(2024, 5, 1, 12, tzinfo=UTC))
    p.load_dimensions("2024-05-01")
    p.load_dimensions("2024-05-01", dry_run=True)
    p.load_facts("2024-05-01")
    p.build_route_hourly()
    p.build_route_hourly("2024-05-01", "2024-05-02", force=True)
    p.check_quality("2024-05-01")
    assert p.check_quality().step == "check_quality"
    assert core.made[0].settings == {"lake": "/lake", "lake_options": {}, "time_zone": "Europe/Moscow"}
    assert core.made[0].calls == [
        ("generate", "2024-05-01", 2, 3, 0.5),
        ("load_calendar", "2024-01-01", "2024-12-31"),
        ("stage", "2024-05-01"),
        ("load_dimensions", "2024-05-01", False),
        ("load_dimensions", "2024-05-01", True),
        ("load_facts", "2024-05-01"),
        ("build_route_hourly", None, None, False),
        ("build_route_hourly", "2024-05-01", "2024-05-02", True),
        ("check_quality", "2024-05-01"),
        ("check_quality", None),
    ]


@pytest.mark.parametrize("wrong", ["2024-5-1", "20240501", "yesterday", "2024-02-30", "", None, 20240501])
def test_what_is_no_day_is_refused(core, wrong):
    with pytest.raises(metropulse.ConfigError, match="YYYY-MM-DD"):
        metropulse.Pipeline(lake="/lake").stage(wrong)


@pytest.mark.parametrize("arguments", [("2024-05-01",), (None, "2024-05-02")])
def test_half_a_range_is_refused(core, arguments):
    with pytest.raises(metropulse.ConfigError, match="go together"):
        metropulse.Pipeline(lake="/lake").build_route_hourly(*arguments)


def test_the_wait_is_a_coroutine(core):
    p = metropulse.Pipeline(lake="/lake")
    found = asyncio.run(p.wait_for_partition("2024-05-01", required=["trips"], poll_seconds=1, stable_seconds=None))
    assert found.ready
    assert core.made[0].calls == [("wait_for_partition", "2024-05-01", ["trips"], 1, 1e12)]
    with pytest.raises(metropulse.ConfigError, match="unknown dataset 'trip'"):
        p.partition_ready("2024-05-01", required="routes, trip")


def test_an_embedded_pipeline_ignores_other_servers_and_closes_once(core, engines, monkeypatch):
    monkeypatch.setenv("PG_PASSWORD", "other-secret")
    monkeypatch.setenv("CH_JDBC_URL", "http://other:8123")
    monkeypatch.setenv("METROPULSE_TIME_ZONE", "Europe/Moscow")
    with metropulse.Pipeline.embedded("state") as p:
        settings = core.made[0].settings
        assert settings["warehouse"] == "postgresql://postgres@/postgres?host=%2Frun%2Fmetropulse"
        assert settings["mart"] == "http://127.0.0.1:18123/default"
        assert settings["mart_password"] == "engine-secret"
        assert settings["time_zone"] == "Europe/Moscow"
        assert "engine-secret" not in repr(p)
    p.close()
    assert engines.started == ["state"]
    assert engines.ended == ["close"]
    metropulse.Pipeline.embedded("state", keep_running=True).close()
    assert engines.ended == ["close"]
