"""What every call returns: a frozen report that is JSON-safe and readable."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from html import escape
from typing import Any, NoReturn, TypeAlias

__all__ = ["Progress", "Report", "size"]

Progress: TypeAlias = Callable[[str, int, int], object]
"""Told the phase's label, the rows done, and the rows in all (0: unknown)."""


class Report(dict[str, Any]):
    """A frozen dict whose keys are attributes as well; nested dicts are reports, lists are tuples.

    ``json.dumps`` takes it as it is. Notebooks show it as a table.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        """Freeze `values`.

        Args:
            values: A JSON-safe mapping.
        """
        super().__init__({key: _freeze(value) for key, value in values.items()})

    @classmethod
    def from_json(cls, text: str) -> Report:
        """Parse a report as the native core writes it.

        Args:
            text: One JSON object.

        Returns:
            The report.
        """
        return cls(json.loads(text))

    def __getattr__(self, name: str) -> Any:
        """Return the value of a key."""
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the report has no {name!r}; it has {', '.join(self)}") from None

    def __dir__(self) -> list[str]:
        """List the keys among the attributes."""
        return sorted({*super().__dir__(), *self})

    def to_dict(self) -> dict[str, Any]:
        """Return a plain, mutable copy: dicts and lists only.

        Returns:
            The same values.
        """
        return {key: _thaw(value) for key, value in self.items()}

    def __str__(self) -> str:
        """Return the report as lines of text."""
        return "\n".join(_lines(self))

    def _repr_html_(self) -> str:
        """Return the report as HTML tables, for notebooks."""
        rows = [f"<tr><th>{escape(k)}</th><td>{_cell(v)}</td></tr>" for k, v in self.items() if not _is_records(v)]
        tables = "".join(f"<h4>{escape(k)}</h4>{_table(v)}" for k, v in self.items() if _is_records(v))
        return f"<table>{''.join(rows)}</table>{tables}"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy by the plain values."""
        return type(self), (self.to_dict(),)

    def _frozen(self, *_args: object, **_kwargs: object) -> NoReturn:
        raise TypeError("a report is frozen; change the copy that to_dict() returns")

    __setitem__ = __delitem__ = __setattr__ = __delattr__ = _frozen
    clear = pop = popitem = setdefault = update = __ior__ = _frozen


def _freeze(value: Any) -> Any:
    if isinstance(value, Mapping):
        return Report(value)
    return tuple(map(_freeze, value)) if isinstance(value, (list, tuple)) else value


def _thaw(value: Any) -> Any:
    if isinstance(value, Report):
        return value.to_dict()
    return [_thaw(item) for item in value] if isinstance(value, tuple) else value


def _lines(report: Report, indent: str = "") -> Iterator[str]:
    for key, value in report.items():
        if isinstance(value, Report) and value:
            yield f"{indent}{key}:"
            yield from _lines(value, indent + "  ")
        elif isinstance(value, tuple) and any(isinstance(item, Report) for item in value):
            yield f"{indent}{key}:"
            for item in value:
                yield f"{indent}  - {_inline(item)}"
        else:
            yield f"{indent}{key}: {_inline(value)}"


def _inline(value: Any) -> str:
    if isinstance(value, Report):
        return ", ".join(f"{k}={_inline(v)}" for k, v in value.items()) or "none"
    if isinstance(value, tuple):
        return ", ".join(map(_inline, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return "-" if value is None else str(value)


def _is_records(value: Any) -> bool:
    """Whether a value is best shown as a table: a list of reports, or a report of reports."""
    items = value.values() if isinstance(value, Report) else value if isinstance(value, tuple) else ()
    return bool(items) and all(isinstance(item, Report) for item in items)


def _table(value: Any) -> str:
    named = list(value.items()) if isinstance(value, Report) else [("", item) for item in value]
    columns = list(dict.fromkeys(column for _, item in named for column in item))
    head = "".join(f"<th>{escape(c)}</th>" for c in ["", *columns])
    body = "".join(
        f"<tr><th>{escape(name)}</th>{''.join(f'<td>{_cell(item.get(c))}</td>' for c in columns)}</tr>"
        for name, item in named
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: Any) -> str:
    return escape(_inline(value))


def size(count_bytes: int) -> str:
    """Return a number of bytes in a unit for the eye.

    Args:
        count_bytes: The number.

    Returns:
        Such as ``12.3 MB``.
    """
    amount, unit = float(count_bytes), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if amount < 1000 or unit == "TB":
            break
        amount /= 1000
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
