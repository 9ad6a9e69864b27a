"""`MergeSnapshotOperator`: a snapshot or changes into any table with history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from metropulse.airflow.base import COMMON_FIELDS, FileOperator
from metropulse.airflow.partitions import resolve_partition

if TYPE_CHECKING:
    from metropulse.airflow._compat import Context
    from metropulse.pipeline import Pipeline
    from metropulse.results import Report

__all__ = ["MergeSnapshotOperator"]


class MergeSnapshotOperator(FileOperator):
    """Merge Parquet files into a type 2 table of PostgreSQL; see `metropulse.merge_snapshot`.

    Args:
        snapshot: A path, URL, folder or glob, or a list of them.
        table: The table as SQL names it; it is made when missing.
        key: The column or columns that tell the rows apart.
        tracked: The columns whose changes open a version; by default all others.
        overwritten: The columns that show their newest value in every version.
        effective: The instant of a full snapshot; the run's own day when neither this nor `effective_column` is given.
        effective_column: The column that gives each row of a change feed its instant.
        absent: What a key's absence from a full snapshot means: ``close``, ``ignore`` or ``error``.
        allow_vanishing: Let a snapshot pass although it is empty or misses many keys.
        dry_run: Show what would change, write nothing.
        names: Names of the merge's own columns, by ``surrogate``, ``valid_from``, ``valid_to`` and ``current``.
        **kwargs: Those of `MetropulseOperator`.
    """

    file_fields = ("snapshot",)
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
        absent: str = "close",
        allow_vanishing: bool = False,
        dry_run: bool = False,
        names: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.snapshot = snapshot
        self.table = table
        self.key = key
        self.tracked = tracked
        self.overwritten = overwritten
        self.effective = effective
        self.effective_column = effective_column
        self.absent = absent
        self.allow_vanishing = allow_vanishing
        self.dry_run_only = dry_run
        self.names = names

    def call(self, pipeline: Pipeline, context: Context) -> Report:
        """Merge the files."""
        from metropulse.merge import merge_into

        effective = self.effective
        if effective is None and self.effective_column is None:
            effective = resolve_partition(context)
        return merge_into(
            pipeline,
            self.snapshot,
            self.table,
            key=self.key,
            tracked=self.tracked,
            overwritten=self.overwritten,
            effective=effective,
            effective_column=self.effective_column,
            absent=self.absent,
            allow_vanishing=self.allow_vanishing,
            dry_run=self.dry_run_only,
            **(self.names or {}),
        )
