"""History: a snapshot with 1 % changed beside `dbt snapshot`, and a first load beside a bare COPY and its indexes.

dbt lives in an environment of its own, $METROPULSE_BENCH_DBT or `.venv-dbt`, made here at the first run:

    python -m venv .venv-dbt && .venv-dbt/bin/pip install 'dbt-core>=1.9,<1.11' 'dbt-postgres>=1.9,<1.11'

Its input is loaded into a table beforehand, untimed; ours is read from Parquet and sent to the server, timed. Every timed
run of both takes the next day of the same series of snapshots, so each has its 1 % of changed rows.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from protocol import ROOT, Arm, Trial, measure, options, say

DBT = Path(os.environ.get("METROPULSE_BENCH_DBT", ROOT / ".venv-dbt"))
PACKAGES = ("dbt-core>=1.9,<1.11", "dbt-postgres>=1.9,<1.11")
COLUMNS = "id, code, name, city, price, score, active, since"
DDL = """id bigint, code text, name text, city text, price numeric(12,2), score float8, active boolean, since date"""
DIGEST = (
    "count(*) AS rows, count(*) FILTER (WHERE {open}) AS open_rows, "
    f"sum(hashtext(ROW({COLUMNS})::text)::bigint) FILTER (WHERE {{open}}) AS checksum"
)
INDEXES = """
    SET maintenance_work_mem = '256MB';
    ALTER TABLE bare ADD UNIQUE NULLS NOT DISTINCT (id, valid_from) DEFERRABLE;
    CREATE UNIQUE INDEX ON bare (id) NULLS NOT DISTINCT WHERE valid_to IS NULL;
    ALTER TABLE bare ADD PRIMARY KEY (dim_sk)
"""
BARE = f"""
    CREATE TABLE bare (dim_sk bigint NOT NULL, {DDL}, valid_from timestamptz NOT NULL, valid_to timestamptz,
        is_current boolean NOT NULL GENERATED ALWAYS AS (valid_to IS NULL) STORED, CHECK (valid_from < valid_to))
