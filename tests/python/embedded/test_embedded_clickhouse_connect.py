"""The embedded mart through clickhouse-connect, unmodified."""

from __future__ import annotations

import datetime
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import clickhouse_connect
import pyarrow as pa
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from metropulse.embedded import Engines

Connect = Callable[..., Any]


@pytest.fixture
def connect(running_engines: Engines) -> Iterator[Connect]:
    """Make clients of the mart."""
    clients = []

    def client(**options: Any) -> Any:
        where = urlsplit(running_engines.mart_url)
        user = {"username": running_engines.mart_user, "password": running_engines.mart_password}
        made = clickhouse_connect.get_client(host=where.hostname, port=where.port, **{**user, **options})
        clients.append(made)
        return made

    yield client
    for one in clients:
        one.close()


@pytest.fixture
def table(connect: Connect) -> Iterator[str]:
    """A table of our own."""
    name = f"t_{uuid.uuid4().hex}"
    client = connect()
    client.command(
        f"CREATE TABLE {name} (n UInt32, s Nullable(String), at DateTime64(6, 'UTC')) ENGINE = MergeTree ORDER BY n"
    )
    yield name
    client.command(f"DROP TABLE {name}")


def test_values_come_back(connect: Connect, table: str) -> None:
    """Rows written are the rows read, with empty results and text that needs escaping."""
    client = connect()
    at = datetime.datetime(2024, 5, 1, 12, 30, 0, 123456)
    rows = [(1, "a\n\n'b\\\t", at), (2, None, at), (3, "ключ", at)]
    summary = client.insert(table, rows, column_names=["n", "s", "at"])
    assert summary.written_rows == 3
    assert client.query(f"SELECT * FROM {table} ORDER BY n").result_rows == rows
    assert client.query(f"SELECT * FROM {table} WHERE n > 9").result_rows == []
    assert client.query(f"SELECT * FROM {table} LIMIT 0").column_names == ("n", "s", "at")
    assert client.command(f"SELECT count() FROM {table}") == 3
    assert client.command("SHOW TABLES LIKE 'no such'") == ""
    assert client.ping()
    assert client.server_version.startswith("26.")


def test_arrow(connect: Connect, table: str) -> None:
    """Arrow tables of several blocks go in and come out."""
    client = connect()
    count = 200_000
    at = pa.array([datetime.datetime(2024, 5, 1)] * count, pa.timestamp("us", "UTC"))
    source = pa.table({"n": pa.array(range(count), pa.uint32()), "s": pa.array(map(str, range(count))), "at": at})
    assert client.insert_arrow(table, source).written_rows == count
    found = client.query_arrow(f"SELECT n, s FROM {table} ORDER BY n", use_strings=True)
    assert found.num_rows == count
    assert found.column("n").combine_chunks().equals(source.column("n").combine_chunks())
    assert found.column("s").cast(pa.string()).combine_chunks().equals(source.column("s").combine_chunks())
    with client.query_arrow_stream(f"SELECT n FROM {table}") as stream:
        assert sum(part.num_rows for part in stream) == count
    assert client.query_arrow(f"SELECT n FROM {table} WHERE n > 9999999").num_rows == 0


def test_streams(connect: Connect, table: str) -> None:
    """A result of many blocks streams; one that is left early leaves the client usable."""
    client = connect()
    with client.query_row_block_stream("SELECT number FROM numbers(1000000)") as stream:
        assert sum(len(block) for block in stream) == 1_000_000
    with client.query_row_block_stream("SELECT number FROM numbers(100000000)") as stream:
        next(iter(stream))
    assert client.command("SELECT 1") == 1


