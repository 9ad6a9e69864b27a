"""One HTTP connection: requests in, answers out."""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import sys
import time
from dataclasses import asdict
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, cast

from metropulse.embedded.clickhouse_http.body import Body
from metropulse.embedded.clickhouse_http.call import Call, check_credentials, read_call
from metropulse.embedded.clickhouse_http.engine import Engine
from metropulse.embedded.clickhouse_http.errors import GoneError, RefusedError
from metropulse.embedded.clickhouse_http.execute import Answer, execute, read_whole_statement
from metropulse.embedded.clickhouse_http.formats import content_type
from metropulse.embedded.clickhouse_http.watch import Watch

_DRAIN_SECONDS = 30.0


class Server(ThreadingHTTPServer):
    """The listening server: one thread for each connection."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, engine: Engine, watch: Watch, user: str, password: str) -> None:
        """Listen on a port of the loopback interface (0: any)."""
        self.engine, self.watch, self.user, self.password = engine, watch, user, password
        self._links: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), Handler)

    def finish(self, seconds: float) -> None:
        """Take nothing more from the clients, and wait until the answers under way are sent.

        Args:
            seconds: How long to wait.
        """
        deadline = time.monotonic() + seconds
        while self._links and time.monotonic() < deadline:
            for link in list(self._links):
                with contextlib.suppress(OSError):
                    link.shutdown(socket.SHUT_RD)
            time.sleep(0.02)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Note a connection, and serve it in a thread of its own."""
        self._links.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        self._links.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log a defect; clients that went away are none."""
        if not isinstance(sys.exception(), (OSError, GoneError)):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection, one after the other."""

    protocol_version = "HTTP/1.1"
    server_version = "ClickHouse"
    sys_version = ""
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    timeout: ClassVar[float] = 3600.0
    _started = False

    @property
    def _mart(self) -> Server:
        return cast(Server, self.server)

    def do_GET(self) -> None:
        """Answer a health check or a query that changes nothing."""
        path = self.path.split("?", 1)[0]
        if path in ("/ping", "/replicas_status") or (path == "/" and "?" not in self.path):
            self._send(HTTPStatus.OK, b"Ok.\n", {"Content-Type": "text/html; charset=UTF-8"})
            return
        self._answer()

    def do_HEAD(self) -> None:
        """Answer a health check."""
        self._send(HTTPStatus.OK, b"", {})

    def do_POST(self) -> None:
        """Run a statement."""
        self._answer()

    def handle_expect_100(self) -> bool:
        """Tell the client to go on; our buffered writer would keep the words back."""
        super().handle_expect_100()
        self.wfile.flush()
        return True

    def log_message(self, format: str, *args: object) -> None:
        """Keep the log for what matters."""

    def _answer(self) -> None:
        """Run a request's statement and send the answer, or the error."""
        body, self._started, call = None, False, None
        path, _, query_string = self.path.partition("?")
        try:
            chunked = "chunked" in self.headers.get("Transfer-Encoding", "").lower()
            body = Body(self.rfile, length=self.headers.get("Content-Length"), chunked=chunked)
            if path not in ("/", "/query"):
                raise RefusedError.named(1000, "NOT_FOUND", f"There is no handle {path}; queries go to /")
            headers = cast(Any, self.headers)
            check_credentials(query_string, headers, self._mart.user, self._mart.password)
            call = read_call(self.command, query_string, headers, body)
            self._run(call)
        except RefusedError as error:
            self._refuse(error, call, body)
        except (GoneError, ConnectionError, TimeoutError):
            self.close_connection = True
        except Exception as error:
            if self._started:
                self.close_connection = True
                raise
            self._refuse(RefusedError.named(1002, "UNKNOWN_EXCEPTION", f"{type(error).__name__}: {error}"), call, body)

    def _run(self, call: Call) -> None:
        """Run a call and send its answer."""
        statement, data = read_whole_statement(call)
        engine, session = self._mart.engine, call.fields.get("session_id", "")
        settings = {"log_comment": call.query_id, **call.settings}
        lend = engine.borrow(
            session,
            call.fields.get("session_timeout", ""),
            check=call.flag("session_check"),
            # A session that forbids its own changes could not be set back.
            close=call.flag("close_session") or "readonly" in call.settings,
        )
        with lend as connection:
            connection.prepare(call.fields.get("database", ""), settings, session=bool(session))
            cancel = call.flag("cancel_http_readonly_queries_on_client_close") and statement.data_at is None
            ours = settings["log_comment"] == call.query_id
            with self._mart.watch.over(self.connection if cancel and ours else None, call.query_id):
                answer = execute(call, statement, data, connection, engine)
                # Whatever of the body the statement did not need would be taken for the next request.
                for _ in call.rest:
                    pass
            connection.forget(statement.verb, statement.words)
            self._reply(call, answer)

    def _reply(self, call: Call, answer: Answer) -> None:
        """Send an answer, in one piece or as it comes."""
        headers = {"X-ClickHouse-Query-Id": call.query_id, "X-ClickHouse-Timezone": self._mart.engine.time_zone}
        headers["Content-Type"] = content_type(answer.form or "TabSeparated")
        if answer.form is not None:
            headers["X-ClickHouse-Format"] = answer.form
        if answer.rest is None:
            summary = {name: str(value) for name, value in asdict(answer.summary).items()}
            headers["X-ClickHouse-Summary"] = json.dumps({**summary, "total_rows_to_read": "0"})
            self._send(HTTPStatus.OK, answer.first, headers)
            return
        tag = secrets.token_hex(8)
        headers |= {"Transfer-Encoding": "chunked", "X-ClickHouse-Exception-Tag": tag}
        try:
            self._begin(HTTPStatus.OK, headers)
            self._chunk(answer.first)
            for piece in answer.rest:
                self._chunk(piece)
        except RefusedError as error:
            text = error.body(self._mart.engine.version).encode("utf-8", "replace") + b"\n"
            mark = b"__exception__\r\n"
            self._chunk(b"\r\n%b%b\r\n%b%d %b\r\n%b" % (mark, tag.encode(), text, len(text), tag.encode(), mark))
        finally:
            answer.rest.close()  # type: ignore[attr-defined]
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def _refuse(self, error: RefusedError, call: Call | None, body: Body | None) -> None:
        """Send an error. A body that is still coming is let run dry, so that the client gets to read the answer."""
        headers = {"Content-Type": "text/plain; charset=UTF-8", "X-ClickHouse-Exception-Code": str(error.code)}
        if call is not None:
            headers["X-ClickHouse-Query-Id"] = call.query_id
        open_end = body is None or not body.whole
        if open_end:
            headers["Connection"] = "close"
            self.close_connection = True
        text = error.body(self._mart.engine.version) + "\n"
        self._send(error.status, text.encode("utf-8", "replace"), headers)
        if open_end:
            self._drain()

    def _drain(self) -> None:
        """Read and forget what the client still sends."""
        deadline = time.monotonic() + _DRAIN_SECONDS
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(1.0)
        while time.monotonic() < deadline:
            try:
                if not self.connection.recv(1 << 18):
                    return
            except TimeoutError:
                continue
            except OSError:
                return

    def _begin(self, status: HTTPStatus, headers: dict[str, str]) -> None:
        """Send the head of an answer."""
        self._started = True
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value.replace("\r", " ").replace("\n", " "))
        self.end_headers()

    def _send(self, status: HTTPStatus, data: bytes, headers: dict[str, str]) -> None:
        """Send an answer in one piece."""
        self._begin(status, {**headers, "Content-Length": str(len(data))})
        self.wfile.write(data)
        self.wfile.flush()

    def _chunk(self, data: bytes) -> None:
        """Send one chunk of an answer."""
        if data:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
            self.wfile.flush()
