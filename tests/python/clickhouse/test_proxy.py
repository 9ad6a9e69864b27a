"""ClickHouse behind a proxy, under a prefix of the path."""

from __future__ import annotations

import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

import metropulse as mp
from conftest import execute_on_mart
from http_servers import running

pytestmark = [pytest.mark.core, pytest.mark.embedded]


@pytest.fixture
def gateway(running_engines):
    """A proxy that has ClickHouse under /clickhouse/, and what it was asked for."""
    behind, asked = urlsplit(running_engines.mart_url), []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            if not self.path.startswith("/clickhouse/"):
                self.send_error(404)
                return
            body = self.rfile.read(int(self.headers["content-length"]))
            request = urllib.request.Request(
                f"http://{behind.netloc}/{self.path.removeprefix('/clickhouse/')}", body, method="POST"
            )
            for name, value in self.headers.items():
                if name.lower() not in ("host", "content-length", "connection"):
                    request.add_header(name, value)
            with urllib.request.urlopen(request, timeout=30) as answer:
                data = answer.read()
            self.send_response(200)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with running(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        yield f"http://127.0.0.1:{server.server_port}", asked


def test_a_prefix_of_the_path_and_a_database_are_both_honoured(gateway, running_engines):
    url, asked = gateway
    execute_on_mart(running_engines, "CREATE DATABASE IF NOT EXISTS proxied")
    p = mp.Pipeline(
        mart=f"{url}/clickhouse/?database=proxied",
        mart_user=running_engines.mart_user,
        mart_password=running_engines.mart_password,
    )
    assert p.mart.query("select currentDatabase() as name").to_pylist() == [{"name": "proxied"}]
    assert asked
    assert all(path.startswith("/clickhouse/") for path in asked)
