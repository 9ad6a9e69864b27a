"""Which lake, warehouse and mart a command works on, and how it speaks: the options every verb has."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import click

from metropulse.exceptions import ConfigError
from metropulse.pipeline import Pipeline
from metropulse.settings import resolve

__all__ = ["DEFAULT_STATE", "Target", "target_options"]

DEFAULT_STATE = "metropulse_state"
"""The state folder when neither options nor environment name any back end."""


@dataclass(frozen=True)
class Target:
    """The common options of one call."""

    state: str | None = None
    lake: str | None = None
    warehouse: str | None = None
    mart: str | None = None
    time_zone: str | None = None
    as_json: bool = False
    quiet: bool = False
    debug: bool = False

    def over(self, base: Target) -> Target:
        """Return these options, and those of `base` where this one is silent."""
        return replace(base, **{f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name)})

    def state_folder(self) -> str | None:
        """Return the state folder of the embedded engines, or None when the back ends are named otherwise.

        Raises:
            ConfigError: The state folder and another engine are both asked for.
        """
        if self.state:
            if self.warehouse or self.mart:
                raise ConfigError("--state brings its own engines, expected no --warehouse or --mart with it")
            return self.state
        if self.warehouse or self.mart:
            return None
        named = resolve(lake=self.lake)
        if (named.warehouse or named.mart) and not os.environ.get("METROPULSE_STATE", "").strip():
            return None
        return self.own_state()

    def own_state(self) -> str:
        """Return the state folder for commands that concern the embedded engines alone, whatever else is configured."""
        return self.state or os.environ.get("METROPULSE_STATE", "").strip() or DEFAULT_STATE

    @contextmanager
    def pipeline(self, **tuning: Any) -> Iterator[Pipeline]:
        """Open the pipeline; engines that this call starts are stopped at its end.

        Args:
            **tuning: Other settings of the pipeline.
        """
        folder = self.state_folder()
        if folder:
            opened = Pipeline.embedded(folder, lake=self._lake(), time_zone=self.time_zone, **tuning)
        else:
            opened = Pipeline(
                lake=self.lake, warehouse=self.warehouse, mart=self.mart, time_zone=self.time_zone, **tuning
            )
        with opened:
            yield opened

    def lake_only(self, lake: str | None = None) -> Pipeline:
        """Open a pipeline for work on the lake alone: no engine is started.

        Args:
            lake: Another lake than the configured one.

        Returns:
            The pipeline.
        """
        folder = self.state_folder()
        place = lake or self._lake() or (os.fspath(Path(folder, "lake", "raw")) if folder else None)
        return Pipeline(lake=place, time_zone=self.time_zone)

    def _lake(self) -> str | None:
        # A state folder that was asked for means its own lake, whatever the environment names.
        return self.lake or (None if self.state else resolve().lake)


_OPTIONS = {
    "state": click.option(
        "--state",
        metavar="DIR",
        help="Folder of the embedded PostgreSQL and ClickHouse and their lake. "
        f"Default: $METROPULSE_STATE, or ./{DEFAULT_STATE} when no other engine is named.",
    ),
    "lake": click.option(
        "--lake", metavar="URL", help="Folder or s3://, gs://, az:// URL whose children are the dt= folders."
    ),
    "warehouse": click.option(
        "--warehouse", metavar="URL", help="PostgreSQL: postgresql:// or jdbc:postgresql://. Or $PG_URL."
    ),
    "mart": click.option(
        "--mart", metavar="URL", help="ClickHouse: http(s):// or jdbc:clickhouse://. Or $CH_JDBC_URL."
    ),
    "time_zone": click.option(
        "--time-zone", metavar="NAME", help="Service zone, such as Europe/Moscow. Or $METROPULSE_TIME_ZONE."
    ),
    "as_json": click.option("--json", "as_json", is_flag=True, help="Print each report as one line of JSON."),
    "quiet": click.option("--quiet", is_flag=True, help="Show no progress."),
    "debug": click.option("--debug", is_flag=True, help="Show the traceback of an error."),
}


def target_options(command: Callable[..., Any] | None = None, *, skip: tuple[str, ...] = ()) -> Any:
    """Add the common options to a click command; the function receives them as its first argument, a `Target`.

    Args:
        command: The function behind the command; None when used with arguments.
        skip: Options that the command does without, by their names in `Target`.

    Returns:
        The decorated function, or a decorator.
    """
    if command is None:
        return functools.partial(target_options, skip=skip)
    function = command

    @functools.wraps(function)
    def call(context: click.Context, /, **values: Any) -> Any:
        own = Target(**{name: values.pop(name) for name in _OPTIONS if name in values and name not in skip})
        target = own.over(context.obj) if isinstance(context.obj, Target) else own
        context.obj = target
        return function(target, **values)

    decorated: Any = click.pass_context(call)
    for name, option in reversed(_OPTIONS.items()):
        if name not in skip:
            decorated = option(decorated)
    return decorated
