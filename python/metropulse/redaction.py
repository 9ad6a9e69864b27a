"""Hiding secrets in text that is shown: messages, reprs, logs."""

from __future__ import annotations

import re

__all__ = ["redact"]

_USERINFO = re.compile(r"(?P<head>://[^/\s:@]*):[^/\s]*@")
_HIDDEN = r"[\w-]*(?:password|passwd|secret|access_key|session_token|sas_key)[\w-]*"
_KEYWORD = re.compile(
    rf"""(?i)(?P<name>\b{_HIDDEN}(?:\s*=\s*|["']\s*[:=]\s*))(?P<value>'(?:[^'\\]|\\.)*'|"[^"]*"|(?:\\.|[^\s&,;\]}}])+)"""
)


def redact(text: str) -> str:
    """Hide passwords in URLs and in ``name=value`` pairs.

    Args:
        text: Any text, such as an error message of a driver.

    Returns:
        The text with ``***`` in place of each secret.
    """
    text = _USERINFO.sub(r"\g<head>:***@", text)
    return _KEYWORD.sub(r"\g<name>***", text)
