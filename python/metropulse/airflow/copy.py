"""`CopyParquetOperator`: Parquet into any table of the warehouse's database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from metropulse.airflow.base import COMMON_FIELDS, FileOperator

if TYPE_CHECKING:
    from metropulse.airflow._compat import Context
    from metropulse.pipeline import Pipeline
    from metropulse.results import Report

__all__ = ["CopyParquetOperator"]


class CopyParquetOperator(FileOperator):
    """Copy Parquet files into a table of PostgreSQL, by COPY BINARY; see `metropulse.copy_parquet`.

    Args:
        source: A path, URL, folder or glob, or a list of them.
        table: The table as SQL names it.
        create: Make the table after the first file when it is not there.
        truncate: Empty the table in the same transaction.
        connections: How many connections may share the work.
        **kwargs: Those of `MetropulseOperator`.
    """

    file_fields = ("source",)
    template_fields: Sequence[str] = ("source", "table", *COMMON_FIELDS)

    def __init__(
        self,
        *,
        source: str | list[str],
        table: str,
        create: bool = False,
        truncate: bool = False,
        connections: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.table = table
        self.create = create
        self.truncate = truncate
        self.connections = connections

    def call(self, pipeline: Pipeline, _context: Context) -> Report:
        """Copy the files."""
        from metropulse.copy import copy_into

        return copy_into(
            pipeline,
            self.source,
            self.table,
            create=self.create,
            truncate=self.truncate,
            connections=self.connections,
        )
