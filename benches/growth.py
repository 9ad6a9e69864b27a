"""Cost and memory from 1 x to 16 x the data: a rollup, a COPY, and the load of a whole day as in spark_day.py."""

from __future__ import annotations

from typing import Any

import copy_rows
from protocol import Arm, grow, options
from rollup import made
from servers import clickhouse, postgres
from spark_day import SECOND, day_of

TIMES = (1, 2, 4, 8, 16)


def main() -> None:
    """Measure the series."""
    chosen = options(__doc__)
    smallest = chosen.pick(125_000, 1_000_000)
    for times in TIMES:
        file = made("ordered", smallest * times, chosen.data)
        grow(
            "rollup of positions by route and hour",
            times,
            rows=smallest * times,
            size_bytes=file.stat().st_size,
            arm=Arm("metropulse", "rollup:Ours", {"path": str(file), "table": "positions"}),
        )
    positions, trips = chosen.pick((25_000, 2_500), (125_000, 12_500))
    with postgres() as server, clickhouse() as engine:
        mart = f"{engine.url}?user={engine.user}&password={engine.password}"
        psql = str(server.programs / "psql")
        server.recreate("copy")
        server.execute(f"CREATE TABLE ours ({copy_rows.DDL})", "copy")
        smallest = chosen.pick(62_500, 250_000)
        for times in TIMES:
            file = copy_rows.made(smallest * times, chosen.data)
            grow(
                "COPY of Parquet into PostgreSQL, one connection",
                times,
                rows=smallest * times,
                size_bytes=file.stat().st_size,
                arm=Arm(
                    "metropulse",
                    "copy_rows:Ours",
                    {"url": server.url("copy"), "path": str(file), "connections": 1},
                ),
                before=lambda: server.execute("TRUNCATE ours", "copy"),
            )
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
                repeats=chosen.pick(1, 3),
                before=lambda: server.recreate("growth"),
            )


if __name__ == "__main__":
    main()
