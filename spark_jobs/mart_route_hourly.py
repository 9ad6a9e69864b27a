"""Service dates of the hourly route mart: the prototype's job, by its command line and its variables.

    spark-submit spark_jobs/mart_route_hourly.py --date-from 2024-05-01 --date-to 2024-06-01

It reads the lake on the executors (`MINIO_ENDPOINT`, `MINIO_ACCESS_KEY`, `MINIO_SECRET_KEY`, `MINIO_SECURE`, or
`METROPULSE_LAKE`) and writes to ClickHouse (`CH_JDBC_URL`, `CH_USER`, `CH_PASSWORD`). Names of routes come from the
warehouse where `PG_URL` names one, else from the lake's own files. The range is half-open. In the place of all these
stands what a task of Airflow hands over, in `METROPULSE_SETTINGS`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from datetime import date

from pyspark.sql import SparkSession

import metropulse as mp
from metropulse.settings import taken_over
from metropulse.spark import build_route_hourly


def main() -> None:
    """Build the dates; a line of JSON says which. An error is told on stderr, and the exit status is 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--date-from", type=date.fromisoformat, required=True, help="the first service date")
    parser.add_argument("--date-to", type=date.fromisoformat, required=True, help="the date after the last one")
    chosen = parser.parse_args()
    spark = SparkSession.builder.appName("mart_route_hourly").getOrCreate()
    try:
        report = build_route_hourly(spark, date_from=chosen.date_from, date_to=chosen.date_to, **taken_over(os.environ))
    finally:
        spark.stop()
    print(json.dumps(report), flush=True)


if __name__ == "__main__":
    try:
        main()
    except mp.MetropulseError as error:
        sys.exit(f"{type(error).__name__}: {error}")
