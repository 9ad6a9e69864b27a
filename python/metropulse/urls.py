"""Addresses of PostgreSQL and ClickHouse, from the forms people have to the one form the core reads.

Pure functions: no environment, no network.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from metropulse.exceptions import ConfigError
from metropulse.redaction import redact

__all__ = ["Endpoint", "clickhouse_endpoint", "postgres_url"]

# What pgjdbc and SQLAlchemy put into a URL, in PostgreSQL's own words.
_POSTGRES_SCHEMES = {"postgres", "postgresql", "greenplum", "jdbc:postgresql", "jdbc:postgres"}
_JDBC_TO_LIBPQ = {
    "ApplicationName": "application_name",
    "connectTimeout": "connect_timeout",
    "loginTimeout": "connect_timeout",
    "options": "options",
    "sslmode": "sslmode",
    "sslrootcert": "sslrootcert",
    "targetServerType": "target_session_attrs",
}
_JDBC_SERVER_TYPES = {
    "any": "any",
    "primary": "read-write",
    "master": "read-write",
    "secondary": "standby",
    "slave": "standby",
    "preferSecondary": "prefer-standby",
    "preferSlave": "prefer-standby",
}
_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'")
_NATIVE_PORTS = {9000: "8123", 9440: "8443"}


@dataclass(frozen=True)
class Endpoint:
    """Where ClickHouse answers over HTTP, and as whom to speak."""

    url: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)


def postgres_url(text: str, user: str | None = None, password: str | None = None) -> str:
    """Return a connection string in PostgreSQL's own form.

    Args:
        text: ``postgresql://...``, ``jdbc:postgresql://...``, SQLAlchemy's ``postgresql+driver://...`` or
            ``key=value`` pairs.
        user: Used where the text names no user.
        password: Used where the text names no password.

    Returns:
        A ``postgresql://`` URL, or the ``key=value`` string with user and password added.

    Raises:
        ConfigError: The text is none of these forms, or asks for a JDBC option of TLS that has no counterpart.
    """
    text = text.strip()
    scheme, separator, rest = text.partition("://")
    if not separator and text.startswith("jdbc:postgresql:"):
        scheme, rest = "jdbc:postgresql", "/" + text.removeprefix("jdbc:postgresql:").lstrip("/")
    elif not separator:
        return _keyword_string(text, user, password)
    if scheme.partition("+")[0] not in _POSTGRES_SCHEMES:
        raise ConfigError(f"the warehouse URL begins with {scheme}://, expected postgresql:// or jdbc:postgresql://")
    authority, slash, tail = rest.partition("/")
    if not slash and "?" in authority:
        authority, _, query = authority.partition("?")
        tail = "?" + query
    path, _, query = tail.partition("?")
    own_user, own_password, hosts = _split_userinfo(authority)
    # PostgreSQL's clients, JDBC's apart, read a plus in a URL as a plus, not as a blank.
    options = dict(
        parse_qsl(query if scheme.startswith("jdbc:") else query.replace("+", "%2B"), keep_blank_values=True)
    )
    if scheme.startswith("jdbc:"):
        hosts = hosts or "localhost"
        own_user = options.pop("user", own_user)
        own_password = options.pop("password", own_password)
        options = _jdbc_options(options)
    elif "password" in options or "user" in options:
        own_user = options.pop("user", own_user)
        own_password = options.pop("password", own_password)
    userinfo = _join_userinfo(own_user or user, own_password if own_password is not None else password)
    return f"postgresql://{userinfo}{hosts}/{path}" + ("?" + urlencode(options, quote_via=quote) if options else "")


def clickhouse_endpoint(text: str, user: str | None = None, password: str | None = None) -> Endpoint:
    """Return ClickHouse's HTTP endpoint, user and password.

    Args:
        text: ``jdbc:clickhouse://host:8123/db``, ``jdbc:ch:https://...``, ``clickhouse://...``, ``http(s)://...``. With
            ``?database=`` a path is the prefix under which a proxy has ClickHouse.
        user: Used where the text names no user.
        password: Used where the text names no password.

    Returns:
        The endpoint; its URL always names host, port and database and never a user.

    Raises:
        ConfigError: The text is none of these forms, or names the port of the native protocol.
    """
    stripped = text.strip()
    jdbc = re.fullmatch(r"jdbc:(?:clickhouse|ch):(?P<rest>(?:https?:|grpc:)?//.+)", stripped)
    address = jdbc["rest"] if jdbc else stripped
    if address.startswith("//"):
        address = "clickhouse:" + address
    parts = urlsplit(address)
    scheme = parts.scheme.partition("+")[0]
    if scheme not in {"http", "https", "clickhouse", "clickhousedb", "clickhouses", "ch"} or not parts.hostname:
        raise ConfigError(
            f"the mart URL is {redact(stripped)!r}, expected http(s)://host:port/database or jdbc:clickhouse://host:port/database"
        )
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    secure = scheme in {"https", "clickhouses"} or any(_true(options.get(k)) for k in ("ssl", "secure"))
    try:
        port = parts.port
    except ValueError as error:
        raise ConfigError("the mart URL names a port outside 0 to 65535") from error
    if scheme not in {"http", "https"} and port in _NATIVE_PORTS:
        raise ConfigError(
            f"the mart URL names port {port} of ClickHouse's native protocol, "
            f"expected its HTTP port ({_NATIVE_PORTS[port]})"
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    place = ("https" if secure else "http", f"{host}:{port or (8443 if secure else 8123)}")
    if parts.path.strip("/") and options.get("database"):
        # The path is where a proxy has ClickHouse.
        url = urlunsplit((*place, parts.path, urlencode({"database": options["database"]}, quote_via=quote), ""))
    else:
        database = unquote(parts.path.strip("/")) or options.get("database") or "default"
        url = urlunsplit((*place, "/" + quote(database), "", ""))
    own_user = unquote(parts.username) if parts.username else options.get("user") or options.get("username")
    own_password = unquote(parts.password) if parts.password is not None else options.get("password")
    return Endpoint(url, own_user or user, own_password if own_password is not None else password)


def _keyword_string(text: str, user: str | None, password: str | None) -> str:
    if "=" not in text:
        raise ConfigError(f"the warehouse is {redact(text)!r}, expected a postgresql:// URL or key=value pairs")
    for name, value in (("user", user), ("password", password)):
        # Words within quotes are no parameters.
        if value and not re.search(rf"(?:^|\s){name}\s*=", _QUOTED.sub("''", text)):
            escaped = value.replace("\\", "\\\\").replace("'", "\\'")
            text += f" {name}='{escaped}'"
    return text


def _jdbc_options(options: dict[str, str]) -> dict[str, str]:
    """Translate JDBC's options; what tunes that driver alone is dropped, what guards TLS is never dropped silently."""
    kept: dict[str, str] = {}
    for name, value in options.items():
        if name == "targetServerType":
            if value not in _JDBC_SERVER_TYPES:
                raise ConfigError(f"targetServerType is {value!r}, expected one of {', '.join(_JDBC_SERVER_TYPES)}")
            kept["target_session_attrs"] = _JDBC_SERVER_TYPES[value]
        elif name in _JDBC_TO_LIBPQ:
            kept[_JDBC_TO_LIBPQ[name]] = value
        elif name == "ssl" and _true(value or "true"):
            kept.setdefault("sslmode", "require")
        elif name.startswith("ssl") and name not in {"ssl", "sslResponseTimeout"}:
            raise ConfigError(
                f"the JDBC option {name} has no counterpart here; use sslmode=require and the system's certificates"
            )
    return kept


def _split_userinfo(authority: str) -> tuple[str | None, str | None, str]:
    userinfo, at, hosts = authority.rpartition("@")
    if not at:
        return None, None, authority
    user, colon, password = userinfo.partition(":")
    return unquote(user) or None, unquote(password) if colon else None, hosts


def _join_userinfo(user: str | None, password: str | None) -> str:
    if not user and not password:
        return ""
    return quote(user or "", safe="") + (":" + quote(password, safe="") if password else "") + "@"


def _true(value: str | None) -> bool:
    return (value or "").lower() in {"1", "true", "yes", "on"}
