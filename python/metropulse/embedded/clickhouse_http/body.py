"""Reads a request's body: transfer coding, content coding, ClickHouse's own compressed blocks."""

from __future__ import annotations

import importlib
import struct
import zlib
from collections.abc import Iterator
from typing import Any, Protocol

import lz4.block  # type: ignore[import-untyped]
import lz4.frame  # type: ignore[import-untyped]

from metropulse.embedded.clickhouse_http.errors import GoneError, RefusedError

_PIECE = 1 << 18
_HEAD = 25
_MOST = 1 << 30


class Source(Protocol):
    """What a body is read from: a connection."""

    def read(self, size: int, /) -> bytes:
        """Read so many bytes, fewer only at the end."""

    def readline(self, size: int, /) -> bytes:
        """Read a line of at most so many bytes."""


class Body:
    """The body of one request, as it comes over the wire.

    Attributes:
        whole: Whether all of it was read, so that the connection can take another request.
    """

    def __init__(self, source: Source, *, length: str | None, chunked: bool) -> None:
        """Describe a body.

        Args:
            source: The connection.
            length: Content-Length, None when not given.
            chunked: Whether the transfer coding is chunked.

        Raises:
            RefusedError: The length is no number.
        """
        if length is not None and not length.strip().isdigit():
            raise RefusedError.named(36, "BAD_ARGUMENTS", f"Content-Length is {length!r}, expected a number")
        self._source = source
        self._chunked = chunked
        self._left = int(length) if length and not chunked else 0
        self.whole = not chunked and self._left == 0

    def pieces(self) -> Iterator[bytes]:
        """Yield the body as it arrives.

        Raises:
            GoneError: The client went away before the end.
            RefusedError: The transfer coding is broken.
        """
        while self._chunked and not self.whole:
            line = self._source.readline(1024)
            if not line.endswith(b"\n"):
                raise GoneError
            try:
                size = int(line.split(b";", 1)[0], 16)
            except ValueError as error:
                raise RefusedError.named(36, "BAD_ARGUMENTS", "a chunk's size is no number") from error
            if size == 0:
                while self._source.readline(65536).strip():
                    pass
                self.whole = True
                return
            yield from self._take(size)
            self._source.readline(8)
        if not self.whole:
            yield from self._take(self._left)
            self.whole = True

    def _take(self, size: int) -> Iterator[bytes]:
        """Yield so many bytes."""
        while size:
            piece = self._source.read(min(size, _PIECE))
            if not piece:
                raise GoneError
            size -= len(piece)
            yield piece


def decoded(pieces: Iterator[bytes], coding: str) -> Iterator[bytes]:
    """Undo a content coding.

    Args:
        pieces: The coded body.
        coding: `lz4` (frames), `gzip`, `deflate`, `zstd` or nothing.

    Yields:
        The plain body.

    Raises:
        GoneError: The coded body ends too early.
        RefusedError: The coding is unknown or the body is not of it.
    """
    name = coding.strip().lower()
    if name in ("", "identity"):
        yield from pieces
        return
    machine: Any = None
    for piece in pieces:
        rest = piece
        while rest:
            machine = machine or _decoder(name)
            try:
                plain = machine.decompress(rest)
            except (zlib.error, RuntimeError, EOFError, ValueError) as error:
                raise RefusedError.named(432, "UNKNOWN_CODEC", f"the body is not {name}: {error}") from error
            if plain:
                yield plain
            rest, machine = (machine.unused_data or b"", None) if machine.eof else (b"", machine)
    if machine is not None:
        raise RefusedError.named(33, "CANNOT_READ_ALL_DATA", f"the {name} body ends too early")


def _decoder(name: str) -> Any:
    """Make a decoder of a coding, with `decompress`, `eof` and `unused_data`."""
    if name == "lz4":
        return lz4.frame.LZ4FrameDecompressor()
    if name in ("gzip", "deflate"):
        return zlib.decompressobj(zlib.MAX_WBITS | 32)
    if name == "zstd":
        for module in ("compression.zstd", "backports.zstd"):
            try:
                return importlib.import_module(module).ZstdDecompressor()
            except ImportError:
                continue
    raise RefusedError.named(48, "NOT_IMPLEMENTED", f"Content-Encoding {name} is not offered here, use lz4 or gzip")


def unframed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Undo ClickHouse's compressed blocks (`decompress=1`).

    A block is a 16-byte checksum, a method byte, the compressed size with these nine bytes, the plain size, the data.
    The checksum is not verified: the bytes come over loopback, and LZ4 refuses blocks of a wrong length.

    Args:
        pieces: The framed body.

    Yields:
        The plain blocks.

    Raises:
        RefusedError: A block is broken.
    """
    kept = bytearray()
    for piece in pieces:
        kept += piece
        while len(kept) >= _HEAD:
            method, size, plain = struct.unpack_from("<BII", kept, 16)
            if not 9 <= size <= _MOST or plain > _MOST:
                raise RefusedError.named(271, "CANNOT_DECOMPRESS", "a compressed block gives an impossible size")
            if len(kept) < 16 + size:
                break
            data = bytes(kept[_HEAD : 16 + size])
            del kept[: 16 + size]
            yield _block(method, data, plain)
    if kept:
        raise RefusedError.named(33, "CANNOT_READ_ALL_DATA", "the body ends inside a compressed block")


def _block(method: int, data: bytes, plain: int) -> bytes:
    """Return the plain bytes of one block."""
    if method == 0x02:
        return data
    try:
        if method == 0x82:
            return bytes(lz4.block.decompress(data, uncompressed_size=plain))
        if method == 0x90:
            return bytes(_decoder("zstd").decompress(data))
    except lz4.block.LZ4BlockError as error:
        raise RefusedError.named(271, "CANNOT_DECOMPRESS", f"a compressed block is broken: {error}") from error
    raise RefusedError.named(89, "UNKNOWN_COMPRESSION_METHOD", f"compression method 0x{method:02x} is unknown")
