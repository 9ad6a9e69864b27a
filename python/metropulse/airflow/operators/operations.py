"""Operators for operating a warehouse: taking days out, retention, rejected rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from metropulse.airflow.operators.base import COMMON_FIELDS, MetropulseOperator, PartitionOperator

if TYPE_CHECKING:
    from metropulse.airflow._compat import Context
    from metropulse.pipeline import Pipeline
    from metropulse.results import Report

__all__ = ["PurgeOperator", "RequeueRejectedOperator", "RewindOperator", "UndoOperator"]


class UndoOperator(PartitionOperator):
    """Take out exactly what the raw day brought.

    Args:
        dry_run: Report what would go, and keep everything.
        **kwargs: Those of `PartitionOperator`.
    """

    writes = ("staging", "dimensions", "facts")

    def __init__(self, *, dry_run: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.only_report = dry_run

    def call(self, pipeline: Pipeline, context: Context) -> Report:
        """Undo the day."""
        return pipeline.undo(self.partition(context), dry_run=self.only_report, progress=self.progress)


class RewindOperator(MetropulseOperator):
    """Take out every raw day after `to`.

    Args:
        to: The last raw day that stays.
        dry_run: Report the days, and keep everything.
        **kwargs: Those of `MetropulseOperator`.
    """

    writes = ("staging", "dimensions", "facts")

    template_fields: Sequence[str] = ("to", *COMMON_FIELDS)

    def __init__(self, *, to: str, dry_run: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.to = to
        self.only_report = dry_run

    def call(self, pipeline: Pipeline, _context: Context) -> Report:
        """Rewind."""
        return pipeline.rewind(self.to, dry_run=self.only_report, progress=self.progress)


class RequeueRejectedOperator(PartitionOperator):
    """Check the raw day's rejected rows again, repaired or under today's rules, and load what passes.

    Args:
        rows: Repaired rows, see `metropulse.Pipeline.requeue`; also the XCom of a task that repairs them.
        **kwargs: Those of `PartitionOperator`.
    """

    reads = ("staging",)
    writes = ("staging", "facts")

    template_fields: Sequence[str] = ("dt", "rows", *COMMON_FIELDS)

    def __init__(self, *, rows: Sequence[dict[str, Any]] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rows = rows

    def call(self, pipeline: Pipeline, context: Context) -> Report:
        """Requeue."""
        if self.rows:
            return pipeline.requeue(self.rows, progress=self.progress)
        return pipeline.requeue(dt=self.partition(context), progress=self.progress)


class PurgeOperator(MetropulseOperator):
    """Drop staging of old raw days; for a DAG of its own, once a day.

    Args:
        older_than: Age of the raw day, such as ``90d``.
        what: Any of ``staging``, ``rejected`` and ``quality``.
        dry_run: Report what would be dropped, and keep everything.
        **kwargs: Those of `MetropulseOperator`.
    """

    reads = ("staging",)

    template_fields: Sequence[str] = ("older_than", *COMMON_FIELDS)

    def __init__(
        self,
        *,
        older_than: str = "90d",
        what: Sequence[str] = ("staging",),
        dry_run: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.older_than = older_than
        self.what = list(what)
        self.only_report = dry_run

    def call(self, pipeline: Pipeline, _context: Context) -> Report:
        """Purge."""
        return pipeline.purge(self.older_than, what=self.what, dry_run=self.only_report, progress=self.progress)
