"""The process of the embedded mart: `python -m metropulse.embedded.clickhouse_server`.

It opens ClickHouse's engine on one folder and answers HTTP on loopback until SIGTERM. The engine is never called on the
main thread, since no signal is handled while it works.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import signal
import socketserver
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from metropulse.embedded.layout import write_private

_LOOK_SECONDS = 0.2
_STOP_SECONDS = 20.0
_FINISH_SECONDS = 10.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal ends it.

    Args:
        arguments: Command line; the process's own when None.

    Returns:
        Exit status, when the server could not start; otherwise the process ends here.
    """
    options = _parser().parse_args(arguments)
    os.environ["TZ"] = "UTC"
    ended = threading.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: ended.set())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    server = _Service(options, ended)
    thread = threading.Thread(target=server.run, name="serve", daemon=True)
    thread.start()
    # A signal that one of the engine's threads receives wakes nobody: the main thread looks for it.
    while not ended.wait(_LOOK_SECONDS):
        pass
    if server.failed:
        thread.join(_STOP_SECONDS)
        return 1
    stopper = threading.Thread(target=server.stop, name="stop", daemon=True)
    stopper.start()
    stopper.join(_STOP_SECONDS)
    sys.stdout.flush()
    # The engine's own threads do not survive the interpreter's ordinary end.
    os._exit(0)


class _Service:
    """The engine and its listener, in threads of their own."""

    def __init__(self, options: argparse.Namespace, ended: threading.Event) -> None:
        """Remember what to serve."""
        self._options = options
        self._ended = ended
        self.failed = False
        self._stops: list[contextlib.ExitStack] = []

    def run(self) -> None:
        """Open the engine, announce the port, serve."""
        try:
            with contextlib.ExitStack() as stack:
                server = self._open(stack)
                self._stops.append(stack.pop_all())
            server.serve_forever(poll_interval=0.05)
        except Exception as error:
            print(f"the mart cannot be served: {error}", file=sys.stderr, flush=True)
            self.failed = True
            self._ended.set()

    def stop(self) -> None:
        """Take no more requests, kill running queries, close the engine."""
        for stack in self._stops:
            stack.close()

    def _open(self, stack: contextlib.ExitStack) -> socketserver.BaseServer:
        """Open engine and port; the stack undoes it in reverse."""
        from metropulse.embedded.clickhouse_http.engine import Engine
        from metropulse.embedded.clickhouse_http.handler import Server
        from metropulse.embedded.clickhouse_http.watch import Watch

        port_file = Path(self._options.port_file)
        password = Path(self._options.password_file).read_text(encoding="ascii").strip()
        engine = Engine(importlib.import_module("chdb._chdb"), self._options.data)
        stack.callback(engine.close)
        watch = Watch(engine)
        try:
            server = Server(_last_port(port_file), engine, watch, self._options.user, password)
        except OSError:
            server = Server(0, engine, watch, self._options.user, password)
        stack.callback(server.finish, _FINISH_SECONDS)
        stack.callback(engine.kill)
        stack.callback(server.shutdown)
        watch.start()
        stack.callback(watch.stop)
        write_private(port_file, json.dumps({"port": server.server_address[1], "pid": os.getpid()}) + "\n")
        return server


def _last_port(port_file: Path) -> int:
    """Return the port of the last time, so that URLs stay good over restarts; 0 when there was none."""
    try:
        return int(json.loads(port_file.read_text(encoding="ascii"))["port"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(prog="metropulse.embedded.clickhouse_server", description=__doc__)
    parser.add_argument("--data", required=True, help="ClickHouse's data folder")
    parser.add_argument("--port-file", required=True, help="where to write the port, as JSON")
    parser.add_argument("--user", required=True, help="the user to accept")
    parser.add_argument("--password-file", required=True, help="file that holds the password")
    return parser


if __name__ == "__main__":
    sys.exit(main())
