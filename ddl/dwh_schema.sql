-- MetroPulse warehouse: staging, dimensions, facts and bookkeeping, for PostgreSQL 13 and later.
-- Safe to run again and again, by hand (psql -f) or by metropulse itself, which runs this same text.
-- Every instant is UTC; dt is the raw day (the producer's day) that brought a row.

CREATE SCHEMA IF NOT EXISTS staging;
CREATE SCHEMA IF NOT EXISTS dwh;

-- ---------------------------------------------------------------------------------------------------------------
-- Bookkeeping
-- ---------------------------------------------------------------------------------------------------------------

-- Facts about this warehouse that must not change underneath: the service zone, where positions are kept, the version of
-- this schema.
CREATE TABLE IF NOT EXISTS dwh.deployment (
    name  text PRIMARY KEY,
    value text NOT NULL
);

-- One line for each file that fed a table: rows_read = loaded + duplicate + superseded + rejected.
CREATE TABLE IF NOT EXISTS dwh.load_ledger (
    target               text        NOT NULL,
    dt                   date        NOT NULL,
    file                 text        NOT NULL,
    file_no              smallint    NOT NULL,
    size_bytes           bigint      NOT NULL,
    sha256               text        NOT NULL,
    rows_read            bigint      NOT NULL,
    rows_loaded          bigint      NOT NULL,
    rows_duplicate       bigint      NOT NULL,
    rows_superseded      bigint      NOT NULL,
    rows_rejected        bigint      NOT NULL,
    settings_fingerprint text        NOT NULL,
    run_id               text        NOT NULL,
    loaded_at            timestamptz NOT NULL DEFAULT now(),
    purged_at            timestamptz, -- since when the rows are not here: retention took them, or ClickHouse keeps them; the file is still known
    etag                 text,        -- what the object store said of the bytes: they are not read again while it says the same
    origin               json,        -- what the file was made of, as the day's manifest says it: of an agency's feed with what was odd about it
    PRIMARY KEY (target, dt, file),
    CONSTRAINT load_ledger_conserves
        CHECK (rows_read = rows_loaded + rows_duplicate + rows_superseded + rows_rejected)
);

-- Which local dates the rows of a raw day touch, by fact table.
CREATE TABLE IF NOT EXISTS dwh.fact_service_date (
    target       text NOT NULL,
    dt           date NOT NULL,
    service_date date NOT NULL,
    PRIMARY KEY (target, dt, service_date)
);

-- Service dates whose mart rows must be built again; a line goes when a build that saw it is published.
CREATE TABLE IF NOT EXISTS dwh.mart_dirty (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    service_date date        NOT NULL,
    reason       text        NOT NULL,
    run_id       text        NOT NULL,
    noted_at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS mart_dirty_service_date ON dwh.mart_dirty (service_date);

-- Service dates the mart holds, and when they were last built.
CREATE TABLE IF NOT EXISTS dwh.mart_build (
    service_date date        PRIMARY KEY,
    rows         bigint      NOT NULL,
    run_id       text        NOT NULL,
    built_at     timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS dwh.quality_result (
    run_id     text        NOT NULL,
    checked_at timestamptz NOT NULL DEFAULT now(),
    dt         date,
    name       text        NOT NULL,
    table_name text        NOT NULL,
    severity   text        NOT NULL CHECK (severity IN ('warn', 'error')),
    passed     boolean     NOT NULL,
    found      text        NOT NULL,
    expected   text        NOT NULL
);
CREATE INDEX IF NOT EXISTS quality_result_checked_at ON dwh.quality_result (checked_at);

-- The last failure of each step and raw day (no day: of a step that has none); it goes when the step succeeds.
CREATE TABLE IF NOT EXISTS dwh.step_failure (
    step      text        NOT NULL,
    dt        date,
    kind      text        NOT NULL,
    message   text        NOT NULL,
    run_id    text        NOT NULL,
    failed_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS step_failure_dt ON dwh.step_failure (dt);

-- ---------------------------------------------------------------------------------------------------------------
-- Staging: flat rows as they came, typed; one partition a raw day
-- ---------------------------------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS staging.vehicle_positions_raw (
    event_ts     timestamptz,
    vehicle_id   text,
    route_id     text,
    lat          float8,
    lon          float8,
    speed        float8,
    heading      float8,
    provider_ts  timestamptz,
    payload      jsonb,
    load_id      varchar(64) NOT NULL,
    ingestion_ts timestamptz NOT NULL DEFAULT now(),
    dt           date        NOT NULL,
    -- What GTFS-Realtime says beside that.
    trip_id               text,
    start_date            date,
    direction_id          integer,
    stop_id               text,
    current_stop_sequence integer,
    current_status        text,
    occupancy_status      text,
    odometer_m            float8,
    vehicle_label         text,
    received_at           timestamptz
) PARTITION BY RANGE (dt);

CREATE TABLE IF NOT EXISTS staging.users_raw (
    user_id      text,
    created_at   timestamptz,
    city         text,
    lang         text,
    gender       text,
    birthdate    date,
    is_active    boolean,
    payload      jsonb,
    load_id      varchar(64) NOT NULL,
    ingestion_ts timestamptz NOT NULL DEFAULT now(),
    dt           date        NOT NULL
) PARTITION BY RANGE (dt);

CREATE TABLE IF NOT EXISTS staging.routes_raw (
    route_id       text,
    name           text,
    transport_type text,
    base_fare      numeric(12,2),
    schema_json    jsonb,
    active_from    timestamptz,
    active_to      timestamptz,
    load_id        varchar(64) NOT NULL,
    ingestion_ts   timestamptz NOT NULL DEFAULT now(),
    dt             date        NOT NULL
) PARTITION BY RANGE (dt);

CREATE TABLE IF NOT EXISTS staging.vehicles_raw (
    vehicle_id        text,
    route_id          text,
    transport_type    text,
    capacity          integer,
    vendor            text,
    commissioned_at   timestamptz,
    decommissioned_at timestamptz,
    load_id           varchar(64) NOT NULL,
    ingestion_ts      timestamptz NOT NULL DEFAULT now(),
    dt                date        NOT NULL
) PARTITION BY RANGE (dt);

CREATE TABLE IF NOT EXISTS staging.stops_raw (
    stop_id      text,
    name         text,
    lat          float8,
    lon          float8,
    city         text,
    load_id      varchar(64) NOT NULL,
    ingestion_ts timestamptz NOT NULL DEFAULT now(),
    dt           date        NOT NULL
) PARTITION BY RANGE (dt);

CREATE TABLE IF NOT EXISTS staging.trips_raw (
    trip_id       text,
    user_id       text,
    route_id      text,
    vehicle_id    text,
    start_ts      timestamptz,
    end_ts        timestamptz,
    start_stop_id text,
    end_stop_id   text,
    distance_m    float8,
    fare          numeric(12,2),
    status        text,
    load_id       varchar(64) NOT NULL,
    ingestion_ts  timestamptz NOT NULL DEFAULT now(),
    dt            date        NOT NULL,
    scheduled_trip_id    text,
    scheduled_start_time text
) PARTITION BY RANGE (dt);

CREATE TABLE IF NOT EXISTS staging.payments_raw (
    payment_id     text,
    user_id        text,
    route_id       text,
    trip_id        text,
    amount         numeric(12,2),
    currency       text,
    status         text,
    payment_method text,
    paid_at        timestamptz,
    load_id        varchar(64) NOT NULL,
    ingestion_ts   timestamptz NOT NULL DEFAULT now(),
    dt             date        NOT NULL
) PARTITION BY RANGE (dt);

-- What an agency's own feeds bring: its schedule, and what is predicted and told to riders.
CREATE TABLE IF NOT EXISTS staging.scheduled_trips_raw (
    trip_id      text,
    start_time   text,
    route_id     text,
    service_id   text,
    direction_id integer,
    block_id     text,
    shape_id     text,
    headsign     text,
    start_ts     timestamptz,
    end_ts       timestamptz,
    exact_times  boolean,
    load_id      varchar(64) NOT NULL,
    ingestion_ts timestamptz NOT NULL DEFAULT now(),
    dt           date NOT NULL
) PARTITION BY RANGE (dt);

CREATE TABLE IF NOT EXISTS staging.scheduled_stop_times_raw (
    trip_id       text,
    start_time    text,
    stop_sequence integer,
    stop_id       text,
    arrival_ts    timestamptz,
    departure_ts  timestamptz,
    timepoint     integer,
    pickup_type   integer,
    drop_off_type integer,
    shape_dist    float8,
    load_id       varchar(64) NOT NULL,
    ingestion_ts  timestamptz NOT NULL DEFAULT now(),
    dt            date NOT NULL
) PARTITION BY RANGE (dt);

CREATE TABLE IF NOT EXISTS staging.shapes_raw (
    shape_id     text,
    points       jsonb,
    load_id      varchar(64) NOT NULL,
    ingestion_ts timestamptz NOT NULL DEFAULT now(),
    dt           date NOT NULL
) PARTITION BY RANGE (dt);

CREATE TABLE IF NOT EXISTS staging.trip_updates_raw (
    trip_id                    text,
    start_time                 text,
    stop_sequence              integer,
    stop_id                    text,
    route_id                   text,
    vehicle_id                 text,
    schedule_relationship      text,
    stop_schedule_relationship text,
    arrival_ts                 timestamptz,
    arrival_delay_sec          integer,
    departure_ts               timestamptz,
    departure_delay_sec        integer,
    updated_at                 timestamptz,
    load_id                    varchar(64) NOT NULL,
    ingestion_ts               timestamptz NOT NULL DEFAULT now(),
    dt                         date NOT NULL
) PARTITION BY RANGE (dt);

CREATE TABLE IF NOT EXISTS staging.alerts_raw (
    alert_id          text,
    content           text,
    cause             text,
    effect            text,
    severity          text,
    active_from       timestamptz,
    active_to         timestamptz,
    header            text,
    description       text,
    informed_entities jsonb,
    first_seen        timestamptz,
    last_seen         timestamptz,
    load_id           varchar(64) NOT NULL,
    ingestion_ts      timestamptz NOT NULL DEFAULT now(),
    dt                date NOT NULL
) PARTITION BY RANGE (dt);

-- Rows that could not be used, with every reason that holds and the row itself.
CREATE TABLE IF NOT EXISTS staging.rejected (
    dataset     text        NOT NULL,
    dt          date        NOT NULL,
    file        text        NOT NULL,
    row_number  bigint      NOT NULL,
    reasons     text[]      NOT NULL,
    row_json    jsonb       NOT NULL,
    load_id     varchar(64) NOT NULL,
    rejected_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (dataset, dt, file, row_number)
);

-- Rejected rows that somebody repaired: whenever that very file (by its digest) is loaded, the repaired row stands in the
-- place of the row it was. What the row and its reasons were stays on record.
CREATE TABLE IF NOT EXISTS staging.repaired (
    dataset      text        NOT NULL,
    dt           date        NOT NULL,
    file         text        NOT NULL,
    row_number   bigint      NOT NULL,
    sha256       text        NOT NULL,
    reasons      text[]      NOT NULL,
    row_json     jsonb       NOT NULL,
    repaired     jsonb       NOT NULL,
    run_id       text        NOT NULL,
    repaired_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (dataset, dt, file, row_number)
);

-- ---------------------------------------------------------------------------------------------------------------
-- Dimensions. Key 0 is the unknown member. An inferred member is a key that facts name and no snapshot has described.
-- ---------------------------------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS dwh.dim_date (
    date_sk    integer  PRIMARY KEY,
    full_date  date     NOT NULL UNIQUE,
    day        smallint NOT NULL,
    week       smallint NOT NULL,
    month      smallint NOT NULL,
    quarter    smallint NOT NULL,
    year       smallint NOT NULL,
    is_weekend boolean  NOT NULL
);

CREATE TABLE IF NOT EXISTS dwh.dim_time (
    time_sk integer  PRIMARY KEY,
    hh24mi  char(5)  NOT NULL,
    hour    smallint NOT NULL,
    minute  smallint NOT NULL,
    second  smallint NOT NULL
);

CREATE SEQUENCE IF NOT EXISTS dwh.route_sk;
CREATE TABLE IF NOT EXISTS dwh.dim_route (
    route_sk       bigint  PRIMARY KEY DEFAULT nextval('dwh.route_sk'),
    route_id       text,
    name           text,
    transport_type text,
    base_fare      numeric(12,2),
    schema_json    jsonb,
    active_flag    boolean,
    valid_from     timestamptz,
    valid_to       timestamptz,
    is_current     boolean GENERATED ALWAYS AS (route_id IS NOT NULL AND valid_to IS NULL) STORED,
    is_inferred    boolean NOT NULL DEFAULT false,
    load_id        varchar(64),
    inserted_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT dim_route_key_from UNIQUE (route_id, valid_from) DEFERRABLE INITIALLY IMMEDIATE,
    CONSTRAINT dim_route_from_before_to CHECK (valid_from < valid_to),
    CONSTRAINT dim_route_interval CHECK (valid_from IS NOT NULL OR is_inferred OR route_sk = 0),
    CONSTRAINT dim_route_key CHECK (route_id IS NOT NULL OR route_sk = 0)
);
CREATE UNIQUE INDEX IF NOT EXISTS dim_route_open ON dwh.dim_route (route_id) WHERE valid_to IS NULL;

CREATE SEQUENCE IF NOT EXISTS dwh.user_sk;
CREATE TABLE IF NOT EXISTS dwh.dim_user (
    user_sk        bigint  PRIMARY KEY DEFAULT nextval('dwh.user_sk'),
    user_id        text,
    city           text,
    lang           text,
    birthdate      date,
    gender         text,
    created_at     timestamptz,
    is_active      boolean,
    effective_from timestamptz,
    effective_to   timestamptz,
    is_current     boolean GENERATED ALWAYS AS (user_id IS NOT NULL AND effective_to IS NULL) STORED,
    is_inferred    boolean NOT NULL DEFAULT false,
    load_id        varchar(64),
    inserted_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT dim_user_key_from UNIQUE (user_id, effective_from) DEFERRABLE INITIALLY IMMEDIATE,
    CONSTRAINT dim_user_from_before_to CHECK (effective_from < effective_to),
    CONSTRAINT dim_user_interval CHECK (effective_from IS NOT NULL OR is_inferred OR user_sk = 0),
    CONSTRAINT dim_user_key CHECK (user_id IS NOT NULL OR user_sk = 0)
);
CREATE UNIQUE INDEX IF NOT EXISTS dim_user_open ON dwh.dim_user (user_id) WHERE effective_to IS NULL;

CREATE SEQUENCE IF NOT EXISTS dwh.vehicle_sk;
CREATE TABLE IF NOT EXISTS dwh.dim_vehicle (
    vehicle_sk        bigint PRIMARY KEY DEFAULT nextval('dwh.vehicle_sk'),
    vehicle_id        text UNIQUE,
    route_id          text,
    transport_type    text,
    capacity          integer,
    vendor            text,
    commissioned_at   timestamptz,
    decommissioned_at timestamptz,
    is_inferred       boolean NOT NULL DEFAULT false,
    load_id           varchar(64),
    inserted_at       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT dim_vehicle_key CHECK (vehicle_id IS NOT NULL OR vehicle_sk = 0)
);

CREATE SEQUENCE IF NOT EXISTS dwh.stop_sk;
CREATE TABLE IF NOT EXISTS dwh.dim_stop (
    stop_sk     bigint PRIMARY KEY DEFAULT nextval('dwh.stop_sk'),
    stop_id     text UNIQUE,
    name        text,
    lat         float8,
    lon         float8,
    city        text,
    is_inferred boolean NOT NULL DEFAULT false,
    load_id     varchar(64),
    inserted_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT dim_stop_key CHECK (stop_id IS NOT NULL OR stop_sk = 0)
);

CREATE SEQUENCE IF NOT EXISTS dwh.shape_sk;
CREATE TABLE IF NOT EXISTS dwh.dim_shape (
    shape_sk    bigint  PRIMARY KEY DEFAULT nextval('dwh.shape_sk'),
    shape_id    text,
    points      jsonb, -- all of them in order, as the raw file has them
    valid_from  timestamptz,
    valid_to    timestamptz,
    is_current  boolean GENERATED ALWAYS AS (shape_id IS NOT NULL AND valid_to IS NULL) STORED,
    is_inferred boolean NOT NULL DEFAULT false,
    load_id     varchar(64),
    inserted_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT dim_shape_key_from UNIQUE (shape_id, valid_from) DEFERRABLE INITIALLY IMMEDIATE,
    CONSTRAINT dim_shape_from_before_to CHECK (valid_from < valid_to),
    CONSTRAINT dim_shape_interval CHECK (valid_from IS NOT NULL OR is_inferred OR shape_sk = 0),
    CONSTRAINT dim_shape_key CHECK (shape_id IS NOT NULL OR shape_sk = 0)
);
CREATE UNIQUE INDEX IF NOT EXISTS dim_shape_open ON dwh.dim_shape (shape_id) WHERE valid_to IS NULL;

CREATE SEQUENCE IF NOT EXISTS dwh.payment_method_sk;
CREATE TABLE IF NOT EXISTS dwh.dim_payment_method (
    payment_method_sk bigint PRIMARY KEY DEFAULT nextval('dwh.payment_method_sk'),
    code              text UNIQUE,
    name              text,
    provider          text,
    inserted_at       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT dim_payment_method_key CHECK (code IS NOT NULL OR payment_method_sk = 0)
);

INSERT INTO dwh.dim_route (route_sk) VALUES (0) ON CONFLICT (route_sk) DO NOTHING;
INSERT INTO dwh.dim_user (user_sk) VALUES (0) ON CONFLICT (user_sk) DO NOTHING;
INSERT INTO dwh.dim_vehicle (vehicle_sk) VALUES (0) ON CONFLICT (vehicle_sk) DO NOTHING;
INSERT INTO dwh.dim_stop (stop_sk) VALUES (0) ON CONFLICT (stop_sk) DO NOTHING;
INSERT INTO dwh.dim_shape (shape_sk) VALUES (0) ON CONFLICT (shape_sk) DO NOTHING;
INSERT INTO dwh.dim_payment_method (payment_method_sk) VALUES (0) ON CONFLICT (payment_method_sk) DO NOTHING;
INSERT INTO dwh.dim_payment_method (code, name)
SELECT seed.code, seed.code FROM (VALUES ('card'), ('wallet'), ('promo')) AS seed (code)
WHERE NOT EXISTS (SELECT FROM dwh.dim_payment_method known WHERE known.code = seed.code);

-- What each loaded day said of a key, as runs of equal statements over the loaded days: [from_dt, to_dt).
-- A day on which no run holds did not name the key. "stated" has a bit for each column after it, in their order: what a file
-- did not have it does not state. A mention (a row that was rejected, but whose key could be read) states nothing.
-- Corrections, late days and rewinds are answered from here.
CREATE TABLE IF NOT EXISTS dwh.dim_route_said (
    route_id text NOT NULL, from_dt date NOT NULL, to_dt date, is_mention boolean NOT NULL, stated bit varying NOT NULL,
    name text, transport_type text, base_fare numeric(12,2), schema_json jsonb, active_from timestamptz, active_to timestamptz,
    PRIMARY KEY (route_id, from_dt), CHECK (from_dt < to_dt)
);
CREATE TABLE IF NOT EXISTS dwh.dim_user_said (
    user_id text NOT NULL, from_dt date NOT NULL, to_dt date, is_mention boolean NOT NULL, stated bit varying NOT NULL,
    created_at timestamptz, city text, lang text, gender text, birthdate date, is_active bool,
    PRIMARY KEY (user_id, from_dt), CHECK (from_dt < to_dt)
);
CREATE TABLE IF NOT EXISTS dwh.dim_vehicle_said (
    vehicle_id text NOT NULL, from_dt date NOT NULL, to_dt date, is_mention boolean NOT NULL, stated bit varying NOT NULL,
    route_id text, transport_type text, capacity int4, vendor text, commissioned_at timestamptz, decommissioned_at timestamptz,
    PRIMARY KEY (vehicle_id, from_dt), CHECK (from_dt < to_dt)
);
CREATE TABLE IF NOT EXISTS dwh.dim_stop_said (
    stop_id text NOT NULL, from_dt date NOT NULL, to_dt date, is_mention boolean NOT NULL, stated bit varying NOT NULL,
    name text, lat float8, lon float8, city text,
    PRIMARY KEY (stop_id, from_dt), CHECK (from_dt < to_dt)
);
CREATE TABLE IF NOT EXISTS dwh.dim_shape_said (
    shape_id text NOT NULL, from_dt date NOT NULL, to_dt date, is_mention boolean NOT NULL, stated bit varying NOT NULL,
    points jsonb,
    PRIMARY KEY (shape_id, from_dt), CHECK (from_dt < to_dt)
);

-- ---------------------------------------------------------------------------------------------------------------
-- Facts: one partition a raw day, built aside and attached. file_no names the ledger line of (target, dt).
-- ---------------------------------------------------------------------------------------------------------------

CREATE SEQUENCE IF NOT EXISTS dwh.trip_sk;
CREATE TABLE IF NOT EXISTS dwh.fact_trip (
    trip_sk         bigint      NOT NULL,
    trip_id         text        NOT NULL,
    user_sk         bigint      NOT NULL REFERENCES dwh.dim_user DEFERRABLE,
    route_sk        bigint      NOT NULL REFERENCES dwh.dim_route DEFERRABLE,
    vehicle_sk      bigint      NOT NULL REFERENCES dwh.dim_vehicle DEFERRABLE,
    start_stop_sk   bigint      NOT NULL REFERENCES dwh.dim_stop DEFERRABLE,
    end_stop_sk     bigint      NOT NULL REFERENCES dwh.dim_stop DEFERRABLE,
    start_ts        timestamptz NOT NULL,
    end_ts          timestamptz,
    duration_sec    bigint,
    distance_m      float8,
    fare_amount     numeric(12,2),
    delay_start_sec integer,
    delay_end_sec   integer,
    status          text,
    load_id         varchar(64) NOT NULL,
    inserted_at     timestamptz NOT NULL DEFAULT now(),
    dt              date        NOT NULL,
    file_no         smallint    NOT NULL,
    scheduled_trip_id    text,
    scheduled_start_time text,
    PRIMARY KEY (trip_sk, dt)
) PARTITION BY RANGE (dt);
CREATE INDEX IF NOT EXISTS fact_trip_start_ts ON dwh.fact_trip USING brin (start_ts);
CREATE INDEX IF NOT EXISTS fact_trip_user_sk ON dwh.fact_trip (user_sk);
CREATE INDEX IF NOT EXISTS fact_trip_route_sk ON dwh.fact_trip (route_sk);
CREATE INDEX IF NOT EXISTS fact_trip_vehicle_sk ON dwh.fact_trip (vehicle_sk);
CREATE INDEX IF NOT EXISTS fact_trip_start_stop_sk ON dwh.fact_trip (start_stop_sk);
CREATE INDEX IF NOT EXISTS fact_trip_end_stop_sk ON dwh.fact_trip (end_stop_sk);

CREATE SEQUENCE IF NOT EXISTS dwh.payment_sk;
CREATE TABLE IF NOT EXISTS dwh.fact_payment (
    payment_sk        bigint      NOT NULL,
    payment_id        text        NOT NULL,
    user_sk           bigint      NOT NULL REFERENCES dwh.dim_user DEFERRABLE,
    route_sk          bigint      NOT NULL REFERENCES dwh.dim_route DEFERRABLE,
    trip_sk           bigint,
    payment_method_sk bigint      NOT NULL REFERENCES dwh.dim_payment_method DEFERRABLE,
    amount            numeric(12,2),
    currency          text,
    status            text,
    paid_at           timestamptz NOT NULL,
    load_id           varchar(64) NOT NULL,
    inserted_at       timestamptz NOT NULL DEFAULT now(),
    dt                date        NOT NULL,
    file_no           smallint    NOT NULL,
    trip_id           text,
    PRIMARY KEY (payment_sk, dt)
) PARTITION BY RANGE (dt);
CREATE INDEX IF NOT EXISTS fact_payment_paid_at ON dwh.fact_payment USING brin (paid_at);
CREATE INDEX IF NOT EXISTS fact_payment_user_sk ON dwh.fact_payment (user_sk);
CREATE INDEX IF NOT EXISTS fact_payment_route_sk ON dwh.fact_payment (route_sk);
CREATE INDEX IF NOT EXISTS fact_payment_trip_sk ON dwh.fact_payment (trip_sk);
CREATE INDEX IF NOT EXISTS fact_payment_unresolved ON dwh.fact_payment (trip_id) WHERE trip_sk IS NULL;

CREATE SEQUENCE IF NOT EXISTS dwh.position_sk;
CREATE TABLE IF NOT EXISTS dwh.fact_vehicle_position (
    position_sk   bigint      NOT NULL,
    event_ts      timestamptz NOT NULL,
    event_date_sk integer     NOT NULL,
    event_time_sk integer     NOT NULL,
    vehicle_sk    bigint      NOT NULL REFERENCES dwh.dim_vehicle DEFERRABLE,
    route_sk      bigint      NOT NULL REFERENCES dwh.dim_route DEFERRABLE,
    lat           float8,
    lon           float8,
    speed         float8,
    heading       float8,
    provider_ts   timestamptz,
    load_id       varchar(64) NOT NULL,
    inserted_at   timestamptz NOT NULL DEFAULT now(),
    dt            date        NOT NULL,
    file_no       smallint    NOT NULL,
    trip_id               text, -- of the schedule, as the report names it
    start_date            date,
    direction_id          integer,
    stop_id               text,
    current_stop_sequence integer,
    current_status        text,
    occupancy_status      text,
    odometer_m            float8,
    vehicle_label         text,
    received_at           timestamptz,
    PRIMARY KEY (position_sk, dt)
) PARTITION BY RANGE (dt);
CREATE INDEX IF NOT EXISTS fact_vehicle_position_event_ts ON dwh.fact_vehicle_position USING brin (event_ts);
CREATE INDEX IF NOT EXISTS fact_vehicle_position_vehicle_sk ON dwh.fact_vehicle_position (vehicle_sk);
CREATE INDEX IF NOT EXISTS fact_vehicle_position_route_sk ON dwh.fact_vehicle_position (route_sk);

-- Planned runs, known by (dt, trip_id, start_time): dt is the service date, start_time that of the first departure on it.
CREATE SEQUENCE IF NOT EXISTS dwh.scheduled_trip_sk;
CREATE TABLE IF NOT EXISTS dwh.fact_scheduled_trip (
    scheduled_trip_sk bigint      NOT NULL,
    trip_id           text        NOT NULL,
    start_time        text        NOT NULL,
    route_sk          bigint      NOT NULL REFERENCES dwh.dim_route DEFERRABLE,
    shape_sk          bigint      NOT NULL REFERENCES dwh.dim_shape DEFERRABLE,
    service_id        text,
    direction_id      integer,
    block_id          text,
    headsign          text,
    start_ts          timestamptz NOT NULL,
    end_ts            timestamptz,
    exact_times       boolean,
    load_id           varchar(64) NOT NULL,
    inserted_at       timestamptz NOT NULL DEFAULT now(),
    dt                date        NOT NULL,
    file_no           smallint    NOT NULL,
    PRIMARY KEY (scheduled_trip_sk, dt)
) PARTITION BY RANGE (dt);
CREATE INDEX IF NOT EXISTS fact_scheduled_trip_run ON dwh.fact_scheduled_trip (trip_id, start_time);
CREATE INDEX IF NOT EXISTS fact_scheduled_trip_start_ts ON dwh.fact_scheduled_trip USING brin (start_ts);
CREATE INDEX IF NOT EXISTS fact_scheduled_trip_route_sk ON dwh.fact_scheduled_trip (route_sk);
CREATE INDEX IF NOT EXISTS fact_scheduled_trip_shape_sk ON dwh.fact_scheduled_trip (shape_sk);

-- The calls of planned runs, known by the run and stop_sequence; retention may drop them (purge).
CREATE SEQUENCE IF NOT EXISTS dwh.scheduled_stop_time_sk;
CREATE TABLE IF NOT EXISTS dwh.fact_scheduled_stop_time (
    scheduled_stop_time_sk bigint      NOT NULL,
    trip_id                text        NOT NULL,
    start_time             text        NOT NULL,
    stop_sequence          integer     NOT NULL,
    stop_sk                bigint      NOT NULL REFERENCES dwh.dim_stop DEFERRABLE,
    arrival_ts             timestamptz,
    departure_ts           timestamptz,
    timepoint              integer,
    pickup_type            integer,
    drop_off_type          integer,
    shape_dist             float8,
    load_id                varchar(64) NOT NULL,
    inserted_at            timestamptz NOT NULL DEFAULT now(),
    dt                     date        NOT NULL,
    file_no                smallint    NOT NULL,
    PRIMARY KEY (scheduled_stop_time_sk, dt)
) PARTITION BY RANGE (dt);
CREATE INDEX IF NOT EXISTS fact_scheduled_stop_time_run ON dwh.fact_scheduled_stop_time (trip_id, start_time);
CREATE INDEX IF NOT EXISTS fact_scheduled_stop_time_stop_sk ON dwh.fact_scheduled_stop_time (stop_sk);

-- What was last predicted for each run and stop; a row without a stop is about the whole run.
CREATE SEQUENCE IF NOT EXISTS dwh.trip_update_sk;
CREATE TABLE IF NOT EXISTS dwh.fact_trip_update (
    trip_update_sk             bigint      NOT NULL,
    trip_id                    text        NOT NULL,
    start_time                 text,
    stop_sequence              integer,
    route_sk                   bigint      NOT NULL REFERENCES dwh.dim_route DEFERRABLE,
    vehicle_sk                 bigint      NOT NULL REFERENCES dwh.dim_vehicle DEFERRABLE,
    stop_sk                    bigint      NOT NULL REFERENCES dwh.dim_stop DEFERRABLE,
    schedule_relationship      text,
    stop_schedule_relationship text,
    arrival_ts                 timestamptz,
    arrival_delay_sec          integer,
    departure_ts               timestamptz,
    departure_delay_sec        integer,
    updated_at                 timestamptz,
    load_id                    varchar(64) NOT NULL,
    inserted_at                timestamptz NOT NULL DEFAULT now(),
    dt                         date        NOT NULL,
    file_no                    smallint    NOT NULL,
    PRIMARY KEY (trip_update_sk, dt)
) PARTITION BY RANGE (dt);
CREATE INDEX IF NOT EXISTS fact_trip_update_run ON dwh.fact_trip_update (trip_id, start_time);
CREATE INDEX IF NOT EXISTS fact_trip_update_route_sk ON dwh.fact_trip_update (route_sk);
CREATE INDEX IF NOT EXISTS fact_trip_update_vehicle_sk ON dwh.fact_trip_update (vehicle_sk);
CREATE INDEX IF NOT EXISTS fact_trip_update_stop_sk ON dwh.fact_trip_update (stop_sk);

-- Notices to riders: a row for each content (its digest) that an alert had on a day.
CREATE SEQUENCE IF NOT EXISTS dwh.alert_sk;
CREATE TABLE IF NOT EXISTS dwh.fact_alert (
    alert_sk          bigint      NOT NULL,
    alert_id          text        NOT NULL,
    content           text        NOT NULL,
    cause             text,
    effect            text,
    severity          text,
    active_from       timestamptz,
    active_to         timestamptz,
    header            text,
    description       text,
    informed_entities jsonb,
    first_seen        timestamptz,
    last_seen         timestamptz,
    load_id           varchar(64) NOT NULL,
    inserted_at       timestamptz NOT NULL DEFAULT now(),
    dt                date        NOT NULL,
    file_no           smallint    NOT NULL,
    PRIMARY KEY (alert_sk, dt)
) PARTITION BY RANGE (dt);
CREATE INDEX IF NOT EXISTS fact_alert_alert_id ON dwh.fact_alert (alert_id);

-- The positions of each raw day by route and hour, added up while they are loaded: what the mart is built from. Routes
-- and vehicles are business keys, '' is no route; vehicles holds each known vehicle once.
CREATE TABLE IF NOT EXISTS dwh.agg_position_route_hourly (
    dt                   date        NOT NULL,
    hour_bucket          timestamptz NOT NULL,
    route_id             text        NOT NULL,
    position_cnt         bigint      NOT NULL,
    speed_sum            float8      NOT NULL,
    speed_cnt            bigint      NOT NULL,
    vehicles             text[]      NOT NULL,
    settings_fingerprint text        NOT NULL,
    PRIMARY KEY (dt, hour_bucket, route_id)
);

-- Where ClickHouse keeps the positions (dwh.deployment: positions = telemetry), dwh.fact_vehicle_position is empty and the
-- next three tables have what the warehouse must know of them.
--
-- What the positions of a raw day refer to. A row stands for all positions of one vehicle, route and local date; no version
-- of a route begins or ends between them, so their keys as of their time are the same. route_id '' is no route.
CREATE TABLE IF NOT EXISTS dwh.telemetry_reference (
    reference_sk bigint      GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    dt           date        NOT NULL,
    local_date   date        NOT NULL,
    first_ts     timestamptz NOT NULL, -- of the first of them
    vehicle_id   text        NOT NULL,
    route_id     text        NOT NULL,
    vehicle_sk   bigint      NOT NULL REFERENCES dwh.dim_vehicle DEFERRABLE,
    route_sk     bigint      NOT NULL REFERENCES dwh.dim_route DEFERRABLE,
    position_cnt bigint      NOT NULL
);
CREATE INDEX IF NOT EXISTS telemetry_reference_dt ON dwh.telemetry_reference (dt);
CREATE INDEX IF NOT EXISTS telemetry_reference_vehicle_sk ON dwh.telemetry_reference (vehicle_sk);
CREATE INDEX IF NOT EXISTS telemetry_reference_route_sk ON dwh.telemetry_reference (route_sk);

-- How many positions of a raw day name a run or a stop of the schedule: column_name is trip_id or stop_id.
CREATE TABLE IF NOT EXISTS dwh.telemetry_mention (
    dt           date   NOT NULL,
    column_name  text   NOT NULL,
    value        text   NOT NULL,
    position_cnt bigint NOT NULL,
    PRIMARY KEY (dt, column_name, value)
);

-- Raw days whose positions in ClickHouse are being replaced. A row is written before ClickHouse is touched and deleted by the
-- publication itself: one that stays is of a run that ended in between, and ClickHouse may hold other rows than the ledger says.
CREATE TABLE IF NOT EXISTS dwh.telemetry_publication (
    dt       date        PRIMARY KEY,
    run_id   text        NOT NULL,
    began_at timestamptz NOT NULL DEFAULT now()
);

-- The key of each trip and payment, kept over reloads, and the raw day whose row is in the fact table.
CREATE TABLE IF NOT EXISTS dwh.trip_key (
    trip_id text   PRIMARY KEY,
    trip_sk bigint NOT NULL,
    dt      date   NOT NULL
);
CREATE TABLE IF NOT EXISTS dwh.payment_key (
    payment_id text   PRIMARY KEY,
    payment_sk bigint NOT NULL,
    dt         date   NOT NULL
);

-- Fact rows that lost to a newer raw day, by business keys; they come back when the winner is corrected away.
CREATE TABLE IF NOT EXISTS dwh.superseded_trip (
    trip_id       text        NOT NULL,
    user_id       text,
    route_id      text,
    vehicle_id    text,
    start_stop_id text,
    end_stop_id   text,
    start_ts      timestamptz NOT NULL,
    end_ts        timestamptz,
    duration_sec  bigint,
    distance_m    float8,
    fare_amount   numeric(12,2),
    status        text,
    load_id       varchar(64) NOT NULL,
    inserted_at   timestamptz NOT NULL,
    dt            date        NOT NULL,
    file_no       smallint    NOT NULL,
    scheduled_trip_id    text,
    scheduled_start_time text,
    PRIMARY KEY (trip_id, dt)
);
CREATE INDEX IF NOT EXISTS superseded_trip_dt ON dwh.superseded_trip (dt);
CREATE TABLE IF NOT EXISTS dwh.superseded_payment (
    payment_id     text        NOT NULL,
    user_id        text,
    route_id       text,
    payment_method text,
    amount         numeric(12,2),
    currency       text,
    status         text,
    paid_at        timestamptz NOT NULL,
    load_id        varchar(64) NOT NULL,
    inserted_at    timestamptz NOT NULL,
    dt             date        NOT NULL,
    file_no        smallint    NOT NULL,
    trip_id        text,
    PRIMARY KEY (payment_id, dt)
);
CREATE INDEX IF NOT EXISTS superseded_payment_dt ON dwh.superseded_payment (dt);
