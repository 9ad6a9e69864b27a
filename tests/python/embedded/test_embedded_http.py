"""The embedded mart's HTTP interface, byte by byte."""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import os
import signal
import socket
import struct
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import lz4.block
import lz4.frame
import pytest

from metropulse import embedded
from metropulse.embedded import Engines
from waiting import until

Reply = tuple[int, dict[str, str], bytes]


class Mart:
    """Sends requests and returns status, headers and body."""

    def __init__(self, engines: Engines) -> None:
        """Connect to the mart."""
        where = urlsplit(engines.mart_url)
        self.address = (str(where.hostname), int(where.port or 0))
        self.link = http.client.HTTPConnection(*self.address, timeout=60)
        self.credentials = {"X-ClickHouse-User": engines.mart_user, "X-ClickHouse-Key": engines.mart_password}

    def send(
        self, body: Any = None, *, method: str = "POST", headers: dict[str, str] | None = None, **fields: Any
    ) -> Reply:
        """Send one request."""
        headers = {**self.credentials, **(headers or {})}
        self.link.request(method, f"/?{urlencode(fields)}", body=body, headers=headers)
        reply = self.link.getresponse()
        return reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()

    def value(self, sql: str, **fields: Any) -> str:
        """Run a statement that works."""
        status, _, body = self.send(sql.encode(), **fields)
        assert status == 200, body
        return body.decode().rstrip("\n")


@pytest.fixture
def mart(running_engines: Engines) -> Iterator[Mart]:
    """A connection to the mart."""
    one = Mart(running_engines)
    yield one
    one.link.close()


@pytest.fixture
def table(mart: Mart) -> Iterator[str]:
    """A table of our own."""
    name = f"t_{uuid.uuid4().hex}"
    mart.value(f"CREATE TABLE {name} (n UInt64, s String) ENGINE = MergeTree ORDER BY n")
    yield name
    mart.value(f"DROP TABLE {name}")


def rows(count: int, text: bytes = b"x\n\ny") -> bytes:
    """Make rows in RowBinary; the text holds what inline data is cut at."""
    return b"".join(struct.pack("<Q", n) + bytes([len(text)]) + text for n in range(count))


def block(data: bytes, method: int = 0x82) -> bytes:
    """Make a compressed block as ClickHouse frames it (the checksum is not looked at)."""
    packed = lz4.block.compress(data, store_size=False) if method == 0x82 else data
    return bytes(16) + struct.pack("<BII", method, len(packed) + 9, len(data)) + packed


def test_ping_needs_no_password(mart: Mart) -> None:
    """Health checks are open, statements are not; all three ways to authenticate work."""
    credentials, mart.credentials = mart.credentials, {}
    mart.link.request("GET", "/ping")
    assert mart.link.getresponse().read() == b"Ok.\n"
    status, headers, body = mart.send(b"SELECT 1")
    assert (status, headers["x-clickhouse-exception-code"]) == (403, "516")
    assert b"AUTHENTICATION_FAILED" in body
    user, key = credentials.values()
    basic = base64.b64encode(f"{user}:{key}".encode()).decode()
    assert mart.send(b"SELECT 1", headers={"Authorization": f"Basic {basic}"})[2] == b"1\n"
    assert mart.send(b"SELECT 1", user=user, password=key)[2] == b"1\n"
    assert mart.send(b"SELECT 1", headers={"Authorization": "Basic ???"})[0] == 403


def test_headers_and_formats(mart: Mart) -> None:
    """Answers name their query, format and time zone; the format is the statement's, else the URL's, else TSV."""
    status, headers, body = mart.send(b"SELECT 1 AS a FORMAT JSONEachRow", query_id="mine", default_format="CSV")
    assert (status, body) == (200, b'{"a":1}\n')
    assert headers["x-clickhouse-query-id"] == "mine"
    assert headers["x-clickhouse-format"] == "JSONEachRow"
    assert headers["x-clickhouse-timezone"] == "UTC"
    assert json.loads(headers["x-clickhouse-summary"])["result_rows"] == "1"
    assert mart.send(b"SELECT 'a', 2", default_format="CSV")[2] == b'"a",2\n'
    assert mart.send(b"SELECT 'FORMAT CSV', 2 -- FORMAT CSV")[2] == b"FORMAT CSV\t2\n"
    assert mart.send(b"SELECT 1 WHERE 0", default_format="RowBinaryWithNamesAndTypes")[2] == b"\x01\x011\x05UInt8"
    assert "x-clickhouse-format" not in mart.send(b"SET max_threads = 1")[1]


def test_parts_of_a_statement(mart: Mart, table: str) -> None:
    """A statement is the URL's `query`, a line's end, and the body."""
    assert mart.send(b", 2", query="SELECT 1")[2] == b"1\t2\n"
    assert mart.send(method="GET", query="SELECT {x:UInt8} + 1", param_x="4")[2] == b"5\n"
    status, headers, _ = mart.send(method="GET", query=f"TRUNCATE TABLE {table}")
    assert (status, headers["x-clickhouse-exception-code"]) == (500, "164")
    assert mart.send(b"")[0] == 400
    mart.link.request("POST", "/elsewhere", body=b"SELECT 1", headers=mart.credentials)
    reply = mart.link.getresponse()
    reply.read()
    assert reply.status == 404


