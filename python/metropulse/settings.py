"""The settings of a deployment: arguments first, environment second, defaults last.

`resolve` merges them into `Settings`, the one value the native core receives. A *role* (lake, warehouse, mart) comes
whole from the first source that names its place; the environment's credentials only complete a place that was given
without any.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from metropulse.exceptions import ConfigError
from metropulse.redaction import redact
from metropulse.urls import clickhouse_endpoint, postgres_url

__all__ = ["TUNING", "Settings", "default_time_zone", "resolve", "s3_options"]

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
    "spool": (str, Path),
}
"""Other settings of the core, and their types."""

# Object-store options that well-known environment variables carry, by the scheme of the lake.
_CLOUD_OPTIONS = {
    "s3": (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT",
        "AWS_ALLOW_HTTP",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_ROLE_ARN",
    ),
    "gs": ("GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_KEY", "GOOGLE_APPLICATION_CREDENTIALS"),
    "az": (
        "AZURE_STORAGE_ACCOUNT_NAME",
        "AZURE_STORAGE_ACCOUNT_KEY",
        "AZURE_STORAGE_SAS_KEY",
        "AZURE_STORAGE_CLIENT_ID",
        "AZURE_STORAGE_CLIENT_SECRET",
        "AZURE_STORAGE_TENANT_ID",
    ),
}
_CLOUD_SCHEMES = {
    "s3": "s3", "s3a": "s3", "gs": "gs", "az": "az", "abfs": "az", "abfss": "az", "azure": "az", "adl": "az",
}  # fmt: skip


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

    def to_json(self) -> str:
        """Return the JSON the native core reads. It holds the secrets: hand it to the core and to nobody else.

        Returns:
            One JSON object; fields that are unset are left out.
        """
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "tuning"}
        plain["lake_options"] = dict(self.lake_options)
        plain.update({k: str(v) if isinstance(v, Path) else v for k, v in self.tuning.items()})
        return json.dumps({k: v for k, v in plain.items() if v is not None})

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
    return _variable(os.environ if environ is None else environ, "METROPULSE_TIME_ZONE") or "UTC"


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
        **tuning: Other fields of the core's settings; None leaves the core's default.

    Returns:
        The settings.

    Raises:
        ConfigError: A value has the wrong form, or an argument is unknown.
    """
    env = os.environ if environ is None else environ
    place = os.fspath(lake) if lake else _variable(env, "METROPULSE_LAKE")
    if not place and _variable(env, "MINIO_ENDPOINT"):
        place = "s3://raw"
    options = dict(lake_options) if lake_options is not None else _lake_options(place, env)
    database = warehouse or _variable(env, "PG_URL")
    endpoint = mart or _variable(env, "CH_JDBC_URL")
    server = (
        clickhouse_endpoint(
            endpoint, mart_user or _variable(env, "CH_USER"), mart_password or _variable(env, "CH_PASSWORD")
        )
        if endpoint
        else None
    )
    return Settings(
        lake=place or None,
        lake_options=MappingProxyType({k: str(v) for k, v in options.items()}),
        warehouse=postgres_url(database, _variable(env, "PG_USER"), _variable(env, "PG_PASSWORD"))
        if database
        else None,
        mart=server.url if server else None,
        mart_user=server.user if server else None,
        mart_password=server.password if server else None,
        time_zone=time_zone or default_time_zone(env),
        tuning=MappingProxyType(_checked_tuning(tuning)),
    )


def s3_options(
    endpoint: str | None,
    access_key: str | None,
    secret_key: str | None,
    *,
    secure: bool | None = None,
    region: str | None = None,
) -> dict[str, str]:
    """Return object-store options of MinIO or another S3-compatible store.

    Args:
        endpoint: ``http(s)://host:port``, or ``host:port``; None for AWS itself.
        access_key: Access key id.
        secret_key: Secret access key.
        secure: Whether an endpoint without a scheme speaks TLS; with a scheme the two must agree.
        region: Region; ``us-east-1`` when None and an endpoint is given.

    Returns:
        Options in the words of the object store.

    Raises:
        ConfigError: Scheme and `secure` contradict each other.
    """
    options: dict[str, str] = {}
    if endpoint:
        if "://" not in endpoint:
            endpoint = f"{'https' if secure else 'http'}://{endpoint}"
        scheme = urlsplit(endpoint).scheme.lower()
        if scheme not in {"http", "https"} or (secure is not None and secure != (scheme == "https")):
            raise ConfigError(
                f"the S3 endpoint is {redact(endpoint)} but TLS is {'on' if secure else 'off'}, "
                "expected the two to agree"
            )
        options["aws_endpoint"] = endpoint.rstrip("/")
        options["aws_virtual_hosted_style_request"] = "false"
        if scheme == "http":
            options["aws_allow_http"] = "true"
    if region or endpoint:
        options["aws_region"] = region or "us-east-1"
    if access_key:
        options["aws_access_key_id"] = access_key
    if secret_key:
        options["aws_secret_access_key"] = secret_key
    return options


def _lake_options(place: str | None, env: Mapping[str, str]) -> dict[str, str]:
    scheme = _CLOUD_SCHEMES.get((place or "").partition("://")[0].lower())
    if scheme is None:
        return {}
    options = {name.lower(): value for name in _CLOUD_OPTIONS[scheme] if (value := _variable(env, name))}
    if scheme == "s3":
        if "aws_endpoint" not in options and (url := _variable(env, "AWS_ENDPOINT_URL")):
            options |= s3_options(url, None, None, region=options.get("aws_region"))
        if _variable(env, "MINIO_ENDPOINT") or _variable(env, "MINIO_ACCESS_KEY"):
            minio = s3_options(
                _variable(env, "MINIO_ENDPOINT"),
                _variable(env, "MINIO_ACCESS_KEY"),
                _variable(env, "MINIO_SECRET_KEY"),
                secure=_switch(env, "MINIO_SECURE"),
                region=options.get("aws_region") or options.get("aws_default_region"),
            )
            options = {**options, **minio}
    return options


def _checked_tuning(tuning: Mapping[str, Any]) -> dict[str, Any]:
    for name, value in tuning.items():
        if name not in TUNING:
            raise ConfigError(f"unknown setting {name!r}, expected one of {', '.join(TUNING)}")
        if value is not None and not isinstance(value, TUNING[name]):
            raise ConfigError(
                f"{name} is {value!r}, expected {' or '.join(t.__name__ for t in TUNING[name])}", {"setting": name}
            )
    return {name: value for name, value in tuning.items() if value is not None}


def _variable(env: Mapping[str, str], name: str) -> str | None:
    return env.get(name, "").strip() or None


def _switch(env: Mapping[str, str], name: str) -> bool | None:
    value = _variable(env, name)
    if value is None:
        return None
    if value.lower() in {"1", "true", "yes", "on"}:
        return True
    if value.lower() in {"0", "false", "no", "off"}:
        return False
    raise ConfigError(f"{name} is {value!r}, expected true or false")
