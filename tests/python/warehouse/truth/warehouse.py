"""A warehouse and a mart of one's own inside the session's engines: writing raw days, reading what is held, emptying."""

from __future__ import annotations

import base64
import datetime as dt
import json
import shutil
import time
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from psycopg import sql

import metropulse as mp

from .model import COLUMNS, DIMENSIONS, FACTS, KEY, OVERWRITTEN, REFERENCES, TARGET, TIME, TRACKED, Day, Model, Part

UTC = dt.UTC
_TEXT, _INSTANT, _FLOAT, _MONEY = pa.string(), pa.timestamp("us", "UTC"), pa.float64(), pa.decimal128(12, 2)
_TYPES = {
    **dict.fromkeys(("lat", "lon", "speed", "heading", "distance_m"), _FLOAT),
    **dict.fromkeys(("base_fare", "fare", "amount"), _MONEY),
    **dict.fromkeys(("active_from", "active_to", "created_at", "commissioned_at", "decommissioned_at"), _INSTANT),
    **dict.fromkeys(("start_ts", "end_ts", "paid_at", "event_ts", "provider_ts"), _INSTANT),
    "birthdate": pa.date32(),
}
_SURROGATE = {"routes": "route_sk", "users": "user_sk", "stops": "stop_sk", "vehicles": "vehicle_sk"}
_INTERVAL = {"routes": ("valid_from", "valid_to"), "users": ("effective_from", "effective_to")}
MART_COLUMNS = (
    "name, transport_type, service_date, trip_cnt, avg_fare, avg_duration_sec, sum_distance_m, avg_speed, fare_sum, "
    "fare_cnt, duration_sum_sec, duration_cnt, distance_cnt, speed_sum, speed_cnt, position_cnt, payment_cnt, "
    "amount_cnt, revenue, vehicle_cnt, rider_cnt"
)


def part(
    dataset: str, day: Day, rows: Iterable[Mapping[str, Any]], columns: Sequence[str] = (), name: str = ""
) -> Part:
    """One file of a day; without `columns` it has those that its rows name, and the required ones."""
    rows = tuple(rows)
    wanted = set(columns) or {c for row in rows for c in row} | {KEY[dataset], TIME.get(dataset, KEY[dataset])}
    path = f"dt={day}/{dataset}/{name}.parquet" if name else f"dt={day}/{dataset}.parquet"
    return Part(path, tuple(c for c in COLUMNS[dataset] if c in wanted), rows)


