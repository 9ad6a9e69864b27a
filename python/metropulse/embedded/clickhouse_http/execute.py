"""Runs one call: an INSERT streams in, a SELECT streams out, everything else is answered in one piece."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from metropulse.embedded.clickhouse_http.call import Call
from metropulse.embedded.clickhouse_http.engine import Connection, Engine, literal
from metropulse.embedded.clickhouse_http.errors import RefusedError
from metropulse.embedded.clickhouse_http.formats import Joiner, header_cutter
from metropulse.embedded.clickhouse_http.statements import Statement, read_statement, replace_strings

_MOST_STATEMENT = 256 << 20
_STREAMED = frozenset({"SELECT", "WITH", "FROM"})
# Answers of these are documents even when they are empty; of all others an empty answer has no format.
_ANSWERED = _STREAMED | {"SHOW", "DESCRIBE", "DESC", "EXISTS", "EXPLAIN", "CHECK", "KILL"}
_BATCH = 1 << 20


@dataclass
class Summary:
    """What a statement did, for the header `X-ClickHouse-Summary`."""

    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    result_rows: int = 0
    elapsed_ns: int = 0


@dataclass
class Answer:
    """A statement's answer.

    Attributes:
        form: Its format, None when it has none.
        first: Its first bytes.
        rest: The bytes that follow; None when `first` is all of it.
        summary: What the statement did, as far as it is known.
    """

    form: str | None
    first: bytes = b""
    rest: Iterator[bytes] | None = None
    summary: Summary = field(default_factory=Summary)


def read_whole_statement(call: Call) -> tuple[Statement, bytes]:
    """Read a call's statement, and of an INSERT's data what came with it.

    Args:
        call: The call; its body is read as far as needed.

    Returns:
        The statement and the first of its data.

    Raises:
        GoneError: The client went away.
        RefusedError: There is no statement, more than one, or it is far too long.
    """
    text = bytearray(call.head)
    statement = read_statement(bytes(text), whole=False) if text else None
    checked = len(text)
    while statement is None:
        piece = next(call.rest, None)
        if piece is None:
            statement = read_statement(bytes(text), whole=True)
            break
        text += piece
        if len(text) > _MOST_STATEMENT:
            raise RefusedError.named(62, "SYNTAX_ERROR", "Syntax error: the statement is too long")
        # Looked at again only when it has doubled, so that a long statement is not read over and over.
        if len(text) >= 2 * checked or len(text) < 1 << 16:
            checked = len(text)
            statement = read_statement(bytes(text), whole=False)
    if statement is None:
        raise RefusedError.named(62, "SYNTAX_ERROR", "Syntax error: Empty query")
    data = bytes(text[statement.data_at :]) if statement.data_at is not None else b""
    return statement, data


def execute(call: Call, statement: Statement, data: bytes, connection: Connection, engine: Engine) -> Answer:
    """Run a statement on a connection that is prepared for it.

    Args:
        call: The call.
        statement: Its statement.
        data: The first of an INSERT's data.
        connection: The connection.
        engine: The engine, to find queries that are to be killed.

    Returns:
        The answer; its rest must be read before the connection is used again.

    Raises:
        GoneError: The client went away.
        RefusedError: The engine refuses the statement.
    """
    if call.read_only:
        _require_read_only(connection, statement)
    if statement.data_at is not None:
        return _insert(call, statement, data, connection)
    form = statement.format or call.fields.get("default_format") or "TabSeparated"
    text = statement.text
    if statement.verb == "KILL":
        ids = engine.engine_ids()
        text = replace_strings(
            text, {literal(mine).encode(): literal(its).encode() for mine, its in ids.items() if mine}
        )
    if _streams(call, statement, form):
        return _select(text, form, call, connection)
    result = connection.run(text, form, call.parameters)
    body = bytes(result.bytes())
    summary = Summary(
        read_rows=result.storage_rows_read(),
        read_bytes=result.storage_bytes_read(),
        written_rows=result.rows_written(),
        written_bytes=result.bytes_written(),
        result_rows=result.rows_read(),
        elapsed_ns=int(result.elapsed() * 1e9),
    )
    return Answer(form if body or statement.verb in _ANSWERED else None, body, None, summary)


def _require_read_only(connection: Connection, statement: Statement) -> None:
    """Refuse a change by GET, as a server does."""
    known = connection.raw.classify_query(statement.text)
    if getattr(known.get("query_class"), "name", "UNKNOWN") == "MUTATING":
        raise RefusedError.named(
            164,
            "READONLY",
            "Cannot execute query in readonly mode. For queries over HTTP, method GET implies readonly. "
            "You should use method POST for modifying queries",
        )


def _streams(call: Call, statement: Statement, form: str) -> bool:
    """Whether an answer can be sent while the engine still works on it."""
    if call.flag("wait_end_of_query", "http_wait_end_of_query", "extremes") or header_cutter(form) is None:
        return False
    if statement.verb not in _STREAMED or statement.words & {b"TOTALS", b"EXTREMES", b"OUTFILE", b"INSERT"}:
        return False
    array = "output_format_json_array_of_rows"
    return array not in call.settings and array.upper().encode() not in statement.words


def _insert(call: Call, statement: Statement, data: bytes, connection: Connection) -> Answer:
    """Stream an INSERT's data into the engine; a client that goes away cancels it."""
    if call.parameters:
        connection.run(
            "SET " + ", ".join(f"param_{name} = {literal(value)}" for name, value in call.parameters.items())
        )
    form = statement.format or call.fields.get("default_format") or "Values"
    raw = connection.raw
    try:
        insert = raw.send_insert(statement.text, form)
    except Exception as error:
        raise RefusedError.by_engine(error) from error
    try:
        for batch in _batches(data, call.rest):
            try:
                raw.insert_append(insert, batch)
            except Exception as error:
                raise RefusedError.by_engine(error) from error
    except BaseException:
        with contextlib.suppress(Exception):
            raw.insert_cancel(insert)
        raise
    try:
        done = raw.insert_done(insert)
    except Exception as error:
        raise RefusedError.by_engine(error) from error
    rows, size = done.rows_written(), done.bytes_written()
    return Answer(None, summary=Summary(rows, size, rows, size, rows, int(done.elapsed() * 1e9)))


