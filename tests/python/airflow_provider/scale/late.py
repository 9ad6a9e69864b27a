"""Two hundred days that nobody has delivered yet, waited for at once; and a task that watches the triggerer."""

from __future__ import annotations

from datetime import date, timedelta

from airflow.sdk import DAG, BaseOperator
from event_loop import LatenessTrigger

from metropulse.airflow.sensors import RawPartitionSensor

DAYS = [(date(2022, 1, 1) + timedelta(days=number)).isoformat() for number in range(200)]


class WatchOperator(BaseOperator):
    """Defers to the trigger that watches, for as long as the run goes on."""

    def execute(self, context):
        """Begin to watch."""
        self.defer(trigger=LatenessTrigger(), method_name="execute")


with DAG("late", schedule=None):
    RawPartitionSensor.partial(
        task_id="wait", lake_conn_id="late_lake", deferrable=True, poke_interval=10, timeout=3600, stable_seconds=None
    ).expand(dt=DAYS)

with DAG("watch", schedule=None):
    WatchOperator(task_id="watch")
