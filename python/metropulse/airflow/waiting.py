"""What the sensors share: the numbers in their fields, and why a raw day is still waited for, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metropulse.exceptions import ConfigError

__all__ = ["number", "why_waiting"]


def number(value: float | str, name: str) -> float:
    """Return the number in a field, which a template may have filled with text.

    Args:
        value: The number, or its text.
        name: The field's name, for the error.

    Returns:
        The number.

    Raises:
        ConfigError: The text is no number.
    """
    try:
        return float(value)
    except ValueError as error:
        raise ConfigError(f"{name} is {value!r}, expected a number") from error


def why_waiting(found: Mapping[str, Any], stable_seconds: float | None) -> str:
    """Return what keeps a raw day from being complete.

    Args:
        found: What a look at the lake found, see `metropulse.Pipeline.partition_ready`, or ``error``.
        stable_seconds: How long a day without a manifest must stay unchanged; None accepts only a manifest.

    Returns:
        One clause that names every dataset and file it waits for, and when a file of the day last changed.
    """
    if error := found.get("error"):
        return f"the lake does not answer: {error}"
    has_manifest = bool(found.get("has_manifest"))
    parts = []
    if missing := found.get("missing"):
        listed = "missing, of the manifest's files or the required datasets" if has_manifest else "missing"
        parts.append(f"{listed}: {', '.join(missing)}")
    parts += [
        f"{file['path']} has {file['bytes']:,} bytes where the manifest says {file['manifest_bytes']:,}"
        for file in found.get("differing") or ()
    ]
    if not parts and not found.get("ready"):
        parts.append("no file that is read is there")
    elif not parts and not has_manifest:
        parts.append("all required datasets are there, without a manifest")
        if stable_seconds is None:
            parts.append("only a manifest counts (stable_seconds is empty)")
        else:
            parts.append(f"they must stay unchanged for {stable_seconds:g} s")
    if changed := found.get("last_change"):
        parts.append(f"unchanged since {changed}")
    return "; ".join(parts)
