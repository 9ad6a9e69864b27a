"""Airflow connections as settings. Pure functions of connections and environment: nothing here asks Airflow."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, urlencode

from metropulse.exceptions import ConfigError
from metropulse.settings import TUNING
from metropulse.stores import s3_options
from metropulse.urls import postgres_url

__all__ = ["AirflowConnection", "Sources", "lake_arguments", "mart_arguments", "warehouse_arguments"]

_POSTGRES_OPTIONS = ("sslmode", "connect_timeout", "application_name", "options", "target_session_attrs")
_FALLBACK_LAKE = "s3://raw"


class AirflowConnection(Protocol):
    """The fields of an Airflow connection."""

    conn_id: str
    conn_type: str
    host: str | None
    port: int | None
    schema: str | None
    login: str | None
    password: str | None

    @property
    def extra_dejson(self) -> dict[str, Any]:
        """The extra field as a dict."""
        ...


@dataclass(frozen=True)
class Sources:
    """Where settings may come from: arguments of the hook first, connections second, the environment last."""

    state: str | None = None
    lake: str | None = None
    time_zone: str | None = None
    base_connection: AirflowConnection | None = field(default=None, repr=False)
    lake_connection: AirflowConnection | None = field(default=None, repr=False)
    warehouse_connection: AirflowConnection | None = field(default=None, repr=False)
    mart_connection: AirflowConnection | None = field(default=None, repr=False)
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)

    def state_folder(self) -> str | None:
        """Return the state folder of the embedded engines, if some source names one."""
        extra = _extra(self.base_connection)
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
        extra = _extra(self.base_connection)
        arguments: dict[str, Any] = {name: _typed(extra[name]) for name in TUNING if extra.get(name) not in (None, "")}
        arguments["time_zone"] = self.time_zone or extra.get("time_zone") or None
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
            return {**found, "lake": explicit} if explicit else found
        if explicit:
            return {"lake": explicit}
        if (folder := self.state_folder()) and not self.environ.get("METROPULSE_LAKE"):
            return {"lake": os.fspath(Path(folder, "lake", "raw")), "lake_options": {}}
        return {}


def lake_arguments(connection: AirflowConnection) -> dict[str, Any]:
    """Return lake and object-store options of a connection.

    ``aws`` and ``s3``: login and password are the keys, ``endpoint_url`` and ``region_name`` come from the extra
    field. ``fs``: a folder. ``google_cloud_platform`` and ``wasb`` likewise. The extra field ``lake`` names the URL;
    without it ``s3://raw``.

    Args:
        connection: The connection.

    Returns:
        Keys ``lake`` and ``lake_options``.

    Raises:
        ConfigError: The type is none of these, or the connection names no place.
    """
    extra = _extra(connection)
    kind = connection.conn_type
    place = extra.get("lake") or (f"s3://{extra['bucket']}" if extra.get("bucket") else None)
    if kind in {"aws", "s3", "minio"}:
        if extra.get("role_arn"):
            raise ConfigError(
                f"connection {connection.conn_id} assumes a role, expected keys or the machine's own role"
            )
        service = (extra.get("service_config") or {}).get("s3") or {}
        endpoint = extra.get("endpoint_url") or service.get("endpoint_url") or extra.get("host") or connection.host
        if endpoint and "://" not in endpoint and connection.port:
            endpoint = f"{endpoint}:{connection.port}"
        options = s3_options(endpoint, connection.login, connection.password, region=extra.get("region_name"))
        if token := extra.get("aws_session_token"):
            options["aws_session_token"] = token
        return {"lake": place or _FALLBACK_LAKE, "lake_options": options}
    if kind in {"fs", "file", "metropulse"}:
        place = place or extra.get("path") or extra.get("basepath") or connection.host
        options = {}
    elif kind == "google_cloud_platform":
        key = extra.get("keyfile_dict")
        options = {"google_service_account": extra["key_path"]} if extra.get("key_path") else {}
        if key:
            options["google_service_account_key"] = key if isinstance(key, str) else json.dumps(key)
    elif kind in {"wasb", "adls"}:
        options = {
            "azure_storage_account_name": connection.login or "",
            "azure_storage_account_key": connection.password or "",
        }
    else:
        raise ConfigError(
            f"connection {connection.conn_id} is of type {kind}, expected aws, fs, google_cloud_platform or wasb"
        )
    if not place:
        raise ConfigError(f'connection {connection.conn_id} names no place, expected "lake" in its extra field')
    return {"lake": place, "lake_options": {name: value for name, value in options.items() if value}}


def warehouse_arguments(connection: AirflowConnection) -> dict[str, Any]:
    """Return the warehouse's URL of a ``postgres`` (or ``jdbc``) connection.

    Args:
        connection: The connection.

    Returns:
        Key ``warehouse``.

    Raises:
        ConfigError: The type is another one, or the host is missing.
    """
    host = connection.host or ""
    if "://" in host or host.startswith("jdbc:"):
        return {"warehouse": postgres_url(host, connection.login, connection.password)}
    if connection.conn_type not in {"postgres", "postgresql", "greenplum"} or not host:
        raise ConfigError(
            f"connection {connection.conn_id} is of type {connection.conn_type} on host {host or 'none'}, "
            "expected postgres with a host"
        )
    options = {name: str(value) for name, value in _extra(connection).items() if name in _POSTGRES_OPTIONS and value}
    if host.startswith("/"):  # the folder of a unix socket
        options["host"], host = host, ""
    port = f":{connection.port}" if connection.port else ""
    url = f"postgresql://{host}{port}/{quote(connection.schema or 'postgres', safe='')}"
    url += "?" + urlencode(options, quote_via=quote) if options else ""
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
    extra, host, kind = _extra(connection), connection.host or "", connection.conn_type
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
            kind == "https" or (connection.schema == "https" and kind == "http") or _typed(extra.get("secure")) is True
        )
        url = f"{'https' if secure else 'http'}://{host}" + (f":{connection.port}" if connection.port else "")
    database = extra.get("database") or (connection.schema if kind.startswith("clickhouse") else None)
    if database and not host.startswith("jdbc:"):
        url += f"/{quote(str(database))}"
    return {"mart": url, "mart_user": connection.login or None, "mart_password": connection.password or None}


def _extra(connection: AirflowConnection | None) -> Mapping[str, Any]:
    return (connection.extra_dejson or {}) if connection else {}


def _typed(value: Any) -> Any:
    """Read a field of the connection form, which may have been stored as text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
