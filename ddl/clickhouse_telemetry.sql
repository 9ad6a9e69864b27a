-- MetroPulse: vehicle telemetry in ClickHouse, straight from the raw files, for streams too large for PostgreSQL.
-- Runs unchanged on ClickHouse 18.16 and 26.9; metropulse applies it by itself, you may also run it by hand.
--
-- Reading it
--   * One row for each clean position of a raw day, as the warehouse would have it: rejects and duplicates are left out.
--     dt is the producer's day; it is the partition, so that other days are not read.
--   * event_ts is cut to the second; event_us is the same instant in microseconds since 1970. provider_us is the
--     provider's time in microseconds, NULL when the file gives none; provider_ts shows it cut to the second.
--   * A position without a route has route_id ''. An unknown speed or heading is NULL, and so is what only some recordings
--     have (trip_id and all that follows) where a file has none of it. start_day counts days since 1970, received_us
--     microseconds; start_date and received_ts show them.
--
-- Loading replaces whole raw days, each atomically (REPLACE PARTITION from a shadow table named
-- vehicle_position_shadow_<time>_<number>, rows and checksum verified first). Do not add rows by hand: the next load of
-- that day would remove them. vehicle_position_load says which files a day was loaded from.

CREATE TABLE IF NOT EXISTS vehicle_position
(
    dt          Date,
    event_ts    DateTime('UTC'),
    event_us    Int64,
    vehicle_id  String,
    route_id    String,
    lat         Float64,               -- degrees
    lon         Float64,
    speed       Nullable(Float64),     -- km/h
    heading     Nullable(Float64),     -- degrees from north
    provider_us Nullable(Int64),
    provider_ts Nullable(DateTime('UTC')) ALIAS toDateTime(intDiv(provider_us, 1000000), 'UTC'),
    trip_id               Nullable(String),  -- of the schedule, as the report names it
    start_day             Nullable(Int32),
    direction_id          Nullable(Int32),
    stop_id               Nullable(String),
    current_stop_sequence Nullable(Int32),
    current_status        Nullable(String),
    occupancy_status      Nullable(String),
    odometer_m            Nullable(Float64),
    vehicle_label         Nullable(String),
    received_us           Nullable(Int64),
    start_date            Nullable(Date) ALIAS toDate(start_day),
    received_ts           Nullable(DateTime('UTC')) ALIAS toDateTime(intDiv(received_us, 1000000), 'UTC')
)
ENGINE = MergeTree
PARTITION BY dt
ORDER BY (vehicle_id, event_ts);

CREATE TABLE IF NOT EXISTS vehicle_position_load
(
    dt             Date,
    file           String,
    size_bytes     UInt64,
    sha256         String,
    rows_read      UInt64,
    rows_loaded    UInt64,
    rows_duplicate UInt64,
    rows_rejected  UInt64,
    fingerprint    String,             -- of the settings that change what a file gives
    run_id         String,
    loaded_at      DateTime('UTC')
)
ENGINE = MergeTree
PARTITION BY dt
ORDER BY (dt, file);
