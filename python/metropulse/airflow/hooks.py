"""`MetropulseHook`: a pipeline over the back ends that Airflow's connections name."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from metropulse.airflow._compat import AirflowNotFoundException, BaseHook, aget_connection
from metropulse.airflow.connections import Sources
from metropulse.exceptions import ConfigError, MetropulseError
from metropulse.redaction import redact
from metropulse.settings import resolve

if TYPE_CHECKING:
    from metropulse.pipeline import Pipeline

__all__ = ["DEFAULT_CONN_ID", "LAKE_CONN_ID", "MART_CONN_ID", "WAREHOUSE_CONN_ID", "MetropulseHook"]

DEFAULT_CONN_ID = "metropulse_default"
LAKE_CONN_ID = "metropulse_lake_default"
WAREHOUSE_CONN_ID = "metropulse_warehouse_default"
MART_CONN_ID = "metropulse_mart_default"
_DEFAULTS = {DEFAULT_CONN_ID, LAKE_CONN_ID, WAREHOUSE_CONN_ID, MART_CONN_ID}


class MetropulseHook(BaseHook):
    """Builds a `metropulse.Pipeline`: arguments first, Airflow connections second, environment variables last.

    A connection of a default id that does not exist is no error: its role comes from the next source. So does the
    whole deployment when the connection `metropulse_default` names a ``state`` folder: then the embedded engines are
    started, or joined, and left running.
    """

    conn_name_attr = "metropulse_conn_id"
    default_conn_name = DEFAULT_CONN_ID
    conn_type = "metropulse"
    hook_name = "MetroPulse"

    def __init__(
        self,
        metropulse_conn_id: str = DEFAULT_CONN_ID,
        *,
        lake_conn_id: str = LAKE_CONN_ID,
        warehouse_conn_id: str = WAREHOUSE_CONN_ID,
        mart_conn_id: str = MART_CONN_ID,
        lake: str | None = None,
        time_zone: str | None = None,
        positions: str | None = None,
        run_label: str | None = None,
    ) -> None:
        """Keep the ids; nothing is looked up yet.

        Args:
            metropulse_conn_id: Connection of type ``metropulse``: state folder, time zone and tuning.
            lake_conn_id: Connection of type ``aws``, ``fs``, ``google_cloud_platform`` or ``wasb``.
            warehouse_conn_id: Connection of type ``postgres``.
            mart_conn_id: Connection of type ``clickhouse`` or ``http``.
            lake: URL or folder of the lake, over all connections.
            time_zone: Service zone, over all connections.
            positions: ``"warehouse"`` or ``"telemetry"``, over all connections; where the warehouse has them when None.
            run_label: Who works, as the database servers show it.
        """
        super().__init__()
        self.metropulse_conn_id = metropulse_conn_id
        self.lake_conn_id = lake_conn_id
        self.warehouse_conn_id = warehouse_conn_id
        self.mart_conn_id = mart_conn_id
        self.lake = lake or None
        self.time_zone = time_zone or None
        self.positions = positions or None
        self.run_label = run_label

    @contextmanager
    def pipeline(self) -> Iterator[Pipeline]:
        """Open the pipeline over lake, warehouse and mart.

        Yields:
            The pipeline.

        Raises:
            ConfigError: A connection or a variable has the wrong form, or a named connection does not exist.
        """
        sources = self._sources(
            base_connection=self._find(self.metropulse_conn_id),
            lake_connection=self._find(self.lake_conn_id),
            warehouse_connection=self._find(self.warehouse_conn_id),
            mart_connection=self._find(self.mart_conn_id),
        )
        engines = None
        if (folder := sources.state_folder()) and sources.needs_engines():
            from metropulse import embedded

            # Left running: other tasks of the run share them, at the same time and after this one.
            engines = embedded.start(folder)
        with _open(sources.arguments(engines)) as pipeline:
            yield pipeline

    @contextmanager
    def lake_pipeline(self) -> Iterator[Pipeline]:
        """Open a pipeline for work on the lake alone; no engine is started.

        Yields:
            The pipeline.

        Raises:
            ConfigError: As for `pipeline`.
        """
        sources = self._sources(
            base_connection=self._find(self.metropulse_conn_id), lake_connection=self._find(self.lake_conn_id)
        )
        with _open(sources.arguments()) as pipeline:
            yield pipeline

    async def alake_pipeline(self) -> Pipeline:
        """Open a pipeline for work on the lake alone, from the triggerer's event loop.

        Returns:
            The pipeline; it holds nothing that needs closing.

        Raises:
            ConfigError: As for `pipeline`.
        """
        sources = self._sources(
            base_connection=await self._afind(self.metropulse_conn_id),
            lake_connection=await self._afind(self.lake_conn_id),
        )
        return _open(sources.arguments())

    def get_conn(self) -> Any:
        """Return the pipeline as a context manager."""
        return self.pipeline()

    def test_connection(self) -> tuple[bool, str]:
        """Ask lake, warehouse and mart, for the form's *Test* button.

        Returns:
            Whether all that are named answered, and what each said.
        """
        try:
            with self.pipeline() as pipeline:
                answers = [_ask(role, where, ask) for role, where, ask in _roles(pipeline)]
        except MetropulseError as error:
            return False, str(error)
        works = all(works for works, _ in answers) and any(where for _, where, _ in _roles(pipeline))
        return works, "; ".join(said for _, said in answers)

    def _sources(self, **connections: Any) -> Sources:
        if self.lake and redact(self.lake) != self.lake:
            raise ConfigError(
                f"the lake is {redact(self.lake)}, expected its secret in the connection {self.lake_conn_id}"
            )
        return Sources(
            lake=self.lake,
            time_zone=self.time_zone,
            positions=self.positions,
            run_label=self.run_label,
            environ=os.environ,
            **connections,
        )

    def _find(self, conn_id: str) -> Any:
        try:
            return self.get_connection(conn_id)
        except AirflowNotFoundException as error:
            return _missing(conn_id, error)

    async def _afind(self, conn_id: str) -> Any:
        try:
            return await aget_connection(conn_id)
        except AirflowNotFoundException as error:
            return _missing(conn_id, error)


def _open(arguments: dict[str, Any]) -> Pipeline:
    from metropulse.pipeline import Pipeline

    return Pipeline.from_settings(resolve(**arguments))


def _roles(pipeline: Pipeline) -> list[tuple[str, str | None, Callable[[], str]]]:
    def version(database: Any, sql: str) -> str:
        [row] = database.query(sql).to_pylist()[:1]
        return str(next(iter(row.values())))

    def look() -> str:
        # Any day will do: what is asked is whether the lake can be listed.
        pipeline.partition_ready("2000-01-01")
        return "it can be listed"

    settings = pipeline.settings
    return [
        ("lake", settings.lake, look),
        ("warehouse", settings.warehouse, lambda: version(pipeline.warehouse, "select version() as version")),
        ("mart", settings.mart, lambda: "ClickHouse " + version(pipeline.mart, "select version() as version")),
    ]


def _ask(role: str, where: str | None, ask: Callable[[], str]) -> tuple[bool, str]:
    if where is None:
        return True, f"{role}: not named"
    try:
        return True, f"{role} {redact(where)} answers: {ask()}"
    except MetropulseError as error:
        return False, f"{role} {redact(where)} FAILS: {error}"


def _missing(conn_id: str, error: Exception) -> None:
    if conn_id not in _DEFAULTS:
        raise ConfigError(f"the Airflow connection {conn_id!r} does not exist") from error
