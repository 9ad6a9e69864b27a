"""What a task read and wrote, as OpenLineage tells it: datasets, schemas, counts, checks, columns, errors.

OpenLineage is imported where its provider asks for the facets, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from metropulse.airflow._compat import operator_lineage
from metropulse.airflow.addresses import lake_address, mart_address, warehouse_address
from metropulse.airflow.column_lineage import Columns

if TYPE_CHECKING:
    from metropulse.settings import Settings

__all__ = ["Namespaces", "Trace", "facets_of"]


@dataclass(frozen=True)
class Namespaces:
    """Namespace and leading part of the names of each back end; they hold no user and no password."""

    lake: tuple[str, str] = ("file", "")
    warehouse: tuple[str, str] = ("postgres://localhost:5432", "")
    mart: tuple[str, str] = ("clickhouse://localhost:8123", "default")

    @classmethod
    def of(cls, settings: Settings) -> Namespaces:
        """Return the places that settings name."""
        given = {
            "lake": _file(settings.lake) if settings.lake else None,
            "warehouse": _warehouse(settings.warehouse) if settings.warehouse else None,
            "mart": _mart(settings.mart) if settings.mart else None,
        }
        return cls(**{role: place for role, place in given.items() if place is not None})

    def table(self, name: str) -> tuple[str, str]:
        """Return namespace and name of a table: of the warehouse with its schema, else of the mart."""
        namespace, database = self.warehouse if "." in name else self.mart
        return namespace, f"{database}.{name}" if database else name

    def raw(self, dataset: str) -> tuple[str, str]:
        """Return namespace and name of a raw dataset: one for all days, which are its versions."""
        namespace, root = self.lake
        return namespace, "/".join(part for part in (root, "dt=*", dataset) if part)


# Of what raw dataset a table of TIDES is made.
_EXPORTED = {
    "vehicle_locations": "vehicle_positions",
    "trips_performed": "trips",
    "fare_transactions": "payments",
    "vehicles": "vehicles",
}


@dataclass
class Trace:
    """What is kept of a task for its lineage."""

    namespaces: Namespaces
    report: Mapping[str, Any] = field(default_factory=dict)
    error: Mapping[str, Any] = field(default_factory=dict)
    files_read: Sequence[str] = ()
    table_written: str | None = None
    file_written: str | None = None


def facets_of(trace: Trace | None) -> Any:
    """Return the facets of a task.

    Args:
        trace: What was kept of it; None when it did not come so far.

    Returns:
        An ``OperatorLineage`` of Airflow's OpenLineage provider.
    """
    if trace is None:
        return operator_lineage()
    facets = _Facets(trace)
    for step in trace.report.get("steps") or (trace.report,):
        facets.add(step)
    facets.add_files()
    errors = {"metropulse_error": _error_facet(trace.error)} if trace.error else {}
    inputs = list(facets.inputs.values())
    outputs = [] if trace.report.get("dry_run") else list(facets.outputs.values())
    return operator_lineage(inputs=inputs, outputs=outputs, run_facets=errors)


class _Facets:
    """The datasets of one task, by namespace and name."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._namespaces = trace.namespaces
        self._columns = Columns(trace.namespaces.raw, trace.namespaces.table)
        self.inputs: dict[tuple[str, str], Any] = {}
        self.outputs: dict[tuple[str, str], Any] = {}

    def add(self, report: Mapping[str, Any]) -> None:
        """Add what one step read and wrote."""
        step, dt = str(report.get("step", "")), report.get("dt")
        if (checks := report.get("checks")) is not None:
            self._add_checks(checks)
        if step == "load_calendar":
            self._write("dwh.dim_date", {}, dt)
            self._write("dwh.dim_time", {}, dt)
        if step == "wait":
            for dataset in report.get("datasets", ()):
                self._read_raw(dataset, {}, dt)
        for name, counts in (report.get("tables") or {}).items():
            if step == "export_tides":
                self._read_raw(_EXPORTED[name], counts, dt)
                continue
            if self._columns.is_raw(name):
                self._write_raw(name, counts)
                continue
            self._write(name, counts, dt, from_lake=report.get("source") == "lake")
            if step in {"stage", "load_dimensions", "load_facts", "load_telemetry"}:
                self._read_raw(self._columns.dataset_of(name) or "vehicle_positions", counts, dt)
            for dataset in self._columns.datasets_read(step, report.get("source")):
                self._read_raw(dataset, {}, dt)
            for source in self._columns.tables_read(step, name, report.get("source")):
                self._read(source)

    def add_files(self) -> None:
        """Add the files and tables that the author of the task named."""
        from openlineage.client.event_v2 import InputDataset, OutputDataset

        trace, report = self._trace, self._trace.report
        for place in map(_file, trace.files_read):
            self.inputs[place] = InputDataset(*place)
        if trace.table_written:
            name = str(report.get("table") or trace.table_written)
            place = self._namespaces.table(name if "." in name else f"public.{name}")
            self.outputs[place] = OutputDataset(*place, outputFacets=_written(report.get("rows")))
        if trace.file_written:
            place = _file(trace.file_written)
            self.outputs[place] = OutputDataset(*place, outputFacets=_written(report.get("rows")))

    def _read_raw(self, dataset: str, counts: Mapping[str, Any], dt: str | None) -> None:
        from openlineage.client.event_v2 import InputDataset
        from openlineage.client.facet_v2 import data_quality_metrics_input_dataset as metrics

        place = self._namespaces.raw(dataset)
        read = {}
        if counts.get("files"):
            rows, size, files = counts.get("rows_read"), counts.get("bytes"), counts["files"]
            read["dataQualityMetrics"] = metrics.DataQualityMetricsInputDatasetFacet({}, rows, size, files)
        facets = {**_schema(self._columns.raw(dataset)), **_version(dt)}
        self.inputs[place] = InputDataset(*place, facets=facets, inputFacets=read)

    def _write_raw(self, dataset: str, counts: Mapping[str, Any]) -> None:
        from openlineage.client.event_v2 import OutputDataset

        place = self._namespaces.raw(dataset)
        written = _written(counts.get("rows_written"), counts.get("bytes"), counts.get("files"))
        self.outputs[place] = OutputDataset(*place, facets=_schema(self._columns.raw(dataset)), outputFacets=written)

    def _read(self, table: str) -> None:
        from openlineage.client.event_v2 import InputDataset

        place = self._namespaces.table(table)
        self.inputs.setdefault(place, InputDataset(*place, facets=_schema(self._columns.of(table))))

    def _write(self, table: str, counts: Mapping[str, Any], dt: str | None, *, from_lake: bool = False) -> None:
        from openlineage.client.event_v2 import OutputDataset

        place = self._namespaces.table(table)
        facets = {**_schema(self._columns.of(table)), **_version(dt)}
        if fields := self._columns.lineage(table, from_lake=from_lake):
            facets["columnLineage"] = _column_lineage(fields)
        written = _written(counts.get("rows_written"), counts.get("bytes") or None, counts.get("files") or None)
        self.outputs[place] = OutputDataset(*place, facets=facets, outputFacets=written)
        if counts.get("rows_rejected"):
            rejected = self._namespaces.table("staging.rejected")
            self.outputs[rejected] = OutputDataset(*rejected)

    def _add_checks(self, checks: Iterable[Mapping[str, Any]]) -> None:
        from openlineage.client.event_v2 import InputDataset
        from openlineage.client.facet_v2 import data_quality_assertions_dataset as quality

        by_table: dict[str, list[Any]] = {}
        for check in checks:
            by_table.setdefault(str(check["table"]), []).append(
                quality.Assertion(
                    assertion=str(check["name"]),
                    success=bool(check["passed"]),
                    severity=str(check.get("severity", "error")),
                    expected=str(check.get("expected", "")),
                    actual=str(check.get("found", "")),
                )
            )
        for table, assertions in by_table.items():
            place = self._namespaces.table(table)
            told = {"dataQualityAssertions": quality.DataQualityAssertionsDatasetFacet(assertions)}
            self.inputs[place] = InputDataset(*place, facets=_schema(self._columns.of(table)), inputFacets=told)


