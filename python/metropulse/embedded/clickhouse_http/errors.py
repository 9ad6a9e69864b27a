"""Errors as ClickHouse tells them: a code, a text, an HTTP status."""

from __future__ import annotations

import re
from http import HTTPStatus

_CODE = re.compile(r"Code: (\d+)")
_REPEATED = re.compile(r"(Code: \d+\. DB::Exception: )\1+")
_VERSION = re.compile(r"\(version [^()]*(\([^()]*\))?\)\s*$")

_STATUS = {
    HTTPStatus.BAD_REQUEST: {6, 26, 27, 36, 38, 41, 53, 62, 69, 70, 72, 117, 130, 131},
    HTTPStatus.UNAUTHORIZED: {192, 193, 194},
    HTTPStatus.FORBIDDEN: {291, 497, 516},
    HTTPStatus.NOT_FOUND: {1000, 16, 46, 47, 60, 73, 81, 115, 372},
    HTTPStatus.NOT_IMPLEMENTED: {48},
}


class RefusedError(Exception):
    """A statement or request that is answered with an error.

    Attributes:
        code: ClickHouse's error code.
        text: `Code: N. DB::Exception: ... (NAME)`.
    """

    def __init__(self, code: int, text: str) -> None:
        """Keep code and text."""
        super().__init__(text)
        self.code = code
        self.text = text

    @classmethod
    def named(cls, code: int, name: str, message: str) -> RefusedError:
        """Refuse in ClickHouse's words.

        Args:
            code: ClickHouse's error code.
            name: Its name.
            message: What is wrong.

        Returns:
            The error, to be raised.
        """
        return cls(code, f"Code: {code}. DB::Exception: {message}. ({name})")

    @classmethod
    def by_engine(cls, error: Exception) -> RefusedError:
        """Read an error of the engine, whose text may carry prefixes.

        Args:
            error: What the engine raised.

        Returns:
            The error in ClickHouse's words.
        """
        text = str(error)
        found = list(_CODE.finditer(text))
        if not found:
            return cls.named(1002, "UNKNOWN_EXCEPTION", text.strip() or type(error).__name__)
        return cls(int(found[0].group(1)), _REPEATED.sub(r"\1", text[found[0].start() :].strip()))

    def body(self, version: str) -> str:
        """Return the text of the answer, which ends with the server's version.

        Args:
            version: The engine's version.
        """
        return f"{_VERSION.sub('', self.text).rstrip()} (version {version} (official build))"

    @property
    def status(self) -> HTTPStatus:
        """The HTTP status a ClickHouse server answers with."""
        return next(
            (status for status, codes in _STATUS.items() if self.code in codes), HTTPStatus.INTERNAL_SERVER_ERROR
        )


class GoneError(Exception):
    """The client went away before its request was whole."""
