"""Cost and memory from 1 x to 16 x the data: the load of a whole day, step by step the same work as in spark_day.py."""

from __future__ import annotations

from typing import Any

from protocol import Arm, grow, options
from servers import clickhouse, postgres
from spark_day import SECOND, day_of

TIMES = (1, 2, 4, 8, 16)


def main() -> None:
    """Measure the series."""
    chosen = options(__doc__)
    positions, trips = chosen.pick((25_000, 2_500), (125_000, 12_500))
    with postgres() as server, clickhouse() as engine:
        mart = f"{engine.url}?user={engine.user}&password={engine.password}"
        psql = str(server.programs / "psql")
        for times in TIMES:
            lake = day_of(chosen.data, positions * times, trips * times)
            place: dict[str, Any] = {"lake": str(lake), "psql": psql, "mart": mart, "url": server.url("growth")}
            # A database that knows nothing before every run: each run loads the same day for the first time.
            grow(
                "a whole day: stage, dimensions, facts, mart",
                times,
                rows=(positions + 2 * trips) * times,
                size_bytes=sum(path.stat().st_size for path in (lake / f"dt={SECOND}").iterdir()),
                arm=Arm("metropulse", "spark_day:Ours", {**place, "dt": SECOND}),
                before=lambda: server.recreate("growth"),
            )


if __name__ == "__main__":
    main()
