"""The names that each verb's report has: scripts and dashboards read them, so none goes or comes by accident."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import metropulse as mp

pytestmark = [pytest.mark.core, pytest.mark.embedded]

DT = "2024-05-01"
REPORT = {"step", "dt", "seconds", "unchanged", "rows", "bytes", "files", "tables"}
TABLE = {
    "files", "bytes", "rows_read", "rows_loaded", "rows_duplicate", "rows_superseded", "rows_rejected", "rows_written",
    "rows_rounded", "rows_truncated", "unchanged",
}  # fmt: skip
DIMENSION = TABLE | {"versions_inserted", "versions_updated", "versions_deleted"}
FACT = TABLE | {"as_of_misses", "dirty_dates"}


def names(report: mp.Report, *optional: str) -> set[str]:
    return set(report) - set(optional)


@pytest.fixture
def p(pipeline_on, tmp_path):
    """A pipeline over two generated days, with two bad rows of positions in the first."""
    lake = tmp_path / "raw"
    pipeline = pipeline_on(lake)
    report = pipeline.generate(DT, days=2, scale=0.02)
    assert names(report) == REPORT | {"days", "lake"}
    assert (report.days, set(report.tables["trips"])) == ((DT, "2024-05-02"), TABLE)
    (lake / f"dt={DT}" / "_manifest.json").unlink()
    noon = datetime(2024, 5, 1, 12, tzinfo=UTC)
    rows = {
        "event_ts": [noon] * 50,
        "vehicle_id": [f"V{n}" for n in range(48)] + ["V1", None],
        "lat": [55.7] * 50,
        "lon": [37.6] * 50,
        "speed": [1.0] * 48 + [2.0, 1.0],
    }
    pq.write_table(pa.table(rows), lake / f"dt={DT}" / "vehicle_positions.parquet")
    (lake / f"dt={DT}" / "notes.csv").write_bytes(b"x")
    return pipeline


def test_the_reports_of_a_day(p):
    assert names(p.apply_schema()) == REPORT
    assert names(p.load_calendar(DT, DT)) == REPORT | {"dates", "times"}
    run = p.run(DT)
    assert names(run) == REPORT | {"steps"}
    assert [step.step for step in run.steps] == [
        "load_calendar", "stage", "load_dimensions", "load_facts", "build_route_hourly", "check_quality",
    ]  # fmt: skip
    _, stage, dimensions, facts, mart, quality = run.steps
    assert names(stage) == REPORT | {"ignored_files"}
    assert stage.ignored_files == (f"dt={DT}/notes.csv",)
    assert set(stage.tables["staging.trips_raw"]) == TABLE
    positions = {"rejected_by_reason", "rows_sharing_vehicle_and_time"}
    assert set(stage.tables["staging.vehicle_positions_raw"]) == TABLE | positions
    assert stage.tables["staging.vehicle_positions_raw"].rows_sharing_vehicle_and_time == 1
    assert names(dimensions) == REPORT
    assert set(dimensions.tables["dwh.dim_user"]) == DIMENSION
    assert names(facts) == REPORT
    assert set(facts.tables["dwh.fact_trip"]) == FACT
    assert set(facts.tables["dwh.fact_vehicle_position"]) == FACT | positions
    assert DT in facts.tables["dwh.fact_trip"].dirty_dates
    assert names(mart) == REPORT | {"source", "service_dates_rebuilt", "service_dates_same"}
    assert mart.source == "warehouse"
    assert DT in mart.service_dates_rebuilt
    assert set(mart.tables["mart_route_hourly"]) == TABLE
    assert names(quality) == REPORT | {"checks", "failed", "warned"}
    assert set(quality.checks[0]) == {"name", "table", "severity", "passed", "found", "expected", "dt", "sql"}

    again = p.run(DT).steps
    assert [names(step) for step in again[:4]] == [REPORT | {"dates", "times"}, names(stage), REPORT, REPORT]
    assert {frozenset(table) for step in again[1:4] for table in step.tables.values()} == {frozenset(TABLE)}


def test_the_reports_of_a_loaded_warehouses_life(p):
    p.run(DT)
    p.run("2024-05-02")
    requeued = p.requeue(dataset="vehicle_positions")
    assert names(requeued) == REPORT | {"steps", "rows_passed"}
    assert names(requeued.steps[0]) == REPORT | {"dataset", "rows_passed", "rows_rejected"}
    assert (requeued.rows_passed, requeued.steps[0].rows_rejected) == (0, 1)

    undone = p.undo("2024-05-02", dry_run=True)
    assert names(undone) == REPORT | {"dirty_dates", "inferred_removed", "repairs_removed", "dry_run"}
    assert set(undone.tables["dwh.fact_trip"]) == TABLE | {"rows_removed"}
    assert undone.tables["dwh.fact_trip"].files == 1
    assert set(undone.tables["staging.trips_raw"]) == TABLE | {"rows_removed"}
    rewound = p.rewind(DT)
    assert names(rewound) == REPORT | {"steps", "to", "days", "dry_run"}
    assert (rewound.to, rewound.days) == (DT, ("2024-05-02",))
    migrated = p.migrate(dry_run=True)
    told = {"from_version", "to_version", "applied", "moved", "mart_moved", "payment_methods", "dry_run"}
    assert names(migrated) == REPORT | told
    assert (migrated.applied, migrated.moved, migrated.mart_moved) == ((), (), None)
    purged = p.purge(1, dry_run=True)
    assert names(purged) == REPORT | {"before", "days", "dry_run"}
    assert purged.days == (DT,)
    telemetry = p.load_telemetry(DT)
    assert names(telemetry) == REPORT
    assert set(telemetry.tables["vehicle_position"]) == TABLE | {"rejected_by_reason", "rows_sharing_vehicle_and_time"}
    assert set(p.load_telemetry(DT).tables["vehicle_position"]) == TABLE


def test_the_reports_of_any_table(p, tmp_path):
    dsn = p.settings.warehouse
    fares = pa.table({"line": ["A", "B"], "fare": [40, 55]})
    copied = mp.copy_parquet(fares, dsn, "public.copied", create=True)
    told = {"table", "created", "frozen", "connections"}
    assert names(copied, "one_connection_because") == REPORT | told
    merged = mp.merge_snapshot(fares, dsn, "public.fare", key=["line"], effective=DT)
    assert names(merged) >= REPORT | {"table", "created", "dry_run", "rows_read", "keys_read", "versions_inserted"}
    assert (merged.rows, merged.keys_new, merged.unchanged) == (2, 2, False)
    rewound = mp.rewind_snapshot(dsn, "public.fare", to=DT)
    assert names(rewound) >= REPORT | {"table", "created", "dry_run", "rows_read", "keys_read", "versions_inserted"}


def test_a_failed_check_is_an_error_of_its_own_with_the_report(p):
    import psycopg

    p.run(DT)
    with psycopg.connect(p.settings.warehouse, autocommit=True) as link:
        link.execute("DELETE FROM dwh.fact_trip WHERE trip_id = (SELECT min(trip_id) FROM dwh.fact_trip)")
    with pytest.raises(mp.QualityError) as caught:
        p.check_quality(DT)
    assert (caught.value.kind, caught.value.retryable) == ("quality", False)
    assert "report" not in caught.value.context
    assert set(caught.value.report) == REPORT | {"checks", "failed", "warned"}
    assert caught.value.report["failed"] >= 1
    failures = [failure for failure in p.status().failures if failure.step == "check_quality"]
    assert [failure.kind for failure in failures] == ["quality"]
