"""How many random cases a property gets: a quarter by `make test`, all by `.ci/run`, thousands by `make soak`."""

from __future__ import annotations

import os

ALL_CASES = os.environ.get("METROPULSE_ALL_CASES") == "1"


def cases(all_of_them: int) -> int:
    """Say how many of a property's cases this run tries; never so few that they are no evidence."""
    return all_of_them if ALL_CASES else max(all_of_them // 4, 12)
