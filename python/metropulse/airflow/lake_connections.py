"""Airflow connections of object stores, in the words of the core's object store."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from metropulse.airflow.connection_fields import AirflowConnection, checked_extra, kind_of, typed
from metropulse.exceptions import ConfigError
from metropulse.stores import s3_options

__all__ = ["lake_arguments"]

_FALLBACK_LAKE = "s3://raw"
_AZURE_SUFFIXES = (".blob.core.windows.net", ".dfs.core.windows.net")
# What a client of botocore does by itself and the core in its own way.
_CLIENT_HABITS = {"retries", "connect_timeout", "read_timeout", "max_pool_connections", "user_agent_extra"}


def lake_arguments(connection: AirflowConnection) -> dict[str, Any]:
    """Return lake and object-store options of a connection.

    Args:
        connection: A connection of type ``aws``, ``fs``, ``google_cloud_platform``, ``wasb`` or ``adls``. Its extra
            field ``lake`` names the place; of ``aws`` also the bucket, without any ``s3://raw``.

    Returns:
        Keys ``lake`` and ``lake_options``.

    Raises:
        ConfigError: The type is none of these, a field is refused, or the connection names no place.
    """
    read = _READERS.get(kind_of(connection))
    if read is None:
        raise ConfigError(
            f"connection {connection.conn_id} is of type {connection.conn_type}, "
            "expected aws, fs, google_cloud_platform, wasb or adls"
        )
    place, options = read(connection, checked_extra(connection))
    if not place:
        raise ConfigError(f'connection {connection.conn_id} names no place, expected "lake" in its extra field')
    return {"lake": place, "lake_options": {name: value for name, value in options.items() if value}}


def _aws(connection: AirflowConnection, extra: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    services = _part(connection, extra, "service_config")
    service, tokens = services.get("s3") or {}, services.get("sts") or {}
    if unknown := sorted(service.keys() - {"bucket_name", "endpoint_url"}):
        raise _unsupported(connection, f"service_config.s3.{unknown[0]}", "bucket_name and endpoint_url")
    bucket = extra.get("bucket") or service.get("bucket_name")
    place = extra.get("lake") or (f"s3://{bucket}" if bucket else _FALLBACK_LAKE)
    endpoint = service.get("endpoint_url") or extra.get("endpoint_url") or connection.host or extra.get("host")
    if endpoint and "://" not in endpoint and connection.port:
        endpoint = f"{endpoint}:{connection.port}"
    options = s3_options(
        endpoint,
        connection.login or extra.get("aws_access_key_id"),
        connection.password or extra.get("aws_secret_access_key"),
        region=extra.get("region_name"),
    )
    if token := extra.get("aws_session_token"):
        options["aws_session_token"] = token
    options |= _aws_role(connection, extra) | _aws_client(connection, extra)
    if "aws_role_arn" in options and tokens.get("endpoint_url"):
        options["aws_endpoint_url_sts"] = tokens["endpoint_url"]
    verify = typed(extra.get("verify", True))
    if verify is False:
        options["allow_invalid_certificates"] = "true"
    elif isinstance(verify, str):
        options["ca_bundle"] = verify
    return place, options


def _aws_role(connection: AirflowConnection, extra: Mapping[str, Any]) -> dict[str, str]:
    if not (role := extra.get("role_arn")):
        return {}
    method, source = extra.get("assume_role_method"), extra.get("assume_role_with_web_identity_federation")
    if method != "assume_role_with_web_identity" or source != "file":
        raise _unsupported(
            connection,
            "role_arn by " + (f"{method} of {source}" if method else "assume_role"),
            "keys, the machine's own role, or assume_role_with_web_identity of a file",
        )
    more = _part(connection, extra, "assume_role_kwargs")
    if unknown := sorted(more.keys() - {"RoleSessionName"}):
        raise _unsupported(connection, f"assume_role_kwargs.{unknown[0]}", "RoleSessionName")
    options = {"aws_role_arn": role, "aws_role_session_name": more.get("RoleSessionName", "metropulse")}
    if file := extra.get("assume_role_with_web_identity_token_file"):
        options["aws_web_identity_token_file"] = file
    return options


def _aws_client(connection: AirflowConnection, extra: Mapping[str, Any]) -> dict[str, str]:
    config = {k: v for k, v in _part(connection, extra, "config_kwargs").items() if k not in _CLIENT_HABITS}
    options = {}
    if (signature := config.pop("signature_version", None)) == "unsigned":
        options["aws_skip_signature"] = "true"
    elif signature not in {None, "s3v4", "v4"}:
        raise _unsupported(connection, f"config_kwargs.signature_version {signature}", "s3v4 or unsigned")
    of_s3 = config.pop("s3", None) or {}
    style = of_s3.pop("addressing_style", None) if isinstance(of_s3, dict) else None
    if style in {"path", "virtual"}:
        options["aws_virtual_hosted_style_request"] = "true" if style == "virtual" else "false"
    for name in (*config, *(f"s3.{name}" for name in of_s3)):
        raise _unsupported(connection, f"config_kwargs.{name}", "signature_version and s3.addressing_style")
    return options


def _folder(connection: AirflowConnection, extra: Mapping[str, Any]) -> tuple[str | None, dict[str, str]]:
    return extra.get("lake") or extra.get("path") or extra.get("basepath") or connection.host, {}


def _google(_connection: AirflowConnection, extra: Mapping[str, Any]) -> tuple[str | None, dict[str, str]]:
    place = extra.get("lake") or (f"gs://{extra['bucket']}" if extra.get("bucket") else None)
    if typed(extra.get("is_anonymous")) is True:
        return place, {"google_skip_signature": "true"}
    options = {"google_service_account": extra["key_path"]} if extra.get("key_path") else {}
    if key := extra.get("keyfile_dict"):
        options["google_service_account_key"] = key if isinstance(key, str) else json.dumps(key)
    return place, options


def _wasb(connection: AirflowConnection, extra: Mapping[str, Any]) -> tuple[str | None, dict[str, str]]:
    if extra.get("connection_string"):
        return extra.get("lake"), _azure_string(connection, str(extra["connection_string"]))
    sas = str(extra.get("sas_token") or "")
    host = connection.host
    if sas.startswith("https://"):
        host, _, sas = sas.partition("?")
    login = connection.login
    if extra.get("tenant_id"):
        return extra.get("lake"), {**_azure_account(host), **_azure_client(connection, extra)}
    options = _azure_account(host or login)
    if login:
        options["azure_storage_account_name"] = login
    key = extra.get("shared_access_key") or (not sas and (connection.password or extra.get("account_key")))
    options |= {"azure_storage_account_key": key or "", "azure_storage_sas_key": sas.removeprefix("?")}
    return extra.get("lake"), options


def _adls(connection: AirflowConnection, extra: Mapping[str, Any]) -> tuple[str | None, dict[str, str]]:
    if extra.get("connection_string"):
        return extra.get("lake"), _azure_string(connection, str(extra["connection_string"]))
    if extra.get("tenant_id"):
        account = _azure_account(extra.get("account_url") or connection.host)
        return extra.get("lake"), {**account, **_azure_client(connection, extra)}
    account = _azure_account(extra.get("account_url") or connection.host or connection.login)
    return extra.get("lake"), {**account, "azure_storage_account_key": connection.password or ""}


def _azure_client(connection: AirflowConnection, extra: Mapping[str, Any]) -> dict[str, str]:
    return {
        "azure_storage_tenant_id": str(extra["tenant_id"]),
        "azure_storage_client_id": connection.login or "",
        "azure_storage_client_secret": connection.password or "",
    }


def _azure_account(place: str | None) -> dict[str, str]:
    """Return the account that a name or URL gives, and the endpoint where that is not Azure's own."""
    if not place:
        return {}
    if "://" not in place:
        return {"azure_storage_account_name": place.split(".", 1)[0]}
    host = urlsplit(place).hostname or ""
    options = {"azure_storage_account_name": host.split(".", 1)[0]}
    if not host.endswith(_AZURE_SUFFIXES):
        options["azure_storage_endpoint"] = place.rstrip("/")
        if place.startswith("http://"):
            options["allow_http"] = "true"
    return options


