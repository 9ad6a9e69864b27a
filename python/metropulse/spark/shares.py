"""Row groups shared over tasks, and what each task has to itself."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

__all__ = ["own_hours", "shared", "tasks_for"]

# A task costs Spark about as much as rolling up so many rows.
_LEAST_ROWS = 1_000_000
# With so many rows that is a tenth of a task's time.
_WORTH_A_TASK_ROWS = 10_000_000


def tasks_for(layout: list[dict[str, Any]], cores: int, most_per_core: int) -> int:
    """Return how many tasks suit files: whole rounds of the cores, another one where its tasks are worth their cost.

    Args:
        layout: As for `shared`.
        cores: Cores of the cluster.
        most_per_core: At most so many tasks for each core.

    Returns:
        A multiple of the cores.
    """
    rounds = sum(sum(file["rows"]) for file in layout) // (cores * _WORTH_A_TASK_ROWS)
    return cores * min(max(rounds, 1), most_per_core)


def shared(layout: list[dict[str, Any]], tasks: int) -> list[list[dict[str, Any]]]:
    """Share row groups over tasks, in order, each about as many rows.

    Args:
        layout: Files with ``file``, ``size_bytes`` and the ``rows`` of their row groups.
        tasks: At most so many tasks.

    Returns:
        For each task its pieces: files with their ``first`` row group and the one after the last.
    """
    total = sum(sum(file["rows"]) for file in layout)
    tasks = min(tasks, max(1, -(-total // _LEAST_ROWS)))
    shares: dict[int, list[dict[str, Any]]] = {}
    before = 0
    for file in layout:
        for group, rows in enumerate(file["rows"]):
            # A row group goes where its middle lies, so that no share has a row group more than its part.
            share = shares.setdefault(min(tasks - 1, (2 * before + rows) * tasks // (2 * total or 1)), [])
            before += rows
            if share and share[-1]["file"] == file["file"]:
                share[-1]["end"] = group + 1
            else:
                place = {"file": file["file"], "size_bytes": file["size_bytes"]}
                share.append({**place, "first": group, "end": group + 1})
    return list(shares.values())


def own_hours(layout: list[dict[str, Any]], shares: list[list[dict[str, Any]]]) -> list[list[tuple[int, int]]]:
    """Return the hours that each share has alone, as the footers of the files tell.

    Args:
        layout: Files with ``file``, ``rows`` and ``hours`` of their row groups: the first and the last hour, or None
            where the footer is silent.
        shares: As `shared` returns them.

    Returns:
        For each share ranges of hours, first and last. None at all where one row group's hours are unknown: it may
        have rows of any.
    """
    groups = ((file, group) for file in layout for group, rows in enumerate(file["rows"]) if rows)
    hours = {(file["file"], group): file["hours"][group] for file, group in groups}
    changes: list[tuple[int, int, int]] = []
    own: list[list[tuple[int, int]]] = [[] for _ in shares]
    if None in hours.values():
        return own
    for number, share in enumerate(shares):
        places = ((piece["file"], group) for piece in share for group in range(piece["first"], piece["end"]))
        for first, last in (hours[place] for place in places if place in hours):
            changes += [(first, 1, number), (last + 1, -1, number)]
    has: Counter[int] = Counter()
    for (at, change, number), (after, _, _) in itertools.pairwise(sorted(changes)):
        has[number] += change
        if has[number] == 0:
            del has[number]
        if after > at and len(has) == 1:
            own[next(iter(has))].append((at, after - 1))
    return own
