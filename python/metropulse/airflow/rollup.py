"""`RollupHourlyOperator`: an hourly rollup of any Parquet files, into one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from metropulse.airflow.base import COMMON_FIELDS, FileOperator

if TYPE_CHECKING:
    from metropulse.airflow._compat import Context
    from metropulse.pipeline import Pipeline
    from metropulse.results import Report
    from metropulse.rollup import Measure

__all__ = ["RollupHourlyOperator"]


class RollupHourlyOperator(FileOperator):
    """Group Parquet files by columns and hour into a Parquet file; see `metropulse.rollup_hourly`.

    Hours are cut in the service zone. Mapped tasks may each make a partial state of some files (`partial`), and one
    task put those together (`merge`).

    Args:
        source: A path, URL, folder or glob, or a list of them.
        target: The path or URL of the Parquet file to write; it is replaced as a whole.
        keys: Columns to group by.
        time: The timestamp column.
        measures: By name of the result: ``"count"``, or a pair of operation and column.
        partial: Write a state for a later `merge`.
        merge: The sources are such states; neither keys, time nor measures are given then.
        **kwargs: Those of `MetropulseOperator`.
    """

    file_fields = ("source", "target")
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
        )
