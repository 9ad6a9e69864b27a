"""`CopyParquetOperator`: Parquet into any table of the warehouse's database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from metropulse.airflow.base import COMMON_FIELDS, MetropulseOperator
from metropulse.config import resolve

if TYPE_CHECKING:
    from metropulse.airflow._compat import Context
    from metropulse.pipeline import Pipeline
    from metropulse.results import Report

__all__ = ["CopyParquetOperator"]


class CopyParquetOperator(MetropulseOperator):
    """Copy Parquet files into a table of PostgreSQL, by COPY BINARY; see `metropulse.copy_parquet`.

    Remote files are read with the access of the lake's connection, or of the environment.

    Args:
        source: A path, URL, folder or glob, or a list of them.
        table: The table as SQL names it.
        create: Make the table after the first file when it is not there.
        truncate: Empty the table in the same transaction.
        connections: How many connections may share the work.
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
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.table = table
        self.create = create
        self.truncate = truncate
        self.connections = connections

    @contextmanager
    def open(self) -> Iterator[Pipeline]:
        """Open the pipeline with access to the source.

        Yields:
            The pipeline.
        """
        from metropulse.pipeline import Pipeline
        from metropulse.sources import first_url

        with self.hook.pipeline() as pipeline:
            settings, url = pipeline.settings, first_url(self.source)
            if url and not settings.lake_options:
                settings = replace(settings, lake_options=resolve(lake=url).lake_options)
            yield Pipeline.from_settings(settings)

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
