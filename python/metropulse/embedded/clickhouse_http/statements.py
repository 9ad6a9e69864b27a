"""Finds in a statement what the interface must know: its verb, its FORMAT, and where an INSERT's data begins.

A lexer, so that quotes, comments and brackets are respected; it judges no grammar, which is the engine's task.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from metropulse.embedded.clickhouse_http.errors import RefusedError

_TOKEN = re.compile(
    rb"""
      (?P<blank> \s++ | --[^\n]*+ | \#[!\ ][^\n]*+ | /\*.*?\*/ )
    | (?P<string> '(?:[^'\\]++|\\.|'')*+' )
    | (?P<name> `(?:[^`\\]++|\\.|``)*+` | "(?:[^"\\]++|\\.|"")*+" )
    | (?P<heredoc> (\$\w*\$).*?\5 )
    | (?P<open> ['`"] | /\* )
    | (?P<word> [A-Za-z_]\w*+ )
    | (?P<number> [0-9][\w.]*+ )
    | (?P<mark> . )
    """,
    re.DOTALL | re.VERBOSE,
)
_DATA = re.compile(rb"[ \t\f]*\r?\n?")


@dataclass(frozen=True)
class Token:
    """A word, quoted name, literal or mark of a statement."""

    kind: str
    text: bytes
    begin: int
    end: int
    depth: int

    @property
    def word(self) -> bytes:
        """The bare word in capitals, empty for anything else."""
        return self.text.upper() if self.kind == "word" else b""


@dataclass(frozen=True)
class Statement:
    """What the interface knows of a statement.

    Attributes:
        text: The statement; for an INSERT with data, up to FORMAT or VALUES.
        verb: Its first word in capitals.
        words: Its bare words in capitals.
        format: The format it names, None when it names none.
        data_at: For an INSERT with data: where that begins. None for everything else.
    """

    text: bytes
    verb: str
    words: frozenset[bytes]
    format: str | None
    data_at: int | None


def tokens(text: bytes) -> Iterator[Token]:
    """Cut a statement into tokens; blanks and comments are left out.

    Args:
        text: The statement.

    Yields:
        Its tokens; an unfinished quote or comment is one token of kind `open` that ends the text.
    """
    depth = 0
    for found in _TOKEN.finditer(text):
        kind = found.lastgroup or "mark"
        if kind == "blank":
            continue
        if kind == "open":
            yield Token(kind, text[found.start() :], found.start(), len(text), depth)
            return
        piece = found.group()
        if piece in b")]}" and kind == "mark":
            depth -= 1
        yield Token(kind, piece, found.start(), found.end(), depth)
        if piece in b"([{" and kind == "mark":
            depth += 1


def read_statement(text: bytes, *, whole: bool) -> Statement | None:
    """Read a statement, of which perhaps only the beginning has arrived.

    Args:
        text: The statement; an INSERT's data may follow it.
        whole: Whether nothing more can come.

    Returns:
        The statement; None when more of the text is needed.

    Raises:
        RefusedError: There is no statement, or more than one.
    """
    verb = next((token.word for token in tokens(text) if token.text != b"("), b"")
    if verb == b"INSERT":
        insert = _read_insert(text, whole=whole)
        if insert is not None or not whole:
            return insert
    if not whole:
        return None
    cut = list(tokens(text))
    if not cut:
        raise RefusedError.named(62, "SYNTAX_ERROR", "Syntax error: Empty query")
    ends = next((index for index, token in enumerate(cut) if token.text == b";" and token.depth <= 0), len(cut))
    if any(token.text != b";" for token in cut[ends:]):
        raise RefusedError.named(62, "SYNTAX_ERROR", "Syntax error (Multi-statements are not allowed)")
    words = frozenset(token.word for token in cut if token.word)
    return Statement(text, verb.decode(), words, _trailing_format(cut[:ends]), None)


def _trailing_format(cut: list[Token]) -> str | None:
    """Return the format that a statement's last clause names."""
    for here, name, after in zip(reversed(cut[:-1]), reversed(cut), [None, *reversed(cut)], strict=False):
        if here.word == b"FORMAT" and here.depth == 0 and name.kind == "word":
            return name.text.decode() if after is None or after.word == b"SETTINGS" else None
    return None


def _read_insert(text: bytes, *, whole: bool) -> Statement | None:
    """Read an INSERT with data; None when it has a SELECT or a file instead, or when more text is needed."""
    words = []
    target_seen = False
    cut = tokens(text)
    for token in cut:
        word = token.word if token.depth == 0 else b""
        words.append(token.word)
        if not target_seen:
            target_seen = word not in (b"", b"INSERT", b"INTO", b"TABLE", b"FUNCTION") or token.kind in ("name", "mark")
            continue
        if word in (b"SELECT", b"WITH", b"FROM") or token.kind == "open":
            return None
        if word == b"VALUES":
            return _insert(text, words, token, token.end, "Values") if whole or token.end < len(text) else None
        if word == b"FORMAT":
            name = next(cut, None)
            if name is None or name.kind != "word" or (name.end == len(text) and not whole):
                return None
            data = _DATA.match(text, name.end)
            at = data.end() if data else name.end
            # A lone carriage return or nothing yet: the line's end may be still to come.
            return (
                None
                if at == len(text) and text[-1:] != b"\n" and not whole
                else _insert(text, words, token, at, name.text.decode())
            )
    if whole and target_seen:
        end = Token("mark", b"", len(text), len(text), 0)
        return _insert(text.rstrip().rstrip(b";"), words, end, len(text), None)
    return None


def _insert(text: bytes, words: list[bytes], clause: Token, data_at: int, form: str | None) -> Statement:
    """Make the statement of an INSERT with data; comments at its end would hide what the engine adds."""
    last = next((token.end for token in reversed(list(tokens(text[: clause.begin])))), clause.begin)
    return Statement(text[:last], "INSERT", frozenset(words), form, data_at)


def replace_strings(text: bytes, values: dict[bytes, bytes]) -> bytes:
    """Replace whole string literals of a statement.

    Args:
        text: The statement.
        values: New literals by old ones, both with their quotes.

    Returns:
        The statement with the new literals.
    """
    out, at = [], 0
    for token in tokens(text):
        if token.kind == "string" and token.text in values:
            out += [text[at : token.begin], values[token.text]]
            at = token.end
    return b"".join((*out, text[at:]))
