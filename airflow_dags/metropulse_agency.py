"""An agency's day from its own feeds: schedule and recordings into the lake, and on to the warehouse and the mart.

`metropulse collect` records the feeds beside Airflow, and brings an archive of each hour into the lake. For each
service date this DAG writes the timetable into the raw day, waits for the archive of the date's last hour, writes
what the recordings say, and takes the same steps as `metropulse_daily`, which is switched off then.

    AIRFLOW__METROPULSE__AGENCY_GTFS=https://agency.example/google_transit.zip

names the timetable; without it the steps of the timetable are left out. By default a date is loaded at half past twelve
of the day after, when the last runs past midnight are over. With

    AIRFLOW__METROPULSE__AGENCY_SCHEDULE="10 * * * *"
    AIRFLOW__METROPULSE__AGENCY_WAIT=False

it is loaded again each hour, as far as it is recorded.

In a lake of several agencies the parameter `feed` is the name under which this one's feeds are recorded and written;
AIRFLOW__METROPULSE__AGENCY_FEED is its default. Each further agency has a copy of this file with a `dag_id`, `source`
and `feed` of its own.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param, chain

from metropulse.airflow.operators import IngestGtfsOperator, IngestGtfsRtOperator
from metropulse.airflow.partitions import YESTERDAY
from metropulse.airflow.recorded import RecordingsSensor
from metropulse.airflow.schedule import (
    WAITING,
    agency_feed,
    agency_gtfs,
    agency_schedule,
    agency_waits,
    day_defaults,
    first_day,
    max_active_runs,
    wait_seconds,
)
from metropulse.airflow.task_group import MetropulseDayTaskGroup

LAKE = "{{ params.lake or '' }}"
FEED = "{{ params.feed or '' }}"

with DAG(
    dag_id="metropulse_agency",
    description="An agency's own feeds of a day to the warehouse and the hourly mart",
    doc_md=__doc__,
    schedule=agency_schedule(),
    start_date=first_day("2000-01-01"),
    catchup=False,
    max_active_runs=max_active_runs(),
    tags=["metropulse"],
    default_args=day_defaults(),
    params={
        "partition": Param(
            YESTERDAY,
            type=["null", "string"],
            title="Service date",
            pattern=r"^(\d{4}-\d{2}-\d{2}|yesterday)?$",
            description="The service date as YYYY-MM-DD. A scheduled run has its own; for a run by hand `yesterday` is "
            "the day before it, in the service zone.",
        ),
        "lake": Param(
            None, type=["null", "string"], description="Folder or URL of the lake; empty: as the connections say."
        ),
        "feed": Param(
            agency_feed() or None,
            type=["null", "string"],
            description="Name of the feed, set before every id, in a lake of several agencies; empty: none.",
        ),
        "hours_past": Param(
            12,
            type="number",
            minimum=0,
            maximum=24,
            description="How many hours past the end of the date its recordings are waited for.",
        ),
    },
) as dag:
    steps = []
    if timetable := agency_gtfs():
        steps.append(IngestGtfsOperator(task_id="schedule", source=timetable, feed=FEED, lake=LAKE))
    if agency_waits():
        steps.append(
            RecordingsSensor(
                task_id="recorded",
                feed=FEED,
                hours_past="{{ params.hours_past }}",
                lake=LAKE,
                mode="reschedule",
                poke_interval=300,
                timeout=wait_seconds(),
                **WAITING,
            )
        )
    steps.append(IngestGtfsRtOperator(task_id="recordings", feed=FEED, lake=LAKE))
    chain(*steps, MetropulseDayTaskGroup("day", prefix_group_id=False, lake=LAKE, wait=False))
