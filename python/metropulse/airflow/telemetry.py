"""`LoadTelemetryOperator`: positions straight into ClickHouse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metropulse.airflow.base import PartitionOperator

if TYPE_CHECKING:
    from metropulse.airflow._compat import Context
    from metropulse.pipeline import Pipeline
    from metropulse.results import Report

__all__ = ["LoadTelemetryOperator"]


class LoadTelemetryOperator(PartitionOperator):
    """Load the raw day's clean positions straight into ClickHouse, past the warehouse, replacing the day whole."""

    def call(self, pipeline: Pipeline, context: Context) -> Report:
        """Load the day."""
        return pipeline.load_telemetry(self.partition(context))