"""
DAYS = 7


def snapshot(folder: Path, rows: int, day: int) -> Path:
    """Make the snapshot of a day: each day another 1 % of the rows differs from the day before."""
    path = folder / f"members_{rows}_{day}.parquet"
    if not path.exists():
        import pyarrow as pa
        import pyarrow.parquet as pq
        from pyarrow import compute as pc

        money = pa.decimal128(12, 2)

        ids = pa.array(range(rows), pa.int64())
        texts = pc.cast(ids, pa.string())
        # A row's own day of change within a cycle of 100 days.
        version = pa.array([(day + 99 - number % 100) // 100 for number in range(rows)], pa.int64())
        table = pa.table(
            {
                "id": ids,
                "code": pc.binary_join_element_wise("M", texts, ""),
                "name": pc.binary_join_element_wise("Member number", texts, " "),
                "city": pa.array([f"City {number % 500}" for number in range(rows)]),
                "price": pc.cast(
                    pc.cast(pc.add(pa.array([n % 10_000 for n in range(rows)]), version), pa.float64()), money
                ),
                "score": pa.array([number % 1_000 / 7 for number in range(rows)]),
                "active": pa.array([number % 3 > 0 for number in range(rows)]),
                "since": pc.cast(
                    pa.array([10_000 + number % 5_000 for number in range(rows)], pa.int32()), pa.date32()
                ),
            }
        )
        pq.write_table(table, path.with_suffix(".partial"), compression="zstd", row_group_size=250_000)
        path.with_suffix(".partial").rename(path)
    return path


class Ours(Trial):
    """`metropulse.merge_snapshot`, one day after the other."""

    distributions = ("metropulse",)

    def __init__(self, url: str, paths: list[str]) -> None:
        """Remember the days; the first is loaded already."""
        import metropulse

        self.merge, self.url, self.paths, self.day = metropulse.merge_snapshot, url, paths, 0

    def run(self) -> None:
        """Merge the next day."""
        self.day += 1
        self.merge(self.paths[self.day], self.url, "dim", key="id", effective=f"2024-05-{self.day + 1:02}")

    def result(self) -> Any:
        """Return rows, open rows and their checksum."""
        return query(self.url, f"SELECT {DIGEST.format(open='valid_to IS NULL')} FROM dim")


class Dbt(Trial):
    """`dbt snapshot` in a process that has imported dbt and parsed the project."""

    distributions = ("dbt-core", "dbt-postgres")

    def __init__(self, url: str, project: str) -> None:
        """Parse the project."""
        from dbt.cli.main import dbtRunner

        self.url, self.arguments = url, ["--quiet", "snapshot", "--project-dir", project, "--profiles-dir", project]
        self.runner = dbtRunner()
        self.runner.invoke(["--quiet", "parse", "--project-dir", project, "--profiles-dir", project])

    def run(self) -> None:
        """Take the snapshot of what is in the source table."""
        outcome = self.runner.invoke(self.arguments)
        if not outcome.success:
            raise SystemExit(f"dbt failed: {outcome.exception or outcome.result}")
        print(f"dbt's own statements: {outcome.result.results[0].execution_time:.2f} s", file=sys.stderr)

    def result(self) -> Any:
        """Return rows, open rows and their checksum."""
        import psycopg2

        with psycopg2.connect(self.url) as connection, connection.cursor() as cursor:
            cursor.execute(f"SELECT {DIGEST.format(open='dbt_valid_to IS NULL')} FROM dim_dbt")
            return [int(value) for value in cursor.fetchone()]


class First(Trial):
    """A first load by `metropulse.merge_snapshot`."""

    distributions = ("metropulse",)

    def __init__(self, url: str, path: str) -> None:
        """Remember what to load."""
        import metropulse

        self.merge, self.url, self.path = metropulse.merge_snapshot, url, path

    def run(self) -> None:
        """Load."""
        self.merge(self.path, self.url, "first", key="id", effective="2024-05-01", surrogate="dim_sk")

    def result(self) -> Any:
        """Return rows, open rows and their checksum."""
        return query(self.url, f"SELECT {DIGEST.format(open='is_current')} FROM first")


class Bare(Trial):
    """The bytes of that table, ready in memory, by COPY into a bare table; then the same indexes."""

    distributions = ("psycopg",)

    def __init__(self, url: str) -> None:
        """Fetch the bytes."""
        import psycopg

        self.connection, self.url = psycopg.connect(url, autocommit=True), url
        with self.connection.cursor() as cursor:
            sql = f"COPY (SELECT dim_sk, {COLUMNS}, valid_from FROM first) TO STDOUT (FORMAT BINARY)"
            with cursor.copy(sql) as copy:
                whole = b"".join(copy)
        self.chunks = [whole[at : at + (1 << 20)] for at in range(0, len(whole), 1 << 20)]

    def run(self) -> None:
        """Copy, then index, in one transaction."""
        with self.connection.transaction(), self.connection.cursor() as cursor:
            cursor.execute(BARE)
            with cursor.copy(f"COPY bare (dim_sk, {COLUMNS}, valid_from) FROM STDIN (FORMAT BINARY, FREEZE)") as copy:
                for chunk in self.chunks:
                    copy.write(chunk)
            cursor.execute(INDEXES)

    def result(self) -> Any:
        """Return rows, open rows and their checksum."""
        return query(self.url, f"SELECT {DIGEST.format(open='is_current')} FROM bare")


def query(url: str, sql: str) -> list[int]:
    """Return the one row of a query."""
    import metropulse

    with metropulse.Pipeline(warehouse=url) as p:
        return [int(value) for value in p.warehouse.query(sql).to_pylist()[0].values()]


def prepare_dbt(folder: Path, host: str, port: int) -> Path:
    """Make dbt's environment (once) and a project of one snapshot."""
    if not (DBT / "bin" / "dbt").exists():
        say(f"making {DBT} (once)")
        subprocess.run([sys.executable, "-m", "venv", str(DBT)], check=True)
        subprocess.run([str(DBT / "bin" / "pip"), "install", "--quiet", *PACKAGES], check=True)
    project = folder / "dbt"
    (project / "snapshots").mkdir(parents=True, exist_ok=True)
    (project / "dbt_project.yml").write_text(
        "name: bench\nversion: '1.0'\nprofile: bench\nsnapshot-paths: [snapshots]\n"
        "flags: {send_anonymous_usage_stats: false}\n"
    )
    (project / "profiles.yml").write_text(
        f"bench: {{target: dev, outputs: {{dev: {{type: postgres, host: '{host}', port: {port}, user: bench, "
        "password: '', dbname: merge, schema: public, threads: 2}}}\n"
    )
    (project / "snapshots" / "dim_dbt.sql").write_text(
        "{% snapshot dim_dbt %}{{ config(target_schema='public', unique_key='id', strategy='check', check_cols='all') }}"
        " select * from public.src {% endsnapshot %}\n"
    )
    return project


