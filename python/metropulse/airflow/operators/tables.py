"""Operators for any table: Parquet into PostgreSQL, histories, hourly rollups of files.

Remote files are reached with the access of the lake's connection, or of the environment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from metropulse.airflow.assets import Places, files_of, names_of, table_asset
from metropulse.airflow.lineage import Namespaces, Trace
from metropulse.airflow.operators.base import COMMON_FIELDS, MetropulseOperator
from metropulse.airflow.partitions import resolve_partition

if TYPE_CHECKING:
    from metropulse.airflow._compat import Context
    from metropulse.pipeline import Pipeline
    from metropulse.results import Report
    from metropulse.rollup import Measure

__all__ = ["CopyParquetOperator", "MergeSnapshotOperator", "RollupHourlyOperator"]


def _table(table: Any, places: Places) -> list[Any]:
    known = isinstance(table, str) and "{{" not in table and places.known("warehouse")
    return [table_asset(table, **vars(places))] if known else []


class CopyParquetOperator(MetropulseOperator):
    """Copy Parquet files into a table of PostgreSQL, by COPY BINARY; see `metropulse.copy_parquet`.

    Args:
        source: A path, URL, folder or glob, or a list of them.
        table: The table as SQL names it.
        create: Make the table after the first file when it is not there.
        truncate: Empty the table in the same transaction.
        connections: How many connections may share the work.
        plain_files: Read the files of a Delta Lake, Hudi or Iceberg table as they are.
        folder_columns: Make columns of ``key=value`` folders.
        **kwargs: Those of `MetropulseOperator`.
    """

    template_fields: Sequence[str] = ("source", "table", *COMMON_FIELDS)

    def __init__(
        self,
        *,
        source: str | list[str],
        table: str,
        create: bool = False,
        truncate: bool = False,
        connections: int = 1,
        plain_files: bool = False,
        folder_columns: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.table = table
        self.create = create
        self.truncate = truncate
        self.connections = connections
        self.plain_files = plain_files
        self.folder_columns = folder_columns
        self.declare(files_of(source), _table(table, self.places))

    def trace(self, namespaces: Namespaces) -> Trace:
        """Return what is kept of the task for its lineage."""
        return Trace(namespaces, files_read=names_of(self.source), table_written=self.table)

    def call(self, pipeline: Pipeline, _context: Context) -> Report:
        """Copy the files."""
        from metropulse.copy import copy_parquet

        return copy_parquet(
            self.source,
            pipeline,
            self.table,
            create=self.create,
            truncate=self.truncate,
            connections=self.connections,
            plain_files=self.plain_files,
            folder_columns=self.folder_columns,
            progress=self.progress,
        )


class MergeSnapshotOperator(MetropulseOperator):
    """Merge Parquet files into a type 2 table of PostgreSQL; see `metropulse.merge_snapshot`.

    Args:
        snapshot: A path, URL, folder or glob, or a list of them.
        table: The table as SQL names it; it is made when missing.
        key: The column or columns that tell the rows apart.
        tracked: The columns whose changes open a version; by default all others of the snapshot.
        overwritten: The columns that show their newest value in every version.
        effective: The instant of a full snapshot; the run's own day when neither this nor `effective_column` is given.
        effective_column: The column that gives each row of a change feed its instant.
        deleted: How a change feed says that a key is gone: a boolean column, or a column and the value that means it.
        renamed: Columns that have another name than before, new names by former ones.
        adopt: Take over the rows of a table that no merge has written as its history so far.
        absent: What it means that a full snapshot lacks a key: ``close``, ``ignore`` or ``error``.
        allow_vanishing: Accept a snapshot that is empty, or lacks more than 30 % of the keys (and at least 10).
        dry_run: Show what would change, and write nothing.
        surrogate: Name of the surrogate key column; by default ``<table>_sk``.
        valid_from: Name of the column with the first instant of a version.
        valid_to: Name of the column with the first instant after it.
        current: Name of the column that flags open versions; None for no such column.
        plain_files: Read the files of a Delta Lake, Hudi or Iceberg table as they are.
        folder_columns: Make columns of ``key=value`` folders.
        **kwargs: Those of `MetropulseOperator`.
    """

    template_fields: Sequence[str] = ("snapshot", "table", "effective", *COMMON_FIELDS)

    def __init__(
        self,
        *,
        snapshot: str | list[str],
        table: str,
        key: str | list[str],
        tracked: list[str] | None = None,
        overwritten: Sequence[str] = (),
        effective: str | None = None,
        effective_column: str | None = None,
        deleted: str | Sequence[str | int | bool] | None = None,
        renamed: Mapping[str, str] | None = None,
        adopt: bool = False,
        absent: str = "close",
        allow_vanishing: bool = False,
        dry_run: bool = False,
        surrogate: str | None = None,
        valid_from: str = "valid_from",
        valid_to: str = "valid_to",
        current: str | None = "is_current",
        plain_files: bool = False,
        folder_columns: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.snapshot = snapshot
        self.table = table
        self.effective = effective
        self.effective_column = effective_column
        self.options: dict[str, Any] = {
            "key": key,
            "tracked": tracked,
            "overwritten": overwritten,
            "deleted": deleted,
            "renamed": renamed,
            "adopt": adopt,
            "absent": absent,
            "allow_vanishing": allow_vanishing,
            "dry_run": dry_run,
            "surrogate": surrogate,
            "valid_from": valid_from,
            "valid_to": valid_to,
            "current": current,
            "plain_files": plain_files,
            "folder_columns": folder_columns,
        }
        self.declare(files_of(snapshot), _table(table, self.places))

    def trace(self, namespaces: Namespaces) -> Trace:
        """Return what is kept of the task for its lineage."""
        return Trace(namespaces, files_read=names_of(self.snapshot), table_written=self.table)

    def call(self, pipeline: Pipeline, context: Context) -> Report:
        """Merge the files."""
        from metropulse.merge import merge_snapshot

        effective = self.effective
        if effective is None and self.effective_column is None:
            effective = resolve_partition(context)
        when: dict[str, Any] = {"effective": effective, "effective_column": self.effective_column}
        return merge_snapshot(self.snapshot, pipeline, self.table, progress=self.progress, **when, **self.options)


class RollupHourlyOperator(MetropulseOperator):
    """Group Parquet files by columns and hour into a Parquet file; see `metropulse.rollup_hourly`.

    Hours are cut in the service zone. Mapped tasks may each make a partial state of some files (`partial`), and one
    task combine those (`merge`).

    Args:
        source: A path, URL, folder or glob, or a list of them.
        target: The path or URL of the Parquet file to write; it is replaced as a whole.
        keys: Columns to group by.
        time: The timestamp column.
        measures: By name of the result: ``"count"``, or a pair of operation and column.
        partial: Write a state for a later `merge`.
        merge: The sources are such states; neither keys, time nor measures are given then.
        plain_files: Read the files of a Delta Lake, Hudi or Iceberg table as they are.
        folder_columns: Make columns of ``key=value`` folders.
        **kwargs: Those of `MetropulseOperator`.
    """

    template_fields: Sequence[str] = ("source", "target", *COMMON_FIELDS)

    def __init__(
        self,
        *,
        source: str | list[str],
        target: str,
        keys: Sequence[str] = (),
        time: str | None = None,
        measures: Mapping[str, Measure] | None = None,
        partial: bool = False,
        merge: bool = False,
        plain_files: bool = False,
        folder_columns: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.target = target
        self.keys = keys
        self.time = time
        self.measures = measures
        self.partial_state = partial
        self.merge = merge
        self.plain_files = plain_files
        self.folder_columns = folder_columns
        self.declare(files_of(source), files_of(target))

    def trace(self, namespaces: Namespaces) -> Trace:
        """Return what is kept of the task for its lineage."""
        return Trace(namespaces, files_read=names_of(self.source), file_written=self.target)

    def call(self, pipeline: Pipeline, _context: Context) -> Report:
        """Write the rollup."""
        from metropulse.rollup import rollup_into

        return rollup_into(
            pipeline,
            self.source,
            self.target,
            keys=self.keys,
            time=self.time,
            measures=self.measures or {},
            partial=self.partial_state,
            merge=self.merge,
            plain_files=self.plain_files,
            folder_columns=self.folder_columns,
            progress=self.progress,
        )