@pytest.mark.parametrize(
    "form", ["TSV", "CSVWithNames", "TSVWithNamesAndTypes", "RowBinaryWithNamesAndTypes", "ArrowStream"]
)
def test_streams_are_one_document(mart: Mart, form: str) -> None:
    """A streamed answer of many chunks is the document that an answer in one piece is."""
    sql = b'SELECT number AS "a\nb", toString(number) AS s FROM numbers(300000)'
    _, streamed, body = mart.send(sql, default_format=form)
    _, _, whole = mart.send(sql, default_format=form, wait_end_of_query=1)
    assert streamed["transfer-encoding"] == "chunked"
    if form == "ArrowStream":
        import pyarrow as pa

        assert pa.ipc.open_stream(body).read_all().equals(pa.ipc.open_stream(whole).read_all())
    else:
        assert body == whole


@pytest.mark.parametrize("coding", ["plain", "lz4", "gzip", "blocks"])
@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("inline", [True, False])
def test_inserts(mart: Mart, table: str, coding: str, chunked: bool, inline: bool) -> None:
    """Binary data arrives whole in every coding, with the statement in the URL or before the data."""
    statement = f"INSERT INTO {table} (n, s) FORMAT RowBinary"
    data = rows(50_000)
    fields: dict[str, Any] = {} if inline else {"query": statement}
    payload = f"{statement}\n".encode() + data if inline else data
    headers = {}
    if coding == "blocks":
        fields["decompress"] = 1
        cuts = range(0, len(payload), 100_000)
        payload = b"".join(block(payload[at : at + 100_000], 0x82 if at else 0x02) for at in cuts)
    elif coding != "plain":
        headers["Content-Encoding"] = coding
        payload = {"lz4": lz4.frame.compress, "gzip": gzip.compress}[coding](payload)
    # Odd pieces, so that statement, blocks and frames are cut anywhere.
    body = (payload[at : at + 7777] for at in range(0, len(payload), 7777)) if chunked else payload
    status, reply, text = mart.send(body, headers=headers, **fields)
    assert status == 200, text
    assert json.loads(reply["x-clickhouse-summary"])["written_rows"] == "50000"
    assert mart.value(f"SELECT count(), sum(n), uniqExact(s), any(length(s)) FROM {table}") == "50000\t1249975000\t1\t4"


def test_inserts_without_binary(mart: Mart, table: str) -> None:
    """VALUES, text formats, INSERT SELECT and settings in the statement work."""
    mart.value(f"INSERT INTO {table} (n, s) VALUES (1, 'a;b'), (1 + 1, 'FORMAT CSV')")
    mart.value(f"INSERT INTO {table} SETTINGS max_threads = 1 FORMAT JSONEachRow\n" + '{"n": 3, "s": "c"}\n')
    mart.value(f"INSERT INTO {table} SELECT number + 4, 'd' FROM numbers(2)")
    mart.value("INSERT INTO {t:Identifier} FORMAT TSV\n6\te\n", param_t=table)
    assert mart.send(b"7,f\n", query=f"INSERT INTO {table} FORMAT CSV")[0] == 200
    assert mart.value(f"SELECT groupArray((n, s)) FROM (SELECT * FROM {table} ORDER BY n)") == (
        "[(1,'a;b'),(2,'FORMAT CSV'),(3,'c'),(4,'d'),(5,'d'),(6,'e'),(7,'f')]"
    )


def test_errors_are_told_once(mart: Mart) -> None:
    """The engine's nested prefixes are cut."""
    status, headers, body = mart.send(b"SELECT 1 FORMAT NoSuch")
    assert (status, headers["x-clickhouse-exception-code"]) == (404, "73")
    assert body.count(b"DB::Exception") == 1


