"""The operators: the steps of a day, the loads of any table, and the operations on a warehouse.

Each calls one verb of `metropulse`, with the same arguments, templated, and returns the verb's report as XCom. Secrets
live in connections alone: no argument takes one.
"""

from __future__ import annotations

from metropulse.airflow.operators.arrivals import AnnounceRawOperator
from metropulse.airflow.operators.day import (
    BuildRouteHourlyOperator,
    CheckQualityOperator,
    GenerateRawOperator,
    LoadCalendarOperator,
    LoadDimensionsOperator,
    LoadFactsOperator,
    LoadTelemetryOperator,
    StageRawOperator,
)
from metropulse.airflow.operators.feeds import (
    ExportTidesOperator,
    IngestGtfsOperator,
    IngestGtfsRtOperator,
    IngestTidesOperator,
)
from metropulse.airflow.operators.operations import (
    PurgeOperator,
    RequeueRejectedOperator,
    RewindOperator,
    UndoOperator,
)
from metropulse.airflow.operators.tables import CopyParquetOperator, MergeSnapshotOperator, RollupHourlyOperator

__all__ = [
    "AnnounceRawOperator",
    "BuildRouteHourlyOperator",
    "CheckQualityOperator",
    "CopyParquetOperator",
    "ExportTidesOperator",
    "GenerateRawOperator",
    "IngestGtfsOperator",
    "IngestGtfsRtOperator",
    "IngestTidesOperator",
    "LoadCalendarOperator",
    "LoadDimensionsOperator",
    "LoadFactsOperator",
    "LoadTelemetryOperator",
    "MergeSnapshotOperator",
    "PurgeOperator",
    "RequeueRejectedOperator",
    "RewindOperator",
    "RollupHourlyOperator",
    "StageRawOperator",
    "UndoOperator",
]
