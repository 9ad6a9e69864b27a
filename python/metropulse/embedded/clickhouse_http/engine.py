"""The engine and its connections: one for each request, or one for each session.

A connection has its own current database and settings. What a request's URL sets holds for that request alone, also
inside a session.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

from metropulse.embedded.clickhouse_http.errors import RefusedError

_SESSION_SECONDS = 60.0
_SESSION_MOST = 3600.0


def literal(text: str) -> str:
    """Quote a text as a string literal of ClickHouse."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def identifier(text: str) -> str:
    """Quote a text as a name of ClickHouse."""
    return "`" + text.replace("\\", "\\\\").replace("`", "\\`") + "`"


class Connection:
    """A connection of the engine, and what requests have set on it.

    Attributes:
        raw: The engine's own connection.
    """

    def __init__(self, raw: Any) -> None:
        """Wrap a connection."""
        self.raw = raw
        self._applied: dict[str, str] = {}
        self._before: dict[str, str] = {}
        self._database = ""
        self._own_database = ""

    def run(self, sql: str | bytes, form: str = "TabSeparated", parameters: dict[str, str] | None = None) -> Any:
        """Run a statement to its end.

        Args:
            sql: The statement.
            form: Output format.
            parameters: Values of `{name:Type}`.

        Returns:
            The engine's result.

        Raises:
            RefusedError: The engine refuses it.
        """
        try:
            return self.raw.query(sql, form, params=parameters or {})
        except Exception as error:
            raise RefusedError.by_engine(error) from error

    def prepare(self, database: str, settings: dict[str, str], *, session: bool) -> None:
        """Set what a request asks for, and take back what an earlier one of the session had set.

        Args:
            database: The request's database; empty to keep the session's.
            settings: The request's settings.
            session: Whether the connection goes on after the request.

        Raises:
            RefusedError: The engine does not know a setting, a value or the database.
        """
        if session and database != self._database:
            if not self._database:
                self._own_database = self._first("SELECT currentDatabase()")
            self._use(database or self._own_database)
            self._database = database
        elif database and not session:
            self._use(database)
        wanted = {name: value for name, value in settings.items() if self._applied.get(name) != value}
        changes = [f"{name} = {literal(value)}" for name, value in wanted.items()]
        if session:
            for name in wanted.keys() - self._before.keys():
                self._before[name] = self._value(name)
            changes += [f"{name} = {self._before[name]}" for name in self._applied.keys() - settings.keys()]
        # What forbids further changes comes last.
        changes.sort(key=lambda change: change.startswith("readonly "))
        if changes:
            self.run("SET " + ", ".join(changes))
        self._applied = dict(settings) if session else {}

    def forget(self, verb: str, words: frozenset[bytes]) -> None:
        """Note that a session's statement may have changed what its connection has set itself.

        Args:
            verb: The statement's first word.
            words: Its words, in capitals.
        """
        if verb == "USE":
            self._database = ""
        elif verb == "SET":
            for name in [name for name in self._before if name.upper().encode() in words]:
                self._before.pop(name)
                self._applied.pop(name, None)

    def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(Exception):
            self.raw.close()

    def _use(self, database: str) -> None:
        self.run(f"USE {identifier(database)}")

    def _first(self, sql: str) -> str:
        return bytes(self.run(sql, "TabSeparatedRaw").bytes()).decode("utf-8", "surrogateescape").rstrip("\n")

    def _value(self, name: str) -> str:
        """Return what sets a setting back: its present value when the session has set it, else DEFAULT."""
        changed = self._first(f"SELECT value FROM system.settings WHERE name = {literal(name)} AND changed")
        return literal(changed) if changed else "DEFAULT"


class Session:
    """A connection that goes on between requests."""

    def __init__(self, connection: Connection) -> None:
        """Begin a session."""
        self.connection = connection
        self.lock = threading.Lock()
        self.ends = 0.0


