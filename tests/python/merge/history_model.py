"""What a table with history must show, by a model that keeps everything said and rebuilds from scratch.

Nothing is shared with the product: a model keeps raw snapshots by day (or changes by key and day) and derives the
versions by walking the days one by one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

Row = dict[str, Any]
Version = tuple[int, int | None, dict[str, Any]]


class Columns(ABC):
    """What takes part: columns are dropped, come again with nothing said of them, and get other names."""

    def __init__(self) -> None:
        self.columns: set[str] = set()
        self.dropped: set[str] = set()
        self.names: dict[str, str] = {}

    @abstractmethod
    def said(self) -> list[Row]:
        """Every row that was said, to be changed in place."""

    def read(self, row: Row) -> Row:
        """What of a row plays a part, by present names."""
        named = {self.names.get(column, column): value for column, value in row.items()}
        return {column: value for column, value in named.items() if column not in self.dropped}

    def drop(self, column: str) -> None:
        self.columns.discard(column)
        self.dropped.add(column)
        for row in self.said():
            row.pop(column, None)

    def add(self, column: str) -> None:
        self.dropped.discard(column)

    def rename(self, old: str, new: str) -> None:
        self.names[old] = new
        self.columns = {self.names.get(column, column) for column in self.columns}
        for row in self.said():
            if old in row:
                row[new] = row.pop(old)


class SnapshotModel(Columns):
    """Full snapshots by day."""

    def __init__(self, absent: str, overwritten: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.absent, self.overwritten = absent, overwritten
        self.days: dict[int, dict[Any, Row]] = {}

    def said(self) -> list[Row]:
        return [row for rows in self.days.values() for row in rows.values()]

    def load(self, day: int, rows: dict[Any, Row]) -> None:
        self.days[day] = {key: self.read(row) for key, row in rows.items()}
        self.columns |= {column for row in self.days[day].values() for column in row}

    def rewind(self, day: int) -> None:
        self.days = {d: rows for d, rows in self.days.items() if d <= day}

    def versions(self) -> dict[Any, list[Version]]:
        keys = {key for rows in self.days.values() for key in rows}
        return {key: found for key in keys if (found := self._of(key))}

    def _of(self, key: Any) -> list[Version]:
        newest: dict[str, Any] = {}
        for day in sorted(self.days):
            newest.update(self.days[day].get(key) or {})
        said: dict[str, Any] = {}
        shown: list[tuple[int, dict[str, Any] | None]] = []
        is_open = False
        for day in sorted(self.days):
            row = self.days[day].get(key)
            if row is not None:
                said.update(row)
                is_open = True
            elif self.absent == "close":
                is_open = False
            state = {c: newest.get(c) if c in self.overwritten else said.get(c) for c in sorted(self.columns)}
            shown.append((day, state if is_open else None))
        return chain(shown)


class FeedModel(Columns):
    """Changes by key and day; a change without a row says that the key is gone."""

    def __init__(self) -> None:
        super().__init__()
        self.changes: dict[Any, dict[int, Row | None]] = {}

    def said(self) -> list[Row]:
        return [row for changes in self.changes.values() for row in changes.values() if row is not None]

    def load(self, changes: list[tuple[Any, int, Row | None]]) -> None:
        for key, day, row in changes:
            self.changes.setdefault(key, {})[day] = None if row is None else self.read(row)
            self.columns |= set(self.changes[key][day] or {})

    def rewind(self, day: int) -> None:
        for key in self.changes:
            self.changes[key] = {d: row for d, row in self.changes[key].items() if d <= day}

    def versions(self) -> dict[Any, list[Version]]:
        result = {}
        for key, changes in self.changes.items():
            said: dict[str, Any] = {}
            shown: list[tuple[int, dict[str, Any] | None]] = []
            for day in sorted(changes):
                row = changes[day]
                said.update(row or {})
                shown.append((day, None if row is None else {c: said.get(c) for c in sorted(self.columns)}))
            if found := chain(shown):
                result[key] = found
        return result


def chain(shown: list[tuple[int, dict[str, Any] | None]]) -> list[Version]:
    """Join what is shown day by day into versions."""
    result: list[Version] = []
    for index, (day, state) in enumerate(shown):
        end = shown[index + 1][0] if index + 1 < len(shown) else None
        if state is None:
            continue
        if result and result[-1][1] == day and result[-1][2] == state:
            result[-1] = (result[-1][0], end, state)
        else:
            result.append((day, end, state))
    return result
