"""Airflow connections as settings. Pure functions of connections and environment: nothing here asks Airflow."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from metropulse.airflow.connection_fields import FIELDS, AirflowConnection, checked_extra, kind_of, typed
from metropulse.airflow.lake_connections import lake_arguments
from metropulse.exceptions import ConfigError
from metropulse.settings import TUNING
from metropulse.stores import role_options
from metropulse.urls import postgres_url

__all__ = ["Sources", "lake_arguments", "mart_arguments", "warehouse_arguments"]

# What a connection of PostgreSQL may say beside libpq's parameters.
_NO_PARAMETERS = {
    name for kind in ("postgres", "jdbc") for name, known in FIELDS[kind].items() if known.fate != "honoured"
}


@dataclass(frozen=True)
class Sources:
    """Where settings may come from: arguments of the hook first, connections second, the environment last."""

    state: str | None = None
    lake: str | None = None
    time_zone: str | None = None
    positions: str | None = None
    run_label: str | None = None
    base_connection: AirflowConnection | None = field(default=None, repr=False)
    lake_connection: AirflowConnection | None = field(default=None, repr=False)
    warehouse_connection: AirflowConnection | None = field(default=None, repr=False)
    mart_connection: AirflowConnection | None = field(default=None, repr=False)
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)

    def state_folder(self) -> str | None:
        """Return the state folder of the embedded engines, if some source names one."""
        extra = checked_extra(self.base_connection)
        base_host = self.base_connection.host if self.base_connection else None
        return self.state or extra.get("state") or base_host or self.environ.get("METROPULSE_STATE") or None

    def needs_engines(self) -> bool:
        """Whether warehouse or mart are to be the embedded ones."""
        return self.state_folder() is not None and not (self.warehouse_connection and self.mart_connection)

    def arguments(self, engines: Any = None) -> dict[str, Any]:
        """Return the arguments for `metropulse.settings.resolve`.

        Args:
            engines: The embedded engines that were started, or None where only the lake matters.

        Returns:
            Keyword arguments; ``environ`` is among them.

        Raises:
            ConfigError: A connection is of a type or form that cannot be used.
        """
        extra = checked_extra(self.base_connection)
        arguments: dict[str, Any] = {name: typed(extra[name]) for name in TUNING if extra.get(name) not in (None, "")}
        base_zone = self.base_connection.schema if self.base_connection else None
        arguments["time_zone"] = self.time_zone or extra.get("time_zone") or base_zone or None
        if self.positions:
            arguments["positions"] = self.positions
        if self.run_label:
            arguments["run_label"] = self.run_label
        environ = dict(self.environ)
        arguments |= self._lake(extra)
        if self.warehouse_connection:
            arguments |= warehouse_arguments(self.warehouse_connection)
        elif engines is not None:
            arguments["warehouse"] = engines.warehouse_url
        if self.mart_connection:
            arguments |= mart_arguments(self.mart_connection)
        elif engines is not None:
            arguments |= {
                "mart": engines.mart_url,
                "mart_user": engines.mart_user,
                "mart_password": engines.mart_password,
            }
        # Credentials of the environment must not complete what a connection, or an engine of our own, left out.
        for role, prefix in (("warehouse", "PG_"), ("mart", "CH_")):
            if arguments.get(role) or self.state_folder():
                environ = {name: value for name, value in environ.items() if not name.startswith(prefix)}
        return {**arguments, "environ": environ}

    def _lake(self, extra: Mapping[str, Any]) -> dict[str, Any]:
        explicit = self.lake or extra.get("lake") or None
        if self.lake_connection:
            found = lake_arguments(self.lake_connection)
            if kind_of(self.lake_connection) == "aws" and not _has_keys(found["lake_options"]):
                found["lake_options"] = {**role_options(self.environ), **found["lake_options"]}
            return {**found, "lake": explicit} if explicit else found
        if explicit:
            return {"lake": explicit}
        if (folder := self.state_folder()) and not self.environ.get("METROPULSE_LAKE"):
            return {"lake": os.fspath(Path(folder, "lake", "raw")), "lake_options": {}}
        return {}


def _has_keys(options: Mapping[str, str]) -> bool:
    """Whether access is by keys, or by none at all, and not by a role."""
    return "aws_access_key_id" in options or "aws_skip_signature" in options


def warehouse_arguments(connection: AirflowConnection) -> dict[str, Any]:
    """Return the warehouse's URL of a ``postgres`` (or ``jdbc``) connection.

    Args:
        connection: The connection.

    Returns:
        Key ``warehouse``.

    Raises:
        ConfigError: The type is another one, or the host is missing.
    """
    host, extra = connection.host or "", checked_extra(connection)
    options = {name: value for name, value in extra.items() if name not in _NO_PARAMETERS}
    if "://" in host or host.startswith("jdbc:"):
        if options:
            raise ConfigError(
                f"connection {connection.conn_id} names its host by a URL and sets {sorted(options)[0]!r} beside it, "
                "expected that in the URL"
            )
        return {"warehouse": postgres_url(host, connection.login, connection.password)}
    if kind_of(connection) != "postgres" or not host:
        raise ConfigError(
            f"connection {connection.conn_id} is of type {connection.conn_type} on host {host or 'none'}, "
            "expected postgres with a host"
        )
    if host.startswith("/"):  # the folder of a unix socket
        options["host"], host = host, ""
    port = f":{connection.port}" if connection.port else ""
    url = f"postgresql://{host}{port}/{quote(connection.schema or 'postgres', safe='')}"
    words = {name: str(int(value)) if isinstance(value, bool) else str(value) for name, value in options.items()}
    url += "?" + urlencode(words, quote_via=quote) if words else ""
    return {"warehouse": postgres_url(url, connection.login, connection.password)}


def mart_arguments(connection: AirflowConnection) -> dict[str, Any]:
    """Return the mart's URL and credentials of a ``clickhouse`` or ``http`` connection.

    Args:
        connection: The connection. Of an ``http`` one the schema field is the protocol, of a ``clickhouse`` one the
            database.

    Returns:
        Keys ``mart``, ``mart_user`` and ``mart_password``.

    Raises:
        ConfigError: The type is another one, or the host is missing.
    """
    extra, host, kind = checked_extra(connection), connection.host or "", connection.conn_type
    if typed(extra.get("verify", True)) is not True:
        raise ConfigError(
            f"connection {connection.conn_id} sets verify to {extra['verify']!r}, expected true: the certificate of "
            "ClickHouse is always verified, by the machine's authorities or those of SSL_CERT_FILE"
        )
    if kind not in {"clickhouse", "clickhousedb", "http", "https", "jdbc"} or not host:
        raise ConfigError(
            f"connection {connection.conn_id} is of type {kind} on host {host or 'none'}, "
            "expected clickhouse or http with a host"
        )
    if "://" in host or host.startswith("jdbc:"):
        url = host.rstrip("/")
        if connection.port and not host.startswith("jdbc:") and url.count(":") < 2:
            url += f":{connection.port}"
    else:
        secure = (
            kind == "https" or (connection.schema == "https" and kind == "http") or typed(extra.get("secure")) is True
        )
        url = f"{'https' if secure else 'http'}://{host}" + (f":{connection.port}" if connection.port else "")
    database = extra.get("database") or (connection.schema if kind.startswith("clickhouse") else None)
    if database and not host.startswith("jdbc:"):
        url += f"/{quote(str(database))}"
    return {"mart": url, "mart_user": connection.login or None, "mart_password": connection.password or None}
