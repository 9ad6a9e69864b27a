"""One request, taken apart: credentials, settings, parameters, the text of the statement."""

from __future__ import annotations

import base64
import binascii
import email.parser
import email.policy
import hmac
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from metropulse.embedded.clickhouse_http.body import Body, decoded, unframed
from metropulse.embedded.clickhouse_http.errors import RefusedError

# Names that belong to the HTTP interface, or steer what only a whole server has: never handed to the engine.
_OURS = frozenset(
    {
        "buffer_size",
        "cancel_http_readonly_queries_on_client_close",
        "client_protocol_version",
        "close_session",
        "compress",
        "database",
        "decompress",
        "default_format",
        "enable_http_compression",
        "http_headers_progress_interval_ms",
        "http_response_buffer_size",
        "http_wait_end_of_query",
        "http_zlib_compression_level",
        "password",
        "query",
        "query_id",
        "quota_key",
        "role",
        "send_progress_in_http_headers",
        "session_check",
        "session_id",
        "session_timeout",
        "stacktrace",
        "user",
        "wait_end_of_query",
    }
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")


@dataclass
class Call:
    """A request to run a statement.

    Attributes:
        query_id: The client's identifier, or one made here.
        settings: Settings for this statement alone.
        parameters: Values of `{name:Type}`, as the interface escapes them.
        fields: The URL's and the form's own fields, by name.
        head: The statement as far as the URL gives it.
        rest: What follows it in the body.
        body: The body itself.
        read_only: Whether the method allows no change.
    """

    query_id: str
    settings: dict[str, str]
    parameters: dict[str, str]
    fields: dict[str, str]
    head: bytes
    rest: Iterator[bytes]
    body: Body
    read_only: bool = False

    def flag(self, *names: str) -> bool:
        """Whether one of these fields is given and not 0 or false."""
        return any(self.fields.get(name, "0").lower() not in ("", "0", "false") for name in names)


def read_call(method: str, query_string: str, headers: Mapping[str, str], body: Body) -> Call:
    """Take a request apart; of its body only a form is read.

    Args:
        method: HTTP method.
        query_string: The URL after its `?`.
        headers: Request headers, by any case.
        body: The body.

    Returns:
        The call.

    Raises:
        GoneError: The client went away inside a form.
        RefusedError: The request makes no sense.
    """
    fields = dict(parse_qsl(query_string, keep_blank_values=True, encoding="utf-8", errors="surrogateescape"))
    rest = decoded(body.pieces(), headers.get("Content-Encoding", ""))
    if fields.get("decompress", "0") not in ("", "0"):
        rest = unframed(rest)
    if headers.get("Content-Type", "").lower().startswith("multipart/form-data"):
        fields.update(_form(headers["Content-Type"], b"".join(rest)))
        rest = iter(())
    if fields.get("compress", "0") not in ("", "0"):
        raise RefusedError.named(48, "NOT_IMPLEMENTED", "compress=1 is not offered here, leave it out")
    settings = {}
    for name, value in fields.items():
        if name in _OURS or name.startswith("param_"):
            continue
        if not _NAME.fullmatch(name):
            raise RefusedError.named(115, "UNKNOWN_SETTING", f"Unknown setting {name!r}")
        settings[name] = value
    parameters = {name.removeprefix("param_"): value for name, value in fields.items() if name.startswith("param_")}
    head = fields.get("query", "").encode("utf-8", "surrogateescape")
    return Call(
        query_id=fields.get("query_id") or headers.get("X-ClickHouse-Query-Id") or str(uuid.uuid4()),
        settings=settings,
        parameters=parameters,
        fields={
            "database": headers.get("X-ClickHouse-Database", ""),
            "default_format": headers.get("X-ClickHouse-Format", ""),
            **fields,
        },
        head=head + b"\n" if head.strip() else b"",
        rest=rest,
        body=body,
        read_only=method == "GET",
    )


def check_credentials(query_string: str, headers: Mapping[str, str], user: str, password: str) -> None:
    """Refuse a request that does not know the password.

    Args:
        query_string: The URL after its `?`.
        headers: Request headers.
        user: The one user there is.
        password: Its password.

    Raises:
        RefusedError: User or password are wrong or missing.
    """
    fields = dict(parse_qsl(query_string, keep_blank_values=True))
    named = headers.get("X-ClickHouse-User") or fields.get("user") or ""
    given = headers.get("X-ClickHouse-Key") or fields.get("password") or ""
    scheme, _, coded = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            named, _, given = base64.b64decode(coded.strip(), validate=True).decode("utf-8").partition(":")
        except (binascii.Error, UnicodeDecodeError):
            named = given = ""
    known = hmac.compare_digest(named.encode(), user.encode())
    if not (hmac.compare_digest(given.encode(), password.encode()) and known):
        raise RefusedError.named(
            516,
            "AUTHENTICATION_FAILED",
            f"{named or 'default'}: Authentication failed: password is incorrect, or there is no user with such name",
        )


def _form(content_type: str, data: bytes) -> dict[str, str]:
    """Read the fields of a multipart form."""
    head = b"Content-Type: " + content_type.encode("latin-1", "replace") + b"\r\n\r\n"
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + data)
    if not message.is_multipart():
        raise RefusedError.named(36, "BAD_ARGUMENTS", "the multipart form cannot be read")
    found = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        if part.get_filename():
            raise RefusedError.named(48, "NOT_IMPLEMENTED", "external tables are not offered here")
        payload = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(payload, bytes):
            found[name] = payload.decode("utf-8", "surrogateescape")
    return found
