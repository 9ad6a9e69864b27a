"""The lexer that finds formats and data in statements."""

from __future__ import annotations

import pytest

from metropulse.embedded.clickhouse_http.errors import RefusedError
from metropulse.embedded.clickhouse_http.statements import read_statement, replace_strings


@pytest.mark.parametrize(
    ("sql", "verb", "form"),
    [
        ("SELECT 1", "SELECT", None),
        ("select 1 format CSV", "SELECT", "CSV"),
        ("SELECT 1 FORMAT CSV;", "SELECT", "CSV"),
        ("SELECT 1 FORMAT CSV SETTINGS max_threads = 1", "SELECT", "CSV"),
        ("SELECT 1 SETTINGS max_threads = 1 FORMAT CSV", "SELECT", "CSV"),
        ("SELECT 1\n FORMAT Native", "SELECT", "Native"),
        ("SELECT 1 /* FORMAT CSV */ -- FORMAT TSV", "SELECT", None),
        ("SELECT 'x FORMAT CSV'", "SELECT", None),
        ('SELECT "FORMAT" CSV', "SELECT", None),
        ("SELECT (SELECT 1 FORMAT CSV)", "SELECT", None),
        ("SELECT format, csv FROM t", "SELECT", None),
        ("/* c */ (SELECT 1) FORMAT JSON", "SELECT", "JSON"),
        ("# comment\nWITH 1 AS x SELECT x", "WITH", None),
        ("SELECT $tag$ FORMAT ' $tag$ FORMAT XML", "SELECT", "XML"),
        ("SELECT 'it''s', 'a\\'b' FORMAT XML", "SELECT", "XML"),
        ("EXPLAIN SELECT 1", "EXPLAIN", None),
    ],
)
def test_formats(sql: str, verb: str, form: str | None) -> None:
    """The format is that of the last clause, wherever quotes and comments name another."""
    found = read_statement(sql.encode(), whole=True)
    assert found is not None
    assert (found.verb, found.format, found.data_at) == (verb, form, None)


@pytest.mark.parametrize(
    ("sql", "text", "form", "data"),
    [
        (b"INSERT INTO t FORMAT TSV\n1\n", b"INSERT INTO t", "TSV", b"1\n"),
        (b"INSERT INTO t FORMAT TSV  \r\n\n1", b"INSERT INTO t", "TSV", b"\n1"),
        (b"insert into `FORMAT` (`VALUES`) format TSV 1", b"insert into `FORMAT` (`VALUES`)", "TSV", b"1"),
        (b"INSERT INTO t (a, b) VALUES (1, ';')", b"INSERT INTO t (a, b)", "Values", b" (1, ';')"),
        (b"INSERT INTO t -- c\n FORMAT RowBinary\n\x00'\xff", b"INSERT INTO t", "RowBinary", b"\x00'\xff"),
        (
            b"INSERT INTO FUNCTION f('FORMAT CSV', x) FORMAT TSV\n",
            b"INSERT INTO FUNCTION f('FORMAT CSV', x)",
            "TSV",
            b"",
        ),
        (b"INSERT INTO t (a)", b"INSERT INTO t (a)", None, b""),
    ],
)
def test_inserts(sql: bytes, text: bytes, form: str | None, data: bytes) -> None:
    """An INSERT's data begins after its format and at most one line's end."""
    found = read_statement(sql, whole=True)
    assert found is not None
    assert (found.text, found.format) == (text, form)
    assert sql[found.data_at or len(sql) :] == data


@pytest.mark.parametrize(
    "sql", ["INSERT INTO t SELECT 1", "INSERT INTO t WITH 1 AS x SELECT x", "INSERT INTO t FROM INFILE 'x'"]
)
def test_inserts_without_data(sql: str) -> None:
    """An INSERT out of a query or a file has no data."""
    found = read_statement(sql.encode(), whole=True)
    assert found is not None
    assert (found.verb, found.data_at) == ("INSERT", None)


def test_every_cut_is_found() -> None:
    """However little of an INSERT has arrived, what is read of it is right."""
    sql = b"INSERT INTO t (`a'b`) /* FORMAT */ FORMAT RowBinary\n"
    for cut in range(len(sql)):
        assert read_statement(sql[:cut], whole=False) is None, sql[:cut]
    found = read_statement(sql, whole=False)
    assert found is not None
    assert (found.format, found.data_at) == ("RowBinary", len(sql))


@pytest.mark.parametrize("sql", ["", "  -- nothing\n", "SELECT 1; SELECT 2", "SELECT 1;; DROP TABLE t"])
def test_refused(sql: str) -> None:
    """No statement and several are refused."""
    with pytest.raises(RefusedError) as caught:
        read_statement(sql.encode(), whole=True)
    assert caught.value.code == 62


def test_string_literals_are_replaced_whole() -> None:
    """Only literals that are the old value are replaced, not names, comments or parts."""
    sql = b"KILL QUERY WHERE query_id = 'a' OR x = 'ab' OR `a` = \"a\" /* 'a' */"
    assert replace_strings(sql, {b"'a'": b"'Z'"}) == sql.replace(b"= 'a'", b"= 'Z'")