def _azure_string(connection: AirflowConnection, text: str) -> dict[str, str]:
    parts = dict(part.split("=", 1) for part in text.split(";") if "=" in part)
    options = _azure_account(parts.pop("BlobEndpoint", None))
    if account := parts.pop("AccountName", None):
        options["azure_storage_account_name"] = account
    options["azure_storage_account_key"] = parts.pop("AccountKey", "")
    options["azure_storage_sas_key"] = parts.pop("SharedAccessSignature", "").removeprefix("?")
    protocol, suffix = parts.pop("DefaultEndpointsProtocol", "https"), parts.pop("EndpointSuffix", "core.windows.net")
    if "azure_storage_endpoint" not in options and (protocol, suffix) != ("https", "core.windows.net"):
        options["azure_storage_endpoint"] = f"{protocol}://{options.get('azure_storage_account_name')}.blob.{suffix}"
        options |= {"allow_http": "true"} if protocol == "http" else {}
    unknown = sorted(parts.keys() - {"QueueEndpoint", "TableEndpoint", "FileEndpoint"})
    if unknown:
        raise _unsupported(connection, f"connection_string with {unknown[0]}", "AccountName, AccountKey, BlobEndpoint")
    return options


def _part(connection: AirflowConnection, extra: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = typed(extra.get(name) or {})
    if not isinstance(value, dict):
        raise ConfigError(f"connection {connection.conn_id}: {name} is {value!r}, expected a JSON object")
    return dict(value)


def _unsupported(connection: AirflowConnection, found: str, expected: str) -> ConfigError:
    return ConfigError(f"connection {connection.conn_id} asks for {found}, expected {expected}")


_Reader = Callable[[AirflowConnection, Mapping[str, Any]], tuple[str | None, dict[str, str]]]
_READERS: dict[str, _Reader] = {
    "aws": _aws,
    "fs": _folder,
    "google_cloud_platform": _google,
    "wasb": _wasb,
    "adls": _adls,
    "metropulse": _folder,
}
