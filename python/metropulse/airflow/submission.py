"""A job of the wheel that a task gives to spark-submit: where it lies, and what it is told of Airflow's connections."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import metropulse
from metropulse.airflow._compat import AirflowFailException
from metropulse.airflow._errors import airflow_errors
from metropulse.airflow.hooks import MetropulseHook

if TYPE_CHECKING:
    from metropulse.airflow._compat import Context

__all__ = ["MART_JOB", "submitting"]

MART_JOB = Path(metropulse.__file__).parent / "spark" / "jobs" / "mart_route_hourly.py"
"""The job that builds service dates of the mart on a cluster."""


@contextmanager
def submitting(context: Context | Mapping[str, Any], job: Path, **places: Any) -> Iterator[None]:
    """Run the block, which calls spark-submit, in an environment that tells the job of Airflow's connections.

    A command line is for all to see, an environment for its own user alone; so a driver on another machine (deploy mode
    ``cluster``) is told nothing.

    Args:
        context: The task's context.
        job: The file to be submitted.
        **places: Arguments of `MetropulseHook`.

    Raises:
        AirflowFailException: The file or spark-submit is missing, or a connection cannot be used.
    """
    if not job.is_file():
        raise AirflowFailException(
            f"the job {job} is missing, expected it in the wheel: pip install --force-reinstall metropulse"
        )
    with airflow_errors(context), MetropulseHook(**places).pipeline() as pipeline:
        handed_over = pipeline.settings.handed_over()
    os.environ.update(handed_over)
    try:
        yield
    except FileNotFoundError as error:
        raise AirflowFailException(
            f"{error.filename} is not on the PATH of Airflow's workers, expected Spark 4 and Java 17 there: "
            'pip install "metropulse[spark]", or the image airflow-spark of the Dockerfile'
        ) from error
    finally:
        for name in handed_over:
            os.environ.pop(name, None)
