"""The tables and columns that metropulse knows, and the raw columns they are made from."""

from __future__ import annotations

from metropulse.results import Report

__all__ = ["catalog"]


def catalog() -> Report:
    """Return what `metropulse` knows of its tables; nothing is connected.

    Returns:
        ``datasets``, ``dimensions`` and ``facts``, each with ``dataset``, ``table`` and ``columns`` (``name``,
        ``type``, ``made_from``, ``is_taken_over``, and ``refers_to`` of keys); and ``mart``, one such table.
    """
    from metropulse import _core

    return Report.from_json(_core.catalog())
