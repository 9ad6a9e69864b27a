"""`Pipeline`: opening lake, warehouse and mart; its verbs stand in `metropulse.steps`, `operations` and `feeds`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

from metropulse.database import Database, WarehouseDatabase
from metropulse.feeds import Feeds
from metropulse.operations import Operations
from metropulse.settings import Settings, resolve
from metropulse.sources import Source, first_url
from metropulse.steps import Steps

if TYPE_CHECKING:
    from metropulse import _core

__all__ = ["Pipeline", "open_pipeline"]

# Embedded engines have credentials of their own: those of other servers must not leak into them.
_DATABASE_VARIABLES = ("PG_", "CH_")


class Pipeline(Steps, Operations, Feeds):
    """The steps of a day over a lake, a warehouse and a mart.

    Every verb blocks with the GIL released, stops within a second on Ctrl-C, and returns a `Report`. Loading an
    unchanged day again writes nothing; loading a corrected day replaces exactly what it had contributed.

    Verbs take ``progress``, a callable that is told the phase's label, the rows done and the rows in all (0: unknown).
    """

    def __init__(
        self,
        *,
        lake: str | os.PathLike[str] | None = None,
        lake_options: Mapping[str, str] | None = None,
        warehouse: str | None = None,
        mart: str | None = None,
        mart_user: str | None = None,
        mart_password: str | None = None,
        time_zone: str | None = None,
        **tuning: Any,
    ) -> None:
        """Name the back ends; what is not given comes from the environment (see `metropulse.settings.resolve`).

        Args:
            lake: Folder or URL whose children are the ``dt=`` folders.
            lake_options: Options of the object store.
            warehouse: PostgreSQL, as a ``postgresql://`` or ``jdbc:postgresql://`` URL.
            mart: ClickHouse, as an ``http(s)://`` or ``jdbc:clickhouse://`` URL.
            mart_user: ClickHouse user where the URL names none.
            mart_password: ClickHouse password where the URL names none.
            time_zone: IANA name of the service zone.
            **tuning: Other settings: ``memory_bytes``, ``threads``, ``connections``, ``reject_limit``, ``absent``, ...

        Raises:
            ConfigError: A value has the wrong form.
        """
        self._open(
            resolve(
                lake=lake,
                lake_options=lake_options,
                warehouse=warehouse,
                mart=mart,
                mart_user=mart_user,
                mart_password=mart_password,
                time_zone=time_zone,
                **tuning,
            )
        )

    @classmethod
    def from_env(cls) -> Pipeline:
        """Take everything from the environment; `ConfigError` when a variable has the wrong form."""
        return cls()

    @classmethod
    def from_settings(cls, settings: Settings) -> Pipeline:
        """Take settings that are resolved already; nothing else is consulted."""
        pipeline = cls.__new__(cls)
        pipeline._open(settings)
        return pipeline

    @classmethod
    def embedded(
        cls,
        directory: str | os.PathLike[str],
        *,
        lake: str | os.PathLike[str] | None = None,
        time_zone: str | None = None,
        keep_running: bool = False,
        **tuning: Any,
    ) -> Pipeline:
        """Start PostgreSQL and ClickHouse of your own under a folder, or join those that run there.

        Args:
            directory: The state folder: ``lake/raw/``, ``warehouse/`` and ``mart/`` live in it.
            lake: Another lake than ``lake/raw/`` of the state folder; its credentials come from the environment.
            time_zone: IANA name of the service zone.
            keep_running: Leave the engines running when the pipeline is closed (``metropulse stop`` ends them).
            **tuning: As for the constructor.

        Returns:
            The pipeline; close it, or use it as a context manager.

        Raises:
            ConfigError: The extra ``metropulse[embedded]`` is not installed.
            DatabaseError: An engine does not start.
        """
        from metropulse import embedded

        engines = embedded.start(os.fspath(directory))
        try:
            settings = resolve(
                lake=lake or os.fspath(engines.lake),
                warehouse=engines.warehouse_url,
                mart=engines.mart_url,
                mart_user=engines.mart_user,
                mart_password=engines.mart_password,
                time_zone=time_zone,
                environ={k: v for k, v in os.environ.items() if not k.startswith(_DATABASE_VARIABLES)},
                **tuning,
            )
            pipeline = cls.from_settings(settings)
        except BaseException:
            engines.close()
            raise
        if not keep_running:
            pipeline._stop = engines.close
        return pipeline

    def _open(self, settings: Settings) -> None:
        from metropulse import _core

        self._stop: Callable[[], object] | None = None
        self._settings = settings
        self._lent: list[Pipeline] = []
        self._core: _core.Pipeline = _core.Pipeline(settings.to_json())

    @property
    def settings(self) -> Settings:
        """The resolved settings; their repr shows no secret."""
        return self._settings

    @property
    def core(self) -> _core.Pipeline:
        """The native core under the verbs, for the other modules of this package."""
        return self._core

    @contextmanager
    def with_access_to(self, *sources: Source, lake_options: Mapping[str, str] | None = None) -> Iterator[Pipeline]:
        """Lend a pipeline over the same back ends that reaches other places than the lake as well.

        Args:
            *sources: The places, as the loads of any table name them.
            lake_options: Options of their object store; see `Settings.with_access_to`.

        Yields:
            The pipeline; `cancel` of this one stops its work, too.
        """
        settings = self._settings.with_access_to(first_url(*sources), lake_options)
        if settings is self._settings:
            yield self
            return
        lent = Pipeline.from_settings(settings)
        self._lent.append(lent)
        try:
            yield lent
        finally:
            self._lent.remove(lent)

    @property
    def warehouse(self) -> WarehouseDatabase:
        """PostgreSQL, for queries."""
        return WarehouseDatabase(self._core)

    @property
    def mart(self) -> Database:
        """ClickHouse, for queries."""
        return Database(self._core.mart_query)

    def cancel(self) -> None:
        """Ask the verb that is running, from a signal handler or another thread, to stop and roll back."""
        for pipeline in (self, *self._lent):
            pipeline._core.cancel()

    def close(self) -> None:
        """Stop the engines this pipeline started. Closing twice is fine."""
        stop, self._stop = self._stop, None
        if stop is not None:
            stop()

    def __enter__(self) -> Pipeline:
        """Return the pipeline itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the pipeline."""
        self.close()

    def __repr__(self) -> str:
        """Show where things are, and no secret."""
        return f"Pipeline({self._settings!r})"


@contextmanager
def open_pipeline(
    database: str | Pipeline,
    *sources: Source,
    lake_options: Mapping[str, str] | None = None,
    time_zone: str | None = None,
) -> Iterator[Pipeline]:
    """Open what a load of any table works on: the one door from there to database, sources and native core.

    Args:
        database: A PostgreSQL URL, or an open pipeline: its warehouse, zone and credentials are used.
        *sources: Where rows are read.
        lake_options: Options of the sources' object store; else the pipeline's, else those of the environment.
        time_zone: Service zone of a database that is named by a URL.

    Yields:
        A pipeline with access to the sources.
    """
    if isinstance(database, Pipeline):
        with database.with_access_to(*sources, lake_options=lake_options) as pipeline:
            yield pipeline
    else:
        url = first_url(*sources)
        settings = resolve(lake=url, lake_options=lake_options, warehouse=database, time_zone=time_zone)
        yield Pipeline.from_settings(settings)
