"""What the operators share: opening the pipeline, naming the day, translating errors, stopping when killed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar

from metropulse.airflow._compat import AirflowSkipException, BaseOperator
from metropulse.airflow._errors import airflow_errors, small
from metropulse.airflow.asset_events import announce
from metropulse.airflow.assets import Places, assets_of
from metropulse.airflow.hooks import (
    DEFAULT_CONN_ID,
    LAKE_CONN_ID,
    MART_CONN_ID,
    WAREHOUSE_CONN_ID,
    MetropulseHook,
)
from metropulse.airflow.lineage import Namespaces, Trace, facets_of
from metropulse.airflow.partitions import resolve_partition
from metropulse.airflow.progress import ProgressLog, failed_checks, summary
from metropulse.airflow.rendering import ShowsDay
from metropulse.exceptions import ConfigError, MetropulseError, QualityError

if TYPE_CHECKING:
    from metropulse.airflow._compat import Context
    from metropulse.pipeline import Pipeline
    from metropulse.results import Progress, Report

__all__ = ["COMMON_FIELDS", "MetropulseOperator", "PartitionOperator", "run_label"]

COMMON_FIELDS = (
    "lake",
    "time_zone",
    "positions",
    "metropulse_conn_id",
    "lake_conn_id",
    "warehouse_conn_id",
    "mart_conn_id",
)


class MetropulseOperator(BaseOperator):
    """Base of the operators: opens the pipeline, calls the verb, translates errors, returns the report.

    Inlets and outlets are the assets that the step reads and writes, unless they are given. An event tells the counts
    of the report and the raw day; a table that did not change has none.

    Args:
        lake: URL or folder of the lake, over all connections; it must not hold a secret.
        time_zone: Service zone, over all connections.
        positions: ``"warehouse"`` or ``"telemetry"``, over all connections; where the warehouse has them when None.
        metropulse_conn_id: Connection of type ``metropulse``.
        lake_conn_id: Connection of the lake.
        warehouse_conn_id: Connection of PostgreSQL.
        mart_conn_id: Connection of ClickHouse.
        skip_if_missing: Skip the task, rather than fail it, when the partition is not there.
        skip_if_unchanged: Mark the task skipped when there was nothing to do.
        **kwargs: Those of every Airflow operator.
    """

    template_fields: Sequence[str] = COMMON_FIELDS
    ui_color = "#d7e8f7"
    reads: ClassVar[Sequence[str]] = ()
    """The kinds of assets the step reads, see `metropulse.airflow.assets.KINDS`."""
    writes: ClassVar[Sequence[str]] = ()
    """The kinds of assets it writes."""
    lake_only: ClassVar[bool] = False
    """Whether it needs the lake alone, and no server."""
    _running: Any = None
    _run_label: str | None = None
    _trace: Trace | None = None

    def __init__(
        self,
        *,
        lake: str | None = None,
        time_zone: str | None = None,
        positions: str | None = None,
        metropulse_conn_id: str = DEFAULT_CONN_ID,
        lake_conn_id: str = LAKE_CONN_ID,
        warehouse_conn_id: str = WAREHOUSE_CONN_ID,
        mart_conn_id: str = MART_CONN_ID,
        skip_if_missing: bool = False,
        skip_if_unchanged: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.lake = lake
        self.time_zone = time_zone
        self.positions = positions
        self.metropulse_conn_id = metropulse_conn_id
        self.lake_conn_id = lake_conn_id
        self.warehouse_conn_id = warehouse_conn_id
        self.mart_conn_id = mart_conn_id
        self.skip_if_missing = skip_if_missing
        self.skip_if_unchanged = skip_if_unchanged
        self.declare(assets_of(self.reads, self.places), assets_of(self.writes, self.places))

    @property
    def places(self) -> Places:
        """The connections that say where this operator's assets are."""
        return Places.of(vars(self))

    def declare(self, inlets: Iterable[Any], outlets: Iterable[Any]) -> None:
        """Declare the assets that the task reads and writes, where its author did not.

        Args:
            inlets: What it reads; None among them is left out.
            outlets: What it writes.
        """
        for name, assets in (("inlets", inlets), ("outlets", outlets)):
            setattr(self, name, getattr(self, name, None) or [asset for asset in assets if asset is not None])

    @property
    def hook(self) -> MetropulseHook:
        """The hook over this operator's connections."""
        return MetropulseHook(
            self.metropulse_conn_id,
            lake_conn_id=self.lake_conn_id,
            warehouse_conn_id=self.warehouse_conn_id,
            mart_conn_id=self.mart_conn_id,
            lake=self.lake,
            time_zone=self.time_zone,
            positions=self.positions,
            run_label=self._run_label,
        )

    @property
    def progress(self) -> Progress:
        """A callback that tells the task's log what the verb is doing."""
        return ProgressLog(self.log)

    def execute(self, context: Context) -> dict[str, Any]:
        """Call the verb.

        Args:
            context: The task's context.

        Returns:
            The report, as plain JSON.

        Raises:
            AirflowFailException: A retry cannot help.
            AirflowSkipException: There was nothing to do, and the task asked to be skipped then.
            MetropulseError: A retry may help.
        """
        self._run_label = run_label(context)
        with airflow_errors(context, skip_if_missing=self.skip_if_missing), self.open() as pipeline:
            self._running = pipeline
            self._trace = trace = self.trace(Namespaces.of(pipeline.settings))
            try:
                trace.report = report = self.call(pipeline, context)
            except MetropulseError as error:
                trace.error = error.to_dict()
                if isinstance(error, QualityError):
                    trace.report = error.report
                    for line in failed_checks(error.report.get("checks", ())):
                        self.log.error("%s", line)
                raise
            finally:
                self._running = None
        for line in summary(report).splitlines():
            self.log.info("%s", line)
        if self.skip_if_unchanged and report.get("unchanged"):
            raise AirflowSkipException(f"{report.get('step', self.task_id)}: unchanged, nothing written")
        announce(self, context, report, days=self._days(context, report), writes=self.writes, places=self.places)
        return small(report.to_dict())

    def open(self) -> AbstractContextManager[Pipeline]:
        """Open the pipeline this operator needs.

        Returns:
            A context manager.
        """
        return self.hook.lake_pipeline() if self.lake_only else self.hook.pipeline()

    @abstractmethod
    def call(self, pipeline: Pipeline, context: Context) -> Report:
        """Call the operator's verb.

        Args:
            pipeline: The open pipeline.
            context: The task's context.

        Returns:
            The verb's report.
        """

    def _days(self, context: Context, report: Report) -> list[str]:
        """Return the raw days that the events are partitions of; none where nothing names one."""
        if report.get("days"):
            # A feed tells more of each of its days than which it is.
            return [str(day["dt"] if isinstance(day, Mapping) else day) for day in report["days"]]
        try:
            return [report.get("dt") or resolve_partition(context, getattr(self, "dt", None))]
        except ConfigError:
            return []

    def trace(self, namespaces: Namespaces) -> Trace:
        """Return what is kept of the task for its lineage.

        Args:
            namespaces: Where the back ends are.

        Returns:
            The trace, without report and error.
        """
        return Trace(namespaces)

    def get_openlineage_facets_on_complete(self, _task_instance: Any) -> Any:
        """Return what the task read and wrote, for Airflow's OpenLineage provider."""
        return facets_of(self._trace)

    def get_openlineage_facets_on_failure(self, _task_instance: Any) -> Any:
        """Return the checks that failed and the error, for Airflow's OpenLineage provider."""
        return facets_of(self._trace)

    def on_kill(self) -> None:
        """Stop the verb that is running; it rolls back."""
        if self._running is not None:
            self._running.cancel()


def run_label(context: Context | Mapping[str, Any]) -> str | None:
    """Return what database servers show of a task.

    Args:
        context: The task's context.

    Returns:
        DAG, task and run; None outside of a run.
    """
    instance = context.get("ti")
    parts = [getattr(instance, name, None) for name in ("dag_id", "task_id", "run_id")]
    if not all(isinstance(part, str) for part in parts):
        return None
    index = getattr(instance, "map_index", -1)
    return "{}.{} {}".format(*parts) + (f" [{index}]" if isinstance(index, int) and index >= 0 else "")


class PartitionOperator(ShowsDay, MetropulseOperator):
    """Base of the operators that work on one raw day.

    Args:
        dt: The raw day as ``YYYY-MM-DD``; the run's own when None.
        **kwargs: Those of `MetropulseOperator`.
    """

    template_fields: Sequence[str] = ("dt", *COMMON_FIELDS)

    def __init__(self, *, dt: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dt = dt

    def partition(self, context: Context) -> str:
        """Return the raw day of this run.

        Args:
            context: The task's context.

        Returns:
            The day as ``YYYY-MM-DD``.

        Raises:
            ConfigError: Nothing names it.
        """
        return resolve_partition(context, self.dt)
