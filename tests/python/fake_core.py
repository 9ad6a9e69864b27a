"""A stand-in for the native core: answers in its shapes, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import json
from typing import Any, ClassVar


class Table:
    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self._rows = rows
        self.column_names = list(rows[0]) if rows else []
        self.num_rows = len(rows)

    def to_pylist(self) -> list[dict[str, Any]]:
        return list(self._rows)


def _report(step: str, **more: Any) -> str:
    return json.dumps({"step": step, "seconds": 0.01, "unchanged": False, "rows": 12_345, "files": 6, **more})


class Pipeline:
    """Set `fail` to an exception to have the next verb raise it, `ready` to what the lake shall look like."""

    made: ClassVar[list[Any]] = []
    fail: BaseException | None = None
    ready: ClassVar[dict[str, Any]] = {"ready": True, "has_manifest": True, "missing": [], "fingerprint": "f1"}
    recorded: ClassVar[dict[str, Any]] = {"complete": True, "until": "u", "recorded_until": "r", "archives": 2}
    unchanged = False
    day_state = "loaded"

    def __init__(self, settings_json: str) -> None:
        self.settings = json.loads(settings_json)
        self.calls: list[tuple[Any, ...]] = []
        self.cancelled = False
        type(self).made.append(self)

    def _verb(self, step: str, *arguments: Any, **more: Any) -> str:
        self.calls.append((step, *arguments))
        if self.fail is not None:
            raise self.fail
        return _report(step, **{"unchanged": self.unchanged, **more})

    def apply_schema(self, *, progress: Any = None) -> str:
        return self._verb("apply_schema")

    def generate(self, start: str, days: int, seed: int, scale: float, *, progress: Any = None) -> str:
        if progress is not None:
            progress("generate trips", 1, 2)
        return self._verb("generate", start, days, seed, scale, bytes=5_000_000)

    def ingest_gtfs_rt(self, dt: str, spec_json: str, *, progress: Any = None) -> str:
        asked = json.loads(spec_json)
        return self._verb("ingest_gtfs_rt", asked["sources"], dt, asked["schedule"], asked["feed"], asked["dry_run"])

    def collect(self, spec_json: str, *, progress: Any = None) -> str:
        if progress is not None:
            progress("uploaded recordings/2024-05-01/a.tar.zst", 0, 0)
        return self._verb("collect", json.loads(spec_json), feeds={})

    def recordings(self, dt: str, feed: str | None = None, hours_past: float | None = None) -> str:
        return self._verb("recordings", dt, feed, hours_past, **self.recorded)

    def load_calendar(self, start: str, end: str, *, progress: Any = None) -> str:
        return self._verb("load_calendar", start, end)

    def stage(self, dt: str, *, progress: Any = None) -> str:
        counts = {
            "files": 1,
            "rows_read": 73,
            "rows_loaded": 72,
            "rows_rejected": 1,
            "rejected_by_reason": {"speed": 1},
        }
        return self._verb("stage", dt, dt=dt, tables={"staging.trips_raw": counts})

    def load_dimensions(self, dt: str, dry_run: bool, *, progress: Any = None) -> str:
        return self._verb("load_dimensions", dt, dry_run, dt=dt)

    def load_facts(self, dt: str, *, progress: Any = None) -> str:
        counts = {"rows_read": 73, "rows_loaded": 72, "unchanged": self.unchanged}
        return self._verb("load_facts", dt, dt=dt, tables={"dwh.fact_trip": counts})

    def describe_gtfs(self, spec_json: str, *, progress: Any = None) -> str:
        told = {"zone": "Europe/Berlin", "first_day": "2024-06-03", "first_day_is": "weekday"}
        return self._verb("describe_gtfs", json.loads(spec_json), **told)

    def ingest_gtfs(self, spec_json: str, *, progress: Any = None) -> str:
        spec = json.loads(spec_json)
        counts = {"trips": 7, "stop_times": 70, "rejected": 1, "unchanged": False, "is_claimed": True}
        days = [{"dt": spec["date"], "source": spec["sources"][0], **counts}]
        return self._verb("ingest_gtfs", spec, days=days, feeds=[{"unread_files": ["fares.txt"]}], dry_run=False)

    def ingest_tides(self, spec_json: str, *, progress: Any = None) -> str:
        return self._verb("ingest_tides", json.loads(spec_json), days=[{"dt": "2024-05-01"}], dry_run=False)

    def export_tides(self, spec_json: str, *, progress: Any = None) -> str:
        return self._verb("export_tides", json.loads(spec_json), days=["2024-05-01"])

    def load_telemetry(self, dt: str, *, progress: Any = None) -> str:
        return self._verb("load_telemetry", dt, dt=dt)

    def copy_parquet(
        self, source: Any, table: str, create: bool, truncate: bool, connections: int, **_reading: Any
    ) -> str:
        return self._verb("copy_parquet", source, table, create, truncate, connections)

    def merge_snapshot(self, source: Any, spec_json: str, **_reading: Any) -> str:
        return self._verb("merge_snapshot", source, json.loads(spec_json))

    def rewind_snapshot(self, spec_json: str, *, progress: Any = None) -> str:
        return self._verb("rewind_snapshot", json.loads(spec_json))

    def build_route_hourly(
        self,
        date_from: str | None,
        date_to: str | None,
        force: bool,
        *,
        source: str = "warehouse",
        progress: Any = None,
    ) -> str:
        origin = () if source == "warehouse" else (source,)
        return self._verb("build_route_hourly", date_from, date_to, force, *origin)

    def check_quality(self, dt: str | None, *, progress: Any = None) -> str:
        check = {"name": "count > 0", "table": "dwh.fact_trip", "severity": "error", "passed": True, "found": 73}
        return self._verb("check_quality", dt, dt=dt, checks=[{**check, "expected": "> 0"}], failed=0, warned=0)

    def run(self, dt: str, *, progress: Any = None) -> str:
        steps = [json.loads(self.stage(dt)), json.loads(self.check_quality(dt))]
        return json.dumps({"step": "run", "dt": dt, "seconds": 1.5, "steps": steps})

    def status(self, date_from: str | None, date_to: str | None, verify: bool, *, progress: Any = None) -> str:
        counts = {"state": "loaded", "rows_read": 73, "rows_rejected": 1}
        steps = {name: {"state": self.day_state} for name in ("load_dimensions", "load_facts", "check_quality")}
        steps["stage"] = {"state": "loaded", "tables": {"staging.trips_raw": counts}}
        steps["build_route_hourly"] = {"state": "stale", "why": "to be built: 2024-05-01"}
        day = {"dt": "2024-05-01", "state": "stale", "in_lake": True, "steps": steps}
        mart = {"service_dates": 1, "newest_service_date": "2024-05-01", "rows": 9, "age_seconds": 4000}
        known = {"lake": "/lake", "time_zone": None, "positions": "warehouse", "schema_version": 2, "failures": []}
        known["misnamed_folders"] = ["dt=2024-02-30/"]
        mart["dirty"] = ["2024-05-01"]
        return self._verb("status", date_from, date_to, verify, days=[day], tables=[], mart=mart, **known)

    def rejected(self, dataset: str | None, dt: str | None, reason: str | None, limit: int) -> str:
        row = {"dataset": "trips", "dt": "2024-05-01", "file": "dt=2024-05-01/trips.parquet", "row_number": 3}
        row |= {"reasons": ["speed"], "row": {"trip_id": "T1"}}
        return self._verb("rejected", dataset, dt, reason, limit, total=7, rejected=[row])

    def requeue(
        self, dataset: str | None, dt: str | None, reason: str | None, rows_json: str, *, progress: Any = None
    ) -> str:
        step = {"step": "requeue", "dt": "2024-05-01", "seconds": 0.1, "tables": {}, "rows_passed": 1}
        return self._verb("requeue", dataset, dt, reason, json.loads(rows_json), steps=[step], rows_passed=1)

    def undo(self, dt: str, dry_run: bool, *, progress: Any = None) -> str:
        table = {"files": 1, "rows_removed": 73}
        return self._verb(
            "undo", dt, dry_run, dt=dt, dry_run=dry_run, tables={"dwh.fact_trip": table}, dirty_dates=["2024-05-01"]
        )

    def rewind(self, to: str, dry_run: bool, *, progress: Any = None) -> str:
        step = json.loads(self.undo("2024-05-02", dry_run))
        return self._verb("rewind", to, dry_run, steps=[step], to=to, dry_run=dry_run, tables={})

    def migrate(self, dry_run: bool, *, progress: Any = None) -> str:
        moved = [{"table": "dwh.fact_trip", "now": "prototype.fact_trip", "rows": 7}]
        return self._verb("migrate", dry_run, moved=moved, mart_moved="mart_route_hourly_prototype", dry_run=dry_run)

    def purge(self, older_than_days: int, what: list[str], dry_run: bool, *, progress: Any = None) -> str:
        tables = {"staging.trips_raw": {"rows_written": 73}}
        return self._verb("purge", older_than_days, what, dry_run, tables=tables, dry_run=dry_run)

    def partition_ready(self, dt: str, required: list[str]) -> str:
        self.calls.append(("partition_ready", dt, required))
        if self.fail is not None:
            raise self.fail
        return json.dumps(self.ready)

    async def wait_for_partition(
        self, dt: str, required: list[str], poll_seconds: float, stable_seconds: float, *, watch: Any = None
    ) -> str:
        self.calls.append(("wait_for_partition", dt, required, poll_seconds, stable_seconds))
        if self.fail is not None:
            raise self.fail
        if watch is not None:
            watch(json.dumps(self.ready))
            await asyncio.sleep(0)
        return json.dumps({"ready": True, "has_manifest": False, "missing": [], "fingerprint": "f1"})

    def warehouse_query(self, sql: str) -> Table:
        return Table([{"route_id": "R003", "base_fare": 45.5}])

    def mart_query(self, sql: str) -> Table:
        row = {"route_id": "R003", "name": "Ring", "transport_type": "tram", "hour": "2024-05-01 08:00:00"}
        return Table([{**row, "trip_cnt": 7, "avg_speed": 31.2}])

    def cancel(self) -> None:
        self.cancelled = True


def reset() -> None:
    """Forget everything."""
    Pipeline.made, Pipeline.fail, Pipeline.unchanged = [], None, False
    Pipeline.day_state = "loaded"
    Pipeline.ready = {"ready": True, "has_manifest": True, "missing": [], "fingerprint": "f1"}
