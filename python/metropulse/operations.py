"""What is done to a warehouse as a whole: status, rejected rows, undo, rewind, migrate, purge."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from metropulse.days import Day, iso_day, optional_day
from metropulse.exceptions import ConfigError
from metropulse.results import Progress, Report

if TYPE_CHECKING:
    from metropulse import _core

__all__ = ["DEFAULT_RETENTION", "Operations", "age_days"]

DEFAULT_RETENTION = "90d"
"""How long staging is kept by default."""

_AGE = re.compile(r"\s*(\d+)\s*(d|days?|w|weeks?)\s*", re.IGNORECASE)


def age_days(age: str | int | timedelta) -> int:
    """Return an age in whole days.

    Args:
        age: Such as ``90d``, ``12w``, a number of days, or a timedelta of whole days.

    Returns:
        The days.

    Raises:
        ConfigError: It is none of these.
    """
    if isinstance(age, timedelta) and age >= timedelta(0) and age == timedelta(days=age.days):
        return age.days
    if isinstance(age, int) and not isinstance(age, bool) and age >= 0:
        return age
    if isinstance(age, str) and (found := _AGE.fullmatch(age)):
        return int(found[1]) * (7 if found[2].lower().startswith("w") else 1)
    raise ConfigError(f"the age is {age!r}, expected days or weeks such as 90d or 12w")


class Operations:
    """Part of `Pipeline`: operations on a warehouse, apart from loading its days."""

    _core: _core.Pipeline

    def status(
        self,
        date_from: Day | None = None,
        date_to: Day | None = None,
        *,
        verify: bool = False,
        progress: Progress | None = None,
    ) -> Report:
        """Return how every raw day and step stands, and how fresh tables and mart are. Nothing is written.

        States: ``loaded`` (for the checks: passed), ``stale`` (files or settings changed since), ``failed`` (the last
        attempt), ``missing``, ``purged`` (loaded, and its staging taken by retention since), ``none`` (no such file).

        Args:
            date_from: First raw day; all days without it.
            date_to: The day after the last one.
            verify: Read and hash every file instead of trusting names, sizes, digests of the manifest and times of
                change.
            progress: Told about days done.

        Returns:
            ``days``, ``tables``, ``mart`` and ``failures``; and in ``misnamed_folders`` the folders of the lake that
            begin with ``dt=`` but name no day; nothing reads them. ``oddities`` of a day count what was wrong with the
            recordings that it was made of.
        """
        first, after = optional_day(date_from, "date_from"), optional_day(date_to, "date_to")
        return Report.from_json(self._core.status(first, after, verify, progress=progress))

    def rejected(
        self, *, dataset: str | None = None, dt: Day | None = None, reason: str | None = None, limit: int = 100
    ) -> Report:
        """List rejected rows.

        Args:
            dataset: Only of this dataset.
            dt: Only of this raw day.
            reason: Only with this reason code, among others.
            limit: How many rows at most.

        Returns:
            ``total`` and the rows in ``rejected``: dataset, dt, file, row_number, reasons, row, rejected_at.
        """
        return Report.from_json(self._core.rejected(dataset, optional_day(dt), reason, limit))

    def requeue(
        self,
        rows: Iterable[Mapping[str, Any]] = (),
        *,
        dataset: str | None = None,
        dt: Day | None = None,
        reason: str | None = None,
        progress: Progress | None = None,
    ) -> Report:
        """Check rejected rows again, repaired or under today's rules, and load what passes.

        A repaired row takes the place of the rejected one in its file: counts, ledger and every later load of that file
        come out as if the file had held it. Undoing the day takes the repaired row out as well.

        Args:
            rows: Repaired rows: ``file`` and ``row_number`` as `rejected` gives them, and ``row`` with the columns that
                change. Without any, all rejected rows that the other arguments name are checked again.
            dataset: Only of this dataset; without repaired rows.
            dt: Only of this raw day; without repaired rows.
            reason: Only days and datasets with this reason code; without repaired rows.
            progress: Told about rows done.

        Returns:
            ``rows_passed``, and one report for each dataset and day in ``steps``.

        Raises:
            NotFoundError: A repaired row is not among the rejected ones.
            ConflictError: The files changed since they were loaded: load the day.
            ConfigError: A repair names an unknown column.
        """
        day = optional_day(dt)
        given = json.dumps([dict(row) for row in rows], default=str)
        return Report.from_json(self._core.requeue(dataset, day, reason, given, progress=progress))

    def undo(self, dt: Day, *, dry_run: bool = False, progress: Progress | None = None) -> Report:
        """Take out exactly what the raw day brought, in one transaction; the lake is not touched.

        Rows of older days that it had superseded come back, facts of other days are keyed anew, and the service dates
        concerned wait for `build_route_hourly`.

        Args:
            dt: The raw day.
            dry_run: Report what would go, and keep everything.
            progress: Told about tables done.

        Returns:
            What went, by table.

        Raises:
            NotFoundError: The day is not loaded.
        """
        return Report.from_json(self._core.undo(iso_day(dt), dry_run, progress=progress))

    def rewind(self, to: Day, *, dry_run: bool = False, progress: Progress | None = None) -> Report:
        """Take out every raw day after `to`, the newest first, as if they had never been loaded.

        Args:
            to: The last day that stays.
            dry_run: Report the days and what they hold, and keep everything.
            progress: Told about tables done.

        Returns:
            One report of `undo` for each day, in ``steps``.
        """
        return Report.from_json(self._core.rewind(iso_day(to, "to"), dry_run, progress=progress))

    def migrate(self, *, dry_run: bool = False, progress: Progress | None = None) -> Report:
        """Bring warehouse and mart to the schema of this version; tables of the prototype are moved aside, complete.

        Args:
            dry_run: Report what would be done, and do nothing.
            progress: Told which part is under way.

        Returns:
            From which version, to which, and what was moved where.

        Raises:
            ConfigError: The warehouse is of a newer metropulse.
            ConflictError: The place for a table of the prototype is taken.
        """
        return Report.from_json(self._core.migrate(dry_run, progress=progress))

    def purge(
        self,
        older_than: str | int | timedelta = DEFAULT_RETENTION,
        *,
        what: Sequence[str] = ("staging",),
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> Report:
        """Drop staging of old raw days.

        History and ledger stay, facts too unless they are named; an unchanged day is still recognised.

        Args:
            older_than: Age of the raw day, such as ``90d`` or ``12w``, counted back from today in the service zone.
            what: Any of ``staging`` (rows of `staging.*_raw`), ``rejected``, ``quality`` (results of checks), and of
                the facts that the mart does not count: ``scheduled_stop_times``, ``trip_updates``, ``alerts``.
            dry_run: Report what would be dropped, and keep everything.
            progress: Told about days done.

        Returns:
            Rows by table.
        """
        kinds = [what] if isinstance(what, str) else list(what)
        return Report.from_json(self._core.purge(age_days(older_than), kinds, dry_run, progress=progress))
