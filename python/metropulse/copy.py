"""`copy_parquet`: Parquet or Arrow into any table of PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from metropulse.exceptions import ConfigError
from metropulse.pipeline import Pipeline, open_pipeline
from metropulse.results import Report
from metropulse.sources import Source, stream_or_paths

if TYPE_CHECKING:
    from metropulse.results import Progress

__all__ = ["copy_parquet"]


def copy_parquet(
    source: Source,
    dsn: str | Pipeline,
    table: str,
    *,
    create: bool = False,
    truncate: bool = False,
    connections: int = 1,
    plain_files: bool = False,
    folder_columns: bool = True,
    lake_options: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Report:
    """Copy Parquet files or an Arrow stream into a PostgreSQL table, by COPY BINARY.

    Columns go by name; one that a file lacks and another has is NULL. Before a byte is sent, every column of every
    file is held against the table's catalog, and all that does not fit is named in one error. Memory does not grow
    with the input. With one connection all of it is one transaction, and a table that is made or emptied for the copy
    gets its rows frozen. With several, a table that is made appears only when it is full; a table that was there gets
    the rows when all connections have sent theirs, by commits that follow one another at once. A table with a unique
    index or a trigger, or one that is emptied, is loaded over one connection whatever was asked; the report says why.

    Args:
        source: A path, URL, folder or glob, a list of them, or anything with ``__arrow_c_stream__``.
        dsn: PostgreSQL, as a ``postgresql://`` or ``jdbc:postgresql://`` URL; or an open `Pipeline`: its warehouse.
        table: The table as SQL names it: ``trips``, ``public.trips``, ``"Trips"``.
        create: Make the table, with the columns of all files, when it is not there.
        truncate: Empty the table in the same transaction.
        connections: How many connections may share the work, at most.
        plain_files: Read the files of a Delta Lake, Hudi or Iceberg table as they are, deleted rows included.
        folder_columns: Make columns of ``key=value`` folders below the folder, or before the wildcard, that was named.
        lake_options: Options of the object store for URLs; else those of the environment.
        progress: Told about rows done.

    Returns:
        The report: rows, bytes, files, seconds, table, created, frozen, connections.

    Raises:
        SchemaError: Columns do not fit the table.
        DataError: The table cannot hold a value; nothing was committed.
        ConfigError: `connections` is no positive number, or the source names nothing.
        NotFoundError: A source names no file, or the table is not there.
    """
    if connections < 1:
        raise ConfigError(f"connections is {connections}, expected 1 or more")
    given = stream_or_paths(source)
    with open_pipeline(dsn, given, lake_options=lake_options) as pipeline:
        found = pipeline.core.copy_parquet(
            given,
            table,
            create,
            truncate,
            connections,
            plain_files=plain_files,
            folder_columns=folder_columns,
            progress=progress,
        )
    return Report.from_json(found)
