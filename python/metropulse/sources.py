"""Where rows come from: paths, URLs and globs of Parquet files, or whatever gives an Arrow stream."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias, cast

from metropulse.exceptions import ConfigError

if TYPE_CHECKING:
    from metropulse._core import ArrowStream

    PathSource: TypeAlias = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]
    Source: TypeAlias = PathSource | ArrowStream

__all__ = ["first_url", "stream_or_paths"]


def stream_or_paths(source: Source) -> list[str] | ArrowStream:
    """Return a source as the native core takes it.

    Args:
        source: A path, URL, folder or glob, a list of them, or anything with ``__arrow_c_stream__``.

    Returns:
        The stream, or the paths as a list of text.

    Raises:
        ConfigError: The list is empty.
    """
    if hasattr(source, "__arrow_c_stream__"):
        return cast("ArrowStream", source)
    return _paths(source)


def first_url(source: Source) -> str | None:
    """Return the first URL among the paths of a source, or None.

    Args:
        source: As for `stream_or_paths`.

    Returns:
        The URL; its scheme chooses which variables of the environment give access to it.
    """
    if hasattr(source, "__arrow_c_stream__"):
        return None
    return next((path for path in _paths(source) if "://" in path), None)


def _paths(source: PathSource) -> list[str]:
    if isinstance(source, (str, os.PathLike)):
        return [os.fspath(source)]
    paths = [os.fspath(path) for path in source]
    if not paths:
        raise ConfigError("the source is an empty list, expected at least one path or URL")
    return paths
