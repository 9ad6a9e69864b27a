"""`Pipeline`: the steps of a day, as plain blocking calls that return reports."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from metropulse.database import Database, WarehouseDatabase
from metropulse.days import REQUIRED_DATASETS, Day, dataset_names, iso_day
from metropulse.exceptions import ConfigError
from metropulse.operations import Operations
from metropulse.results import Progress, Report
from metropulse.settings import Settings, resolve

if TYPE_CHECKING:
    from metropulse import _core

__all__ = ["Pipeline"]

# Embedded engines have credentials of their own: those of other servers must not leak into them.
_DATABASE_VARIABLES = ("PG_", "CH_")

# Longer than any file has lain still: without a manifest the day is never complete.
_NEVER_SECONDS = 1e12


class Pipeline(Operations):
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
        self._core: _core.Pipeline = _core.Pipeline(settings.to_json())

    @property
    def settings(self) -> Settings:
        """The resolved settings; their repr shows no secret."""
        return self._settings

    @property
    def warehouse(self) -> WarehouseDatabase:
        """PostgreSQL, for questions."""
        return WarehouseDatabase(self._core)

    @property
    def mart(self) -> Database:
        """ClickHouse, for questions."""
        return Database(self._core.mart_query)

    def apply_schema(self, *, progress: Progress | None = None) -> Report:
        """Create what is missing of the tables of warehouse and mart. Every other verb does so on demand."""
        return Report.from_json(self._core.apply_schema(progress=progress))

    def generate(
        self, start: Day, days: int = 1, *, seed: int = 7, scale: float = 1.0, progress: Progress | None = None
    ) -> Report:
        """Write raw days of a synthetic city into the lake; the same seed gives the same bytes."""
        return Report.from_json(self._core.generate(iso_day(start, "start"), days, seed, scale, progress=progress))

    def load_calendar(self, start: Day, end: Day, *, progress: Progress | None = None) -> Report:
        """Fill `dim_date` from `start` to `end`, both included, and `dim_time`."""
        return Report.from_json(
            self._core.load_calendar(iso_day(start, "start"), iso_day(end, "end"), progress=progress)
        )

    def stage(self, dt: Day, *, progress: Progress | None = None) -> Report:
        """Load the raw day into `staging`, with rejects and ledger."""
        return Report.from_json(self._core.stage(iso_day(dt), progress=progress))

    def load_dimensions(self, dt: Day, *, progress: Progress | None = None) -> Report:
        """Merge the raw day's snapshots into the dimensions and their history."""
        return Report.from_json(self._core.load_dimensions(iso_day(dt), progress=progress))

    def load_facts(self, dt: Day, *, progress: Progress | None = None) -> Report:
        """Load the raw day's trips, payments and positions, keyed as of their own time."""
        return Report.from_json(self._core.load_facts(iso_day(dt), progress=progress))

    def load_telemetry(self, dt: Day, *, progress: Progress | None = None) -> Report:
        """Load the raw day's clean positions straight into ClickHouse, past the warehouse."""
        return Report.from_json(self._core.load_telemetry(iso_day(dt), progress=progress))

    def build_route_hourly(
        self,
        date_from: Day | None = None,
        date_to: Day | None = None,
        *,
        force: bool = False,
        source: str = "warehouse",
        progress: Progress | None = None,
    ) -> Report:
        """Rebuild every dirty service date of the mart, or only those of ``[date_from, date_to)``.

        Args:
            date_from: First service date.
            date_to: The date after the last one.
            force: Rebuild clean dates of the range too.
            source: ``"warehouse"``, or ``"lake"``: all dates that the raw days touch, or all of the range.
            progress: Told about rows done.

        Raises:
            ConfigError: Only one end of the range is given, or `force` without a range.
        """
        if (date_from is None) != (date_to is None):
            raise ConfigError("date_from and date_to go together: give both, or neither for all dirty dates")
        if force and date_from is None:
            raise ConfigError("force needs date_from and date_to: it rebuilds clean dates of that range")
        bounds = [iso_day(d, n) if d is not None else None for d, n in ((date_from, "date_from"), (date_to, "date_to"))]
        found = self._core.build_route_hourly(bounds[0], bounds[1], force, source=source, progress=progress)
        return Report.from_json(found)

    def check_quality(self, dt: Day | None = None, *, progress: Progress | None = None) -> Report:
        """Check what `dt` brought, or all of it, and store the results.

        Args:
            dt: The raw day; None checks everything.
            progress: Told about checks done.

        Returns:
            The report of all checks.

        Raises:
            QualityError: A check of severity *error* failed; its ``report`` lists all.
        """
        return Report.from_json(self._core.check_quality(None if dt is None else iso_day(dt), progress=progress))

    def run(self, dt: Day, *, progress: Progress | None = None) -> Report:
        """Take one raw day through all steps in order: calendar, stage, dimensions, facts, mart, quality."""
        return Report.from_json(self._core.run(iso_day(dt), progress=progress))

    def partition_ready(self, dt: Day, *, required: Sequence[str] = REQUIRED_DATASETS) -> Report:
        """Look once whether the raw day has a manifest or all `required` datasets."""
        return Report.from_json(self._core.partition_ready(iso_day(dt), dataset_names(required)))

    async def wait_for_partition(
        self,
        dt: Day,
        *,
        required: Sequence[str] = REQUIRED_DATASETS,
        poll_seconds: float = 30.0,
        stable_seconds: float | None = 60.0,
    ) -> Report:
        """Wait, without a thread, until the raw day is complete.

        Args:
            dt: The raw day.
            required: Datasets that must be there when the day has no manifest.
            poll_seconds: Time between two looks at the lake.
            stable_seconds: How long a day without a manifest must stay unchanged; None accepts only a manifest.

        Returns:
            What was found.

        Raises:
            StorageError: The lake cannot be read.
        """
        stable = _NEVER_SECONDS if stable_seconds is None else stable_seconds
        found = await self._core.wait_for_partition(iso_day(dt), dataset_names(required), poll_seconds, stable)
        return Report.from_json(found)

    def cancel(self) -> None:
        """Ask the verb that is running, from a signal handler or another thread, to stop and roll back."""
        self._core.cancel()

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