def _batches(data: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    """Gather small pieces, so that the engine is not called for each of them."""
    kept = bytearray(data)
    for piece in rest:
        kept += piece
        if len(kept) >= _BATCH:
            yield bytes(kept)
            kept.clear()
    if kept:
        yield bytes(kept)


def _select(text: bytes, form: str, call: Call, connection: Connection) -> Answer:
    """Begin to stream a SELECT; a result of one chunk is answered in one piece, so its errors have their status."""
    cutter = header_cutter(form)
    if cutter is None:
        raise RefusedError.named(49, "LOGICAL_ERROR", f"{form} does not stream")
    joiner = Joiner(form, cutter)
    raw = connection.raw
    try:
        stream = raw.send_query(text, form, params=call.parameters)
    except Exception as error:
        raise RefusedError.by_engine(error) from error
    summary = Summary()
    chunks = _chunks(raw, stream, joiner, summary)
    first = next(chunks, b"")
    second = next(chunks, None)
    if second is None:
        return Answer(form, first, None, summary)
    return Answer(form, first, _chain(second, chunks), summary)


def _chain(second: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield a chunk already taken, then the others; closing it closes them."""
    try:
        yield second
        yield from chunks
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            close()


def _chunks(raw: Any, stream: Any, joiner: Joiner, summary: Summary) -> Iterator[bytes]:
    """Yield a stream's bytes; one that is left early is cancelled."""
    ended = False
    try:
        while True:
            try:
                chunk = raw.streaming_fetch_result(stream)
            except Exception as error:
                ended = True
                raise RefusedError.by_engine(error) from error
            rows, size = chunk.rows_read(), chunk.size()
            summary.read_rows += rows
            summary.result_rows += rows
            summary.read_bytes += size
            piece = joiner.add(bytes(chunk.bytes())) if size else b""
            if rows == 0:
                ended = True
                if piece or joiner.end():
                    yield piece + joiner.end()
                return
            yield piece
    finally:
        if not ended:
            with contextlib.suppress(Exception):
                raw.streaming_cancel_query(stream)
