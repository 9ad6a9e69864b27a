"""Past one machine: the kernels of metropulse inside Apache Spark (extra ``metropulse[spark]``).

    from metropulse.spark import rollup_hourly

    files = "s3://raw/dt=*/vehicle_positions.parquet"
    rollup_hourly(spark, files, keys=["route_id"], time="event_ts", measures={"n": "count"})

The driver lists what is to be done, executors read their share with the wheel's own reader, and what they find is
brought together by Spark. Executors need the wheel and pyarrow: see docs/spark.md.
"""

from __future__ import annotations

from metropulse.spark.lake import CleanDays, clean
from metropulse.spark.mart import build_route_hourly
from metropulse.spark.rollup import rollup_hourly

__all__ = ["CleanDays", "build_route_hourly", "clean", "rollup_hourly"]
