"""Output formats: which of them stream, and how the engine's chunks become one document.

The engine hands out a result in chunks, each a whole document of its format. Some formats concatenate as they are;
others repeat a header, which is cut from every chunk but the first; the rest is answered in one piece.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

_PLAIN = {
    "csv",
    "jsoncompacteachrow",
    "jsoncompactstringseachrow",
    "jsoneachrow",
    "jsonlines",
    "jsonstringseachrow",
    "native",
    "ndjson",
    "raw",
    "rowbinary",
    "tabseparated",
    "tabseparatedraw",
    "tsv",
    "tsvraw",
}
_LINED = {
    "csv",
    "jsoncompacteachrow",
    "jsoncompactstringseachrow",
    "raw",
    "tabseparated",
    "tabseparatedraw",
    "tsv",
    "tsvraw",
}
_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"


def content_type(form: str) -> str:
    """Return the media type of an output format.

    Args:
        form: The format's name.
    """
    lower = form.lower()
    if lower.startswith(("tabseparated", "tsv", "raw")):
        return "text/tab-separated-values; charset=UTF-8"
    if lower.startswith("csv"):
        return f"text/csv; charset=UTF-8; header={'present' if 'with' in lower else 'absent'}"
    if "json" in lower and ("eachrow" in lower or lower in ("jsonlines", "ndjson")):
        return "application/x-ndjson; charset=UTF-8"
    if lower.startswith("json"):
        return "application/json; charset=UTF-8"
    if lower.startswith(("pretty", "values", "vertical", "markdown")):
        return "text/plain; charset=UTF-8"
    return "application/octet-stream"


def header_cutter(form: str) -> Callable[[bytes], int] | None:
    """Return what measures the header that each chunk of a format repeats.

    Args:
        form: The format's name.

    Returns:
        A function from a chunk to the length of its header; None for a format that does not stream.
    """
    lower = form.lower()
    if lower in _PLAIN:
        return lambda _: 0
    if lower == "arrowstream":
        return _arrow_schema
    for suffix, lines in (("withnamesandtypes", 2), ("withnames", 1)):
        base = lower.removesuffix(suffix)
        if base != lower and base == "rowbinary":
            return lambda chunk: _binary_header(chunk, lines)
        if base != lower and base in _LINED:
            quote = b'"' if base == "csv" else b""
            return lambda chunk: _lines(chunk, lines, quote)
    return None


class Joiner:
    """Makes one document of chunks that are each a whole document."""

    def __init__(self, form: str, cutter: Callable[[bytes], int]) -> None:
        """Begin a document.

        Args:
            form: The format's name.
            cutter: What `header_cutter` returned for it.
        """
        self._cutter = cutter
        self._end = _END_OF_STREAM if form.lower() == "arrowstream" else b""
        self._first = True

    def add(self, chunk: bytes) -> bytes:
        """Return the bytes that a chunk adds to the document."""
        begin = 0 if self._first else self._cutter(chunk)
        self._first = False
        return chunk[begin:].removesuffix(self._end) if self._end else chunk[begin:]

    def end(self) -> bytes:
        """Return the bytes that end the document."""
        return b"" if self._first else self._end


def _arrow_schema(chunk: bytes) -> int:
    """Length of the schema message of an Arrow stream, which has no body."""
    return 8 + int(struct.unpack_from("<i", chunk, 4)[0])


def _binary_header(chunk: bytes, lines: int) -> int:
    """Length of RowBinary's header: a count, then that many names, then as many types."""
    count, at = _varuint(chunk, 0)
    for _ in range(count * lines):
        size, at = _varuint(chunk, at)
        at += size
    return at


def _varuint(chunk: bytes, at: int) -> tuple[int, int]:
    """Read a varuint: its value and where it ends."""
    value = shift = 0
    while True:
        byte = chunk[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _lines(chunk: bytes, lines: int, quote: bytes) -> int:
    """Length of so many lines; a line's end inside quotes is none."""
    at = 0
    for _ in range(lines):
        begin = at
        while True:
            at = chunk.find(b"\n", at) + 1
            if at == 0:
                return len(chunk)
            if not quote or chunk.count(quote, begin, at) % 2 == 0:
                break
    return at