def _schema(columns: Sequence[tuple[str, str]]) -> dict[str, Any]:
    from openlineage.client.facet_v2 import schema_dataset

    if not columns:
        return {}
    fields = [schema_dataset.SchemaDatasetFacetFields(name, type=kind) for name, kind in columns]
    return {"schema": schema_dataset.SchemaDatasetFacet(fields)}


def _version(dt: str | None) -> dict[str, Any]:
    from openlineage.client.facet_v2 import dataset_version_dataset

    return {"version": dataset_version_dataset.DatasetVersionDatasetFacet(dt)} if dt else {}


def _written(rows: int | None, size_bytes: int | None = None, files: int | None = None) -> dict[str, Any]:
    from openlineage.client.facet_v2 import output_statistics_output_dataset as statistics

    if rows is None:
        return {}
    return {"outputStatistics": statistics.OutputStatisticsOutputDatasetFacet(rows, size_bytes, files)}


def _column_lineage(fields: Mapping[str, Sequence[tuple[str, str, str, str, str]]]) -> Any:
    from openlineage.client.facet_v2 import column_lineage_dataset as columns

    return columns.ColumnLineageDatasetFacet(
        {
            name: columns.Fields(
                [
                    columns.InputField(namespace, dataset, column, [columns.Transformation(kind, subtype)])
                    for namespace, dataset, column, kind, subtype in sources
                ]
            )
            for name, sources in fields.items()
        }
    )


def _error_facet(error: Mapping[str, Any]) -> Any:
    """Return what the provider's own ``errorMessage`` does not tell: the kind, where it was, whether a retry helps."""
    import attr
    from openlineage.client.facet_v2 import RunFacet

    @attr.define
    class MetropulseErrorRunFacet(RunFacet):
        kind: str
        message: str
        retryable: bool
        context: dict[str, str]

    context = {str(name): str(value) for name, value in (error.get("context") or {}).items()}
    return MetropulseErrorRunFacet(
        str(error.get("error")), str(error.get("message")), bool(error.get("retryable")), context
    )


def _file(place: str) -> tuple[str, str]:
    found = lake_address(place)
    if not found.host:
        return "file", found.path
    container = f"{found.container}@" if found.container else ""
    return f"{found.scheme}://{container}{found.host}", found.path


def _warehouse(text: str) -> tuple[str, str]:
    found = warehouse_address(text)
    return f"postgres://{found.host or 'localhost:5432'}", found.path


def _mart(url: str) -> tuple[str, str]:
    found = mart_address(url)
    return f"clickhouse://{found.host}", found.path
