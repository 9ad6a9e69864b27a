"""Progress on standard error: a bar on a terminal, plain lines otherwise."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from metropulse.results import Progress

__all__ = ["progress"]


@contextmanager
def progress(*, quiet: bool) -> Iterator[Progress | None]:
    """Show what the native core reports while the block runs.

    Args:
        quiet: Show nothing.

    Yields:
        The callable to hand to a verb, or None.
    """
    if quiet:
        yield None
    elif sys.stderr.isatty():
        with _bar() as show:
            yield show
    else:
        yield _lines()


@contextmanager
def _bar() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        current = ""

        def show(label: str, done: int, total: int) -> None:
            nonlocal current
            if label != current:
                current = label
                bar.reset(task)
            bar.update(task, description=label, completed=done, total=total or None)

        yield show


def _lines() -> Progress:
    current, said = "", time.monotonic()

    def show(label: str, done: int, total: int) -> None:
        nonlocal current, said
        now = time.monotonic()
        if label and label != current:
            current, said = label, now
            print(label, file=sys.stderr, flush=True)
        elif now - said >= 10:
            said = now
            print(f"{label}: {done:,}" + (f" of {total:,}" if total else "") + " rows", file=sys.stderr, flush=True)

    return show