def test_parameters_and_settings(connect: Connect) -> None:
    """Bound parameters arrive as written; settings hold for their statement, unknown ones are refused."""
    client = connect()
    text = "it's a \\ tab\tand\nnewline"
    found = client.query(
        "SELECT {s:String}, {n:Int64}, {a:Array(String)}", parameters={"s": text, "n": -5, "a": ["x'", "y"]}
    )
    assert found.result_rows == [(text, -5, ["x'", "y"])]
    asked = "SELECT getSetting('max_threads')"
    before = client.command(asked)
    assert client.query(asked, settings={"max_threads": 7}).result_rows == [(7,)]
    assert client.command(asked) == before, "a statement's setting outlived it"
    client.command("SET max_threads = 5")
    assert client.query(asked, settings={"max_threads": 7}).result_rows == [(7,)]
    assert client.command(asked) == 5, "a session's own setting was lost"
    with pytest.raises(DatabaseError) as caught:
        client.raw_query("SELECT 1", settings={"no_such_setting": 1})
    assert "no_such_setting" in str(caught.value)


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT * FROM no_such_table", 60),
        ("SELECT no_such_column", 47),
        ("SELEC 1", 62),
        ("SELECT 1; SELECT 2", 62),
        ("SELECT throwIf(number = 3) FROM numbers(5)", 395),
        ("CREATE USER u", 497),
    ],
)
def test_errors_have_codes(connect: Connect, sql: str, code: int) -> None:
    """Errors come with ClickHouse's code, its name and the version, and the client goes on."""
    client = connect()
    with pytest.raises(DatabaseError) as caught:
        client.command(sql)
    assert caught.value.code == code
    assert "(version 26." in str(caught.value)
    assert client.command("SELECT 1") == 1


def test_refused_inserts(connect: Connect, table: str) -> None:
    """A refused INSERT writes nothing and leaves the client usable."""
    client = connect()
    with pytest.raises(DatabaseError):
        client.raw_insert(table, ["n"], b"1\nx\n", fmt="TSV")
    with pytest.raises(DatabaseError) as caught:
        client.raw_insert("no_such_table", ["n"], b"1\n" * 1_000_000, fmt="TSV")
    assert caught.value.code == 60
    assert client.command(f"SELECT count() FROM {table}") == 0


def test_error_amid_a_stream(connect: Connect) -> None:
    """An error after the first blocks is an error, not the end of the result."""
    client = connect()
    with (
        pytest.raises(Exception, match="395"),
        client.query_row_block_stream("SELECT throwIf(number = 900000, 'too far') FROM numbers(1000000)") as stream,
    ):
        for _ in stream:
            pass
    assert client.command("SELECT 1") == 1


def test_wrong_password(connect: Connect) -> None:
    """Without the password there is nothing."""
    for options in ({"password": "wrong"}, {"username": "default"}, {"password": ""}):
        with pytest.raises(DatabaseError, match="516"):
            connect(**options)


def test_kill_by_the_clients_identifier(connect: Connect) -> None:
    """KILL QUERY knows a query by the identifier its client gave it."""
    identifier = str(uuid.uuid4())
    victim, killer = connect(), connect()
    failed: list[Exception] = []

    def run() -> None:
        try:
            victim.command(
                "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1",
                settings={"query_id": identifier},
            )
        except DatabaseError as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    deadline = time.monotonic() + 20
    while thread.is_alive() and time.monotonic() < deadline:
        killer.command(f"KILL QUERY WHERE query_id = '{identifier}' SYNC")
        time.sleep(0.05)
    thread.join(20)
    assert [error.code for error in failed] == [394]  # type: ignore[attr-defined]


def test_sessions(connect: Connect) -> None:
    """Temporary tables and the current database live as long as their session, and only there."""
    client, other = connect(), connect()
    client.command("CREATE TEMPORARY TABLE mine (n UInt8)")
    client.command("INSERT INTO mine VALUES (1), (2)")
    assert client.command("SELECT sum(n) FROM mine") == 3
    with pytest.raises(DatabaseError) as caught:
        other.command("SELECT sum(n) FROM mine")
    assert caught.value.code == 60
    assert connect(database="system").command("SELECT currentDatabase()") == "system"
    assert client.command("SELECT currentDatabase()") == "default"


def test_many_threads_exact_counts(connect: Connect, table: str) -> None:
    """Inserts and queries of many threads lose nothing and double nothing."""
    at = datetime.datetime(2024, 5, 1)

    def work(worker: int) -> None:
        client = connect()
        for round_ in range(5):
            begin = (worker * 5 + round_) * 500
            client.insert(table, [(n, "x", at) for n in range(begin, begin + 500)], column_names=["n", "s", "at"])
            assert client.command(f"SELECT count() FROM {table} WHERE n BETWEEN {begin} AND {begin + 499}") == 500

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert connect().query(f"SELECT count(), uniqExact(n), max(n) FROM {table}").result_rows == [(20000, 20000, 19999)]
