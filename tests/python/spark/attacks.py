"""Tasks that suffer something between their shadow table and its swap."""

from __future__ import annotations

import os
import time
from pathlib import Path

from metropulse.spark import mart


def once(marker: str) -> bool:
    """Whether nobody was here before."""
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


class Suffering(mart.FillTask):
    """Fills shadow tables; of the first attempt that filled one nobody hears, or too late."""

    def __init__(self, shared, how: str, marker: str) -> None:
        super().__init__(shared)
        self._how, self._marker = how, marker

    def __call__(self, batches):
        found = list(super().__call__(batches))
        is_filled = any(row["filled"] != "[]" for batch in found for row in batch.to_pylist())
        suffers = is_filled and once(self._marker)
        if suffers and self._how == "loses its executor":
            daemon = Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()[1]
            os.kill(int(daemon), 9)
            time.sleep(90)
        yield from found
        if suffers:
            raise RuntimeError("the machine went")
