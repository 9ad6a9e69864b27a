"""What Airflow's provider manager reads: which hooks, operators and connection types there are.

Airflow calls this in every long-lived process before it forks, so it is data and nothing else.
"""

from __future__ import annotations

from typing import Any

__all__ = ["get_provider_info"]

_INTEGRATION = "MetroPulse"
_ADDED = "0.1.0"


def get_provider_info() -> dict[str, Any]:
    """Return the provider's description.

    Returns:
        A dict valid against Airflow's schema of provider information.
    """
    return {
        "package-name": "metropulse",
        "name": _INTEGRATION,
        "description": "Raw transport data to a Kimball warehouse in PostgreSQL to an hourly mart in ClickHouse.",
        "versions": [_ADDED],
        "integrations": [{"integration-name": _INTEGRATION, "tags": ["software"]}],
        "hooks": [{"integration-name": _INTEGRATION, "python-modules": ["metropulse.airflow.hooks"]}],
        "operators": [
            {
                "integration-name": _INTEGRATION,
                "python-modules": [
                    "metropulse.airflow.operators.arrivals",
                    "metropulse.airflow.operators.day",
                    "metropulse.airflow.operators.feeds",
                    "metropulse.airflow.operators.tables",
                    "metropulse.airflow.operators.operations",
                ],
            }
        ],
        "sensors": [
            {
                "integration-name": _INTEGRATION,
                "python-modules": ["metropulse.airflow.recorded", "metropulse.airflow.sensors"],
            }
        ],
        "triggers": [{"integration-name": _INTEGRATION, "python-modules": ["metropulse.airflow.triggers"]}],
        "connection-types": [
            {
                "connection-type": "metropulse",
                "hook-class-name": "metropulse.airflow.hooks.MetropulseHook",
                "hook-name": _INTEGRATION,
                "conn-fields": _connection_fields(),
                # The standard fields are the ones that the form shows unfolded.
                "ui-field-behaviour": {
                    "hidden-fields": ["port", "login", "password"],
                    "relabeling": {"host": "State folder of the embedded engines", "schema": "Service zone"},
                    "placeholders": {
                        "host": "/var/lib/metropulse; empty: servers of your own, by connections of their own",
                        "schema": "Europe/Moscow; empty: METROPULSE_TIME_ZONE, else UTC",
                    },
                },
            }
        ],
        "config": {"metropulse": {"description": "Defaults of the MetroPulse DAG.", "options": _options()}},
    }


def _connection_fields() -> dict[str, Any]:
    def field(label: str, kind: str, description: str, **schema: Any) -> dict[str, Any]:
        return {"label": label, "description": description, "schema": {"type": [kind, "null"], **schema}}

    return {
        "lake": field(
            "Lake",
            "string",
            "Folder or URL whose children are the dt= folders. Empty: the connection metropulse_lake_default, or "
            "lake/raw in the state folder.",
            examples=["s3://raw", "/data/raw", "gs://raw", "az://raw"],
        ),
        "threads": field("Threads", "integer", "For decoding and adding up. 0: one for each core.", minimum=0),
        "memory_bytes": field(
            "Memory", "integer", "Bound of one step, in bytes. Empty: 268435456 (256 MiB).", minimum=1
        ),
        "connections": field(
            "Connections", "integer", "Connections to PostgreSQL that load one partition. Empty: 2.", minimum=1
        ),
        "reject_limit": field(
            "Reject limit",
            "number",
            "Share of rejected rows of a dataset and day above which nothing is published. Empty: 0.05 (5 %).",
            minimum=0,
            maximum=1,
        ),
        "swap_deadline_seconds": field(
            "Deadline of a swap",
            "integer",
            "How long a publication waits for long readers, in seconds. Empty: 60.",
            minimum=1,
        ),
        "lock_deadline_seconds": field(
            "Deadline of a lock",
            "integer",
            "How long a step waits for another run that loads the same tables, in seconds. Empty: 600.",
            minimum=1,
        ),
        "positions": field(
            "Positions",
            "string",
            "Where positions are kept: warehouse (PostgreSQL) or telemetry (ClickHouse). Empty: where the warehouse "
            "has them; in PostgreSQL for a new one.",
            enum=["warehouse", "telemetry", None],
        ),
    }


def _options() -> dict[str, Any]:
    def option(description: str, kind: str, default: str, example: str) -> dict[str, Any]:
        return {
            "description": description,
            "version_added": _ADDED,
            "type": kind,
            "example": example,
            "default": default,
        }

    return {
        "schedule": option(
            "When the daily DAG runs, as cron in the service zone; or `arrivals`: when the DAG metropulse_arrivals "
            "tells of a raw day.",
            "string",
            "0 0 * * *",
            "30 2 * * *",
        ),
        "arrivals_schedule": option(
            "When the DAG metropulse_arrivals looks for raw days, as cron.", "string", "*/5 * * * *", "*/15 * * * *"
        ),
        "max_active_runs": option(
            "How many days the daily DAG has under way at once, those that only wait among them. More than the 20 runs "
            "that the scheduler looks at in one loop would keep backfills of all DAGs from being looked at.",
            "integer",
            "8",
            "4",
        ),
        "days_at_once": option(
            "How many days each step of the daily DAG works on at once; waiting does not count.", "integer", "4", "1"
        ),
        "pool": option(
            "Pool of the steps that work. It must exist, or they are never queued.",
            "string",
            "default_pool",
            "warehouse",
        ),
        "mart_in_daily": option(
            "Whether the daily DAG builds the mart; else the DAG metropulse_mart does, after facts were published.",
            "boolean",
            "True",
            "False",
        ),
        "agency_schedule": option(
            "When the DAG metropulse_agency runs, as cron in the service zone.", "string", "30 12 * * *", "10 * * * *"
        ),
        "agency_gtfs": option(
            "Path or URL of the timetable that the DAG metropulse_agency reads; empty: none.",
            "string",
            "",
            "https://agency.example/google_transit.zip",
        ),
        "agency_feed": option(
            "Name of the feeds that the DAG metropulse_agency loads, in a lake of several agencies; empty: none.",
            "string",
            "",
            "tram",
        ),
        "agency_wait": option(
            "Whether the DAG metropulse_agency waits for the recordings of the whole service date; else it loads as "
            "far as they reach.",
            "boolean",
            "True",
            "False",
        ),
        "wait_minutes": option("How long a run of the daily DAG waits for its raw day.", "float", "720", "30"),
    }
