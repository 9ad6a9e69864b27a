-- MetroPulse: the hourly route mart in ClickHouse. One row for each route and local clock hour.
-- Runs unchanged on ClickHouse 18.16 and 26.9; `metropulse` applies it by itself, you may also run it by hand.
--
-- Reading it
--   * hour_bucket is the start of an hour on the service zone's wall clock, stored as an instant in UTC; service_date is
--     the local date of that hour. Filter by service_date: it is the partition, so that other days are not read.
--   * Facts without a route stand under route_id ''; an unknown name or transport type is ''.
--   * An average of nothing is NULL (an hour with telemetry but no trips has no avg_fare), a sum of nothing is 0.
--
-- Coarser grains: never average the averages. Divide sums by counts and merge the states; the result is exact:
--   SELECT service_date,
--          sum(trip_cnt)                                             AS trips,
--          sum(scheduled_trip_cnt)                                   AS scheduled_trips,
--          sum(speed_sum) / sum(speed_cnt)                           AS avg_speed,
--          sum(duration_sum_sec) / sum(duration_cnt)                 AS avg_duration_sec,
--          toFloat64(sum(fare_sum)) / sum(fare_cnt)                  AS avg_fare,
--          sum(revenue)                                              AS revenue,
--          uniqExactMerge(vehicles)                                  AS vehicles,
--          uniqExactMerge(riders)                                    AS riders
--   FROM mart_route_hourly
--   WHERE service_date >= '2024-05-01' AND service_date < '2024-06-01'
--   GROUP BY service_date;
--
-- Loading replaces whole service dates, each atomically (REPLACE PARTITION from a shadow table named
-- mart_route_hourly_shadow_<time>_<number>, verified first). Do not add rows by hand: the next load of that date would
-- remove them. A column of your own needs a default; it gets that default in every load.

CREATE TABLE IF NOT EXISTS mart_route_hourly
(
    -- The columns of the prototype, in its order.
    route_id         String,
    name             String,               -- of the route's version at the hour's start
    transport_type   String,
    hour_bucket      DateTime('UTC'),
    trip_cnt         UInt64,               -- trips that start in the hour
    avg_fare         Nullable(Float64),    -- over trips with a fare
    avg_duration_sec Nullable(Float64),    -- over trips with an end
    sum_distance_m   Float64,
    avg_speed        Nullable(Float64),    -- km/h, over positions with a speed
    snapshot_ts      DateTime('UTC'),      -- when this service date was last written

    -- What coarser grains are made of.
    service_date     Date,
    fare_sum         Decimal(18, 2),
    fare_cnt         UInt64,
    duration_sum_sec Int64,
    duration_cnt     UInt64,
    distance_cnt     UInt64,
    speed_sum        Float64,
    speed_cnt        UInt64,
    position_cnt     UInt64,
    payment_cnt      UInt64,               -- payments made in the hour, whenever their trip started
    amount_cnt       UInt64,               -- payments with an amount
    revenue          Decimal(18, 2),       -- sum of amounts; refunds count negative
    vehicle_cnt      UInt64,               -- distinct vehicles of positions and trips
    rider_cnt        UInt64,               -- distinct riders of trips
    vehicles         AggregateFunction(uniqExact, String),
    riders           AggregateFunction(uniqExact, String),
    scheduled_trip_cnt UInt64              -- runs that the schedule starts in the hour
)
ENGINE = MergeTree
PARTITION BY service_date
ORDER BY (route_id, hour_bucket);
