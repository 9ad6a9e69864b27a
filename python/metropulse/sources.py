"""Where rows come from: paths, URLs and globs of Parquet files, or whatever gives an Arrow stream."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Protocol, TypeAlias, runtime_checkable

from metropulse.exceptions import ConfigError

__all__ = ["ArrowStream", "Name", "Source", "first_url", "stream_or_paths"]


@runtime_checkable
class ArrowStream(Protocol):
    """Anything that hands out its rows as an Arrow stream: pyarrow, Polars, DuckDB, pandas, our own tables."""

    def __arrow_c_stream__(self, requested_schema: object | None = None, /) -> object:
        """Return the capsule."""
        ...


Name: TypeAlias = str | os.PathLike[str]
"""A path or URL."""

Source: TypeAlias = Name | Iterable[Name] | ArrowStream
"""A path, URL, folder or glob, a list of them, or rows as an Arrow stream."""


def stream_or_paths(source: Source) -> list[str] | ArrowStream:
    """Return a source as the native core takes it.

    Args:
        source: A path, URL, folder or glob, a list of them, or anything with ``__arrow_c_stream__``.

    Returns:
        The stream, or the paths as a list of text.

    Raises:
        ConfigError: The source is none of these, or the list is empty.
    """
    if isinstance(source, ArrowStream):
        return source
    if isinstance(source, (str, os.PathLike)):
        return [os.fspath(source)]
    names = list(source) if isinstance(source, Iterable) else [source]
    if not names:
        raise ConfigError("the source is an empty list, expected at least one path or URL")
    if not all(isinstance(name, (str, os.PathLike)) for name in names):
        raise ConfigError(
            f"the source is of type {type(source).__name__}, expected a path, URL or glob, a list of them, "
            "or an Arrow table (with __arrow_c_stream__)"
        )
    return [os.fspath(name) for name in names]


def first_url(*sources: Source) -> str | None:
    """Return the first URL among the paths of some sources, or None.

    Args:
        *sources: As for `stream_or_paths`.

    Returns:
        The URL; its scheme chooses which credentials give access to it.
    """
    found = (stream_or_paths(source) for source in sources)
    return next((name for names in found if isinstance(names, list) for name in names if "://" in name), None)
