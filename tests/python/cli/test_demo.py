"""The demo's own parts: which days, and what its summary shows. The whole of it runs on real engines elsewhere."""

from __future__ import annotations

from dataclasses import replace

import pytest
from click.testing import CliRunner

from metropulse.airflow.local import RunResult, TaskResult, to_file
from metropulse.cli.demo import Outcome, Plan, by_the_feed, raw_days
from metropulse.cli.engines import demo
from metropulse.cli.summary import print_summary
from metropulse.exceptions import ConfigError, NotFoundError

CHECK = {"name": "trip_id unique", "table": "dwh.fact_trip", "severity": "error", "passed": True, "found": 0}
ROUTE_HOUR = {
    "route_id": "R003",
    "name": "Ring [1]",
    "transport_type": "tram",
    "hour": "2024-05-01 08:00:00",
    "trip_cnt": 7,
    "avg_speed": None,
}


def outcome(*tasks: TaskResult, state: str = "success") -> Outcome:
    run = RunResult("2024-05-01", state, 4.2, tasks)
    return Outcome(Plan("s"), "/lake", "/log", {"rows": 10, "bytes": 2000, "seconds": 1.0}, (run,), (ROUTE_HOUR,), 9.0)


def test_days_are_found_in_order_and_odd_folders_are_named(tmp_path):
    with pytest.raises(NotFoundError, match="no dt= folder"):
        raw_days(tmp_path)
    for name in ("dt=2024-05-02", "dt=2024-05-01", "notes"):
        (tmp_path / name).mkdir()
    assert raw_days(tmp_path) == ["2024-05-01", "2024-05-02"]
    (tmp_path / "dt=may").mkdir()
    with pytest.raises(ConfigError, match="dt=may"):
        raw_days(tmp_path)


def test_the_summary_shows_rows_quality_hours_places_and_what_is_next(capsys):
    stage = TaskResult("stage", "success", 1.5, {"rows": 34567})
    mart = TaskResult("mart", "success", 0.2, {"rows": 0, "unchanged": True})
    quality = TaskResult("quality", "success", 0.3, {"checks": [], "checked": 55})
    print_summary(outcome(stage, mart, quality))
    shown = capsys.readouterr().out
    for words in (
        "34,567",
        "unchanged",
        "55 of 55 passed",
        "55 checks, all passed",
        "Ring [1]",
        "2024-05-01 08:00",
        "/lake/dt=*/",
        "metropulse query --state s",
    ):
        assert words in shown


def test_the_summary_of_a_failure_shows_its_cause(capsys):
    failed = {**CHECK, "passed": False, "found": 2}
    error = {
        "error": "quality",
        "message": "1 of 1 checks failed",
        "report": {"checks": [failed]},
        "context": {"dt": "x"},
    }
    done = outcome(
        TaskResult("quality", "failed", 0.3, {}, error), TaskResult("after", "upstream_failed", 0.0), state="failed"
    )
    assert not done.succeeded
    print_summary(done)
    shown = capsys.readouterr().out
    for words in (
        "1 did not pass",
        "FAIL",
        "trip_id unique",
        "2024-05-01 quality failed: 1 of 1 checks failed",
        "dt: x",
    ):
        assert words in shown


def test_everything_but_the_screen_goes_to_the_file(capfd, tmp_path):
    import os

    with to_file(tmp_path / "logs" / "demo.log") as screen:
        os.write(1, b"noise\n")
        os.write(2, b"noise of a library\n")
        print("progress", file=screen)
    print("after")
    assert capfd.readouterr().out == "progress\nafter\n"
    assert set((tmp_path / "logs" / "demo.log").read_text().splitlines()) == {"noise", "noise of a library"}


def test_the_summary_of_a_timetable_ranks_by_planned_runs(capsys):
    done = outcome(TaskResult("mart", "success", 0.2, {"rows": 1}))
    planned = replace(done, busiest=({**ROUTE_HOUR, "trip_cnt": 0, "scheduled_trip_cnt": 12},))
    print_summary(planned)
    shown = capsys.readouterr().out
    assert "by planned runs" in shown
    assert "planned" in shown
    assert "12" in shown


def test_zone_and_first_day_are_the_feeds_unless_they_are_named(core, monkeypatch):
    monkeypatch.delenv("METROPULSE_TIME_ZONE", raising=False)
    plan = Plan("s", gtfs="feed.zip", gtfs_rt=("recordings/",))
    filled, said = by_the_feed(plan)
    assert (filled.start, filled.time_zone) == ("2024-06-03", "Europe/Berlin")
    assert said == "first day 2024-06-03 (the first working day of the feed), zone Europe/Berlin"
    asked = {"source": "feed.zip", "recordings": ["recordings/"], "source_options": None}
    assert core.made[-1].calls == [("describe_gtfs", asked)]
    filled, said = by_the_feed(replace(plan, start="2024-05-01"))
    assert (filled.start, said) == ("2024-05-01", "first day 2024-05-01, zone Europe/Berlin")
    monkeypatch.setenv("METROPULSE_TIME_ZONE", "Asia/Tokyo")
    assert by_the_feed(plan)[0].time_zone == "Asia/Tokyo"
    assert by_the_feed(replace(plan, time_zone="Europe/Paris"))[0].time_zone == "Europe/Paris"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--gtfs-rt", "recordings"], "--gtfs-rt needs the timetable"),
        (["--gtfs", "feed.zip", "--raw", "."], "exclude each other"),
    ],
)
def test_options_that_do_not_go_together_are_refused(arguments, said):
    result = CliRunner().invoke(demo, arguments)
    assert result.exit_code == 2
    assert said in result.output
