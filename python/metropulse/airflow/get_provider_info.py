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
                    "metropulse.airflow.operators.tables",
                    "metropulse.airflow.operators.operations",
                ],
            }
        ],
        "sensors": [{"integration-name": _INTEGRATION, "python-modules": ["metropulse.airflow.sensors"]}],
        "triggers": [{"integration-name": _INTEGRATION, "python-modules": ["metropulse.airflow.triggers"]}],
        "connection-types": [
            {
                "connection-type": "metropulse",
                "hook-class-name": "metropulse.airflow.hooks.MetropulseHook",
                "hook-name": _INTEGRATION,
                "conn-fields": _connection_fields(),
                "ui-field-behaviour": {
                    "hidden-fields": ["host", "port", "schema", "login", "password"],
                    "relabeling": {},
                    "placeholders": {},
                },
            }
        ],
        "config": {"metropulse": {"description": "Defaults of the MetroPulse DAG.", "options": _options()}},
    }


def _connection_fields() -> dict[str, Any]:
    def field(label: str, kind: str, **more: Any) -> dict[str, Any]:
        return {"label": label, "schema": {"type": [kind, "null"], **more}}

    return {
        "state": field("State folder of the embedded engines", "string"),
        "lake": field("Lake folder or URL", "string"),
        "time_zone": field("Service zone", "string"),
        "threads": field("Threads (0: one for each core)", "integer", minimum=0),
        "memory_bytes": field("Memory bound of a step, in bytes", "integer", minimum=1),
        "connections": field("Connections that load a partition", "integer", minimum=1),
        "reject_limit": field("Share of rejected rows that fails a step", "number", minimum=0, maximum=1),
        "swap_deadline_seconds": field("Deadline of a swap, in seconds", "integer", minimum=1),
        "lock_deadline_seconds": field("Deadline of a lock, in seconds", "integer", minimum=1),
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
        "wait_minutes": option("How long a run of the daily DAG waits for its raw day.", "float", "720", "30"),
    }
