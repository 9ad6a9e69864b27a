"""Object stores: which kind a place is of, and the options that give access to it, in the object store's own words."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from metropulse.exceptions import ConfigError
from metropulse.redaction import redact

__all__ = ["role_options", "s3_options", "store_kind", "store_options", "variable"]

# The role of a machine, a pod or a container, from which the object store fetches keys and renews them by itself.
_ROLE = (
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_ENDPOINT_URL_STS",
    "AWS_METADATA_ENDPOINT",
)
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
        *_ROLE,
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


def role_options(env: Mapping[str, str]) -> dict[str, str]:
    """Return the S3 options by which an environment names the role of the machine, pod or container; no keys.

    Args:
        env: The environment.

    Returns:
        Options in the words of the object store.
    """
    return {name.lower(): value for name in _ROLE if (value := variable(env, name))}


def store_kind(place: str | None) -> str | None:
    """Return the kind of object store a place lies in.

    Args:
        place: Path or URL.

    Returns:
        ``s3``, ``gs`` or ``az``; None for a local path.
    """
    return _CLOUD_SCHEMES.get((place or "").partition("://")[0].lower())


def store_options(place: str | None, env: Mapping[str, str]) -> dict[str, str]:
    """Return the options that an environment has for the object store of a place.

    Args:
        place: Path or URL.
        env: The environment.

    Returns:
        Options in the words of the object store; none for a local path.

    Raises:
        ConfigError: A variable has the wrong form.
    """
    scheme = store_kind(place)
    if scheme is None:
        return {}
    options = {name.lower(): value for name in _CLOUD_OPTIONS[scheme] if (value := variable(env, name))}
    if scheme == "s3":
        if "aws_endpoint" not in options and (url := variable(env, "AWS_ENDPOINT_URL")):
            options |= s3_options(url, None, None, region=options.get("aws_region"))
        if variable(env, "MINIO_ENDPOINT") or variable(env, "MINIO_ACCESS_KEY"):
            minio = s3_options(
                variable(env, "MINIO_ENDPOINT"),
                variable(env, "MINIO_ACCESS_KEY"),
                variable(env, "MINIO_SECRET_KEY"),
                secure=_switch(env, "MINIO_SECURE"),
                region=options.get("aws_region") or options.get("aws_default_region"),
            )
            options = {**options, **minio}
    return options


def variable(env: Mapping[str, str], name: str) -> str | None:
    """Return a variable of an environment.

    Args:
        env: The environment.
        name: The variable.

    Returns:
        Its value without blanks around it; None when nothing is left.
    """
    return env.get(name, "").strip() or None


def _switch(env: Mapping[str, str], name: str) -> bool | None:
    value = variable(env, name)
    if value is None:
        return None
    if value.lower() in {"1", "true", "yes", "on"}:
        return True
    if value.lower() in {"0", "false", "no", "off"}:
        return False
    raise ConfigError(f"{name} is {value!r}, expected true or false")
