"""Stand-ins for what hands out the keys of a role, and MinIO's own short-lived keys for them to hand out."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import hmac
import json
import ssl
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

from certificates import Issuer
from http_servers import running

AWS = "{https://sts.amazonaws.com/doc/2011-06-15/}"


@dataclass(frozen=True)
class Keys:
    """Keys that are valid with their token alone."""

    key: str
    secret: str = field(repr=False)
    token: str = field(repr=False)


def minio_keys(endpoint: str, user: str, password: str) -> Keys:
    """Ask MinIO's STS for keys that live a quarter of an hour."""
    body = b"Action=AssumeRole&Version=2011-06-15&DurationSeconds=900"
    now = dt.datetime.now(dt.UTC)
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    host, digest = urlsplit(endpoint).netloc, hashlib.sha256(body).hexdigest()
    kind = "application/x-www-form-urlencoded"
    signed = "content-type;host;x-amz-content-sha256;x-amz-date"
    canonical = f"POST\n/\n\ncontent-type:{kind}\nhost:{host}\nx-amz-content-sha256:{digest}\nx-amz-date:{stamp}\n\n{signed}\n{digest}"
    scope = f"{day}/us-east-1/sts/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{password}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    headers = {
        "Content-Type": kind,
        "X-Amz-Date": stamp,
        "X-Amz-Content-Sha256": digest,
        "Authorization": f"AWS4-HMAC-SHA256 Credential={user}/{scope}, SignedHeaders={signed}, Signature={signature}",
    }
    with urllib.request.urlopen(urllib.request.Request(endpoint, body, headers), timeout=30) as answer:
        found = ElementTree.fromstring(answer.read()).find(f".//{AWS}Credentials")
    return Keys(*(found.findtext(f"{AWS}{name}") for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")))


class Authority(ThreadingHTTPServer):
    """Hands out keys as AWS does: to who shows a web identity, to a machine, and to a container. It notes who asked.

    Keys end `lives_seconds` after they were given, by their own account; MinIO keeps them longer.
    """

    daemon_threads = True
    ROLE: ClassVar[str] = "loader"
    PROOF: ClassVar[str] = "the-proof-of-the-pod"

    def __init__(self, keys: Keys) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.keys = keys
        self.lives_seconds = 3600
        self.asked: list[str] = []

    def given(self) -> list[str]:
        """How often keys were given, and by which way."""
        return [way for way in self.asked if way in {"web identity", "machine", "container"}]

    def expiry(self) -> str:
        return (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=self.lives_seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


class _Handler(BaseHTTPRequestHandler):
    server: Authority

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""

    def _answer(self, text: str, status: int = 200) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _as_json(self) -> str:
        keys = self.server.keys
        return json.dumps(
            {"AccessKeyId": keys.key, "SecretAccessKey": keys.secret, "Token": keys.token, "Expiration": self.server.expiry()}
        )  # fmt: skip

    def do_PUT(self) -> None:
        self.server.asked.append("session of the machine")
        self._answer("a-session")

    def do_GET(self) -> None:
        if self.path == "/container":
            if self.headers["Authorization"] != Authority.PROOF:
                return self._answer("no", 403)
            self.server.asked.append("container")
            return self._answer(self._as_json())
        if self.headers["X-aws-ec2-metadata-token"] != "a-session":
            return self._answer("no", 401)
        if self.path.endswith("/security-credentials/"):
            return self._answer(Authority.ROLE)
        self.server.asked.append("machine")
        return self._answer(self._as_json())

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        said = parse_qs(urlsplit(self.path).query) | parse_qs(self.rfile.read(length).decode())
        if said.get("WebIdentityToken") != [Authority.PROOF] or said["Action"] != ["AssumeRoleWithWebIdentity"]:
            return self._answer("<Error><Code>InvalidIdentityToken</Code></Error>", 400)
        self.server.asked += [said["RoleArn"][0], said["RoleSessionName"][0], "web identity"]
        keys = self.server.keys
        return self._answer(
            f'<AssumeRoleWithWebIdentityResponse xmlns="{AWS[1:-1]}"><AssumeRoleWithWebIdentityResult><Credentials>'
            f"<AccessKeyId>{keys.key}</AccessKeyId><SecretAccessKey>{keys.secret}</SecretAccessKey>"
            f"<SessionToken>{keys.token}</SessionToken><Expiration>{self.server.expiry()}</Expiration>"
            "</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
        )


def _context(folder: Path) -> ssl.SSLContext:
    """What a server on localhost shows, issued by a throwaway authority whose certificate is ``ca.pem``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*Issuer(folder).issue("sts", "localhost", "DNS:localhost"))
    return context


@contextlib.contextmanager
def authority(keys: Keys, tls: Path | None = None) -> Iterator[tuple[Authority, str]]:
    """Run an authority, over TLS where a folder for certificates is given; gives it and its URL."""
    server = Authority(keys)
    if tls is not None:
        server.socket = _context(tls).wrap_socket(server.socket, server_side=True)
    scheme = "http" if tls is None else "https"
    with running(server):
        yield server, f"{scheme}://localhost:{server.server_port}"
