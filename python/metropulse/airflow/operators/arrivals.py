"""The operator that waits for all raw days at once: a short task that tells of those that have arrived."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from metropulse.airflow._compat import AirflowFailException
from metropulse.airflow.operators.base import COMMON_FIELDS, MetropulseOperator
from metropulse.days import REQUIRED_DATASETS, dataset_names
from metropulse.results import Report

if TYPE_CHECKING:
    from metropulse.airflow._compat import Context
    from metropulse.pipeline import Pipeline

__all__ = ["AnnounceRawOperator"]

_STATE_KEY = "announced"
_WAITING = frozenset({"missing", "stale", "failed"})
_LOADS = ("stage", "load_dimensions", "load_facts")


class AnnounceRawOperator(MetropulseOperator):
    """Tell of the raw days that arrived since the last look: an event of the raw asset for each, with its partition.

    A day has arrived when it is complete in the lake and not loaded as it lies there. It is told of once, and again
    when its files change. So days that are late take neither a run nor a trigger, however many they are. It needs
    Airflow 3.3: a task names the partitions of its events, and what was told is kept in the asset's state.

    Args:
        date_from: The first raw day to look for; all without it.
        date_to: The day after the last one.
        required: Datasets that must be there when a day has no manifest.
        again: Tell of every such day, told of before or not: for runs that never came, because their DAG was paused.
        **kwargs: Those of `MetropulseOperator`.
    """

    template_fields: Sequence[str] = ("date_from", "date_to", "required", "again", *COMMON_FIELDS)
    reads = ("raw",)
    writes = ("raw",)

    def __init__(
        self,
        *,
        date_from: str | None = None,
        date_to: str | None = None,
        required: Sequence[str] | str = REQUIRED_DATASETS,
        again: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.date_from = date_from
        self.date_to = date_to
        self.required = required
        self.again = again

    def call(self, pipeline: Pipeline, context: Context) -> Report:
        """Look for the days."""
        if "asset_state_store" not in context:
            raise AirflowFailException("this Airflow keeps no state of assets, expected Airflow 3.3 or later")
        state = context["asset_state_store"][self.inlets[0]]
        # A second try tells all: the first may have kept its state, and been killed before Airflow heard of the days.
        anew = str(self.again).lower() == "true" or int(context["ti"].try_number) > 1
        told: Mapping[str, Any] = {} if anew else state.get(_STATE_KEY) or {}
        waiting = dict(self._complete(pipeline))
        new = sorted(dt for dt, mark in waiting.items() if told.get(dt) != mark)
        # Days that are loaded by now are not among those waiting, and are forgotten.
        state.set(_STATE_KEY, waiting)
        return Report({"step": "announce_raw", "days": new, "waiting": len(waiting), "unchanged": not new})

    def _complete(self, pipeline: Pipeline) -> Iterator[tuple[str, str]]:
        """Yield the days that are complete and not loaded as they lie in the lake, with a mark of their files."""
        required = dataset_names(self.required)
        for day in pipeline.status(self.date_from or None, self.date_to or None)["days"]:
            steps = day["steps"]
            if day["in_lake"] and any(steps.get(step, {}).get("state") in _WAITING for step in _LOADS):
                found = pipeline.partition_ready(day["dt"], required=required)
                if found.get("ready"):
                    yield day["dt"], str(found.get("fingerprint"))
