"""Versions of one feed that come in calls of their own, as they do day after day: the date keeps the one that holds."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

import metropulse as mp
from expansion import DAY, FEED, ZONE, manifest, read, write_zip

pytestmark = pytest.mark.core

BEFORE = "2024-03-04"


@pytest.fixture
def version(tmp_path):
    """Make a version of the feed, which its headsign tells."""

    def make(name: str, number: str, start: str, end: str = "20241231", headsign: str | None = None) -> Path:
        info = f"feed_publisher_name,feed_version,feed_start_date,feed_end_date\nA,{number},{start},{end}\n"
        trips = FEED["trips.txt"].replace("Uptown", headsign or name)
        return write_zip(tmp_path / f"{name}.zip", {**FEED, "feed_info.txt": info, "trips.txt": trips})

    return make


@pytest.fixture
def ingest(tmp_path):
    def run(source: Path, day: str = DAY, lake: str = "lake", **more):
        return mp.ingest_gtfs(source, tmp_path / lake, day, time_zone=ZONE, **more)

    return run


def headsign(lake: Path, day: str = DAY) -> str:
    return read(lake, day, "scheduled_trips")[0]["headsign"]


def test_versions_in_calls_of_their_own_give_the_same_days_in_any_order(tmp_path, version, ingest):
    versions = {
        "all-year": version("all-year", "9", "20240101"),
        "spring": version("spring", "9", "20240401"),
        "spring-again": version("spring-again", "10", "20240401"),
        "summer": version("summer", "11", "20240601"),
    }
    for order in itertools.permutations(versions):
        lake = tmp_path / "-".join(order)
        for name in order:
            for day in (DAY, BEFORE):
                ingest(versions[name], day, lake.name)
        assert (headsign(lake), headsign(lake, BEFORE)) == ("spring-again", "all-year"), order


def test_a_day_of_a_newer_version_is_kept_and_the_report_says_why_and_how_to_replace_it(tmp_path, version, ingest):
    old, new = version("old", "1", "20240101"), version("new", "2", "20240401")
    ingest(new)
    before = manifest(tmp_path / "lake", DAY)
    for dry_run in (True, False):
        report = ingest(old, dry_run=dry_run)
        (day,) = report.days
        assert (report.unchanged, report.rows, day.unchanged, day.trips, day.stop_times) == (True, 0, True, 2, 5)
        assert {**day.kept, "sha256": len(day.kept.sha256)} == {
            "why": "newer", "sha256": 64, "feed_version": "2", "valid_from": "2024-04-01", "valid_to": "2024-12-31",
        }  # fmt: skip
        assert manifest(tmp_path / "lake", DAY) == before
    report = ingest(old, replace_newer=True)
    assert (report.unchanged, report.days[0].get("kept"), headsign(tmp_path / "lake")) == (False, None, "old")


def test_a_backfill_with_a_version_that_does_not_claim_the_date_keeps_the_day(tmp_path, version, ingest):
    ingest(version("then", "1", "20240101", "20240630"), BEFORE, days=2)
    today = version("today", "7", "20240701")
    report = ingest(today, BEFORE, days=3)
    assert [(day.kept.why if day.get("kept") else None, day.is_claimed) for day in report.days] == [
        ("unclaimed", False), ("unclaimed", False), (None, False),
    ]  # fmt: skip
    assert not report.unchanged
    assert [headsign(tmp_path / "lake", f"2024-03-0{n}") for n in (4, 5, 6)] == ["then", "then", "today"]
    ingest(today, BEFORE, replace_newer=True)
    assert headsign(tmp_path / "lake", BEFORE) == "today"


def test_a_correction_of_the_same_version_replaces_the_day_and_so_does_what_claims_a_day_of_a_wrong_one(
    tmp_path, version, ingest
):
    wrong, right = version("wrong", "5", "20240601"), version("right", "1", "20240101")
    ingest(wrong)
    ingest(right)
    assert headsign(tmp_path / "lake") == "right"
    corrected = version("right", "1", "20240101", headsign="corrected")
    assert not ingest(corrected).unchanged
    assert headsign(tmp_path / "lake") == "corrected"
    assert ingest(corrected).unchanged


def test_feeds_of_other_names_are_no_versions_of_each_other(tmp_path, version, ingest):
    ingest(version("tram", "2", "20240401"), feed="tram")
    report = ingest(version("bus", "1", "20240101"), feed="bus")
    assert "kept" not in report.days[0]
    assert sorted(file.stem for file in (tmp_path / "lake" / f"dt={DAY}" / "routes").iterdir()) == ["bus", "tram"]


def test_a_day_whose_manifest_does_not_tell_its_version_is_replaced(tmp_path, version, ingest):
    ingest(version("new", "2", "20240401"))
    listed = tmp_path / "lake" / f"dt={DAY}" / "_manifest.json"
    told = json.loads(listed.read_text())
    for file in told["files"]:
        del file["origin"]["valid_from"]
    listed.write_text(json.dumps(told))
    ingest(version("old", "1", "20240101"))
    assert headsign(tmp_path / "lake") == "old"


def test_the_command_line_says_which_days_were_kept(tmp_path, version, ingest, capsys):
    from metropulse.cli import main

    ingest(version("new", "2", "20240401"))
    old = version("old", "1", "20240101")
    words = f"ingest gtfs {old} --date {DAY} --lake {tmp_path / 'lake'} --time-zone {ZONE} --quiet".split()

    def said(*more: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main([*words, *more])
        assert ended.value.code == 0
        return " ".join(capsys.readouterr().out.split())

    newer = "kept: 1 day of version 2, 2024-04-01 to 2024-12-31, which is newer; --replace-newer replaces them"
    assert newer in said()
    assert "kept" not in said("--replace-newer")


def test_a_kept_day_fails_no_task(tmp_path, version, ingest, monkeypatch):
    pytest.importorskip("airflow.sdk")
    from types import SimpleNamespace
    from unittest.mock import MagicMock

    from metropulse.airflow.operators import IngestGtfsOperator

    ingest(version("new", "2", "20240401"))
    monkeypatch.setenv(
        "AIRFLOW_CONN_METROPULSE_DEFAULT",
        json.dumps({"conn_type": "metropulse", "extra": {"lake": str(tmp_path / "lake"), "time_zone": ZONE}}),
    )
    context = {"ti": MagicMock(), "dag_run": SimpleNamespace(conf={}), "params": {}}
    task = IngestGtfsOperator(task_id="schedule", source=str(version("old", "1", "20240101")), dt=DAY)
    report = task.execute(context)
    assert (report["unchanged"], report["days"][0]["kept"]["feed_version"]) == (True, "2")
    assert headsign(tmp_path / "lake") == "new"
