"""Raw transport data to a warehouse with history to an hourly mart.

    import metropulse as mp

    with mp.Pipeline.embedded("state/") as p:
        p.generate("2024-05-01", days=1)
        print(p.run("2024-05-01"))

Importing this package loads nothing else: names are resolved at first use, no thread is started and no environment
variable is read, because Airflow imports it in every long-lived process before it forks.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from metropulse.copy import copy_parquet
    from metropulse.exceptions import (
        CancelledError,
        ConfigError,
        ConflictError,
        DatabaseError,
        DataError,
        InternalError,
        MetropulseError,
        NotFoundError,
        QualityError,
        SchemaError,
        StorageError,
    )
    from metropulse.export import export_tides
    from metropulse.ingest import ingest_gtfs, ingest_gtfs_rt, ingest_tides
    from metropulse.merge import merge_snapshot, rewind_snapshot
    from metropulse.pipeline import Pipeline
    from metropulse.recorder import collect, collect_status
    from metropulse.results import Report
    from metropulse.rollup import merge_rollups, rollup_hourly

    __version__: str

__all__ = [
    "CancelledError",
    "ConfigError",
    "ConflictError",
    "DataError",
    "DatabaseError",
    "InternalError",
    "MetropulseError",
    "NotFoundError",
    "Pipeline",
    "QualityError",
    "Report",
    "SchemaError",
    "StorageError",
    "__version__",
    "collect",
    "collect_status",
    "copy_parquet",
    "export_tides",
    "ingest_gtfs",
    "ingest_gtfs_rt",
    "ingest_tides",
    "merge_rollups",
    "merge_snapshot",
    "rewind_snapshot",
    "rollup_hourly",
]

_HOMES = {
    "Pipeline": "metropulse.pipeline",
    "Report": "metropulse.results",
    "merge_rollups": "metropulse.rollup",
    "merge_snapshot": "metropulse.merge",
    "rewind_snapshot": "metropulse.merge",
    "rollup_hourly": "metropulse.rollup",
    "collect": "metropulse.recorder",
    "collect_status": "metropulse.recorder",
    "copy_parquet": "metropulse.copy",
    "ingest_gtfs": "metropulse.ingest",
    "ingest_gtfs_rt": "metropulse.ingest",
    "ingest_tides": "metropulse.ingest",
    "export_tides": "metropulse.export",
    **{name: "metropulse.exceptions" for name in __all__ if name.endswith("Error")},
}


def __getattr__(name: str) -> object:
    """Import a public name from its module at first use."""
    if name == "__version__":
        from importlib.metadata import version

        value: object = version("metropulse")
    elif name in _HOMES:
        from importlib import import_module

        value = getattr(import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted(set(globals()) | set(__all__))
