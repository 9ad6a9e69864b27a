"""A raw day into staging, dimensions and facts: the prototype's job, by its command line and its variables.

    spark-submit spark_jobs/etl_batch.py --date 2024-05-01

It reads `PG_URL`, `PG_USER`, `PG_PASSWORD` and `MINIO_ENDPOINT`, `MINIO_ACCESS_KEY`, `MINIO_SECRET_KEY`, `MINIO_SECURE`
(or `METROPULSE_LAKE`). All of it happens in the driver: PostgreSQL is what a day waits for, and executors would wait
beside it. So `python spark_jobs/etl_batch.py` does the same without Spark. Where a cluster runs the driver (deploy mode
`cluster`) a session is made all the same: Yarn takes a driver without one for failed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from datetime import date

import metropulse as mp


def expected_session() -> AbstractContextManager[object]:
    """Return the session that a cluster waits for where it runs this driver; nothing is done in it."""
    if "PYSPARK_GATEWAY_PORT" in os.environ:
        from pyspark import SparkConf
        from pyspark.sql import SparkSession

        if SparkConf().get("spark.submit.deployMode") == "cluster":
            session: AbstractContextManager[object] = SparkSession.builder.appName("etl_batch").getOrCreate()
            return session
    return nullcontext()


def main() -> None:
    """Load the day; a line of JSON for each step. An error is told on stderr, and the exit status is 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--date", type=date.fromisoformat, required=True, help="the raw day, YYYY-MM-DD")
    day = parser.parse_args().date
    pipeline = mp.Pipeline.from_env()
    with expected_session():
        for step in (pipeline.stage, pipeline.load_dimensions, pipeline.load_facts):
            print(json.dumps(step(day)), flush=True)


if __name__ == "__main__":
    try:
        main()
    except mp.MetropulseError as error:
        sys.exit(f"{type(error).__name__}: {error}")