class Truth:
    """One database of the engines, one lake folder, and the pipeline over both."""

    mart_database = "default"

    def __init__(self, engines: Any, folder: Path, database: str = "truth", *, durable: bool = False) -> None:
        self.engines = engines
        self.clickhouse(f"CREATE DATABASE IF NOT EXISTS {self.mart_database}", database="default")
        self.lake = folder / "lake"
        self.lake.mkdir(parents=True)
        self.url = engines.warehouse_url.replace("@/metropulse?", f"@/{database}?")
        with psycopg.connect(engines.warehouse_url, autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database)))
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
            if not durable:
                # Without a crash of the server nobody can tell, and it is faster.
                admin.execute(
                    sql.SQL("ALTER DATABASE {} SET synchronous_commit = off").format(sql.Identifier(database))
                )
        self.pipeline = self.open()
        self.pipeline.apply_schema()
        self.connect()

    def connect(self) -> None:
        """Open the reader's connection, anew after the server was down."""
        self.reader = psycopg.connect(self.url, autocommit=True)

    def open(self, **settings: Any) -> mp.Pipeline:
        """A pipeline of its own over the same places; every row may be a reject."""
        return mp.Pipeline(
            **{
                "lake": self.lake,
                "warehouse": self.url,
                "mart": f"{self.engines.mart_url.rpartition('/')[0]}/{self.mart_database}",
                "mart_user": self.engines.mart_user,
                "mart_password": self.engines.mart_password,
                "reject_limit": 1.0,
            }
            | settings
        )

    def close(self) -> None:
        self.reader.close()
        self.pipeline.close()

    # -- writing ------------------------------------------------------------------------------------------------

    def write(self, dataset: str, day: Day, parts: Sequence[Part]) -> None:
        """Make `parts` the files of a dataset and day; none takes it out of the lake."""
        folder = self.lake / f"dt={day}"
        shutil.rmtree(folder / dataset, ignore_errors=True)
        (folder / f"{dataset}.parquet").unlink(missing_ok=True)
        for one in parts:
            schema = pa.schema([(column, _TYPES.get(column, _TEXT)) for column in one.columns])
            path = self.lake / one.path
            path.parent.mkdir(parents=True, exist_ok=True)
            rows = [{column: row.get(column) for column in one.columns} for row in one.rows]
            pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, compression="none")

    def empty(self) -> None:
        """Forget every loaded day, in the warehouse, the mart and the lake; faster than a new database."""
        for folder in self.lake.iterdir():
            shutil.rmtree(folder)
        run = self.reader.execute
        parts = run(
            "SELECT inhrelid::regclass::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhparent "
            "WHERE c.relkind = 'p'"
        ).fetchall()
        with self.reader.transaction():
            if parts:
                run("DROP TABLE " + ", ".join(name for (name,) in parts))
            for table in (
                "load_ledger",
                "step_failure",
                "fact_service_date",
                "mart_dirty",
                "mart_build",
                "quality_result",
                "dim_date",
            ):
                run(f"DELETE FROM dwh.{table}")
            for table in ("trip_key", "payment_key", "superseded_trip", "superseded_payment"):
                run(f"DELETE FROM dwh.{table}")
            for table in ("reference", "mention", "publication"):
                run(f"DELETE FROM dwh.telemetry_{table}")
            run("DELETE FROM dwh.agg_position_route_hourly")
            for dataset, surrogate in _SURROGATE.items():
                run(f"DELETE FROM {TARGET[dataset]} WHERE {surrogate} <> 0")
                run(f"DELETE FROM {TARGET[dataset]}_said")
            run(
                "DELETE FROM dwh.dim_payment_method WHERE payment_method_sk <> 0 "
                "AND code NOT IN ('card', 'wallet', 'promo')"
            )
            run("DELETE FROM staging.rejected")
            run("DELETE FROM dwh.deployment WHERE name <> 'schema_version'")
        self.clickhouse("TRUNCATE TABLE mart_route_hourly")

    # -- reading ------------------------------------------------------------------------------------------------

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of one statement, on a connection of its own."""
        found = self.reader.execute(statement, values or None).fetchall()
        return [tuple(v.astimezone(UTC) if isinstance(v, dt.datetime) else v for v in row) for row in found]

    def clickhouse(self, statement: str, database: str = "") -> list[dict[str, Any]]:
        """The rows of one statement on the mart, as JSON objects."""
        engines = self.engines
        asked = {"default_format": "JSONEachRow", "output_format_json_quote_64bit_integers": 0}
        query = urllib.parse.urlencode({"database": database or self.mart_database, **asked})
        request = urllib.request.Request(f"{engines.mart_url.rpartition('/')[0]}/?{query}", statement.encode())
        token = base64.b64encode(f"{engines.mart_user}:{engines.mart_password}".encode()).decode()
        request.add_header("Authorization", f"Basic {token}")
        with urllib.request.urlopen(request) as answer:
            return [json.loads(line) for line in answer.read().splitlines() if line]

    def dimension(self, dataset: str) -> list[tuple[Any, ...]]:
        """Key, interval, values and inferred flag of every row but the unknown member, by key and start."""
        columns = [*TRACKED[dataset], *OVERWRITTEN[dataset], *(["active_flag"] if dataset == "routes" else [])]
        since, until = _INTERVAL.get(dataset, ("NULL::timestamptz", "NULL::timestamptz"))
        found = self.rows(
            f"SELECT {KEY[dataset]}, {since}, {until}, {', '.join(columns)}, is_inferred FROM {TARGET[dataset]} "
            f"WHERE {_SURROGATE[dataset]} <> 0"
        )
        rows = [(row[0], row[1], row[2], tuple(map(_plain, row[3:-1])), row[-1]) for row in found]
        return sorted(rows, key=lambda row: (row[0], str(row[1])))

    def facts(self, fact: str) -> list[dict[str, Any]]:
        """The rows of a fact, every reference as (business key, valid_from)."""
        selected, joins = [], []
        for index, (column, dataset) in enumerate(REFERENCES[fact].items()):
            own = column.replace("_id", "_sk") if dataset == "stops" else _SURROGATE[dataset]
            since = f"m{index}.{_INTERVAL[dataset][0]}" if dataset in _INTERVAL else "NULL::timestamptz"
            selected += [f"m{index}.{KEY[dataset]}", since]
            joins.append(f"LEFT JOIN {TARGET[dataset]} m{index} ON m{index}.{_SURROGATE[dataset]} = f.{own}")
        plain = {
            "trips": "trip_id, start_ts, end_ts, distance_m, fare_amount AS fare, status, duration_sec",
            "payments": "payment_id, amount, currency, status, paid_at, trip_id, t.trip_id AS trip, p.code AS payment_method",
            "vehicle_positions": "event_ts, lat, lon, speed, heading, provider_ts, event_date_sk, event_time_sk",
        }[fact]
        names = [name.split(" AS ")[-1].strip() for name in plain.split(",")]
        plain = ", ".join(c if "." in c else f"f.{c.strip()}" for c in plain.split(","))
        if fact == "payments":
            joins.append("LEFT JOIN (SELECT trip_sk, trip_id FROM dwh.fact_trip) t ON t.trip_sk = f.trip_sk")
            joins.append("LEFT JOIN dwh.dim_payment_method p ON p.payment_method_sk = f.payment_method_sk")
        width = 2 * len(REFERENCES[fact])
        found = self.rows(
            f"SELECT {', '.join(selected)}, {plain}, f.dt, l.file, f.load_id FROM {TARGET[fact]} f {' '.join(joins)} "
            f"LEFT JOIN dwh.load_ledger l ON l.target = '{TARGET[fact]}' AND l.dt = f.dt AND l.file_no = f.file_no"
        )
        rows = []
        for row in found:
            keys = dict(zip(REFERENCES[fact], zip(row[:width:2], row[1:width:2], strict=True), strict=True))
            values = dict(zip(names, row[width:-3], strict=True))
            assert row[-1] == f"batch_{row[-3]}"
            rows.append(keys | values | {"dt": row[-3], "file": row[-2]})
        return rows

    def seen(self, fact: str, row: dict[str, Any]) -> dict[str, Any]:
        """A row of the model as `facts` can tell it."""
        return row

    def ledger(self) -> dict[tuple[str, Day, str], tuple[int, ...]]:
        """The counts of every line of the dimensions and facts."""
        return {
            row[:3]: row[3:]
            for row in self.rows(
                "SELECT target, dt, file, rows_read, rows_loaded, rows_duplicate, rows_superseded, rows_rejected "
                "FROM dwh.load_ledger WHERE target LIKE 'dwh.%'"
            )
        }

    def mart(self) -> dict[tuple[str, dt.datetime], dict[str, Any]]:
        """The mart's rows by route and hour; the states of each row must say what its counts say."""
        rows = {}
        for row in self.clickhouse(
            f"SELECT route_id, toUnixTimestamp(hour_bucket) AS hour, {MART_COLUMNS}, "
            "finalizeAggregation(vehicles) AS v, finalizeAggregation(riders) AS r FROM mart_route_hourly"
        ):
            assert (row.pop("v"), row.pop("r")) == (row["vehicle_cnt"], row["rider_cnt"])
            row["service_date"] = dt.date.fromisoformat(row["service_date"])
            row["fare_sum"], row["revenue"] = Decimal(str(row["fare_sum"])), Decimal(str(row["revenue"]))
            place = (row.pop("route_id"), dt.datetime.fromtimestamp(row.pop("hour"), UTC))
            assert place not in rows, f"two rows for {place}"
            rows[place] = row
        return rows

    # -- comparing ----------------------------------------------------------------------------------------------

    def check(self, model: Model) -> None:
        """The warehouse holds exactly what the model says."""
        for dataset in DIMENSIONS:
            same(dataset, self.dimension(dataset), [tuple(version) for version in model.dimension(dataset)])
        for fact in FACTS:
            both = (self.facts(fact), (self.seen(fact, row) for row in model.facts(fact)))
            same(fact, *([sorted(row.items()) for row in rows] for rows in both))
        same("ledger", self.ledger().items(), model.ledger().items())
        codes = {code for (code,) in self.rows("SELECT code FROM dwh.dim_payment_method WHERE code IS NOT NULL")}
        assert codes == model.codes
        self.check_house()

    def check_house(self) -> None:
        """Nothing lies about, and every key that is kept is the key of a row."""
        assert self.leftovers() == []
        for table, key, registry in (("trip", "trip_id", "trip_key"), ("payment", "payment_id", "payment_key")):
            lost = self.rows(
                f"SELECT {key}, {table}_sk, dt FROM dwh.fact_{table} EXCEPT SELECT {key}, {table}_sk, dt FROM dwh.{registry} "
                f"UNION ALL (SELECT {key}, {table}_sk, dt FROM dwh.{registry} EXCEPT "
                f"SELECT {key}, {table}_sk, dt FROM dwh.fact_{table})"
            )
            assert lost == [], registry

    def leftovers(self) -> list[str]:
        """Side tables that no partition took, and locks that nobody released (a closed connection's go in a moment)."""
        deadline = time.monotonic() + 60
        while (found := self._leftovers()) and time.monotonic() < deadline:
            time.sleep(0.01)
        return found

    def _leftovers(self) -> list[str]:
        found = self.rows(
            "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname IN ('dwh', 'staging') AND c.relkind = 'r' AND NOT c.relispartition "
            "AND c.relname ~ '_[0-9]{8}' "
            "UNION ALL SELECT 'advisory lock ' || classid || ',' || objid FROM pg_locks "
            "WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        return [name for (name,) in found]

    def check_mart(self, model: Model) -> None:
        """The mart holds exactly the model's rows; float sums within 1e-9."""
        found, expected = self.mart(), model.mart()
        assert set(found) == set(expected)
        for place, row in expected.items():
            differing = {
                name: (found[place][name], value) for name, value in row.items() if not _same(found[place][name], value)
            }
            assert differing == {}, place


def same(what: str, found: Iterable[Any], expected: Iterable[Any]) -> None:
    """Two bags of rows are equal; else the rows that only one of them has are told."""
    left, right = Counter(map(repr, found)), Counter(map(repr, expected))
    surplus, missing = sorted((left - right).elements()), sorted((right - left).elements())
    assert (surplus, missing) == ([], []), f"{what}: found {surplus}, expected {missing}"


def _plain(value: Any) -> Any:
    """JSON as canonical text, the rest as it is."""
    return json.dumps(value, sort_keys=True) if isinstance(value, (dict, list)) else value


def _same(found: Any, expected: Any) -> bool:
    if isinstance(expected, float) and found is not None:
        return abs(found - expected) <= 1e-9 * max(abs(expected), 1)
    return bool(found == expected)