def main() -> None:
    """Run the rows."""
    from servers import postgres

    import metropulse

    chosen = options(__doc__)
    rows = chosen.pick(100_000, 1_000_000)
    paths = [str(snapshot(chosen.data, rows, day)) for day in range(DAYS)]
    size = Path(paths[0]).stat().st_size
    with postgres() as server:
        server.recreate("merge")
        url = server.url("merge")
        project = prepare_dbt(chosen.data, server.host, server.port)
        os.environ["METROPULSE_BENCH_PEERS"] = sys.prefix
        metropulse.merge_snapshot(paths[0], url, "first", key="id", effective="2024-05-01", surrogate="dim_sk")

        def drop(arm: Arm) -> None:
            # The bytes of the first load are the peer's input, and it has them by now.
            server.execute(
                "DROP TABLE IF EXISTS first, first_said, first_loads, first_digests"
                if arm.name == "metropulse"
                else "DROP TABLE IF EXISTS bare",
                "merge",
            )
            server.execute("CHECKPOINT", "merge")

        measure(
            "first load of a table with history",
            rows=rows,
            size_bytes=size,
            ours=Arm("metropulse", "merge_snapshot:First", {"url": url, "path": paths[0]}),
            peer=Arm("COPY and indexes", "merge_snapshot:Bare", {"url": url}),
            required=0.7,
            before=drop,
            note="the peer has the finished rows in memory; ours reads Parquet, makes keys and collapses duplicates",
        )
        server.execute(f"CREATE TABLE src ({DDL})", "merge")
        metropulse.copy_parquet(paths[0], url, "src", truncate=True)
        metropulse.merge_snapshot(paths[0], url, "dim", key="id", effective="2024-05-01")
        dbt = [
            str(DBT / "bin" / "dbt"),
            "--quiet",
            "snapshot",
            "--project-dir",
            str(project),
            "--profiles-dir",
            str(project),
        ]
        subprocess.run(dbt, check=True, stdout=sys.stderr)
        server.execute("VACUUM ANALYZE", "merge")
        began = time.perf_counter()
        subprocess.run([*dbt[:2], "parse", *dbt[3:]], check=True, stdout=sys.stderr)
        startup = time.perf_counter() - began
        turn = {"metropulse": 0, "dbt snapshot": 0}

        def advance(arm: Arm) -> None:
            turn[arm.name] += 1
            if arm.name != "metropulse":
                metropulse.copy_parquet(paths[turn[arm.name]], url, "src", truncate=True)
                server.execute("ANALYZE src", "merge")
            server.execute("CHECKPOINT", "merge")

        os.environ["METROPULSE_BENCH_PEERS"] = str(DBT)
        measure(
            "merge of a snapshot with 1 % of its keys changed",
            rows=rows,
            size_bytes=size,
            ours=Arm("metropulse", "merge_snapshot:Ours", {"url": url, "paths": paths}),
            peer=Arm("dbt snapshot", "merge_snapshot:Dbt", {"url": url, "project": str(project)}),
            required=5.0,
            repeats=DAYS - 2,
            before=advance,
            bounded_by=(
                "half of the time is reading the snapshot and, beside it, a look at every row of the table for whether its "
                "digests still hold; a third is PostgreSQL closing and inserting the changed versions"
            ),
            note="the merge before the first timed one has left digests of the table; "
            f"check strategy; the peer's input is in a table already, its start-up ({startup:.1f} s) not counted",
        )


if __name__ == "__main__":
    main()