def test_form(mart: Mart) -> None:
    """Statement and parameters may come as a multipart form."""
    parts = {"query": "SELECT {a:String},\n {b:Int32}", "param_a": "ключ\\'s\\n", "param_b": "-1"}
    body = "".join(f'--edge\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in parts.items())
    headers = {"Content-Type": "multipart/form-data; boundary=edge"}
    assert mart.send((body + "--edge--\r\n").encode(), headers=headers)[2].decode() == "ключ\\'s\\n\t-1\n"


def test_error_amid_a_stream(mart: Mart) -> None:
    """The exception's frame ends the body, under the tag that the headers announce; buffered, it has its status."""
    sql = b"SELECT throwIf(number = 900000, 'too far') FROM numbers(1000000)"
    status, headers, body = mart.send(sql)
    tag = headers["x-clickhouse-exception-tag"].encode()
    assert status == 200
    begin, end = b"\r\n__exception__\r\n" + tag + b"\r\n", b" " + tag + b"\r\n__exception__\r\n"
    assert body.endswith(end)
    message = body[body.rindex(begin) + len(begin) : -len(end)]
    text, size = message.rsplit(b"\n", 1)
    assert text.startswith(b"Code: 395. DB::Exception: too far")
    assert int(size) == len(text) + 1
    status, headers, body = mart.send(sql, wait_end_of_query=1)
    assert (status, headers["x-clickhouse-exception-code"]) == (500, "395")


def test_broken_bodies(mart: Mart, table: str) -> None:
    """Broken blocks and codings are refused and write nothing."""
    statement = f"INSERT INTO {table} FORMAT RowBinary"
    whole = block(rows(10))
    wrong = whole[:25] + bytes(len(whole) - 25)
    for payload in (whole[:-3], wrong, whole[:16] + b"\x99" + whole[17:]):
        assert mart.send(payload, query=statement, decompress=1)[0] >= 400
    assert mart.send(b"not lz4", query=statement, headers={"Content-Encoding": "lz4"})[0] >= 400
    assert mart.send(b"x", query=statement, headers={"Content-Encoding": "br"})[0] == 501
    assert mart.value(f"SELECT count() FROM {table}") == "0"


def raw(mart: Mart, fields: dict[str, str], head: str, body: bytes) -> socket.socket:
    """Send a request by hand and leave the connection open."""
    link = socket.create_connection(mart.address)
    lines = [
        f"POST /?{urlencode(fields)} HTTP/1.1",
        "Host: mart",
        head,
        *(f"{k}: {v}" for k, v in mart.credentials.items()),
    ]
    link.sendall("\r\n".join([*lines, "", ""]).encode() + body)
    return link


def test_client_that_dies_amid_an_insert(mart: Mart, table: str) -> None:
    """What a dead client had begun to insert is not kept (below one block)."""
    raw(mart, {"query": f"INSERT INTO {table} FORMAT RowBinary"}, "Content-Length: 10000000", rows(1000)).close()
    running = "SELECT count() FROM system.processes WHERE query LIKE 'INSERT%'"
    until(lambda: mart.value(running) == "0", 60, "the insert still runs", every=0.05)
    assert mart.value(f"SELECT count() FROM {table}") == "0"


ENDLESS = b"SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1"


def at_work(mart: Mart, **fields: str) -> tuple[socket.socket, str]:
    """A client whose query runs until it leaves, and what counts such queries."""
    running = "SELECT count() FROM system.processes WHERE query LIKE '%sipHash64(number) = 1'"
    fields["cancel_http_readonly_queries_on_client_close"] = "1"
    link = raw(mart, fields, f"Content-Length: {len(ENDLESS)}", ENDLESS)
    until(lambda: mart.value(running) == "1", 20, "the query does not run", every=0.05)
    return link, running


def test_client_that_leaves_its_query(mart: Mart) -> None:
    """A query whose client is gone is killed when the client asked for that."""
    link, running = at_work(mart)
    link.close()
    until(lambda: mart.value(running) == "0", 20, "the query still runs", every=0.05)


def test_session_at_work_is_locked(mart: Mart, running_engines: Engines) -> None:
    """A session runs one statement at a time; it can be asked for, and it ends."""
    link, _ = at_work(mart, session_id="busy")
    status, headers, _ = mart.send(b"SELECT 1", session_id="busy")
    assert (status, headers["x-clickhouse-exception-code"]) == (500, "373")
    link.close()
    until(lambda: mart.send(b"SELECT 1", session_id="busy")[0] == 200, 20, "the session is locked", every=0.05)
    status, headers, _ = mart.send(b"SELECT 1", session_id="unknown", session_check=1)
    assert (status, headers["x-clickhouse-exception-code"]) == (404, "372")


def test_stop_under_load(state_dir: Path) -> None:
    """SIGTERM ends the process soon, with queries and inserts under way, and what was written stays."""
    engines = embedded.start(state_dir)
    mart = Mart(engines)
    mart.value("CREATE TABLE kept (n UInt64, s String) ENGINE = MergeTree ORDER BY n")
    mart.send(rows(1000), query="INSERT INTO kept FORMAT RowBinary")
    links = [raw(mart, {}, f"Content-Length: {len(ENDLESS)}", ENDLESS)]
    links.append(raw(mart, {"query": "INSERT INTO kept FORMAT RowBinary"}, "Content-Length: 999999", rows(10)))
    time.sleep(0.5)
    part = engines.status()["mart"]
    assert isinstance(part, dict)
    os.kill(part["pid"], signal.SIGTERM)
    deadline = time.monotonic() + 60
    while Path(f"/proc/{part['pid']}").exists():
        assert time.monotonic() < deadline, "the mart does not stop"
        time.sleep(0.05)
    for link in links:
        link.close()
    mart.link.close()
    assert Mart(embedded.start(state_dir)).value("SELECT count() FROM kept") == "1000"
