"""The peer of the whole-day rows: the prototype's steps in PySpark 4 over JDBC, tuned as its users would.

Raw Parquet to `staging`, type 1 and type 2 dimensions, facts with as-of keys into day partitions with a primary key,
BRIN on times and B-trees on foreign keys, and the hourly mart from the facts into ClickHouse. Tuned:
`reWriteBatchedInserts`, a batch size of 10,000, as many writers as cores, partitioned JDBC reads with pushed-down
filters and projections, broadcast dimensions, only changed rows sent for dimensions, few shuffle partitions. It keeps
no ledger, no rejects, no foreign keys, no dirty dates, and fills only the prototype's columns of the mart.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from day_answers import answers, clickhouse
from protocol import HERE, Trial

DATASETS = ("routes", "stops", "users", "vehicles", "trips", "payments", "vehicle_positions")
CORES = 2

INDEXES = {
    "fact_trip": ("start_ts", ("user_sk", "route_sk", "vehicle_sk", "start_stop_sk", "end_stop_sk")),
    "fact_payment": ("paid_at", ("user_sk", "route_sk", "trip_sk")),
    "fact_vehicle_position": ("event_ts", ("vehicle_sk", "route_sk")),
}
MART = """CREATE TABLE IF NOT EXISTS mart_spark (route_id String, name String, transport_type String,
  hour_bucket DateTime('UTC'), trip_cnt UInt64, avg_fare Nullable(Float64),
  avg_duration_sec Nullable(Float64), sum_distance_m Float64, avg_speed Nullable(Float64), snapshot_ts DateTime('UTC'))
  ENGINE = MergeTree PARTITION BY toDate(hour_bucket) ORDER BY (route_id, hour_bucket)"""


def ddl(days: list[str]) -> str:
    """Return the statements that make the peer's warehouse, with a partition for each day and its tomorrow."""
    parts = [(HERE / "spark_peer.sql").read_text()]
    for table, (time, keys) in INDEXES.items():
        for dt in days:
            name = f"dwh.{table}_{dt.replace('-', '')}"
            parts.append(
                f"CREATE TABLE {name} PARTITION OF dwh.{table} FOR VALUES FROM ('{dt} 00:00+00') TO ('{dt} 24:00+00');"
            )
        parts.append(f"CREATE INDEX ON dwh.{table} USING brin ({time});")
        parts += [f"CREATE INDEX ON dwh.{table} ({key});" for key in keys]
    return "\n".join(parts)


