"""One test for each field of each connection type: it is honoured, it means nothing here, or it is refused by name."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from metropulse.airflow.connection_fields import FIELDS
from metropulse.airflow.connections import Sources, lake_arguments, mart_arguments, warehouse_arguments
from metropulse.exceptions import ConfigError
from metropulse.settings import resolve

DOCS = Path(__file__).parents[3] / "docs" / "connections.md"
STANDARD = ("host", "port", "schema", "login", "password")
NAMED = "any parameter of the table above"
MINIO = {"host": "http://m:9000"}
ROLE = {
    "role_arn": "arn:aws:iam::1:role/r",
    "assume_role_method": "assume_role_with_web_identity",
    "assume_role_with_web_identity_federation": "file",
}
TENANT = {"tenant_id": "t", "login": "client", "password": "secret", "host": "acc", "lake": "az://c"}
TUNING = {
    "reject_limit": 0.5, "memory_bytes": 1 << 20, "digest_keys": 7, "threads": 3, "connections": 4,
    "swap_deadline_seconds": 5, "lock_deadline_seconds": 6, "absent": {"routes": "ignore"}, "allow_vanishing": True,
    "run_label": "mine", "unknown_files": "error", "positions": "telemetry", "spool": "/tmp/s",
}  # fmt: skip

# What each field is given (the first key; the others only make the connection whole), and what must come of it.
HONOURED: dict[tuple[str, str], tuple[dict[str, Any], dict[str, Any]]] = {
    ("aws", "login"): ({"login": "k"}, {"aws_access_key_id": "k"}),
    ("aws", "password"): ({"password": "s"}, {"aws_secret_access_key": "s"}),
    ("aws", "host"): ({"host": "http://m:9000"}, {"aws_endpoint": "http://m:9000", "aws_allow_http": "true"}),
    ("aws", "port"): ({"port": 9000, "host": "m"}, {"aws_endpoint": "http://m:9000"}),
    ("aws", "lake"): ({"lake": "s3://b/p"}, {"place": "s3://b/p"}),
    ("aws", "bucket"): ({"bucket": "b"}, {"place": "s3://b"}),
    ("aws", "endpoint_url"): ({"endpoint_url": "https://r2", **MINIO}, {"aws_endpoint": "https://r2"}),
    ("aws", "region_name"): ({"region_name": "eu-west-1"}, {"aws_region": "eu-west-1"}),
    ("aws", "aws_access_key_id"): ({"aws_access_key_id": "k"}, {"aws_access_key_id": "k"}),
    ("aws", "aws_secret_access_key"): ({"aws_secret_access_key": "s"}, {"aws_secret_access_key": "s"}),
    ("aws", "aws_session_token"): ({"aws_session_token": "t"}, {"aws_session_token": "t"}),
    ("aws", "service_config"): (
        {"service_config": {"s3": {"bucket_name": "b", "endpoint_url": "https://r2"}, "sts": {"endpoint_url": "x"}}},
        {"place": "s3://b", "aws_endpoint": "https://r2"},
    ),
    ("aws", "verify"): ({"verify": "/etc/ca.pem"}, {"ca_bundle": "/etc/ca.pem"}),
    ("aws", "role_arn"): (ROLE, {"aws_role_arn": "arn:aws:iam::1:role/r", "aws_role_session_name": "metropulse"}),
    ("aws", "assume_role_method"): (ROLE, {"aws_role_arn": "arn:aws:iam::1:role/r"}),
    ("aws", "assume_role_with_web_identity_federation"): (ROLE, {"aws_role_arn": "arn:aws:iam::1:role/r"}),
    ("aws", "assume_role_with_web_identity_token_file"): (
        {"assume_role_with_web_identity_token_file": "/run/token", **ROLE},
        {"aws_web_identity_token_file": "/run/token"},
    ),
    ("aws", "assume_role_kwargs"): (
        {"assume_role_kwargs": {"RoleSessionName": "mine"}, **ROLE},
        {"aws_role_session_name": "mine"},
    ),
    ("aws", "config_kwargs"): (
        {"config_kwargs": {"signature_version": "unsigned", "s3": {"addressing_style": "path"}, "retries": {}}},
        {"aws_skip_signature": "true", "aws_virtual_hosted_style_request": "false"},
    ),
    ("fs", "host"): ({"host": "/data"}, {"place": "/data"}),
    ("fs", "lake"): ({"lake": "/data", "path": "/no"}, {"place": "/data"}),
    ("fs", "path"): ({"path": "/data"}, {"place": "/data"}),
    ("fs", "basepath"): ({"basepath": "/data"}, {"place": "/data"}),
    ("google_cloud_platform", "lake"): ({"lake": "gs://b/p"}, {"place": "gs://b/p"}),
    ("google_cloud_platform", "bucket"): ({"bucket": "b"}, {"place": "gs://b"}),
    ("google_cloud_platform", "key_path"): ({"key_path": "/k", "bucket": "b"}, {"google_service_account": "/k"}),
    ("google_cloud_platform", "keyfile_dict"): (
        {"keyfile_dict": {"a": 1}, "bucket": "b"},
        {"google_service_account_key": '{"a": 1}'},
    ),
    ("google_cloud_platform", "is_anonymous"): (
        {"is_anonymous": "true", "bucket": "b"},
        {"google_skip_signature": "true"},
    ),
    ("wasb", "login"): ({"login": "acc", "lake": "az://c"}, {"azure_storage_account_name": "acc"}),
    ("wasb", "password"): ({"password": "key", "login": "a", "lake": "az://c"}, {"azure_storage_account_key": "key"}),
    ("wasb", "host"): (
        {"host": "http://127.0.0.1:10000/dev", "login": "dev", "lake": "az://c"},
        {"azure_storage_account_name": "dev", "azure_storage_endpoint": "http://127.0.0.1:10000/dev"},
    ),
    ("wasb", "lake"): ({"lake": "az://c/p", "login": "a"}, {"place": "az://c/p"}),
    ("wasb", "connection_string"): (
        {"connection_string": "DefaultEndpointsProtocol=https;AccountName=acc;AccountKey=k==;EndpointSuffix=x.net", "lake": "az://c"},
        {"azure_storage_account_name": "acc", "azure_storage_account_key": "k==", "azure_storage_endpoint": "https://acc.blob.x.net"},
    ),
    ("wasb", "tenant_id"): (
        TENANT,
        {"azure_storage_tenant_id": "t", "azure_storage_client_id": "client", "azure_storage_client_secret": "secret",
         "azure_storage_account_name": "acc", "azure_storage_account_key": None},
    ),
    ("wasb", "sas_token"): (
        {"sas_token": "https://acc.blob.core.windows.net?sv=1&sig=x", "lake": "az://c"},
        {"azure_storage_account_name": "acc", "azure_storage_sas_key": "sv=1&sig=x"},
    ),
    ("wasb", "shared_access_key"): (
        {"shared_access_key": "k", "login": "a", "lake": "az://c"},
        {"azure_storage_account_key": "k"},
    ),
    ("wasb", "account_key"): ({"account_key": "k", "login": "a", "lake": "az://c"}, {"azure_storage_account_key": "k"}),
    ("adls", "login"): ({"login": "acc", "lake": "az://c"}, {"azure_storage_account_name": "acc"}),
    ("adls", "password"): ({"password": "key", "host": "acc", "lake": "az://c"}, {"azure_storage_account_key": "key"}),
    ("adls", "host"): ({"host": "acc", "lake": "az://c"}, {"azure_storage_account_name": "acc"}),
    ("adls", "lake"): ({"lake": "abfs://c", "host": "a"}, {"place": "abfs://c"}),
    ("adls", "connection_string"): (
        {"connection_string": "AccountName=acc;SharedAccessSignature=?sv=1", "lake": "az://c"},
        {"azure_storage_account_name": "acc", "azure_storage_sas_key": "sv=1"},
    ),
    ("adls", "tenant_id"): (
        TENANT,
        {"azure_storage_client_id": "client", "azure_storage_client_secret": "secret", "azure_storage_account_key": None},
    ),
    ("adls", "account_url"): (
        {"account_url": "https://acc.dfs.core.windows.net", "lake": "az://c"},
        {"azure_storage_account_name": "acc", "azure_storage_endpoint": None},
    ),
    ("postgres", "host"): ({"host": "h"}, {"place": "postgresql://h/postgres"}),
    ("postgres", "port"): ({"port": 5433, "host": "h"}, {"place": "postgresql://h:5433/postgres"}),
    ("postgres", "schema"): ({"schema": "d", "host": "h"}, {"place": "postgresql://h/d"}),
    ("postgres", "login"): ({"login": "u", "host": "h"}, {"place": "postgresql://u@h/postgres"}),
    ("postgres", "password"): ({"password": "p", "login": "u", "host": "h"}, {"place": "postgresql://u:p@h/postgres"}),
    ("postgres", NAMED): (
        {"sslmode": "verify-full", "sslrootcert": "/r", "sslcert": "/c", "sslkey": "/k", "sslcrl": "/l", "host": "h",
         "keepalives": False},
        {"place": "postgresql://h/postgres?sslmode=verify-full&sslrootcert=%2Fr&sslcert=%2Fc&sslkey=%2Fk&sslcrl=%2Fl&keepalives=0"},
    ),
    ("clickhouse", "host"): ({"host": "h"}, {"place": "http://h"}),
    ("clickhouse", "port"): ({"port": 8124, "host": "h"}, {"place": "http://h:8124"}),
    ("clickhouse", "schema"): ({"schema": "d", "host": "h"}, {"place": "http://h/d"}),
    ("clickhouse", "login"): ({"login": "u", "host": "h"}, {"user": "u"}),
    ("clickhouse", "password"): ({"password": "p", "host": "h"}, {"password": "p"}),
    ("clickhouse", "secure"): ({"secure": True, "host": "h"}, {"place": "https://h"}),
    ("clickhouse", "database"): ({"database": "d", "schema": "no", "host": "h"}, {"place": "http://h/d"}),
    ("clickhouse", "verify"): ({"verify": True, "host": "h"}, {"place": "http://h"}),
    ("http", "host"): ({"host": "https://h/"}, {"place": "https://h"}),
    ("http", "port"): ({"port": 8124, "host": "h"}, {"place": "http://h:8124"}),
    ("http", "schema"): ({"schema": "https", "host": "h"}, {"place": "https://h"}),
    ("http", "login"): ({"login": "u", "host": "h"}, {"user": "u"}),
    ("http", "password"): ({"password": "p", "host": "h"}, {"password": "p"}),
    ("http", "secure"): ({"secure": "true", "host": "h"}, {"place": "https://h"}),
    ("http", "database"): ({"database": "d", "host": "h"}, {"place": "http://h/d"}),
    ("jdbc", "host"): ({"host": "jdbc:postgresql://h:1/d"}, {"place": "postgresql://h:1/d"}),
    ("jdbc", "login"): ({"login": "u", "host": "jdbc:postgresql://h/d"}, {"place": "postgresql://u@h/d"}),
    ("jdbc", "password"): (
        {"password": "p", "login": "u", "host": "jdbc:postgresql://h/d"},
        {"place": "postgresql://u:p@h/d"},
    ),
    ("metropulse", "host"): ({"host": "/var/mp"}, {"state": "/var/mp"}),
    ("metropulse", "schema"): ({"schema": "Asia/Tokyo"}, {"time_zone": "Asia/Tokyo"}),
    ("metropulse", "state"): ({"state": "/var/mp", "host": "/no"}, {"state": "/var/mp"}),
    ("metropulse", "lake"): ({"lake": "s3://b"}, {"place": "s3://b"}),
    ("metropulse", "time_zone"): ({"time_zone": "Asia/Tokyo"}, {"time_zone": "Asia/Tokyo"}),
    **{("metropulse", name): ({name: value}, {name: value}) for name, value in TUNING.items()},
}  # fmt: skip
WHOLE: dict[str, dict[str, Any]] = {
    "aws": {}, "fs": {"path": "/data"}, "google_cloud_platform": {"bucket": "b"}, "wasb": {"login": "a", "lake": "az://c"},
    "adls": {"host": "a", "lake": "az://c"}, "postgres": {"host": "h"}, "clickhouse": {"host": "h"}, "http": {"host": "h"},
    "jdbc": {"host": "jdbc:postgresql://h/d"}, "metropulse": {},
}  # fmt: skip


def connection(kind: str, fields: dict[str, Any]) -> SimpleNamespace:
    standard = {name: fields.get(name) for name in STANDARD}
    extra = {name: value for name, value in fields.items() if name not in STANDARD}
    return SimpleNamespace(conn_id="c", conn_type=kind, extra_dejson=extra, **standard)


def found(kind: str, fields: dict[str, Any]) -> dict[str, Any]:
    """What the core is given for a connection."""
    given = connection(kind, fields)
    if kind in {"postgres", "jdbc"}:
        return {"place": warehouse_arguments(given)["warehouse"]}
    if kind in {"clickhouse", "http"}:
        mart = mart_arguments(given)
        return {"place": mart["mart"], "user": mart["mart_user"], "password": mart["mart_password"]}
    if kind == "metropulse":
        sources = Sources(base_connection=given, environ={})
        arguments = sources.arguments()
        resolve(**arguments)  # Each is of its type.
        return {**arguments, "state": sources.state_folder(), "place": arguments.get("lake")}
    lake = lake_arguments(given)
    return {"place": lake["lake"], **lake["lake_options"]}


def fields_of(fate: str) -> list[Any]:
    pairs = [(kind, name) for kind, fields in FIELDS.items() for name, field in fields.items() if field.fate == fate]
    return [pytest.param(kind, name, id=f"{kind}-{name}") for kind, name in pairs]


@pytest.mark.parametrize(("kind", "name"), fields_of("honoured"))
def test_a_field_is_honoured(kind, name):
    fields, expected = HONOURED[kind, name]
    assert name in fields or name == NAMED
    without = {other: value for other, value in fields.items() if other != name}
    result = found(kind, fields)
    assert {key: result.get(key) for key in expected} == expected
    try:
        before = found(kind, without)
    except ConfigError:
        return  # The connection is nothing without it.
    # That it is honoured shows: without it something else comes out. Only what is the default anyway may be the same.
    is_default = (kind, name) in {("clickhouse", "verify")}
    assert is_default or name == NAMED or result != before


@pytest.mark.parametrize(("kind", "name"), fields_of("unused"))
def test_a_field_that_means_nothing_here_changes_nothing(kind, name):
    assert found(kind, {name: "7", **WHOLE[kind]}) == found(kind, WHOLE[kind])


@pytest.mark.parametrize(("kind", "name"), fields_of("refused"))
def test_a_field_is_refused_by_name(kind, name):
    with pytest.raises(ConfigError, match=re.escape(f"connection c sets {name!r}")):
        found(kind, {name: "value", **WHOLE[kind]})
    for nothing in (None, "", {}, [], False, "false"):
        assert found(kind, {name: nothing, **WHOLE[kind]}) == found(kind, WHOLE[kind])


@pytest.mark.parametrize("kind", [kind for kind in FIELDS if kind != "postgres"])
def test_an_unknown_field_is_an_error_that_names_it(kind):
    with pytest.raises(ConfigError, match="'end_point' that metropulse does not know"):
        found(kind, {"end_point": "x", **WHOLE[kind]})


@pytest.mark.parametrize(
    ("kind", "fields", "named"),
    [
        ("aws", {"role_arn": "arn"}, "role_arn by assume_role"),
        ("aws", {**ROLE, "assume_role_with_web_identity_federation": "google"}, "role_arn by assume_role_with_web_identity of google"),
        ("aws", {**ROLE, "assume_role_kwargs": {"ExternalId": "x"}}, "assume_role_kwargs.ExternalId"),
        ("aws", {"config_kwargs": {"proxies": {"http": "x"}}}, "config_kwargs.proxies"),
        ("aws", {"config_kwargs": {"s3": {"use_accelerate_endpoint": True}}}, "config_kwargs.s3.use_accelerate_endpoint"),
        ("aws", {"config_kwargs": {"signature_version": "s3"}}, "signature_version s3"),
        ("aws", {"service_config": {"s3": {"region": "x"}}}, "service_config.s3.region"),
        ("wasb", {"connection_string": "AccountName=a;BlobSecret=x", "lake": "az://c"}, "connection_string with BlobSecret"),
        ("clickhouse", {"verify": False, "host": "h"}, "verify"),
        ("postgres", {"host": "postgresql://h/d", "sslmode": "require"}, "'sslmode' beside it"),
    ],
)  # fmt: skip
def test_a_part_of_a_field_is_refused_by_name(kind, fields, named):
    with pytest.raises(ConfigError, match=re.escape(named)):
        found(kind, fields)


def test_verify_off_is_taken_as_it_was_meant():
    assert found("aws", {"verify": "false"})["allow_invalid_certificates"] == "true"
    assert "allow_invalid_certificates" not in found("aws", {"verify": True})


def test_fields_of_old_airflow_carry_a_prefix():
    assert (
        found("wasb", {"extra__wasb__sas_token": "?sv=1", "login": "a", "lake": "az://c"})["azure_storage_sas_key"]
        == "sv=1"
    )


def test_the_documentation_shows_every_field_as_it_is():
    text = DOCS.read_text(encoding="utf-8")
    table = text.partition("<!-- connection fields -->")[2].partition("<!-- /connection fields -->")[0]
    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in table.strip().splitlines()[2:]]
    shown = [
        (kind, name, field.fate, field.remark) for kind, fields in FIELDS.items() for name, field in fields.items()
    ]
    assert rows == [(kind, name if name == NAMED else f"`{name}`", fate, remark) for kind, name, fate, remark in shown]
