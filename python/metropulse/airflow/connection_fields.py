"""Every field of every connection type that metropulse takes, and what becomes of it. No field is silently ignored.

`docs/connections.md` shows this table; a test holds the two together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from metropulse.exceptions import ConfigError
from metropulse.settings import TUNING

__all__ = ["FIELDS", "AirflowConnection", "Field", "checked_extra", "kind_of", "typed"]


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
class Field:
    """What becomes of a field: ``honoured``, ``unused`` (it means nothing here) or ``refused``."""

    fate: str
    remark: str = ""


def _honoured(remark: str = "") -> Field:
    return Field("honoured", remark)


def _unused(remark: str) -> Field:
    return Field("unused", remark)


def _refused(remark: str) -> Field:
    return Field("refused", remark)


_LAKE = _honoured("folder or URL of the lake")
_KEYS = "use keys, a service account of its own, or the machine's own identity"
_AZURE = {
    "lake": _honoured("URL of the lake, `az://container/...`"),
    "connection_string": _honoured("over all other fields: account, key or SAS, endpoint"),
    "tenant_id": _honoured("then `login` and `password` are client id and client secret"),
    "managed_identity_client_id": _refused("the machine's one identity is used where the connection has no secret"),
    "workload_identity_tenant_id": _refused("the machine's one identity is used where the connection has no secret"),
}

FIELDS: Mapping[str, Mapping[str, Field]] = {
    "aws": {
        "login": _honoured("access key id"),
        "password": _honoured("secret access key"),
        "host": _honoured("endpoint, where `endpoint_url` is not given"),
        "port": _honoured("of `host`"),
        "schema": _refused("name the bucket as `service_config.s3.bucket_name`"),
        "lake": _LAKE,
        "bucket": _honoured("the lake is `s3://bucket`"),
        "endpoint_url": _honoured(),
        "region_name": _honoured("`us-east-1` with an endpoint and no region"),
        "aws_access_key_id": _honoured("where `login` is empty"),
        "aws_secret_access_key": _honoured("where `password` is empty"),
        "aws_session_token": _honoured(),
        "service_config": _honoured(
            "`s3.bucket_name` and `s3.endpoint_url`; `sts.endpoint_url` of a role; other parts mean nothing here"
        ),
        "verify": _honoured("true, false, or a file of authorities in PEM"),
        "role_arn": _honoured("with web identity from a file; assuming a role by keys is refused"),
        "assume_role_method": _honoured("`assume_role_with_web_identity` alone"),
        "assume_role_kwargs": _honoured("`RoleSessionName` alone"),
        "assume_role_with_web_identity_federation": _honoured("`file` alone"),
        "assume_role_with_web_identity_token_file": _honoured("else `AWS_WEB_IDENTITY_TOKEN_FILE`"),
        "config_kwargs": _honoured("`signature_version` unsigned and `s3.addressing_style` alone"),
        "profile_name": _refused("profiles are not read: put the profile's keys into the connection"),
        "session_kwargs": _refused("sessions of boto3 are not used"),
    },
    "fs": {
        "host": _honoured("the folder, where nothing else names it"),
        "lake": _LAKE,
        "path": _honoured("the folder"),
        "basepath": _honoured("the folder"),
    },
    "google_cloud_platform": {
        "lake": _LAKE,
        "bucket": _honoured("the lake is `gs://bucket`"),
        "key_path": _honoured("file of a service account's key"),
        "keyfile_dict": _honoured("a service account's key"),
        "is_anonymous": _honoured("requests are not signed"),
        "project": _unused("names of buckets are global"),
        "scope": _unused("what the account may do with the bucket decides"),
        "num_retries": _unused("a request is tried five times within 30 s"),
        "impersonation_chain": _refused(f"accounts are not impersonated: {_KEYS}"),
        "credential_config_file": _refused(f"workload identity federation is not spoken: {_KEYS}"),
        "key_secret_name": _refused("Secret Manager is not asked: use `keyfile_dict`, or a secrets backend of Airflow"),
        "key_secret_project_id": _refused("as `key_secret_name`"),
        "idp_issuer_url": _refused(f"external identity providers are not asked: {_KEYS}"),
        "idp_extra_parameters": _refused("as `idp_issuer_url`"),
        "client_id": _refused("as `idp_issuer_url`"),
        "client_secret": _refused("as `idp_issuer_url`"),
        "quota_project_id": _refused("requests are billed to the bucket's project"),
    },
    "wasb": {
        "login": _honoured("storage account; with `tenant_id` the client id"),
        "password": _honoured("account key; with `tenant_id` the client secret"),
        "host": _honoured("URL or name of the account"),
        **_AZURE,
        "sas_token": _honoured("also as the URL of the account with the token"),
        "shared_access_key": _honoured("account key"),
        "account_key": _honoured("account key, where `password` is empty"),
        "client_secret_auth_config": _refused("authority and proxy of a client secret cannot be chosen"),
    },
    "adls": {
        "login": _honoured("with `tenant_id` the client id; else the account, where `host` is empty"),
        "password": _honoured("account key; with `tenant_id` the client secret"),
        "host": _honoured("storage account"),
        **_AZURE,
        "account_url": _honoured("endpoint"),
        "proxies": _refused("name the proxy by `HTTPS_PROXY`"),
    },
    "postgres": {
        "host": _honoured("host, folder of a socket, or a whole URL (also JDBC's), which then says everything"),
        "port": _honoured(),
        "schema": _honoured("database"),
        "login": _honoured(),
        "password": _honoured(),
        "any parameter of the table above": _honoured("with libpq's meaning, or refused by its name"),
        "cursor": _unused("no cursor of psycopg is opened"),
        "sqlalchemy_scheme": _unused("SQLAlchemy is not used"),
        "sqlalchemy_query": _unused("SQLAlchemy is not used"),
        "iam": _refused("no token of AWS is fetched: use a password"),
        "aws_conn_id": _refused("as `iam`"),
        "azure_conn_id": _refused("no token of Azure is fetched: use a password"),
        "redshift": _refused("Redshift is no PostgreSQL"),
        "redshift-serverless": _refused("Redshift is no PostgreSQL"),
        "cluster-identifier": _refused("Redshift is no PostgreSQL"),
        "workgroup-name": _refused("Redshift is no PostgreSQL"),
    },
    "clickhouse": {
        "host": _honoured("host, or a whole URL (also JDBC's)"),
        "port": _honoured("of the HTTP interface"),
        "schema": _honoured("database"),
        "login": _honoured(),
        "password": _honoured(),
        "secure": _honoured(),
        "database": _honoured("over `schema`"),
        "verify": _honoured("true alone: the machine's authorities, or `SSL_CERT_FILE`"),
        "client_name": _unused("requests show run and task by `log_comment`"),
        "compress": _unused("LZ4, except on loopback"),
        "connect_timeout": _unused("30 s"),
        "send_receive_timeout": _unused("30 min for a request"),
        "session_settings": _refused("set them for the user, in ClickHouse"),
        "client_kwargs": _refused("clickhouse-connect is not used"),
    },
    "http": {
        "host": _honoured("host, or a whole URL"),
        "port": _honoured(),
        "schema": _honoured("`http` or `https`"),
        "login": _honoured(),
        "password": _honoured(),
        "secure": _honoured("true is `https`"),
        "database": _honoured(),
    },
    "jdbc": {
        "host": _honoured("the URL"),
        "login": _honoured(),
        "password": _honoured(),
        "driver_path": _unused("no Java"),
        "driver_class": _unused("no Java"),
    },
    "metropulse": {
        "host": _honoured("state folder, where `state` is not given"),
        "schema": _honoured("service zone, where `time_zone` is not given"),
        "state": _honoured("folder of the embedded engines"),
        "lake": _LAKE,
        "time_zone": _honoured("service zone"),
        **{name: _honoured("as in `Pipeline(...)`") for name in TUNING},
    },
}
"""By connection type, the standard fields of Airflow and those of the extra field."""

_ALIASES = {
    "s3": "aws", "minio": "aws", "file": "fs", "https": "http", "clickhousedb": "clickhouse", "postgresql": "postgres",
    "greenplum": "postgres",
}  # fmt: skip
_ALSO_EXTRA = {("aws", "host")}
_STANDARD = ("host", "port", "schema", "login", "password")


def kind_of(connection: AirflowConnection) -> str:
    """Return the type of which a connection's fields are.

    Args:
        connection: The connection.

    Returns:
        A key of `FIELDS` where its type, or what that is another name of, is one.
    """
    return _ALIASES.get(connection.conn_type, connection.conn_type)


def checked_extra(connection: AirflowConnection | None) -> dict[str, Any]:
    """Return the extra fields of a connection that ask for something.

    Args:
        connection: The connection.

    Returns:
        The fields by name, without the prefix ``extra__<type>__`` of old Airflow.

    Raises:
        ConfigError: A field that is set is refused, or unknown for this type.
    """
    if connection is None:
        return {}
    kind = kind_of(connection)
    known = FIELDS.get(kind)
    prefix = f"extra__{connection.conn_type}__"
    extra = {name.removeprefix(prefix): value for name, value in (connection.extra_dejson or {}).items()}
    extra = {name: value for name, value in extra.items() if not _asks_nothing(value)}
    if known is None:
        return extra
    standard = [(name, getattr(connection, name, None)) for name in _STANDARD]
    for name, value in [*standard, *extra.items()]:
        if _asks_nothing(value):
            continue
        is_misplaced = name in extra and name in _STANDARD and (kind, name) not in _ALSO_EXTRA
        field = None if is_misplaced else known.get(name)
        if field is None and kind == "postgres":
            continue  # The core knows every parameter of libpq, and refuses others by name.
        if field is None:
            raise ConfigError(
                f"connection {connection.conn_id} has a field {name!r} that metropulse does not know for {kind}, "
                f"expected {', '.join(known)}; take it out, or give metropulse a connection of its own"
            )
        if field.fate == "refused" and typed(value) is not False:
            raise ConfigError(
                f"connection {connection.conn_id} sets {name!r}, which metropulse does not support ({field.remark})"
            )
    return extra


def typed(value: Any) -> Any:
    """Return a field of the connection form, which may have been stored as text, by its meaning."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return {"True": True, "False": False}.get(value, value)


def _asks_nothing(value: Any) -> bool:
    return value is None or (isinstance(value, (str, dict, list)) and not value)
