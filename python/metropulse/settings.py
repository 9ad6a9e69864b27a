"""The settings of a deployment: arguments first, environment second, defaults last.

`resolve` merges them into `Settings`, the one value the native core receives. A *role* (lake, warehouse, mart) comes
whole from the first source that names its place; the environment's credentials only complete a place that was given
without any.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from metropulse.exceptions import ConfigError
from metropulse.redaction import redact
from metropulse.stores import store_kind, store_options, variable
from metropulse.urls import clickhouse_endpoint, postgres_url

__all__ = ["TUNING", "Settings", "default_time_zone", "resolve", "taken_over"]

TUNING: dict[str, tuple[type, ...]] = {
    "reject_limit": (float, int),
    "memory_bytes": (int,),
    "digest_keys": (int,),
    "threads": (int,),
    "connections": (int,),
    "swap_deadline_seconds": (int,),
    "lock_deadline_seconds": (int,),
    "absent": (dict,),
    "allow_vanishing": (bool,),
    "run_label": (str,),
    "unknown_files": (str,),
    "positions": (str,),
    "spool": (str, Path),
}
"""Other settings of the core, and their types."""

_HANDED_OVER = "METROPULSE_SETTINGS"
# What `resolve` reads of an environment but for a cloud's own variables: settings that were handed over say all of it.
_OWN_VARIABLES = ("CH_", "METROPULSE_", "MINIO_", "PG_")
# They are about the machine that a process runs on.
_OF_ONE_MACHINE = ("spool", "threads")


@dataclass(frozen=True, repr=False)
class Settings:
    """Settings of one deployment, complete and read-only. Its repr shows no secret.

    Attributes:
        lake: URL or folder whose children are the ``dt=`` folders.
        lake_options: Options of the object store in its own words.
        warehouse: ``postgresql://`` URL or ``key=value`` string.
        mart: ``http(s)://host:port/database`` of ClickHouse.
        mart_user: ClickHouse user.
        mart_password: ClickHouse password.
        time_zone: IANA name of the service zone.
        tuning: Other fields of the core's settings, such as ``memory_bytes``; the core's defaults hold for the rest.
    """

    lake: str | None = None
    lake_options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    warehouse: str | None = None
    mart: str | None = None
    mart_user: str | None = None
    mart_password: str | None = None
    time_zone: str = "UTC"
    tuning: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def with_access_to(self, url: str | None, lake_options: Mapping[str, str] | None = None) -> Settings:
        """Return these settings with credentials for one more place than the lake.

        Options that were given come first. The lake's own hold for every URL of its kind; for another kind, and where
        the lake has none, the environment gives them.

        Args:
            url: The place; None or a local path needs no credentials.
            lake_options: Options of its object store.

        Returns:
            The settings; these themselves when nothing changes.
        """
        kind, own = store_kind(url), store_kind(self.lake)
        if lake_options is None and (kind is None or (self.lake_options and own in {None, kind})):
            return self
        options = store_options(url, os.environ) if lake_options is None else lake_options
        return replace(self, lake_options=MappingProxyType({k: str(v) for k, v in options.items()}))

    def to_json(self) -> str:
        """Return the JSON the native core reads. It holds the secrets: hand it to the core and to nobody else.

        Returns:
            One JSON object; fields that are unset are left out.
        """
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "tuning"}
        plain["lake_options"] = dict(self.lake_options)
        plain.update({k: str(v) if isinstance(v, Path) else v for k, v in self.tuning.items()})
        return json.dumps({k: v for k, v in plain.items() if v is not None})

    def handed_over(self) -> dict[str, str]:
        """Return the variable that gives these settings to a process of its own, which may run on another machine.

        Returns:
            A part of that process's environment; it holds the secrets. `taken_over` reads it there.
        """
        told = json.loads(self.to_json())
        # Without options of its own a lake is reached with what that process finds, such as the options of Spark.
        without = [*_OF_ONE_MACHINE, *([] if self.lake_options else ["lake_options"])]
        return {_HANDED_OVER: json.dumps({name: value for name, value in told.items() if name not in without})}

    def __repr__(self) -> str:
        """Show where things are, and no secret."""
        shown: dict[str, Any] = {
            "lake": redact(self.lake) if self.lake else None,
            "lake_options": dict.fromkeys(self.lake_options, "***") or None,
            "warehouse": redact(self.warehouse) if self.warehouse else None,
            "mart": self.mart,
            "mart_user": self.mart_user,
            "mart_password": "***" if self.mart_password else None,
            "time_zone": self.time_zone,
            **self.tuning,
        }
        return "Settings(" + ", ".join(f"{k}={v!r}" for k, v in shown.items() if v is not None) + ")"

    def __reduce__(self) -> str:
        """Refuse to be pickled: a pickle would carry the secrets to wherever it is stored."""
        raise TypeError("Settings hold secrets and cannot be pickled; resolve them anew where they are needed")


def default_time_zone(environ: Mapping[str, str] | None = None) -> str:
    """Return the service zone the environment names.

    Args:
        environ: The environment; the process's own when None.

    Returns:
        ``METROPULSE_TIME_ZONE``, or ``UTC``.
    """
    return variable(os.environ if environ is None else environ, "METROPULSE_TIME_ZONE") or "UTC"


def taken_over(environ: MutableMapping[str, str]) -> dict[str, Any]:
    """Take the settings that another process handed over out of an environment; it completes none of them then.

    Args:
        environ: The environment.

    Returns:
        Arguments of `resolve`; none where nothing was handed over.
    """
    if (told := environ.pop(_HANDED_OVER, None)) is None:
        return {}
    for name in [name for name in environ if name.startswith(_OWN_VARIABLES)]:
        del environ[name]
    arguments: dict[str, Any] = json.loads(told)
    return arguments


def resolve(
    *,
    lake: str | os.PathLike[str] | None = None,
    lake_options: Mapping[str, str] | None = None,
    warehouse: str | None = None,
    mart: str | None = None,
    mart_user: str | None = None,
    mart_password: str | None = None,
    time_zone: str | None = None,
    environ: Mapping[str, str] | None = None,
    **tuning: Any,
) -> Settings:
    """Merge arguments, environment and defaults.

    Args:
        lake: URL or folder; else ``METROPULSE_LAKE``; else ``s3://raw`` when ``MINIO_ENDPOINT`` is set.
        lake_options: Options of the object store; given, they are complete and no variable is consulted.
        warehouse: Any form `metropulse.urls.postgres_url` reads; else ``PG_URL``, with ``PG_USER`` and ``PG_PASSWORD``.
        mart: Any form `metropulse.urls.clickhouse_endpoint` reads; else ``CH_JDBC_URL``, with ``CH_USER`` and
            ``CH_PASSWORD``.
        mart_user: ClickHouse user where the URL names none.
        mart_password: ClickHouse password where the URL names none.
        time_zone: IANA name; else ``METROPULSE_TIME_ZONE``; else ``UTC``.
        environ: The environment; the process's own when None, an empty mapping to consult none.
        **tuning: Other fields of the core's settings; None leaves the core's default. ``positions`` comes from
            ``METROPULSE_POSITIONS`` where it is not given.

    Returns:
        The settings.

    Raises:
        ConfigError: A value has the wrong form, or an argument is unknown.
    """
    env = os.environ if environ is None else environ
    place = os.fspath(lake) if lake else variable(env, "METROPULSE_LAKE")
    if not place and variable(env, "MINIO_ENDPOINT"):
        place = "s3://raw"
    options = dict(lake_options) if lake_options is not None else store_options(place, env)
    database = warehouse or variable(env, "PG_URL")
    endpoint = mart or variable(env, "CH_JDBC_URL")
    server = (
        clickhouse_endpoint(
            endpoint, mart_user or variable(env, "CH_USER"), mart_password or variable(env, "CH_PASSWORD")
        )
        if endpoint
        else None
    )
    return Settings(
        lake=place or None,
        lake_options=MappingProxyType({k: str(v) for k, v in options.items()}),
        warehouse=postgres_url(database, variable(env, "PG_USER"), variable(env, "PG_PASSWORD")) if database else None,
        mart=server.url if server else None,
        mart_user=server.user if server else None,
        mart_password=server.password if server else None,
        time_zone=time_zone or default_time_zone(env),
        tuning=MappingProxyType(
            _checked_tuning(tuning | {"positions": tuning.get("positions") or variable(env, "METROPULSE_POSITIONS")})
        ),
    )


def _checked_tuning(tuning: Mapping[str, Any]) -> dict[str, Any]:
    for name, value in tuning.items():
        if name not in TUNING:
            raise ConfigError(f"unknown setting {name!r}, expected one of {', '.join(TUNING)}")
        if value is not None and not isinstance(value, TUNING[name]):
            raise ConfigError(
                f"{name} is {value!r}, expected {' or '.join(t.__name__ for t in TUNING[name])}", {"setting": name}
            )
    return {name: value for name, value in tuning.items() if value is not None}