class Engine:
    """The engine of this process: opens connections and keeps the sessions.

    Attributes:
        version: The engine's version.
        time_zone: The engine's time zone.
    """

    def __init__(self, module: Any, path: str) -> None:
        """Open the engine on a folder.

        Args:
            module: The wheel's native module.
            path: The data folder.

        Raises:
            RuntimeError: The folder is held by another process, or is not the engine's.
        """
        self._module = module
        self._path = path
        self._keeper = Connection(module.connect(path))
        self._sessions: dict[str, Session] = {}
        self._guard = threading.Lock()
        answer = bytes(self._keeper.run("SELECT version(), timezone()", "TabSeparatedRaw").bytes())
        self.version, self.time_zone = answer.decode().strip().split("\t")

    def connect(self) -> Connection:
        """Open a connection.

        Returns:
            A connection in the database `default`, without settings.

        Raises:
            RefusedError: The engine refuses it.
        """
        try:
            return Connection(self._module.connect(self._path))
        except Exception as error:
            raise RefusedError.by_engine(error) from error

    @contextlib.contextmanager
    def borrow(self, session_id: str, timeout: str, *, check: bool, close: bool) -> Iterator[Connection]:
        """Lend a connection to one request.

        Args:
            session_id: The session, empty for none.
            timeout: Seconds a session stays without requests; empty for a minute.
            check: Whether the session must exist already.
            close: Whether the session ends with this request.

        Yields:
            The connection.

        Raises:
            RefusedError: The session is at work, does not exist, or its timeout is no number.
        """
        if not session_id:
            connection = self.connect()
            try:
                yield connection
            finally:
                connection.close()
            return
        if timeout and not timeout.isdigit():
            raise RefusedError.named(36, "BAD_ARGUMENTS", f"Invalid session timeout: '{timeout}'")
        session = self._acquire(session_id, check=check)
        try:
            yield session.connection
        finally:
            session.ends = time.monotonic() + min(float(timeout or _SESSION_SECONDS), _SESSION_MOST)
            if close:
                self._drop(session_id)
            session.lock.release()

    def _acquire(self, session_id: str, *, check: bool) -> Session:
        """Return a session, locked."""
        with self._guard:
            session = self._sessions.get(session_id)
            if session is None:
                if check:
                    raise RefusedError.named(372, "SESSION_NOT_FOUND", f"Session {session_id} not found")
                session = self._sessions[session_id] = Session(self.connect())
            if not session.lock.acquire(blocking=False):
                raise RefusedError.named(
                    373, "SESSION_IS_LOCKED", f"Session {session_id} is locked by a concurrent client"
                )
            return session

    def _drop(self, session_id: str) -> None:
        """End a session that the caller has locked."""
        with self._guard:
            session = self._sessions.pop(session_id)
        session.connection.close()

    def expire(self) -> None:
        """End the sessions that nobody has used within their time."""
        now = time.monotonic()
        with self._guard:
            idle = [name for name, one in self._sessions.items() if one.ends < now and one.lock.acquire(blocking=False)]
            gone = [self._sessions.pop(name) for name in idle]
        for session in gone:
            session.connection.close()

    def kill(self, query_id: str = "") -> None:
        """Kill running queries.

        Args:
            query_id: A client's identifier; empty for all of them. The kill is ordered, not awaited.
        """
        mine = "query NOT LIKE 'KILL%'"
        where = f"Settings['log_comment'] = {literal(query_id)} AND {mine}" if query_id else mine
        connection = self.connect()
        try:
            connection.run(f"KILL QUERY WHERE {where} ASYNC")
        finally:
            connection.close()

    def engine_ids(self) -> dict[str, str]:
        """Return the engine's own identifiers of running queries, by the clients'."""
        connection = self.connect()
        try:
            found = connection.run("SELECT Settings['log_comment'], query_id FROM system.processes", "TabSeparatedRaw")
        finally:
            connection.close()
        lines = bytes(found.bytes()).decode("utf-8", "replace").splitlines()
        return dict(line.split("\t", 1) for line in lines if "\t" in line)

    def close(self) -> None:
        """Close all connections, and so the engine."""
        with self._guard:
            sessions, self._sessions = list(self._sessions.values()), {}
        for session in sessions:
            session.connection.close()
        self._keeper.close()
