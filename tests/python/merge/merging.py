"""Tables with history for tests: snapshots as lists of rows, and versions as a reader sees them."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, date, datetime

import psycopg
import pyarrow as pa

import metropulse as mp


@contextmanager
def empty_schema(engines, name: str):
    """A connection to the session's PostgreSQL, with an empty schema of this name as long as it lasts."""
    with psycopg.connect(engines.warehouse_url, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE; CREATE SCHEMA {name}")
        yield connection
        connection.execute(f"DROP SCHEMA {name} CASCADE")


def day(number: int) -> date:
    """The day of May 2024."""
    return date(2024, 5, number)


def start(number: int | None) -> datetime | None:
    """The start of that day."""
    return None if number is None else datetime(2024, 5, number, tzinfo=UTC)


def as_an_earlier_release_made_it(connection, table: str) -> None:
    """Give the tables beside one the form of before: the columns stated are the bits of a number, and no zone."""
    connection.execute(f"UPDATE {table}_loads SET rules = rules - 'zone' WHERE effective IS NULL")
    for beside in ("said", "loads"):
        connection.execute(
            f"ALTER TABLE {table}_{beside} ALTER COLUMN stated TYPE bigint "
            "USING lpad(reverse(stated::text), 64, '0')::bit(64)::bigint"
        )


class Dim:
    """One table of a test, merged into by the public function."""

    def __init__(self, connection, dsn: str, name: str, digest_keys: int | None = None, **options) -> None:
        self.connection, self.dsn, self.name, self.options = connection, dsn, name, options
        self.pipeline = None if digest_keys is None else mp.Pipeline(warehouse=dsn, digest_keys=digest_keys)

    def load(self, rows, number: int | None = None, schema: pa.Schema | None = None, **more):
        """Merge a snapshot of a day of May 2024, or a feed when no day is given."""
        table = rows if hasattr(rows, "__arrow_c_stream__") else pa.Table.from_pylist(rows, schema=schema)
        when = {} if number is None else {"effective": day(number)}
        options = {**self.options, **when, **more}
        return mp.merge_snapshot(table, self.pipeline or self.dsn, self.name, **options)

    def rewind(self, number: int, **more):
        """Rewind to a day of May 2024."""
        return mp.rewind_snapshot(self.dsn, self.name, to=day(number), **more)

    def rows(self, columns: str):
        """Versions, in order of these columns and their start."""
        sql = f"SELECT {columns}, valid_from, valid_to FROM {self.name} ORDER BY {columns.split(',')[0]}, valid_from"
        return self.connection.execute(sql).fetchall()

    def spans(self, columns: str):
        """Versions with their bounds as days of May 2024."""
        days = [(*row[:-2], row[-2].day, row[-1] and row[-1].day) for row in self.rows(columns)]
        return days

    def written(self) -> dict[str, int]:
        """Rows that the transactions so far have written to the table and to those beside it."""
        sql = """SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0) FROM pg_stat_user_tables
                 WHERE relname LIKE %s AND schemaname = %s"""
        schema, name = self.name.split(".")
        return self.connection.execute(sql, (f"{name}%", schema)).fetchone()[0]