class SparkDay(Trial):
    """One day, all steps or only the mart."""

    distributions = ("pyspark",)

    def __init__(
        self, *, lake: str, dt: str, url: str, psql: str, mart: str, jars: str, after: str = "", only_mart: bool = False
    ) -> None:
        """Start Spark, as a service that stays up would."""
        import psycopg
        from pyspark.sql import SparkSession

        self.psycopg, self.psql = psycopg, psql
        self.lake, self.dt, self.only_mart = lake, dt, only_mart
        self.after = after or str(date.fromisoformat(dt) + timedelta(days=1))
        self.url, self.mart = url, mart
        place = url.partition("@")[2]
        self.jdbc = f"jdbc:postgresql://{place}?user=bench&reWriteBatchedInserts=true&stringtype=unspecified"
        settings = {
            "spark.jars": jars,
            "spark.driver.memory": "4g",
            "spark.driver.extraJavaOptions": "-Duser.timezone=UTC",
            "spark.sql.session.timeZone": "UTC",
            "spark.sql.shuffle.partitions": str(CORES),
            "spark.sql.autoBroadcastJoinThreshold": str(64 << 20),
            "spark.ui.enabled": "false",
            "spark.log.level": "ERROR",
        }
        builder = SparkSession.builder.master(f"local[{CORES}]").appName("day")
        for name, value in settings.items():
            builder = builder.config(name, value)
        self.spark = builder.getOrCreate()
        clickhouse(self.mart, MART)

    def sql(self, *statements: str) -> None:
        """Run statements on PostgreSQL, in one transaction."""
        with self.psycopg.connect(self.url) as connection:
            for statement in statements:
                connection.execute(statement)

    def read(self, query: str, *, split: str | None = None, low: Any = 0, high: Any = 0) -> Any:
        """Read a query by JDBC, by as many readers as cores where a column to split by is given."""
        reader = self.spark.read.format("jdbc").option("url", self.jdbc).option("driver", "org.postgresql.Driver")
        reader = reader.option("dbtable", f"({query}) q").option("fetchsize", 10_000)
        if split is not None:
            reader = reader.option("partitionColumn", split).option("numPartitions", CORES)
            reader = reader.option("lowerBound", str(low)).option("upperBound", str(high))
        return reader.load()

    def write(self, frame: Any, table: str) -> None:
        """Append to a table by JDBC."""
        writer = frame.write.format("jdbc").option("url", self.jdbc).option("driver", "org.postgresql.Driver")
        writer.option("dbtable", table).option("batchsize", 10_000).option("numPartitions", CORES).mode("append").save()

    def raw(self, name: str) -> Any:
        """Return a dataset of the day."""
        return self.spark.read.parquet(f"{self.lake}/dt={self.dt}/{name}.parquet")

    def run(self) -> None:
        """Do the steps, in the prototype's order."""
        if not self.only_mart:
            self.load()
        self.build_mart()

    def load(self) -> None:
        """Bring the day into the warehouse."""
        self.stage()
        self.type_1("dim_vehicle", "vehicle_id", self.raw("vehicles"))
        self.type_1("dim_stop", "stop_id", self.raw("stops"))
        tracked = ["name", "transport_type", "base_fare", "schema_json"]
        self.type_2("dim_route", "route_id", "valid", tracked, [], self.routes())
        overwritten = ["gender", "birthdate", "created_at"]
        self.type_2("dim_user", "user_id", "effective", ["city", "lang", "is_active"], overwritten, self.raw("users"))
        self.facts()

    def stage(self) -> None:
        """Load the raw files into staging; a rerun replaces its own rows."""
        from pyspark.sql import functions as f

        batch = f"batch_{self.dt}"
        self.sql(*(f"DELETE FROM staging.{name}_raw WHERE load_id = '{batch}'" for name in DATASETS))
        for name in DATASETS:
            self.write(self.raw(name).withColumn("load_id", f.lit(batch)), f"staging.{name}_raw")

    def routes(self) -> Any:
        """Return the routes with their money as numeric."""
        routes = self.raw("routes").drop("active_from", "active_to")
        return routes.withColumn("base_fare", routes.base_fare.cast("decimal(12,2)"))

    def type_1(self, table: str, key: str, snapshot: Any) -> None:
        """Upsert a snapshot."""
        side = f"staging.{table}_load"
        self.sql(
            f"DROP TABLE IF EXISTS {side}",
            f"CREATE UNLOGGED TABLE {side} (LIKE dwh.{table})",
            f"ALTER TABLE {side} DROP COLUMN {key.removesuffix('_id')}_sk",
        )
        self.write(snapshot.dropDuplicates([key]), side)
        columns = snapshot.columns
        updates = ", ".join(f"{c} = excluded.{c}" for c in columns if c != key)
        names = ", ".join(columns)
        self.sql(
            f"INSERT INTO dwh.{table} ({names}) SELECT {names} FROM {side} ORDER BY {key} "
            f"ON CONFLICT ({key}) DO UPDATE SET {updates}",
            f"DROP TABLE {side}",
        )

    def type_2(self, table: str, key: str, span: str, tracked: list[str], also: list[str], snapshot: Any) -> None:
        """Close the versions that changed and open new ones; only those travel."""
        from pyspark.sql import functions as f

        start = f"{self.dt} 00:00:00+00"
        columns = [key, *tracked, *also]
        text = {"schema_json"} & set(tracked)
        # jsonb is shown canonically by the server, so both sides are compared as JSON values.
        current = self.read(f"SELECT {', '.join(columns)} FROM dwh.{table} WHERE is_current")
        known = current.select(f.col(key).alias("known"), *(f.col(c).alias(f"old_{c}") for c in tracked))

        def value(column: str) -> Any:
            return f.from_json(column.removeprefix("!"), "stops array<string>")

        same = f.lit(True)
        for c in tracked:
            ours, theirs = (value(c), value(f"old_{c}")) if c in text else (f.col(c), f.col(f"old_{c}"))
            same = same & ours.eqNullSafe(theirs)
        joined = snapshot.select(*columns).dropDuplicates([key]).join(known, f.col(key) == f.col("known"), "left")
        changed = joined.where(f.col("known").isNull() | ~same).select(*columns)
        side = f"staging.{table}_load"
        self.sql(
            f"DROP TABLE IF EXISTS {side}",
            f"CREATE UNLOGGED TABLE {side} AS SELECT {', '.join(columns)} FROM dwh.{table} WHERE false",
        )
        self.write(changed, side)
        names = ", ".join(columns)
        self.sql(
            f"ANALYZE {side}",
            f"UPDATE dwh.{table} d SET {span}_to = '{start}', is_current = false FROM {side} s "
            f"WHERE s.{key} = d.{key} AND d.is_current AND d.{span}_from < '{start}'",
            f"INSERT INTO dwh.{table} ({names}, {span}_from) SELECT {names}, '{start}' FROM {side} ORDER BY {key}",
            f"DROP TABLE {side}",
        )

    def dimension(self, table: str, key: str, span: str | None = None) -> Any:
        """Read the keys of a dimension, with the interval of each version."""
        sk = table.removeprefix("dim_") + "_sk"
        interval = f", {span}_from AS since, coalesce({span}_to, 'infinity') AS until" if span else ""
        interval = interval.replace("'infinity'", "'9999-01-01 00:00+00'")
        return self.read(f"SELECT {key}, {sk}{interval} FROM dwh.{table}")

    def keyed(self, frame: Any, time: str, *references: tuple[str, str, str | None, str, str]) -> Any:
        """Look up surrogate keys as of a time."""
        from pyspark.sql import functions as f

        for table, key, span, column, name in references:
            found = self.dimension(table, key, span).withColumnRenamed(table.removeprefix("dim_") + "_sk", name)
            found = found.withColumnRenamed(key, "member")
            on = f.col(column) == f.col("member")
            if span:
                on = on & (f.col(time) >= f.col("since")) & (f.col(time) < f.col("until"))
            frame = frame.join(f.broadcast(found), on, "left").drop("member", "since", "until")
        return frame

    def facts(self) -> None:
        """Load trips, payments and positions."""
        from pyspark.sql import functions as f

        batch = f.lit(f"batch_{self.dt}")
        self.sql(*(f"DELETE FROM dwh.{table} WHERE load_id = 'batch_{self.dt}'" for table in INDEXES))
        user, route = ("dim_user", "user_id", "effective"), ("dim_route", "route_id", "valid")
        vehicle = ("dim_vehicle", "vehicle_id", None, "vehicle_id", "vehicle_sk")
        trips = self.keyed(
            self.raw("trips").dropDuplicates(["trip_id"]),
            "start_ts",
            (*user, "user_id", "user_sk"),
            (*route, "route_id", "route_sk"),
            vehicle,
            ("dim_stop", "stop_id", None, "start_stop_id", "start_stop_sk"),
            ("dim_stop", "stop_id", None, "end_stop_id", "end_stop_sk"),
        )
        seconds = f.unix_timestamp("end_ts") - f.unix_timestamp("start_ts")
        trips = trips.withColumns({"duration_sec": seconds, "load_id": batch}).withColumnRenamed("fare", "fare_amount")
        self.write(trips.drop("user_id", "route_id", "vehicle_id", "start_stop_id", "end_stop_id"), "dwh.fact_trip")
        payments = self.keyed(
            self.raw("payments").dropDuplicates(["payment_id"]),
            "paid_at",
            (*user, "user_id", "user_sk"),
            (*route, "route_id", "route_sk"),
            ("dim_payment_method", "code", None, "payment_method", "payment_method_sk"),
        )
        first, last = f"{self.dt} 00:00:00", f"{self.dt} 23:59:59"
        loaded = f"SELECT trip_id, trip_sk, start_ts FROM dwh.fact_trip WHERE load_id = 'batch_{self.dt}'"
        trip_keys = self.read(loaded, split="start_ts", low=first, high=last).drop("start_ts")
        payments = payments.join(trip_keys, "trip_id", "left").withColumn("load_id", batch)
        self.write(payments.drop("user_id", "route_id", "trip_id", "payment_method"), "dwh.fact_payment")
        good = f.col("speed").isNull() | f.col("speed").between(0, 200)
        place = f.col("lat").between(-90, 90) & f.col("lon").between(-180, 180)
        seen = self.raw("vehicle_positions").where(good & place).dropDuplicates()
        positions = self.keyed(seen, "event_ts", vehicle, (*route, "route_id", "route_sk")).withColumns(
            {
                "event_date_sk": f.date_format("event_ts", "yyyyMMdd").cast("int"),
                "event_time_sk": (f.unix_timestamp("event_ts") % 86_400).cast("int"),
                "load_id": batch,
            }
        )
        self.write(positions.drop("vehicle_id", "route_id"), "dwh.fact_vehicle_position")

    def build_mart(self) -> None:
        """Aggregate the facts of a day, or of days up to `after`, by route and hour into ClickHouse."""
        from pyspark.sql import functions as f

        first, last = f"{self.dt} 00:00:00", f"{self.after} 00:00:00"

        def of_days(time: str) -> str:
            return f"{time} >= '{self.dt} 00:00+00' AND {time} < '{self.after} 00:00+00'"

        routes = f.broadcast(self.read("SELECT route_sk, route_id, name, transport_type FROM dwh.dim_route"))
        trips = self.read(
            "SELECT route_sk, trip_id, start_ts, fare_amount::float8 AS fare, duration_sec, distance_m "
            f"FROM dwh.fact_trip WHERE {of_days('start_ts')}",
            split="start_ts", low=first, high=last,
        )  # fmt: skip
        positions = self.read(
            f"SELECT route_sk, event_ts, speed FROM dwh.fact_vehicle_position WHERE {of_days('event_ts')}",
            split="event_ts", low=first, high=last,
        )  # fmt: skip
        by_trip = trips.groupBy("route_sk", f.date_trunc("hour", "start_ts").alias("hour_bucket")).agg(
            f.countDistinct("trip_id").alias("trip_cnt"),
            f.avg("fare").alias("avg_fare"),
            f.avg("duration_sec").alias("avg_duration_sec"),
            f.sum("distance_m").alias("sum_distance_m"),
        )
        by_position = positions.groupBy("route_sk", f.date_trunc("hour", "event_ts").alias("hour_bucket")).agg(
            f.avg("speed").alias("avg_speed")
        )
        mart = by_trip.join(by_position, ["route_sk", "hour_bucket"], "full").join(routes, "route_sk").drop("route_sk")
        mart = mart.fillna(0, ["trip_cnt", "sum_distance_m"]).withColumn("snapshot_ts", f.current_timestamp())
        count = (date.fromisoformat(self.after) - date.fromisoformat(self.dt)).days
        days = [date.fromisoformat(self.dt) + timedelta(days=number) for number in range(count)]
        clickhouse(self.mart, "ALTER TABLE mart_spark " + ", ".join(f"DROP PARTITION '{day}'" for day in days))
        address, _, user = self.mart.replace("http://", "jdbc:clickhouse:http://").partition("?")
        names = dict(part.split("=", 1) for part in user.split("&"))
        # The embedded server's HTTP interface has no compression of ClickHouse's own.
        address += "?compress=0"
        writer = mart.coalesce(1).write.format("jdbc").option("url", address).option("isolationLevel", "NONE")
        writer = writer.option("driver", "com.clickhouse.jdbc.ClickHouseDriver").option("dbtable", "mart_spark")
        writer = writer.option("user", names["user"]).option("password", names["password"])
        writer.option("batchsize", 10_000).mode("append").save()

    def result(self) -> Any:
        """Ask the warehouse and the mart."""
        return answers(self.psql, self.url, self.mart, "mart_spark", self.dt)

    def close(self) -> None:
        """Stop Spark."""
        self.spark.stop()
