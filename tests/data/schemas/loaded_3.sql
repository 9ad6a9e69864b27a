SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
CREATE SCHEMA dwh;
CREATE SCHEMA staging;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE dwh.agg_position_route_hourly (
    dt date NOT NULL,
    hour_bucket timestamp with time zone NOT NULL,
    route_id text NOT NULL,
    position_cnt bigint NOT NULL,
    speed_sum double precision NOT NULL,
    speed_cnt bigint NOT NULL,
    vehicles text[] NOT NULL,
    settings_fingerprint text NOT NULL
);
CREATE TABLE dwh.deployment (
    name text NOT NULL,
    value text NOT NULL
);
CREATE TABLE dwh.dim_date (
    date_sk integer NOT NULL,
    full_date date NOT NULL,
    day smallint NOT NULL,
    week smallint NOT NULL,
    month smallint NOT NULL,
    quarter smallint NOT NULL,
    year smallint NOT NULL,
    is_weekend boolean NOT NULL
);
CREATE SEQUENCE dwh.payment_method_sk
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
CREATE TABLE dwh.dim_payment_method (
    payment_method_sk bigint DEFAULT nextval('dwh.payment_method_sk'::regclass) NOT NULL,
    code text,
    name text,
    provider text,
    inserted_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT dim_payment_method_key CHECK (((code IS NOT NULL) OR (payment_method_sk = 0)))
);
CREATE SEQUENCE dwh.route_sk
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
CREATE TABLE dwh.dim_route (
    route_sk bigint DEFAULT nextval('dwh.route_sk'::regclass) NOT NULL,
    route_id text,
    name text,
    transport_type text,
    base_fare numeric(12,2),
    schema_json jsonb,
    active_flag boolean,
    valid_from timestamp with time zone,
    valid_to timestamp with time zone,
    is_current boolean GENERATED ALWAYS AS (((route_id IS NOT NULL) AND (valid_to IS NULL))) STORED,
    is_inferred boolean DEFAULT false NOT NULL,
    load_id character varying(64),
    inserted_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT dim_route_from_before_to CHECK ((valid_from < valid_to)),
    CONSTRAINT dim_route_interval CHECK (((valid_from IS NOT NULL) OR is_inferred OR (route_sk = 0))),
    CONSTRAINT dim_route_key CHECK (((route_id IS NOT NULL) OR (route_sk = 0)))
);
CREATE TABLE dwh.dim_route_said (
    key text NOT NULL,
    from_dt date NOT NULL,
    to_dt date,
    is_mention boolean NOT NULL,
    stated bit varying NOT NULL,
    said text[] NOT NULL,
    CONSTRAINT dim_route_said_check CHECK ((from_dt < to_dt))
);
CREATE SEQUENCE dwh.stop_sk
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
CREATE TABLE dwh.dim_stop (
    stop_sk bigint DEFAULT nextval('dwh.stop_sk'::regclass) NOT NULL,
    stop_id text,
    name text,
    lat double precision,
    lon double precision,
    city text,
    is_inferred boolean DEFAULT false NOT NULL,
    load_id character varying(64),
    inserted_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT dim_stop_key CHECK (((stop_id IS NOT NULL) OR (stop_sk = 0)))
);
CREATE TABLE dwh.dim_stop_said (
    key text NOT NULL,
    from_dt date NOT NULL,
    to_dt date,
    is_mention boolean NOT NULL,
    stated bit varying NOT NULL,
    said text[] NOT NULL,
    CONSTRAINT dim_stop_said_check CHECK ((from_dt < to_dt))
);
CREATE TABLE dwh.dim_time (
    time_sk integer NOT NULL,
    hh24mi character(5) NOT NULL,
    hour smallint NOT NULL,
    minute smallint NOT NULL,
    second smallint NOT NULL
);
CREATE SEQUENCE dwh.user_sk
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
CREATE TABLE dwh.dim_user (
    user_sk bigint DEFAULT nextval('dwh.user_sk'::regclass) NOT NULL,
    user_id text,
    city text,
    lang text,
    birthdate date,
    gender text,
    created_at timestamp with time zone,
    is_active boolean,
    effective_from timestamp with time zone,
    effective_to timestamp with time zone,
    is_current boolean GENERATED ALWAYS AS (((user_id IS NOT NULL) AND (effective_to IS NULL))) STORED,
    is_inferred boolean DEFAULT false NOT NULL,
    load_id character varying(64),
    inserted_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT dim_user_from_before_to CHECK ((effective_from < effective_to)),
    CONSTRAINT dim_user_interval CHECK (((effective_from IS NOT NULL) OR is_inferred OR (user_sk = 0))),
    CONSTRAINT dim_user_key CHECK (((user_id IS NOT NULL) OR (user_sk = 0)))
);
CREATE TABLE dwh.dim_user_said (
    key text NOT NULL,
    from_dt date NOT NULL,
    to_dt date,
    is_mention boolean NOT NULL,
    stated bit varying NOT NULL,
    said text[] NOT NULL,
    CONSTRAINT dim_user_said_check CHECK ((from_dt < to_dt))
);
CREATE SEQUENCE dwh.vehicle_sk
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
CREATE TABLE dwh.dim_vehicle (
    vehicle_sk bigint DEFAULT nextval('dwh.vehicle_sk'::regclass) NOT NULL,
    vehicle_id text,
    route_id text,
    transport_type text,
    capacity integer,
    vendor text,
    commissioned_at timestamp with time zone,
    decommissioned_at timestamp with time zone,
    is_inferred boolean DEFAULT false NOT NULL,
    load_id character varying(64),
    inserted_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT dim_vehicle_key CHECK (((vehicle_id IS NOT NULL) OR (vehicle_sk = 0)))
);
CREATE TABLE dwh.dim_vehicle_said (
    key text NOT NULL,
    from_dt date NOT NULL,
    to_dt date,
    is_mention boolean NOT NULL,
    stated bit varying NOT NULL,
    said text[] NOT NULL,
    CONSTRAINT dim_vehicle_said_check CHECK ((from_dt < to_dt))
);
CREATE TABLE dwh.fact_payment (
    payment_sk bigint NOT NULL,
    payment_id text NOT NULL,
    user_sk bigint NOT NULL,
    route_sk bigint NOT NULL,
    trip_sk bigint,
    payment_method_sk bigint NOT NULL,
    amount numeric(12,2),
    currency text,
    status text,
    paid_at timestamp with time zone NOT NULL,
    load_id character varying(64) NOT NULL,
    inserted_at timestamp with time zone DEFAULT now() NOT NULL,
    dt date NOT NULL,
    file_no smallint NOT NULL,
    trip_id text
)
PARTITION BY RANGE (dt);
CREATE TABLE dwh.fact_payment_20240501 (
    payment_sk bigint CONSTRAINT fact_payment_20240501_9bf22dcd_payment_sk_not_null NOT NULL,
    user_sk bigint CONSTRAINT fact_payment_20240501_9bf22dcd_user_sk_not_null NOT NULL,
    route_sk bigint CONSTRAINT fact_payment_20240501_9bf22dcd_route_sk_not_null NOT NULL,
    payment_method_sk bigint CONSTRAINT fact_payment_20240501_9bf22dcd_payment_method_sk_not_null NOT NULL,
    paid_at timestamp with time zone CONSTRAINT fact_payment_20240501_9bf22dcd_paid_at_not_null NOT NULL,
    trip_sk bigint,
    payment_id text CONSTRAINT fact_payment_20240501_9bf22dcd_payment_id_not_null NOT NULL,
    amount numeric(12,2),
    currency text,
    status text,
    trip_id text,
    inserted_at timestamp with time zone DEFAULT now() CONSTRAINT fact_payment_20240501_9bf22dcd_inserted_at_not_null NOT NULL,
    dt date CONSTRAINT fact_payment_20240501_9bf22dcd_dt_not_null NOT NULL,
    file_no smallint CONSTRAINT fact_payment_20240501_9bf22dcd_file_no_not_null NOT NULL,
    load_id character varying(64) CONSTRAINT fact_payment_20240501_9bf22dcd_load_id_not_null NOT NULL
);
CREATE TABLE dwh.fact_payment_20240502 (
    payment_sk bigint CONSTRAINT fact_payment_20240502_18abd9c2_payment_sk_not_null NOT NULL,
    user_sk bigint CONSTRAINT fact_payment_20240502_18abd9c2_user_sk_not_null NOT NULL,
    route_sk bigint CONSTRAINT fact_payment_20240502_18abd9c2_route_sk_not_null NOT NULL,
    payment_method_sk bigint CONSTRAINT fact_payment_20240502_18abd9c2_payment_method_sk_not_null NOT NULL,
    paid_at timestamp with time zone CONSTRAINT fact_payment_20240502_18abd9c2_paid_at_not_null NOT NULL,
    trip_sk bigint,
    payment_id text CONSTRAINT fact_payment_20240502_18abd9c2_payment_id_not_null NOT NULL,
    amount numeric(12,2),
    currency text,
    status text,
    trip_id text,
    inserted_at timestamp with time zone DEFAULT now() CONSTRAINT fact_payment_20240502_18abd9c2_inserted_at_not_null NOT NULL,
    dt date CONSTRAINT fact_payment_20240502_18abd9c2_dt_not_null NOT NULL,
    file_no smallint CONSTRAINT fact_payment_20240502_18abd9c2_file_no_not_null NOT NULL,
    load_id character varying(64) CONSTRAINT fact_payment_20240502_18abd9c2_load_id_not_null NOT NULL
);
CREATE TABLE dwh.fact_payment_20240503 (
    payment_sk bigint CONSTRAINT fact_payment_20240503_8b646642_payment_sk_not_null NOT NULL,
    user_sk bigint CONSTRAINT fact_payment_20240503_8b646642_user_sk_not_null NOT NULL,
    route_sk bigint CONSTRAINT fact_payment_20240503_8b646642_route_sk_not_null NOT NULL,
    payment_method_sk bigint CONSTRAINT fact_payment_20240503_8b646642_payment_method_sk_not_null NOT NULL,
    paid_at timestamp with time zone CONSTRAINT fact_payment_20240503_8b646642_paid_at_not_null NOT NULL,
    trip_sk bigint,
    payment_id text CONSTRAINT fact_payment_20240503_8b646642_payment_id_not_null NOT NULL,
    amount numeric(12,2),
    currency text,
    status text,
    trip_id text,
    inserted_at timestamp with time zone DEFAULT now() CONSTRAINT fact_payment_20240503_8b646642_inserted_at_not_null NOT NULL,
    dt date CONSTRAINT fact_payment_20240503_8b646642_dt_not_null NOT NULL,
    file_no smallint CONSTRAINT fact_payment_20240503_8b646642_file_no_not_null NOT NULL,
    load_id character varying(64) CONSTRAINT fact_payment_20240503_8b646642_load_id_not_null NOT NULL
);
CREATE TABLE dwh.fact_service_date (
    target text NOT NULL,
    dt date NOT NULL,
    service_date date NOT NULL
);
CREATE TABLE dwh.fact_trip (
    trip_sk bigint NOT NULL,
    trip_id text NOT NULL,
    user_sk bigint NOT NULL,
    route_sk bigint NOT NULL,
    vehicle_sk bigint NOT NULL,
    start_stop_sk bigint NOT NULL,
    end_stop_sk bigint NOT NULL,
    start_ts timestamp with time zone NOT NULL,
    end_ts timestamp with time zone,
    duration_sec bigint,
    distance_m double precision,
    fare_amount numeric(12,2),
    delay_start_sec integer,
    delay_end_sec integer,
    status text,
    load_id character varying(64) NOT NULL,
    inserted_at timestamp with time zone DEFAULT now() NOT NULL,
    dt date NOT NULL,
    file_no smallint NOT NULL
)
PARTITION BY RANGE (dt);
CREATE TABLE dwh.fact_trip_20240501 (
    trip_sk bigint CONSTRAINT fact_trip_20240501_9bf22dcd_trip_sk_not_null NOT NULL,
    user_sk bigint CONSTRAINT fact_trip_20240501_9bf22dcd_user_sk_not_null NOT NULL,
    route_sk bigint CONSTRAINT fact_trip_20240501_9bf22dcd_route_sk_not_null NOT NULL,
    vehicle_sk bigint CONSTRAINT fact_trip_20240501_9bf22dcd_vehicle_sk_not_null NOT NULL,
    start_stop_sk bigint CONSTRAINT fact_trip_20240501_9bf22dcd_start_stop_sk_not_null NOT NULL,
    end_stop_sk bigint CONSTRAINT fact_trip_20240501_9bf22dcd_end_stop_sk_not_null NOT NULL,
    start_ts timestamp with time zone CONSTRAINT fact_trip_20240501_9bf22dcd_start_ts_not_null NOT NULL,
    end_ts timestamp with time zone,
    duration_sec bigint,
    distance_m double precision,
    trip_id text CONSTRAINT fact_trip_20240501_9bf22dcd_trip_id_not_null NOT NULL,
    fare_amount numeric(12,2),
    status text,
    inserted_at timestamp with time zone DEFAULT now() CONSTRAINT fact_trip_20240501_9bf22dcd_inserted_at_not_null NOT NULL,
    dt date CONSTRAINT fact_trip_20240501_9bf22dcd_dt_not_null NOT NULL,
    delay_start_sec integer,
    delay_end_sec integer,
    file_no smallint CONSTRAINT fact_trip_20240501_9bf22dcd_file_no_not_null NOT NULL,
    load_id character varying(64) CONSTRAINT fact_trip_20240501_9bf22dcd_load_id_not_null NOT NULL
);
CREATE TABLE dwh.fact_trip_20240502 (
    trip_sk bigint CONSTRAINT fact_trip_20240502_18abd9c2_trip_sk_not_null NOT NULL,
    user_sk bigint CONSTRAINT fact_trip_20240502_18abd9c2_user_sk_not_null NOT NULL,
    route_sk bigint CONSTRAINT fact_trip_20240502_18abd9c2_route_sk_not_null NOT NULL,
    vehicle_sk bigint CONSTRAINT fact_trip_20240502_18abd9c2_vehicle_sk_not_null NOT NULL,
    start_stop_sk bigint CONSTRAINT fact_trip_20240502_18abd9c2_start_stop_sk_not_null NOT NULL,
    end_stop_sk bigint CONSTRAINT fact_trip_20240502_18abd9c2_end_stop_sk_not_null NOT NULL,
    start_ts timestamp with time zone CONSTRAINT fact_trip_20240502_18abd9c2_start_ts_not_null NOT NULL,
    end_ts timestamp with time zone,
    duration_sec bigint,
    distance_m double precision,
    trip_id text CONSTRAINT fact_trip_20240502_18abd9c2_trip_id_not_null NOT NULL,
    fare_amount numeric(12,2),
    status text,
    inserted_at timestamp with time zone DEFAULT now() CONSTRAINT fact_trip_20240502_18abd9c2_inserted_at_not_null NOT NULL,
    dt date CONSTRAINT fact_trip_20240502_18abd9c2_dt_not_null NOT NULL,
    delay_start_sec integer,
    delay_end_sec integer,
    file_no smallint CONSTRAINT fact_trip_20240502_18abd9c2_file_no_not_null NOT NULL,
    load_id character varying(64) CONSTRAINT fact_trip_20240502_18abd9c2_load_id_not_null NOT NULL
);
CREATE TABLE dwh.fact_trip_20240503 (
    trip_sk bigint CONSTRAINT fact_trip_20240503_8b646642_trip_sk_not_null NOT NULL,
    user_sk bigint CONSTRAINT fact_trip_20240503_8b646642_user_sk_not_null NOT NULL,
    route_sk bigint CONSTRAINT fact_trip_20240503_8b646642_route_sk_not_null NOT NULL,
    vehicle_sk bigint CONSTRAINT fact_trip_20240503_8b646642_vehicle_sk_not_null NOT NULL,
    start_stop_sk bigint CONSTRAINT fact_trip_20240503_8b646642_start_stop_sk_not_null NOT NULL,
    end_stop_sk bigint CONSTRAINT fact_trip_20240503_8b646642_end_stop_sk_not_null NOT NULL,
    start_ts timestamp with time zone CONSTRAINT fact_trip_20240503_8b646642_start_ts_not_null NOT NULL,
    end_ts timestamp with time zone,
    duration_sec bigint,
    distance_m double precision,
    trip_id text CONSTRAINT fact_trip_20240503_8b646642_trip_id_not_null NOT NULL,
    fare_amount numeric(12,2),
    status text,
    inserted_at timestamp with time zone DEFAULT now() CONSTRAINT fact_trip_20240503_8b646642_inserted_at_not_null NOT NULL,
    dt date CONSTRAINT fact_trip_20240503_8b646642_dt_not_null NOT NULL,
    delay_start_sec integer,
    delay_end_sec integer,
    file_no smallint CONSTRAINT fact_trip_20240503_8b646642_file_no_not_null NOT NULL,
    load_id character varying(64) CONSTRAINT fact_trip_20240503_8b646642_load_id_not_null NOT NULL
);
CREATE TABLE dwh.fact_vehicle_position (
    position_sk bigint NOT NULL,
    event_ts timestamp with time zone NOT NULL,
    event_date_sk integer NOT NULL,
    event_time_sk integer NOT NULL,
    vehicle_sk bigint NOT NULL,
    route_sk bigint NOT NULL,
    lat double precision,
    lon double precision,
    speed double precision,
    heading double precision,
    provider_ts timestamp with time zone,
    load_id character varying(64) NOT NULL,
    inserted_at timestamp with time zone DEFAULT now() NOT NULL,
    dt date NOT NULL,
    file_no smallint NOT NULL
)
PARTITION BY RANGE (dt);
CREATE TABLE dwh.fact_vehicle_position_20240501 (
    position_sk bigint CONSTRAINT fact_vehicle_position_20240501_9bf22dcd_position_sk_not_null NOT NULL,
    event_ts timestamp with time zone CONSTRAINT fact_vehicle_position_20240501_9bf22dcd_event_ts_not_null NOT NULL,
    vehicle_sk bigint CONSTRAINT fact_vehicle_position_20240501_9bf22dcd_vehicle_sk_not_null NOT NULL,
    route_sk bigint CONSTRAINT fact_vehicle_position_20240501_9bf22dcd_route_sk_not_null NOT NULL,
    lat double precision,
    lon double precision,
    speed double precision,
    heading double precision,
    provider_ts timestamp with time zone,
    event_date_sk integer CONSTRAINT fact_vehicle_position_20240501_9bf22dcd_event_date_sk_not_null NOT NULL,
    event_time_sk integer CONSTRAINT fact_vehicle_position_20240501_9bf22dcd_event_time_sk_not_null NOT NULL,
    inserted_at timestamp with time zone DEFAULT now() CONSTRAINT fact_vehicle_position_20240501_9bf22dcd_inserted_at_not_null NOT NULL,
    dt date CONSTRAINT fact_vehicle_position_20240501_9bf22dcd_dt_not_null NOT NULL,
    file_no smallint CONSTRAINT fact_vehicle_position_20240501_9bf22dcd_file_no_not_null NOT NULL,
    load_id character varying(64) CONSTRAINT fact_vehicle_position_20240501_9bf22dcd_load_id_not_null NOT NULL
);
CREATE TABLE dwh.fact_vehicle_position_20240502 (
    position_sk bigint CONSTRAINT fact_vehicle_position_20240502_18abd9c2_position_sk_not_null NOT NULL,
    event_ts timestamp with time zone CONSTRAINT fact_vehicle_position_20240502_18abd9c2_event_ts_not_null NOT NULL,
    vehicle_sk bigint CONSTRAINT fact_vehicle_position_20240502_18abd9c2_vehicle_sk_not_null NOT NULL,
    route_sk bigint CONSTRAINT fact_vehicle_position_20240502_18abd9c2_route_sk_not_null NOT NULL,
    lat double precision,
    lon double precision,
    speed double precision,
    heading double precision,
    provider_ts timestamp with time zone,
    event_date_sk integer CONSTRAINT fact_vehicle_position_20240502_18abd9c2_event_date_sk_not_null NOT NULL,
    event_time_sk integer CONSTRAINT fact_vehicle_position_20240502_18abd9c2_event_time_sk_not_null NOT NULL,
    inserted_at timestamp with time zone DEFAULT now() CONSTRAINT fact_vehicle_position_20240502_18abd9c2_inserted_at_not_null NOT NULL,
    dt date CONSTRAINT fact_vehicle_position_20240502_18abd9c2_dt_not_null NOT NULL,
    file_no smallint CONSTRAINT fact_vehicle_position_20240502_18abd9c2_file_no_not_null NOT NULL,
    load_id character varying(64) CONSTRAINT fact_vehicle_position_20240502_18abd9c2_load_id_not_null NOT NULL
);
CREATE TABLE dwh.fact_vehicle_position_20240503 (
    position_sk bigint CONSTRAINT fact_vehicle_position_20240503_8b646642_position_sk_not_null NOT NULL,
    event_ts timestamp with time zone CONSTRAINT fact_vehicle_position_20240503_8b646642_event_ts_not_null NOT NULL,
    vehicle_sk bigint CONSTRAINT fact_vehicle_position_20240503_8b646642_vehicle_sk_not_null NOT NULL,
    route_sk bigint CONSTRAINT fact_vehicle_position_20240503_8b646642_route_sk_not_null NOT NULL,
    lat double precision,
    lon double precision,
    speed double precision,
    heading double precision,
    provider_ts timestamp with time zone,
    event_date_sk integer CONSTRAINT fact_vehicle_position_20240503_8b646642_event_date_sk_not_null NOT NULL,
    event_time_sk integer CONSTRAINT fact_vehicle_position_20240503_8b646642_event_time_sk_not_null NOT NULL,
    inserted_at timestamp with time zone DEFAULT now() CONSTRAINT fact_vehicle_position_20240503_8b646642_inserted_at_not_null NOT NULL,
    dt date CONSTRAINT fact_vehicle_position_20240503_8b646642_dt_not_null NOT NULL,
    file_no smallint CONSTRAINT fact_vehicle_position_20240503_8b646642_file_no_not_null NOT NULL,
    load_id character varying(64) CONSTRAINT fact_vehicle_position_20240503_8b646642_load_id_not_null NOT NULL
);
CREATE TABLE dwh.load_ledger (
    target text NOT NULL,
    dt date NOT NULL,
    file text NOT NULL,
    file_no smallint NOT NULL,
    size_bytes bigint NOT NULL,
    sha256 text NOT NULL,
    rows_read bigint NOT NULL,
    rows_loaded bigint NOT NULL,
    rows_duplicate bigint NOT NULL,
    rows_superseded bigint NOT NULL,
    rows_rejected bigint NOT NULL,
    settings_fingerprint text NOT NULL,
    run_id text NOT NULL,
    loaded_at timestamp with time zone DEFAULT now() NOT NULL,
    purged_at timestamp with time zone,
    CONSTRAINT load_ledger_conserves CHECK ((rows_read = (((rows_loaded + rows_duplicate) + rows_superseded) + rows_rejected)))
);
CREATE TABLE dwh.mart_build (
    service_date date NOT NULL,
    rows bigint NOT NULL,
    run_id text NOT NULL,
    built_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE dwh.mart_dirty (
    id bigint NOT NULL,
    service_date date NOT NULL,
    reason text NOT NULL,
    run_id text NOT NULL,
    noted_at timestamp with time zone DEFAULT now() NOT NULL
);
ALTER TABLE dwh.mart_dirty ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME dwh.mart_dirty_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE dwh.payment_key (
    payment_id text NOT NULL,
    payment_sk bigint NOT NULL,
    dt date NOT NULL
);
CREATE SEQUENCE dwh.payment_sk
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
CREATE SEQUENCE dwh.position_sk
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
CREATE TABLE dwh.quality_result (
    run_id text NOT NULL,
    checked_at timestamp with time zone DEFAULT now() NOT NULL,
    dt date,
    name text NOT NULL,
    table_name text NOT NULL,
    severity text NOT NULL,
    passed boolean NOT NULL,
    found text NOT NULL,
    expected text NOT NULL,
    CONSTRAINT quality_result_severity_check CHECK ((severity = ANY (ARRAY['warn'::text, 'error'::text])))
);
CREATE TABLE dwh.step_failure (
    step text NOT NULL,
    dt date,
    kind text NOT NULL,
    message text NOT NULL,
    run_id text NOT NULL,
    failed_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE dwh.superseded_payment (
    payment_id text NOT NULL,
    user_id text,
    route_id text,
    payment_method text,
    amount numeric(12,2),
    currency text,
    status text,
    paid_at timestamp with time zone NOT NULL,
    load_id character varying(64) NOT NULL,
    inserted_at timestamp with time zone NOT NULL,
    dt date NOT NULL,
    file_no smallint NOT NULL,
    trip_id text
);
CREATE TABLE dwh.superseded_trip (
    trip_id text NOT NULL,
    user_id text,
    route_id text,
    vehicle_id text,
    start_stop_id text,
    end_stop_id text,
    start_ts timestamp with time zone NOT NULL,
    end_ts timestamp with time zone,
    duration_sec bigint,
    distance_m double precision,
    fare_amount numeric(12,2),
    status text,
    load_id character varying(64) NOT NULL,
    inserted_at timestamp with time zone NOT NULL,
    dt date NOT NULL,
    file_no smallint NOT NULL
);
CREATE TABLE dwh.trip_key (
    trip_id text NOT NULL,
    trip_sk bigint NOT NULL,
    dt date NOT NULL
);
CREATE SEQUENCE dwh.trip_sk
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
CREATE TABLE staging.payments_raw (
    payment_id text,
    user_id text,
    route_id text,
    trip_id text,
    amount numeric(12,2),
    currency text,
    status text,
    payment_method text,
    paid_at timestamp with time zone,
    load_id character varying(64) NOT NULL,
    ingestion_ts timestamp with time zone DEFAULT now() NOT NULL,
    dt date NOT NULL
)
PARTITION BY RANGE (dt);
CREATE TABLE staging.payments_raw_20240501 (
    paid_at timestamp with time zone,
    payment_id text,
    user_id text,
    route_id text,
    trip_id text,
    amount numeric(12,2),
    currency text,
    status text,
    payment_method text,
    ingestion_ts timestamp with time zone DEFAULT now() CONSTRAINT payments_raw_20240501_7f426d9b_ingestion_ts_not_null NOT NULL,
    dt date CONSTRAINT payments_raw_20240501_7f426d9b_dt_not_null NOT NULL,
    load_id character varying(64) CONSTRAINT payments_raw_20240501_7f426d9b_load_id_not_null NOT NULL
);
CREATE TABLE staging.payments_raw_20240502 (
    paid_at timestamp with time zone,
    payment_id text,
    user_id text,
    route_id text,
    trip_id text,
    amount numeric(12,2),
    currency text,
    status text,
    payment_method text,
    ingestion_ts timestamp with time zone DEFAULT now() CONSTRAINT payments_raw_20240502_71ddf86d_ingestion_ts_not_null NOT NULL,
    dt date CONSTRAINT payments_raw_20240502_71ddf86d_dt_not_null NOT NULL,
    load_id character varying(64) CONSTRAINT payments_raw_20240502_71ddf86d_load_id_not_null NOT NULL
);
CREATE TABLE staging.payments_raw_20240503 (
    paid_at timestamp with time zone,
    payment_id text,
    user_id text,
    route_id text,
    trip_id text,
    amount numeric(12,2),
    currency text,
    status text,
    payment_method text,
    ingestion_ts timestamp with time zone DEFAULT now() CONSTRAINT payments_raw_20240503_d8fe20cb_ingestion_ts_not_null NOT NULL,
    dt date CONSTRAINT payments_raw_20240503_d8fe20cb_dt_not_null NOT NULL,
    load_id character varying(64) CONSTRAINT payments_raw_20240503_d8fe20cb_load_id_not_null NOT NULL
);
CREATE TABLE staging.rejected (
    dataset text NOT NULL,
    dt date NOT NULL,
    file text NOT NULL,
    row_number bigint NOT NULL,
    reasons text[] NOT NULL,
    row_json jsonb NOT NULL,
    load_id character varying(64) NOT NULL,
    rejected_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE staging.repaired (
    dataset text NOT NULL,
    dt date NOT NULL,
    file text NOT NULL,
    row_number bigint NOT NULL,
    sha256 text NOT NULL,
    reasons text[] NOT NULL,
    row_json jsonb NOT NULL,
    repaired jsonb NOT NULL,
    run_id text NOT NULL,
    repaired_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE staging.routes_raw (
    route_id text,
    name text,
    transport_type text,
    base_fare numeric(12,2),
    schema_json jsonb,
    active_from timestamp with time zone,
    active_to timestamp with time zone,
    load_id character varying(64) NOT NULL,
    ingestion_ts timestamp with time zone DEFAULT now() NOT NULL,
    dt date NOT NULL
)
PARTITION BY RANGE (dt);
CREATE TABLE staging.routes_raw_20240501 (
    active_from timestamp with time zone,
    active_to timestamp with time zone,
    route_id text,
    name text,
    transport_type text,
    base_fare numeric(12,2),
    schema_json jsonb,
    ingestion_ts timestamp with time zone DEFAULT now() CONSTRAINT routes_raw_20240501_7f426d9b_ingestion_ts_not_null NOT NULL,
    dt date CONSTRAINT routes_raw_20240501_7f426d9b_dt_not_null NOT NULL,
    load_id character varying(64) CONSTRAINT routes_raw_20240501_7f426d9b_load_id_not_null NOT NULL
);
CREATE TABLE staging.routes_raw_20240502 (
    active_from timestamp with time zone,
    active_to timestamp with time zone,
    route_id text,
    name text,
    transport_type text,
    base_fare numeric(12,2),
    schema_json jsonb,
    ingestion_ts timestamp with time zone DEFAULT now() CONSTRAINT routes_raw_20240502_71ddf86d_ingestion_ts_not_null NOT NULL,
    dt date CONSTRAINT routes_raw_20240502_71ddf86d_dt_not_null NOT NULL,
    load_id character varying(64) CONSTRAINT routes_raw_20240502_71ddf86d_load_id_not_null NOT NULL
);
CREATE TABLE staging.routes_raw_20240503 (
    active_from timestamp with time zone,
    active_to timestamp with time zone,
    route_id text,
    name text,
    transport_type text,
    base_fare numeric(12,2),
    schema_json jsonb,
    ingestion_ts timestamp with time zone DEFAULT now() CONSTRAINT routes_raw_20240503_d8fe20cb_ingestion_ts_not_null NOT NULL,
    dt date CONSTRAINT routes_raw_20240503_d8fe20cb_dt_not_null NOT NULL,
    load_id character varying(64) CONSTRAINT routes_raw_20240503_d8fe20cb_load_id_not_null NOT NULL
);
CREATE TABLE staging.stops_raw (
    stop_id text,
    name text,
    lat double precision,
    lon double precision,
    city text,
    load_id character varying(64) NOT NULL,
    ingestion_ts timestamp with time zone DEFAULT now() NOT NULL,
    dt date NOT NULL
)
PARTITION BY RANGE (dt);
CREATE TABLE staging.trips_raw (
    trip_id text,
    user_id text,
    route_id text,
    vehicle_id text,
    start_ts timestamp with time zone,
    end_ts timestamp with time zone,
    start_stop_id text,
    end_stop_id text,
    distance_m double precision,
    fare numeric(12,2),
    status text,
    load_id character varying(64) NOT NULL,
    ingestion_ts timestamp with time zone DEFAULT now() NOT NULL,
    dt date NOT NULL
)
PARTITION BY RANGE (dt);
CREATE TABLE staging.trips_raw_20240501 (
    start_ts timestamp with time zone,
    end_ts timestamp with time zone,
    distance_m double precision,
    trip_id text,
    user_id text,
    route_id text,
    vehicle_id text,
    start_stop_id text,
    end_stop_id text,
    fare numeric(12,2),
    status text,
    ingestion_ts timestamp with time zone DEFAULT now() CONSTRAINT trips_raw_20240501_7f426d9b_ingestion_ts_not_null NOT NULL,
    dt date CONSTRAINT trips_raw_20240501_7f426d9b_dt_not_null NOT NULL,
    load_id character varying(64) CONSTRAINT trips_raw_20240501_7f426d9b_load_id_not_null NOT NULL
);
CREATE TABLE staging.trips_raw_20240502 (
    start_ts timestamp with time zone,
    end_ts timestamp with time zone,
    distance_m double precision,
    trip_id text,
    user_id text,
    route_id text,
    vehicle_id text,
    start_stop_id text,
    end_stop_id text,
    fare numeric(12,2),
    status text,
    ingestion_ts timestamp with time zone DEFAULT now() CONSTRAINT trips_raw_20240502_71ddf86d_ingestion_ts_not_null NOT NULL,
    dt date CONSTRAINT trips_raw_20240502_71ddf86d_dt_not_null NOT NULL,
    load_id character varying(64) CONSTRAINT trips_raw_20240502_71ddf86d_load_id_not_null NOT NULL
);
CREATE TABLE staging.trips_raw_20240503 (
    start_ts timestamp with time zone,
    end_ts timestamp with time zone,
    distance_m double precision,
    trip_id text,
    user_id text,
    route_id text,
    vehicle_id text,
    start_stop_id text,
    end_stop_id text,
    fare numeric(12,2),
    status text,
    ingestion_ts timestamp with time zone DEFAULT now() CONSTRAINT trips_raw_20240503_d8fe20cb_ingestion_ts_not_null NOT NULL,
    dt date CONSTRAINT trips_raw_20240503_d8fe20cb_dt_not_null NOT NULL,
    load_id character varying(64) CONSTRAINT trips_raw_20240503_d8fe20cb_load_id_not_null NOT NULL
);
CREATE TABLE staging.users_raw (
    user_id text,
    created_at timestamp with time zone,
    city text,
    lang text,
    gender text,
    birthdate date,
    is_active boolean,
    payload jsonb,
    load_id character varying(64) NOT NULL,
    ingestion_ts timestamp with time zone DEFAULT now() NOT NULL,
    dt date NOT NULL
)
PARTITION BY RANGE (dt);
CREATE TABLE staging.users_raw_20240501 (
    created_at timestamp with time zone,
    birthdate date,
    is_active boolean,
    user_id text,
    city text,
    lang text,
    gender text,
    ingestion_ts timestamp with time zone DEFAULT now() CONSTRAINT users_raw_20240501_7f426d9b_ingestion_ts_not_null NOT NULL,
    dt date CONSTRAINT users_raw_20240501_7f426d9b_dt_not_null NOT NULL,
    load_id character varying(64) CONSTRAINT users_raw_20240501_7f426d9b_load_id_not_null NOT NULL,
    payload jsonb
);
CREATE TABLE staging.users_raw_20240502 (
    created_at timestamp with time zone,
    birthdate date,
    is_active boolean,
    user_id text,
    city text,
    lang text,
    gender text,
    ingestion_ts timestamp with time zone DEFAULT now() CONSTRAINT users_raw_20240502_71ddf86d_ingestion_ts_not_null NOT NULL,
    dt date CONSTRAINT users_raw_20240502_71ddf86d_dt_not_null NOT NULL,
    load_id character varying(64) CONSTRAINT users_raw_20240502_71ddf86d_load_id_not_null NOT NULL,
    payload jsonb
);
CREATE TABLE staging.users_raw_20240503 (
    created_at timestamp with time zone,
    birthdate date,
    is_active boolean,
    user_id text,
    city text,
    lang text,
    gender text,
    ingestion_ts timestamp with time zone DEFAULT now() CONSTRAINT users_raw_20240503_d8fe20cb_ingestion_ts_not_null NOT NULL,
    dt date CONSTRAINT users_raw_20240503_d8fe20cb_dt_not_null NOT NULL,
    load_id character varying(64) CONSTRAINT users_raw_20240503_d8fe20cb_load_id_not_null NOT NULL,
    payload jsonb
);
CREATE TABLE staging.vehicle_positions_raw (
    event_ts timestamp with time zone,
    vehicle_id text,
    route_id text,
    lat double precision,
    lon double precision,
    speed double precision,
    heading double precision,
    provider_ts timestamp with time zone,
    payload jsonb,
    load_id character varying(64) NOT NULL,
    ingestion_ts timestamp with time zone DEFAULT now() NOT NULL,
    dt date NOT NULL
)
PARTITION BY RANGE (dt);
CREATE TABLE staging.vehicle_positions_raw_20240501 (
    event_ts timestamp with time zone,
    lat double precision,
    lon double precision,
    speed double precision,
    heading double precision,
    provider_ts timestamp with time zone,
    vehicle_id text,
    route_id text,
    ingestion_ts timestamp with time zone DEFAULT now() CONSTRAINT vehicle_positions_raw_20240501_7f426d9b_ingestion_ts_not_null NOT NULL,
    dt date CONSTRAINT vehicle_positions_raw_20240501_7f426d9b_dt_not_null NOT NULL,
    load_id character varying(64) CONSTRAINT vehicle_positions_raw_20240501_7f426d9b_load_id_not_null NOT NULL,
    payload jsonb
);
CREATE TABLE staging.vehicle_positions_raw_20240502 (
    event_ts timestamp with time zone,
    lat double precision,
    lon double precision,
    speed double precision,
    heading double precision,
    provider_ts timestamp with time zone,
    vehicle_id text,
    route_id text,
    ingestion_ts timestamp with time zone DEFAULT now() CONSTRAINT vehicle_positions_raw_20240502_71ddf86d_ingestion_ts_not_null NOT NULL,
    dt date CONSTRAINT vehicle_positions_raw_20240502_71ddf86d_dt_not_null NOT NULL,
    load_id character varying(64) CONSTRAINT vehicle_positions_raw_20240502_71ddf86d_load_id_not_null NOT NULL,
    payload jsonb
);
CREATE TABLE staging.vehicle_positions_raw_20240503 (
    event_ts timestamp with time zone,
    lat double precision,
    lon double precision,
    speed double precision,
    heading double precision,
    provider_ts timestamp with time zone,
    vehicle_id text,
    route_id text,
    ingestion_ts timestamp with time zone DEFAULT now() CONSTRAINT vehicle_positions_raw_20240503_d8fe20cb_ingestion_ts_not_null NOT NULL,
    dt date CONSTRAINT vehicle_positions_raw_20240503_d8fe20cb_dt_not_null NOT NULL,
    load_id character varying(64) CONSTRAINT vehicle_positions_raw_20240503_d8fe20cb_load_id_not_null NOT NULL,
    payload jsonb
);
CREATE TABLE staging.vehicles_raw (
    vehicle_id text,
    route_id text,
    transport_type text,
    capacity integer,
    vendor text,
    commissioned_at timestamp with time zone,
    decommissioned_at timestamp with time zone,
    load_id character varying(64) NOT NULL,
    ingestion_ts timestamp with time zone DEFAULT now() NOT NULL,
    dt date NOT NULL
)
PARTITION BY RANGE (dt);
CREATE TABLE staging.vehicles_raw_20240501 (
    commissioned_at timestamp with time zone,
    decommissioned_at timestamp with time zone,
    capacity integer,
    vehicle_id text,
    route_id text,
    transport_type text,
    vendor text,
    ingestion_ts timestamp with time zone DEFAULT now() CONSTRAINT vehicles_raw_20240501_7f426d9b_ingestion_ts_not_null NOT NULL,
    dt date CONSTRAINT vehicles_raw_20240501_7f426d9b_dt_not_null NOT NULL,
    load_id character varying(64) CONSTRAINT vehicles_raw_20240501_7f426d9b_load_id_not_null NOT NULL
);
CREATE TABLE staging.vehicles_raw_20240502 (
    commissioned_at timestamp with time zone,
    decommissioned_at timestamp with time zone,
    capacity integer,
    vehicle_id text,
    route_id text,
    transport_type text,
    vendor text,
    ingestion_ts timestamp with time zone DEFAULT now() CONSTRAINT vehicles_raw_20240502_71ddf86d_ingestion_ts_not_null NOT NULL,
    dt date CONSTRAINT vehicles_raw_20240502_71ddf86d_dt_not_null NOT NULL,
    load_id character varying(64) CONSTRAINT vehicles_raw_20240502_71ddf86d_load_id_not_null NOT NULL
);
ALTER TABLE ONLY dwh.fact_payment ATTACH PARTITION dwh.fact_payment_20240501 FOR VALUES FROM ('2024-05-01') TO ('2024-05-02');
ALTER TABLE ONLY dwh.fact_payment ATTACH PARTITION dwh.fact_payment_20240502 FOR VALUES FROM ('2024-05-02') TO ('2024-05-03');
ALTER TABLE ONLY dwh.fact_payment ATTACH PARTITION dwh.fact_payment_20240503 FOR VALUES FROM ('2024-05-03') TO ('2024-05-04');
ALTER TABLE ONLY dwh.fact_trip ATTACH PARTITION dwh.fact_trip_20240501 FOR VALUES FROM ('2024-05-01') TO ('2024-05-02');
ALTER TABLE ONLY dwh.fact_trip ATTACH PARTITION dwh.fact_trip_20240502 FOR VALUES FROM ('2024-05-02') TO ('2024-05-03');
ALTER TABLE ONLY dwh.fact_trip ATTACH PARTITION dwh.fact_trip_20240503 FOR VALUES FROM ('2024-05-03') TO ('2024-05-04');
ALTER TABLE ONLY dwh.fact_vehicle_position ATTACH PARTITION dwh.fact_vehicle_position_20240501 FOR VALUES FROM ('2024-05-01') TO ('2024-05-02');
ALTER TABLE ONLY dwh.fact_vehicle_position ATTACH PARTITION dwh.fact_vehicle_position_20240502 FOR VALUES FROM ('2024-05-02') TO ('2024-05-03');
ALTER TABLE ONLY dwh.fact_vehicle_position ATTACH PARTITION dwh.fact_vehicle_position_20240503 FOR VALUES FROM ('2024-05-03') TO ('2024-05-04');
ALTER TABLE ONLY staging.payments_raw ATTACH PARTITION staging.payments_raw_20240501 FOR VALUES FROM ('2024-05-01') TO ('2024-05-02');
ALTER TABLE ONLY staging.payments_raw ATTACH PARTITION staging.payments_raw_20240502 FOR VALUES FROM ('2024-05-02') TO ('2024-05-03');
ALTER TABLE ONLY staging.payments_raw ATTACH PARTITION staging.payments_raw_20240503 FOR VALUES FROM ('2024-05-03') TO ('2024-05-04');
ALTER TABLE ONLY staging.routes_raw ATTACH PARTITION staging.routes_raw_20240501 FOR VALUES FROM ('2024-05-01') TO ('2024-05-02');
ALTER TABLE ONLY staging.routes_raw ATTACH PARTITION staging.routes_raw_20240502 FOR VALUES FROM ('2024-05-02') TO ('2024-05-03');
ALTER TABLE ONLY staging.routes_raw ATTACH PARTITION staging.routes_raw_20240503 FOR VALUES FROM ('2024-05-03') TO ('2024-05-04');
ALTER TABLE ONLY staging.trips_raw ATTACH PARTITION staging.trips_raw_20240501 FOR VALUES FROM ('2024-05-01') TO ('2024-05-02');
ALTER TABLE ONLY staging.trips_raw ATTACH PARTITION staging.trips_raw_20240502 FOR VALUES FROM ('2024-05-02') TO ('2024-05-03');
ALTER TABLE ONLY staging.trips_raw ATTACH PARTITION staging.trips_raw_20240503 FOR VALUES FROM ('2024-05-03') TO ('2024-05-04');
ALTER TABLE ONLY staging.users_raw ATTACH PARTITION staging.users_raw_20240501 FOR VALUES FROM ('2024-05-01') TO ('2024-05-02');
ALTER TABLE ONLY staging.users_raw ATTACH PARTITION staging.users_raw_20240502 FOR VALUES FROM ('2024-05-02') TO ('2024-05-03');
ALTER TABLE ONLY staging.users_raw ATTACH PARTITION staging.users_raw_20240503 FOR VALUES FROM ('2024-05-03') TO ('2024-05-04');
ALTER TABLE ONLY staging.vehicle_positions_raw ATTACH PARTITION staging.vehicle_positions_raw_20240501 FOR VALUES FROM ('2024-05-01') TO ('2024-05-02');
ALTER TABLE ONLY staging.vehicle_positions_raw ATTACH PARTITION staging.vehicle_positions_raw_20240502 FOR VALUES FROM ('2024-05-02') TO ('2024-05-03');
ALTER TABLE ONLY staging.vehicle_positions_raw ATTACH PARTITION staging.vehicle_positions_raw_20240503 FOR VALUES FROM ('2024-05-03') TO ('2024-05-04');
ALTER TABLE ONLY staging.vehicles_raw ATTACH PARTITION staging.vehicles_raw_20240501 FOR VALUES FROM ('2024-05-01') TO ('2024-05-02');
ALTER TABLE ONLY staging.vehicles_raw ATTACH PARTITION staging.vehicles_raw_20240502 FOR VALUES FROM ('2024-05-02') TO ('2024-05-03');
INSERT INTO dwh.agg_position_route_hourly VALUES ('2024-05-01', '2024-05-01 08:00:00+00', 'R1', 1, 30, 1, '{V1}', '62effd1f443ecc14');
INSERT INTO dwh.agg_position_route_hourly VALUES ('2024-05-01', '2024-05-01 09:00:00+00', 'R1', 1, 30, 1, '{V9}', '62effd1f443ecc14');
INSERT INTO dwh.agg_position_route_hourly VALUES ('2024-05-02', '2024-05-01 23:00:00+00', 'R3', 1, 30, 1, '{V8}', '62effd1f443ecc14');
INSERT INTO dwh.agg_position_route_hourly VALUES ('2024-05-02', '2024-05-02 08:00:00+00', 'R2', 1, 30, 1, '{V2}', '62effd1f443ecc14');
INSERT INTO dwh.agg_position_route_hourly VALUES ('2024-05-03', '2024-05-03 08:00:00+00', 'R2', 1, 30, 1, '{V2}', '62effd1f443ecc14');
INSERT INTO dwh.agg_position_route_hourly VALUES ('2024-05-03', '2024-05-03 09:00:00+00', 'R1', 1, 30, 1, '{V9}', '62effd1f443ecc14');
INSERT INTO dwh.deployment VALUES ('schema_version', '3');
INSERT INTO dwh.deployment VALUES ('time_zone', 'UTC');
INSERT INTO dwh.deployment VALUES ('absent dwh.dim_vehicle', 'ignore');
INSERT INTO dwh.deployment VALUES ('absent dwh.dim_route', 'close');
INSERT INTO dwh.deployment VALUES ('absent dwh.dim_user', 'ignore');
INSERT INTO dwh.dim_payment_method VALUES (0, NULL, NULL, NULL, '2026-11-29 19:56:47.15318+00');
INSERT INTO dwh.dim_payment_method VALUES (1, 'card', 'card', NULL, '2026-11-29 19:56:47.15318+00');
INSERT INTO dwh.dim_payment_method VALUES (2, 'wallet', 'wallet', NULL, '2026-11-29 19:56:47.15318+00');
INSERT INTO dwh.dim_payment_method VALUES (3, 'promo', 'promo', NULL, '2026-11-29 19:56:47.15318+00');
INSERT INTO dwh.dim_payment_method VALUES (4, 'coin', 'coin', NULL, '2026-11-29 19:56:47.89962+00');
INSERT INTO dwh.dim_route VALUES (0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, DEFAULT, false, NULL, '2026-11-29 19:56:47.15318+00');
INSERT INTO dwh.dim_route VALUES (1, 'R1', 'Route R1', 'bus', 10.00, NULL, true, '2024-05-01 00:00:00+00', NULL, DEFAULT, false, 'batch_2024-05-01', '2026-11-29 19:56:47.35641+00');
INSERT INTO dwh.dim_route VALUES (2, 'R2', 'Route R2', 'bus', 20.00, NULL, true, '2024-05-01 00:00:00+00', '2024-05-02 00:00:00+00', DEFAULT, false, 'batch_2024-05-02', '2026-11-29 19:56:47.35641+00');
INSERT INTO dwh.dim_route VALUES (3, 'R3', 'Route R3', 'bus', 5.00, NULL, true, '2024-05-01 00:00:00+00', '2024-05-02 00:00:00+00', DEFAULT, false, 'batch_2024-05-02', '2026-11-29 19:56:47.35641+00');
INSERT INTO dwh.dim_route VALUES (4, 'R2', 'Route R2', 'bus', 25.00, NULL, true, '2024-05-02 00:00:00+00', '2024-05-03 00:00:00+00', DEFAULT, false, 'batch_2024-05-03', '2026-11-29 19:56:47.716128+00');
INSERT INTO dwh.dim_route VALUES (5, 'R2', 'Route R2', 'bus', 20.00, NULL, true, '2024-05-03 00:00:00+00', NULL, DEFAULT, false, 'batch_2024-05-03', '2026-11-29 19:56:48.049431+00');
INSERT INTO dwh.dim_route VALUES (6, 'R3', 'Route R3', 'bus', 5.00, NULL, true, '2024-05-03 00:00:00+00', NULL, DEFAULT, false, 'batch_2024-05-03', '2026-11-29 19:56:48.049431+00');
INSERT INTO dwh.dim_route_said VALUES ('R1', '2024-05-01', NULL, false, B'111', '{"Route R1",bus,10.00,NULL,NULL,NULL}');
INSERT INTO dwh.dim_route_said VALUES ('R2', '2024-05-01', '2024-05-02', false, B'111', '{"Route R2",bus,20.00,NULL,NULL,NULL}');
INSERT INTO dwh.dim_route_said VALUES ('R3', '2024-05-01', '2024-05-02', false, B'111', '{"Route R3",bus,5.00,NULL,NULL,NULL}');
INSERT INTO dwh.dim_route_said VALUES ('R2', '2024-05-02', '2024-05-03', false, B'111', '{"Route R2",bus,25.00,NULL,NULL,NULL}');
INSERT INTO dwh.dim_route_said VALUES ('R2', '2024-05-03', NULL, false, B'111', '{"Route R2",bus,20.00,NULL,NULL,NULL}');
INSERT INTO dwh.dim_route_said VALUES ('R3', '2024-05-03', NULL, false, B'111', '{"Route R3",bus,5.00,NULL,NULL,NULL}');
INSERT INTO dwh.dim_stop VALUES (0, NULL, NULL, NULL, NULL, NULL, false, NULL, '2026-11-29 19:56:47.15318+00');
INSERT INTO dwh.dim_stop VALUES (1, 'S1', NULL, NULL, NULL, NULL, true, 'batch_2024-05-01', '2026-11-29 19:56:47.485351+00');
INSERT INTO dwh.dim_stop VALUES (2, 'S2', NULL, NULL, NULL, NULL, true, 'batch_2024-05-01', '2026-11-29 19:56:47.485351+00');
INSERT INTO dwh.dim_user VALUES (0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, DEFAULT, false, NULL, '2026-11-29 19:56:47.15318+00');
INSERT INTO dwh.dim_user VALUES (2, 'U2', 'Tver', 'en', NULL, NULL, NULL, true, '2024-05-01 00:00:00+00', NULL, DEFAULT, false, 'batch_2024-05-01', '2026-11-29 19:56:47.38407+00');
INSERT INTO dwh.dim_user VALUES (1, 'U1', 'Moscow', 'en', NULL, NULL, NULL, true, '2024-05-01 00:00:00+00', '2024-05-02 00:00:00+00', DEFAULT, false, 'batch_2024-05-02', '2026-11-29 19:56:47.38407+00');
INSERT INTO dwh.dim_user VALUES (3, 'U1', 'Riga', 'en', NULL, NULL, NULL, true, '2024-05-02 00:00:00+00', '2024-05-03 00:00:00+00', DEFAULT, false, 'batch_2024-05-03', '2026-11-29 19:56:47.754583+00');
INSERT INTO dwh.dim_user VALUES (4, 'U1', 'Moscow', 'en', NULL, NULL, NULL, true, '2024-05-03 00:00:00+00', NULL, DEFAULT, false, 'batch_2024-05-03', '2026-11-29 19:56:48.074821+00');
INSERT INTO dwh.dim_user VALUES (5, 'U3', 'Tver', 'en', NULL, NULL, NULL, true, '2024-05-03 00:00:00+00', NULL, DEFAULT, false, 'batch_2024-05-03', '2026-11-29 19:56:48.074821+00');
INSERT INTO dwh.dim_user_said VALUES ('U1', '2024-05-01', '2024-05-02', false, B'011001', '{NULL,Moscow,en,NULL,NULL,true}');
INSERT INTO dwh.dim_user_said VALUES ('U2', '2024-05-01', '2024-05-02', false, B'011001', '{NULL,Tver,en,NULL,NULL,true}');
INSERT INTO dwh.dim_user_said VALUES ('U1', '2024-05-02', '2024-05-03', false, B'011001', '{NULL,Riga,en,NULL,NULL,true}');
INSERT INTO dwh.dim_user_said VALUES ('U1', '2024-05-03', NULL, false, B'011001', '{NULL,Moscow,en,NULL,NULL,true}');
INSERT INTO dwh.dim_user_said VALUES ('U3', '2024-05-03', NULL, false, B'011001', '{NULL,Tver,en,NULL,NULL,true}');
INSERT INTO dwh.dim_vehicle VALUES (0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false, NULL, '2026-11-29 19:56:47.15318+00');
INSERT INTO dwh.dim_vehicle VALUES (2, 'V9', NULL, NULL, NULL, NULL, NULL, NULL, true, 'batch_2024-05-01', '2026-11-29 19:56:47.485351+00');
INSERT INTO dwh.dim_vehicle VALUES (1, 'V1', NULL, NULL, 90, NULL, NULL, NULL, false, 'batch_2024-05-02', '2026-11-29 19:56:47.402648+00');
INSERT INTO dwh.dim_vehicle VALUES (3, 'V2', NULL, NULL, 40, NULL, NULL, NULL, false, 'batch_2024-05-02', '2026-11-29 19:56:47.779933+00');
INSERT INTO dwh.dim_vehicle VALUES (4, 'V8', NULL, NULL, NULL, NULL, NULL, NULL, true, 'batch_2024-05-02', '2026-11-29 19:56:47.868406+00');
INSERT INTO dwh.dim_vehicle_said VALUES ('V1', '2024-05-01', '2024-05-02', false, B'001', '{NULL,NULL,80,NULL,NULL,NULL}');
INSERT INTO dwh.dim_vehicle_said VALUES ('V1', '2024-05-02', NULL, false, B'001', '{NULL,NULL,90,NULL,NULL,NULL}');
INSERT INTO dwh.dim_vehicle_said VALUES ('V2', '2024-05-02', NULL, false, B'001', '{NULL,NULL,40,NULL,NULL,NULL}');
INSERT INTO dwh.fact_payment_20240501 VALUES (2, 1, 1, 1, '2024-05-01 09:20:00+00', 2, 'P2', 2.50, 'RUB', 'captured', 'T2', '2026-11-29 19:56:47.508273+00', '2024-05-01', 0, 'batch_2024-05-01');
INSERT INTO dwh.fact_payment_20240502 VALUES (4, 3, 1, 4, '2024-05-02 09:20:00+00', 6, 'P5', 2.50, 'RUB', 'captured', 'T5', '2026-11-29 19:56:47.894001+00', '2024-05-02', 0, 'batch_2024-05-02');
INSERT INTO dwh.fact_payment_20240502 VALUES (1, 1, 1, 1, '2024-05-01 08:20:00+00', 1, 'P1', 9.00, 'RUB', 'captured', 'T1', '2026-11-29 19:56:47.894001+00', '2024-05-02', 0, 'batch_2024-05-02');
INSERT INTO dwh.fact_payment_20240503 VALUES (6, 4, 1, 1, '2024-05-03 08:20:00+00', 8, 'P6', 2.50, 'RUB', 'captured', 'T6', '2026-11-29 19:56:48.211248+00', '2024-05-03', 0, 'batch_2024-05-03');
INSERT INTO dwh.fact_payment_20240503 VALUES (3, 4, 1, 1, '2024-05-03 11:20:00+00', 5, 'P4', 7.00, 'RUB', 'captured', 'T4', '2026-11-29 19:56:48.211248+00', '2024-05-03', 0, 'batch_2024-05-03');
INSERT INTO dwh.fact_service_date VALUES ('dwh.fact_trip', '2024-05-01', '2024-05-01');
INSERT INTO dwh.fact_service_date VALUES ('dwh.fact_payment', '2024-05-01', '2024-05-01');
INSERT INTO dwh.fact_service_date VALUES ('dwh.fact_vehicle_position', '2024-05-01', '2024-05-01');
INSERT INTO dwh.fact_service_date VALUES ('dwh.fact_trip', '2024-05-02', '2024-05-01');
INSERT INTO dwh.fact_service_date VALUES ('dwh.fact_trip', '2024-05-02', '2024-05-02');
INSERT INTO dwh.fact_service_date VALUES ('dwh.fact_payment', '2024-05-02', '2024-05-01');
INSERT INTO dwh.fact_service_date VALUES ('dwh.fact_payment', '2024-05-02', '2024-05-02');
INSERT INTO dwh.fact_service_date VALUES ('dwh.fact_vehicle_position', '2024-05-02', '2024-05-01');
INSERT INTO dwh.fact_service_date VALUES ('dwh.fact_vehicle_position', '2024-05-02', '2024-05-02');
INSERT INTO dwh.fact_service_date VALUES ('dwh.fact_trip', '2024-05-03', '2024-05-02');
INSERT INTO dwh.fact_service_date VALUES ('dwh.fact_trip', '2024-05-03', '2024-05-03');
INSERT INTO dwh.fact_service_date VALUES ('dwh.fact_payment', '2024-05-03', '2024-05-03');
INSERT INTO dwh.fact_service_date VALUES ('dwh.fact_vehicle_position', '2024-05-03', '2024-05-03');
INSERT INTO dwh.fact_trip_20240501 VALUES (1, 1, 1, 1, 1, 2, '2024-05-01 08:00:00+00', '2024-05-01 08:30:00+00', 1800, 900, 'T1', 2.50, 'completed', '2026-11-29 19:56:47.470203+00', '2024-05-01', NULL, NULL, 0, 'batch_2024-05-01');
INSERT INTO dwh.fact_trip_20240501 VALUES (3, 1, 3, 2, 1, 2, '2024-05-01 10:00:00+00', '2024-05-01 10:30:00+00', 1800, 900, 'T3', 2.50, 'completed', '2026-11-29 19:56:47.470203+00', '2024-05-01', NULL, NULL, 0, 'batch_2024-05-01');
INSERT INTO dwh.fact_trip_20240502 VALUES (5, 2, 4, 1, 1, 2, '2024-05-02 08:00:00+00', '2024-05-02 08:30:00+00', 1800, 900, 'T4', 2.50, 'completed', '2026-11-29 19:56:47.851006+00', '2024-05-02', NULL, NULL, 0, 'batch_2024-05-02');
INSERT INTO dwh.fact_trip_20240502 VALUES (6, 3, 3, 4, 1, 2, '2024-05-02 09:00:00+00', '2024-05-02 09:30:00+00', 1800, 900, 'T5', 2.50, 'completed', '2026-11-29 19:56:47.851006+00', '2024-05-02', NULL, NULL, 0, 'batch_2024-05-02');
INSERT INTO dwh.fact_trip_20240503 VALUES (8, 5, 5, 1, 1, 2, '2024-05-03 08:00:00+00', '2024-05-03 08:30:00+00', 1800, 900, 'T6', 2.50, 'completed', '2026-11-29 19:56:48.155327+00', '2024-05-03', NULL, NULL, 0, 'batch_2024-05-03');
INSERT INTO dwh.fact_trip_20240503 VALUES (9, 3, 3, 1, 1, 2, '2024-05-02 22:00:00+00', '2024-05-02 22:30:00+00', 1800, 900, 'T7', 2.50, 'completed', '2026-11-29 19:56:48.155327+00', '2024-05-03', NULL, NULL, 0, 'batch_2024-05-03');
INSERT INTO dwh.fact_trip_20240503 VALUES (2, 4, 1, 1, 1, 2, '2024-05-03 09:00:00+00', '2024-05-03 09:30:00+00', 1800, 900, 'T2', 4.00, 'completed', '2026-11-29 19:56:48.155327+00', '2024-05-03', NULL, NULL, 0, 'batch_2024-05-03');
INSERT INTO dwh.fact_vehicle_position_20240501 VALUES (1, '2024-05-01 08:05:00+00', 1, 1, 55.7, 37.6, 30, 90, NULL, 20240501, 29100, '2026-11-29 19:56:47.463984+00', '2024-05-01', 0, 'batch_2024-05-01');
INSERT INTO dwh.fact_vehicle_position_20240501 VALUES (2, '2024-05-01 09:05:00+00', 2, 1, 55.7, 37.6, 30, 90, NULL, 20240501, 32700, '2026-11-29 19:56:47.463984+00', '2024-05-01', 0, 'batch_2024-05-01');
INSERT INTO dwh.fact_vehicle_position_20240502 VALUES (3, '2024-05-02 08:05:00+00', 3, 4, 55.7, 37.6, 30, 90, NULL, 20240502, 29100, '2026-11-29 19:56:47.842815+00', '2024-05-02', 0, 'batch_2024-05-02');
INSERT INTO dwh.fact_vehicle_position_20240502 VALUES (4, '2024-05-01 23:05:00+00', 4, 3, 55.7, 37.6, 30, 90, NULL, 20240501, 83100, '2026-11-29 19:56:47.842815+00', '2024-05-02', 0, 'batch_2024-05-02');
INSERT INTO dwh.fact_vehicle_position_20240503 VALUES (5, '2024-05-03 08:05:00+00', 3, 5, 55.7, 37.6, 30, 90, NULL, 20240503, 29100, '2026-11-29 19:56:48.135871+00', '2024-05-03', 0, 'batch_2024-05-03');
INSERT INTO dwh.fact_vehicle_position_20240503 VALUES (6, '2024-05-03 09:05:00+00', 2, 1, 55.7, 37.6, 30, 90, NULL, 20240503, 32700, '2026-11-29 19:56:48.135871+00', '2024-05-03', 0, 'batch_2024-05-03');
INSERT INTO dwh.load_ledger VALUES ('staging.routes_raw', '2024-05-01', 'dt=2024-05-01/routes.parquet', 0, 1296, '4d229d00d04f065d2e5a53ac1fd26cf14a2d3db41bdcf2c4c8974f24e5d3cbec', 3, 3, 0, 0, 0, '62effd1f443ecc14', '7f426d9b419ca92e', '2026-11-29 19:56:47.250821+00', NULL);
INSERT INTO dwh.load_ledger VALUES ('staging.users_raw', '2024-05-01', 'dt=2024-05-01/users.parquet', 0, 1089, '1221b002f5c6ce69e8d89eae2361f21179bf7a5e3ee72cf7f60881336077eebd', 2, 2, 0, 0, 0, '62effd1f443ecc14', '7f426d9b419ca92e', '2026-11-29 19:56:47.274265+00', NULL);
INSERT INTO dwh.load_ledger VALUES ('staging.vehicles_raw', '2024-05-01', 'dt=2024-05-01/vehicles.parquet', 0, 752, '3091249ad1c93db835ea51dbdfac44628f6a417f83ce843582f81fede94d10c2', 1, 1, 0, 0, 0, '62effd1f443ecc14', '7f426d9b419ca92e', '2026-11-29 19:56:47.288753+00', NULL);
INSERT INTO dwh.load_ledger VALUES ('staging.trips_raw', '2024-05-01', 'dt=2024-05-01/trips.parquet', 0, 3159, '9062e7b714929a36ccb252e4fd1bbc40293d5f49bf8b3a367cf7ca306efec61f', 3, 3, 0, 0, 0, '62effd1f443ecc14', '7f426d9b419ca92e', '2026-11-29 19:56:47.298234+00', NULL);
INSERT INTO dwh.load_ledger VALUES ('staging.payments_raw', '2024-05-01', 'dt=2024-05-01/payments.parquet', 0, 2522, 'e1d664580dea6c27974603494b5f5c2aa3aad4e43a7ae8201e592c9af6bb0ad3', 3, 3, 0, 0, 0, '62effd1f443ecc14', '7f426d9b419ca92e', '2026-11-29 19:56:47.310632+00', NULL);
INSERT INTO dwh.load_ledger VALUES ('staging.vehicle_positions_raw', '2024-05-01', 'dt=2024-05-01/vehicle_positions.parquet', 0, 2165, 'dfdd71a387477ea4fe69c823b43e6b551e41cbed4a8607f6957bfae13641d616', 3, 2, 0, 0, 1, '62effd1f443ecc14', '7f426d9b419ca92e', '2026-11-29 19:56:47.323326+00', NULL);
INSERT INTO dwh.load_ledger VALUES ('dwh.dim_route', '2024-05-01', 'dt=2024-05-01/routes.parquet', 0, 1296, '4d229d00d04f065d2e5a53ac1fd26cf14a2d3db41bdcf2c4c8974f24e5d3cbec', 3, 3, 0, 0, 0, 'e5453fc6344f19a0', '671553ee866f4513', '2026-11-29 19:56:47.35641+00', NULL);
INSERT INTO dwh.load_ledger VALUES ('dwh.dim_user', '2024-05-01', 'dt=2024-05-01/users.parquet', 0, 1089, '1221b002f5c6ce69e8d89eae2361f21179bf7a5e3ee72cf7f60881336077eebd', 2, 2, 0, 0, 0, 'c7683ea9873c1836', '671553ee866f4513', '2026-11-29 19:56:47.38407+00', NULL);
INSERT INTO dwh.load_ledger VALUES ('dwh.dim_vehicle', '2024-05-01', 'dt=2024-05-01/vehicles.parquet', 0, 752, '3091249ad1c93db835ea51dbdfac44628f6a417f83ce843582f81fede94d10c2', 1, 1, 0, 0, 0, 'c7683ea9873c1836', '671553ee866f4513', '2026-11-29 19:56:47.402648+00', NULL);
INSERT INTO dwh.load_ledger VALUES ('dwh.fact_vehicle_position', '2024-05-01', 'dt=2024-05-01/vehicle_positions.parquet', 0, 2165, 'dfdd71a387477ea4fe69c823b43e6b551e41cbed4a8607f6957bfae13641d616', 3, 2, 0, 0, 1, '62effd1f443ecc14', '9bf22dcdca33e6a9', '2026-11-29 19:56:47.52572+00', NULL);
INSERT INTO dwh.load_ledger VALUES ('staging.routes_raw', '2024-05-02', 'dt=2024-05-02/routes.parquet', 0, 1277, '28569c41271ac96a99d222347e5dfde132640fe877202fdefb89c614f4d5a278', 2, 2, 0, 0, 0, '62effd1f443ecc14', '71ddf86da7099c91', '2026-11-29 19:56:47.595238+00', NULL);
INSERT INTO dwh.load_ledger VALUES ('staging.users_raw', '2024-05-02', 'dt=2024-05-02/users.parquet', 0, 1068, '5f9f6ff9965716b940e5ccf503abb9a4223132736ceabae3fa8ae7b9950d7eea', 1, 1, 0, 0, 0, '62effd1f443ecc14', '71ddf86da7099c91', '2026-11-29 19:56:47.611503+00', NULL);
INSERT INTO dwh.load_ledger VALUES ('staging.vehicles_raw', '2024-05-02', 'dt=2024-05-02/vehicles.parquet', 0, 767, '5ea45d42556ef4157881e1d2caf7c0a7addf36302814de9b21458e0a2c2086e8', 2, 2, 0, 0, 0, '62effd1f443ecc14', '71ddf86da7099c91', '2026-11-29 19:56:47.624775+00', NULL);
INSERT INTO dwh.load_ledger VALUES ('staging.trips_raw', '2024-05-02', 'dt=2024-05-02/trips.parquet', 0, 3173, '225f4b3d150b3217a148e196dd893805b0f3b9c6f60c6993add943d276c971f7', 3, 3, 0, 0, 0, '62effd1f443ecc14', '71ddf86da7099c91', '2026-11-29 19:56:47.638476+00', NULL);
INSERT INTO dwh.load_ledger VALUES ('staging.payments_raw', '2024-05-02', 'dt=2024-05-02/payments.parquet', 0, 2515, '07aa6fc18dd67bf2ad6acd46fd5b563572b066ed97a8cd9f426bfd17ce750cc6', 2, 2, 0, 0, 0, '62effd1f443ecc14', '71ddf86da7099c91', '2026-11-29 19:56:47.654676+00', NULL);
INSERT INTO dwh.load_ledger VALUES ('staging.vehicle_positions_raw', '2024-05-02', 'dt=2024-05-02/vehicle_positions.parquet', 0, 2155, '6cbf1b4cb36509e2632da1772ec7730bbc206b4632a552267f68e02d68e7f42c', 2, 2, 0, 0, 0, '62effd1f443ecc14', '71ddf86da7099c91', '2026-11-29 19:56:47.669349+00', NULL);
INSERT INTO dwh.load_ledger VALUES ('dwh.dim_route', '2024-05-02', 'dt=2024-05-02/routes.parquet', 0, 1277, '28569c41271ac96a99d222347e5dfde132640fe877202fdefb89c614f4d5a278', 2, 2, 0, 0, 0, 'e5453fc6344f19a0', 'd56e420c7647b084', '2026-11-29 19:56:47.716128+00', NULL);
INSERT INTO dwh.load_ledger VALUES ('dwh.dim_user', '2024-05-02', 'dt=2024-05-02/users.parquet', 0, 1068, '5f9f6ff9965716b940e5ccf503abb9a4223132736ceabae3fa8ae7b9950d7eea', 1, 1, 0, 0, 0, 'c7683ea9873c1836', 'd56e420c7647b084', '2026-11-29 19:56:47.754583+00', NULL);
INSERT INTO dwh.load_ledger VALUES ('dwh.dim_vehicle', '2024-05-02', 'dt=2024-05-02/vehicles.parquet', 0, 767, '5ea45d42556ef4157881e1d2caf7c0a7addf36302814de9b21458e0a2c2086e8', 2, 2, 0, 0, 0, 'c7683ea9873c1836', 'd56e420c7647b084', '2026-11-29 19:56:47.779933+00', NULL);
INSERT INTO dwh.load_ledger VALUES ('dwh.fact_trip', '2024-05-01', 'dt=2024-05-01/trips.parquet', 0, 3159, '9062e7b714929a36ccb252e4fd1bbc40293d5f49bf8b3a367cf7ca306efec61f', 3, 2, 0, 1, 0, '62effd1f443ecc14', '9bf22dcdca33e6a9', '2026-11-29 19:56:47.485351+00', NULL);
INSERT INTO dwh.load_ledger VALUES ('dwh.fact_payment', '2024-05-02', 'dt=2024-05-02/payments.parquet', 0, 2515, '07aa6fc18dd67bf2ad6acd46fd5b563572b066ed97a8cd9f426bfd17ce750cc6', 2, 2, 0, 0, 0, '62effd1f443ecc14', '18abd9c21a734033', '2026-11-29 19:56:47.89962+00', NULL);
INSERT INTO dwh.load_ledger VALUES ('dwh.fact_vehicle_position', '2024-05-02', 'dt=2024-05-02/vehicle_positions.parquet', 0, 2155, '6cbf1b4cb36509e2632da1772ec7730bbc206b4632a552267f68e02d68e7f42c', 2, 2, 0, 0, 0, '62effd1f443ecc14', '18abd9c21a734033', '2026-11-29 19:56:47.917533+00', NULL);
INSERT INTO dwh.load_ledger VALUES ('staging.routes_raw', '2024-05-03', 'dt=2024-05-03/routes.parquet', 0, 1296, '4d229d00d04f065d2e5a53ac1fd26cf14a2d3db41bdcf2c4c8974f24e5d3cbec', 3, 3, 0, 0, 0, '62effd1f443ecc14', 'd8fe20cbe372d5b8', '2026-11-29 19:56:47.975704+00', NULL);
INSERT INTO dwh.load_ledger VALUES ('staging.users_raw', '2024-05-03', 'dt=2024-05-03/users.parquet', 0, 1089, '87f291d5c7fbe7102a52774120f276936a365323c3eca1c81fe0027a269b7acc', 2, 2, 0, 0, 0, '62effd1f443ecc14', 'd8fe20cbe372d5b8', '2026-11-29 19:56:47.989359+00', NULL);
INSERT INTO dwh.load_ledger VALUES ('staging.trips_raw', '2024-05-03', 'dt=2024-05-03/trips.parquet', 0, 3166, '16dce641edfc0392cff89e24cc8403b9262d4a90bdeb958d6b1fbc620e7bd6d6', 3, 3, 0, 0, 0, '62effd1f443ecc14', 'd8fe20cbe372d5b8', '2026-11-29 19:56:48.000251+00', NULL);
INSERT INTO dwh.load_ledger VALUES ('staging.payments_raw', '2024-05-03', 'dt=2024-05-03/payments.parquet', 0, 2507, '3207a8e05cd661959079ebb72284b6b20394990c3fd54c8abf7280103d070685', 2, 2, 0, 0, 0, '62effd1f443ecc14', 'd8fe20cbe372d5b8', '2026-11-29 19:56:48.01053+00', NULL);
INSERT INTO dwh.load_ledger VALUES ('dwh.fact_trip', '2024-05-02', 'dt=2024-05-02/trips.parquet', 0, 3173, '225f4b3d150b3217a148e196dd893805b0f3b9c6f60c6993add943d276c971f7', 3, 2, 0, 1, 0, '62effd1f443ecc14', '18abd9c21a734033', '2026-11-29 19:56:47.868406+00', NULL);
INSERT INTO dwh.load_ledger VALUES ('dwh.fact_payment', '2024-05-01', 'dt=2024-05-01/payments.parquet', 0, 2522, 'e1d664580dea6c27974603494b5f5c2aa3aad4e43a7ae8201e592c9af6bb0ad3', 3, 1, 0, 2, 0, '62effd1f443ecc14', '9bf22dcdca33e6a9', '2026-11-29 19:56:47.514986+00', NULL);
INSERT INTO dwh.load_ledger VALUES ('staging.vehicle_positions_raw', '2024-05-03', 'dt=2024-05-03/vehicle_positions.parquet', 0, 2155, 'cdf3069f81cc1674b45efc6a0cf343ab4106adea9420b5d7202cff112cc5160d', 2, 2, 0, 0, 0, '62effd1f443ecc14', 'd8fe20cbe372d5b8', '2026-11-29 19:56:48.021696+00', NULL);
INSERT INTO dwh.load_ledger VALUES ('dwh.dim_route', '2024-05-03', 'dt=2024-05-03/routes.parquet', 0, 1296, '4d229d00d04f065d2e5a53ac1fd26cf14a2d3db41bdcf2c4c8974f24e5d3cbec', 3, 3, 0, 0, 0, 'e5453fc6344f19a0', '200f8a44f8c233a6', '2026-11-29 19:56:48.049431+00', NULL);
INSERT INTO dwh.load_ledger VALUES ('dwh.dim_user', '2024-05-03', 'dt=2024-05-03/users.parquet', 0, 1089, '87f291d5c7fbe7102a52774120f276936a365323c3eca1c81fe0027a269b7acc', 2, 2, 0, 0, 0, 'c7683ea9873c1836', '200f8a44f8c233a6', '2026-11-29 19:56:48.074821+00', NULL);
INSERT INTO dwh.load_ledger VALUES ('dwh.fact_trip', '2024-05-03', 'dt=2024-05-03/trips.parquet', 0, 3166, '16dce641edfc0392cff89e24cc8403b9262d4a90bdeb958d6b1fbc620e7bd6d6', 3, 3, 0, 0, 0, '62effd1f443ecc14', '8b64664205fc6b4e', '2026-11-29 19:56:48.169696+00', NULL);
INSERT INTO dwh.load_ledger VALUES ('dwh.fact_payment', '2024-05-03', 'dt=2024-05-03/payments.parquet', 0, 2507, '3207a8e05cd661959079ebb72284b6b20394990c3fd54c8abf7280103d070685', 2, 2, 0, 0, 0, '62effd1f443ecc14', '8b64664205fc6b4e', '2026-11-29 19:56:48.229054+00', NULL);
INSERT INTO dwh.load_ledger VALUES ('dwh.fact_vehicle_position', '2024-05-03', 'dt=2024-05-03/vehicle_positions.parquet', 0, 2155, 'cdf3069f81cc1674b45efc6a0cf343ab4106adea9420b5d7202cff112cc5160d', 2, 2, 0, 0, 0, '62effd1f443ecc14', '8b64664205fc6b4e', '2026-11-29 19:56:48.25708+00', NULL);
INSERT INTO dwh.mart_dirty OVERRIDING SYSTEM VALUE VALUES (1, '2024-05-01', 'dwh.fact_trip 2024-05-01', '9bf22dcdca33e6a9', '2026-11-29 19:56:47.485351+00');
INSERT INTO dwh.mart_dirty OVERRIDING SYSTEM VALUE VALUES (2, '2024-05-01', 'dwh.fact_payment 2024-05-01', '9bf22dcdca33e6a9', '2026-11-29 19:56:47.514986+00');
INSERT INTO dwh.mart_dirty OVERRIDING SYSTEM VALUE VALUES (3, '2024-05-01', 'dwh.fact_vehicle_position 2024-05-01', '9bf22dcdca33e6a9', '2026-11-29 19:56:47.52572+00');
INSERT INTO dwh.mart_dirty OVERRIDING SYSTEM VALUE VALUES (4, '2024-05-01', 'dwh.fact_trip 2024-05-02', '18abd9c21a734033', '2026-11-29 19:56:47.868406+00');
INSERT INTO dwh.mart_dirty OVERRIDING SYSTEM VALUE VALUES (5, '2024-05-02', 'dwh.fact_trip 2024-05-02', '18abd9c21a734033', '2026-11-29 19:56:47.868406+00');
INSERT INTO dwh.mart_dirty OVERRIDING SYSTEM VALUE VALUES (6, '2024-05-01', 'dwh.fact_payment 2024-05-02', '18abd9c21a734033', '2026-11-29 19:56:47.89962+00');
INSERT INTO dwh.mart_dirty OVERRIDING SYSTEM VALUE VALUES (7, '2024-05-02', 'dwh.fact_payment 2024-05-02', '18abd9c21a734033', '2026-11-29 19:56:47.89962+00');
INSERT INTO dwh.mart_dirty OVERRIDING SYSTEM VALUE VALUES (8, '2024-05-01', 'dwh.fact_vehicle_position 2024-05-02', '18abd9c21a734033', '2026-11-29 19:56:47.917533+00');
INSERT INTO dwh.mart_dirty OVERRIDING SYSTEM VALUE VALUES (9, '2024-05-02', 'dwh.fact_vehicle_position 2024-05-02', '18abd9c21a734033', '2026-11-29 19:56:47.917533+00');
INSERT INTO dwh.mart_dirty OVERRIDING SYSTEM VALUE VALUES (10, '2024-05-01', 'dwh.fact_trip 2024-05-03', '8b64664205fc6b4e', '2026-11-29 19:56:48.169696+00');
INSERT INTO dwh.mart_dirty OVERRIDING SYSTEM VALUE VALUES (11, '2024-05-02', 'dwh.fact_trip 2024-05-03', '8b64664205fc6b4e', '2026-11-29 19:56:48.169696+00');
INSERT INTO dwh.mart_dirty OVERRIDING SYSTEM VALUE VALUES (12, '2024-05-03', 'dwh.fact_trip 2024-05-03', '8b64664205fc6b4e', '2026-11-29 19:56:48.169696+00');
INSERT INTO dwh.mart_dirty OVERRIDING SYSTEM VALUE VALUES (13, '2024-05-01', 'dwh.fact_payment 2024-05-03', '8b64664205fc6b4e', '2026-11-29 19:56:48.229054+00');
INSERT INTO dwh.mart_dirty OVERRIDING SYSTEM VALUE VALUES (14, '2024-05-03', 'dwh.fact_payment 2024-05-03', '8b64664205fc6b4e', '2026-11-29 19:56:48.229054+00');
INSERT INTO dwh.mart_dirty OVERRIDING SYSTEM VALUE VALUES (15, '2024-05-03', 'dwh.fact_vehicle_position 2024-05-03', '8b64664205fc6b4e', '2026-11-29 19:56:48.25708+00');
INSERT INTO dwh.payment_key VALUES ('P2', 2, '2024-05-01');
INSERT INTO dwh.payment_key VALUES ('P1', 1, '2024-05-02');
INSERT INTO dwh.payment_key VALUES ('P5', 4, '2024-05-02');
INSERT INTO dwh.payment_key VALUES ('P4', 3, '2024-05-03');
INSERT INTO dwh.payment_key VALUES ('P6', 6, '2024-05-03');
INSERT INTO dwh.superseded_payment VALUES ('P1', 'U1', 'R1', 'card', 2.50, 'RUB', 'captured', '2024-05-01 08:20:00+00', 'batch_2024-05-01', '2026-11-29 19:56:47.508273+00', '2024-05-01', 0, 'T1');
INSERT INTO dwh.superseded_payment VALUES ('P4', 'U1', 'R1', 'card', 2.50, 'RUB', 'captured', '2024-05-01 11:20:00+00', 'batch_2024-05-01', '2026-11-29 19:56:47.508273+00', '2024-05-01', 0, 'T4');
INSERT INTO dwh.superseded_trip VALUES ('T2', 'U1', 'R1', 'V1', 'S1', 'S2', '2024-05-01 09:00:00+00', '2024-05-01 09:30:00+00', 1800, 900, 3.00, 'completed', 'batch_2024-05-01', '2026-11-29 19:56:47.470203+00', '2024-05-01', 0);
INSERT INTO dwh.superseded_trip VALUES ('T2', 'U1', 'R1', 'V1', 'S1', 'S2', '2024-05-01 09:00:00+00', '2024-05-01 09:30:00+00', 1800, 900, 3.50, 'completed', 'batch_2024-05-02', '2026-11-29 19:56:47.851006+00', '2024-05-02', 0);
INSERT INTO dwh.trip_key VALUES ('T1', 1, '2024-05-01');
INSERT INTO dwh.trip_key VALUES ('T3', 3, '2024-05-01');
INSERT INTO dwh.trip_key VALUES ('T4', 5, '2024-05-02');
INSERT INTO dwh.trip_key VALUES ('T5', 6, '2024-05-02');
INSERT INTO dwh.trip_key VALUES ('T2', 2, '2024-05-03');
INSERT INTO dwh.trip_key VALUES ('T6', 8, '2024-05-03');
INSERT INTO dwh.trip_key VALUES ('T7', 9, '2024-05-03');
INSERT INTO staging.payments_raw_20240501 VALUES ('2024-05-01 08:20:00+00', 'P1', 'U1', 'R1', 'T1', 2.50, 'RUB', 'captured', 'card', '2026-11-29 19:56:47.307504+00', '2024-05-01', 'batch_2024-05-01');
INSERT INTO staging.payments_raw_20240501 VALUES ('2024-05-01 09:20:00+00', 'P2', 'U1', 'R1', 'T2', 2.50, 'RUB', 'captured', 'card', '2026-11-29 19:56:47.307504+00', '2024-05-01', 'batch_2024-05-01');
INSERT INTO staging.payments_raw_20240501 VALUES ('2024-05-01 11:20:00+00', 'P4', 'U1', 'R1', 'T4', 2.50, 'RUB', 'captured', 'card', '2026-11-29 19:56:47.307504+00', '2024-05-01', 'batch_2024-05-01');
INSERT INTO staging.payments_raw_20240502 VALUES ('2024-05-02 09:20:00+00', 'P5', 'U1', 'R1', 'T5', 2.50, 'RUB', 'captured', 'coin', '2026-11-29 19:56:47.650027+00', '2024-05-02', 'batch_2024-05-02');
INSERT INTO staging.payments_raw_20240502 VALUES ('2024-05-01 08:20:00+00', 'P1', 'U1', 'R1', 'T1', 9.00, 'RUB', 'captured', 'card', '2026-11-29 19:56:47.650027+00', '2024-05-02', 'batch_2024-05-02');
INSERT INTO staging.payments_raw_20240503 VALUES ('2024-05-03 08:20:00+00', 'P6', 'U1', 'R1', 'T6', 2.50, 'RUB', 'captured', 'card', '2026-11-29 19:56:48.00669+00', '2024-05-03', 'batch_2024-05-03');
INSERT INTO staging.payments_raw_20240503 VALUES ('2024-05-03 11:20:00+00', 'P4', 'U1', 'R1', 'T4', 7.00, 'RUB', 'captured', 'card', '2026-11-29 19:56:48.00669+00', '2024-05-03', 'batch_2024-05-03');
INSERT INTO staging.rejected VALUES ('vehicle_positions', '2024-05-01', 'dt=2024-05-01/vehicle_positions.parquet', 3, '{speed}', '{"lat": 55.7, "lon": 37.6, "speed": 900.0, "heading": 90.0, "event_ts": "2024-05-01T10:05:00Z", "route_id": "R1", "vehicle_id": "V1"}', 'batch_2024-05-01', '2026-11-29 19:56:47.323326+00');
INSERT INTO staging.routes_raw_20240501 VALUES (NULL, NULL, 'R1', 'Route R1', 'bus', 10.00, NULL, '2026-11-29 19:56:47.245436+00', '2024-05-01', 'batch_2024-05-01');
INSERT INTO staging.routes_raw_20240501 VALUES (NULL, NULL, 'R2', 'Route R2', 'bus', 20.00, NULL, '2026-11-29 19:56:47.245436+00', '2024-05-01', 'batch_2024-05-01');
INSERT INTO staging.routes_raw_20240501 VALUES (NULL, NULL, 'R3', 'Route R3', 'bus', 5.00, NULL, '2026-11-29 19:56:47.245436+00', '2024-05-01', 'batch_2024-05-01');
INSERT INTO staging.routes_raw_20240502 VALUES (NULL, NULL, 'R1', 'Route R1', 'bus', 10.00, NULL, '2026-11-29 19:56:47.583856+00', '2024-05-02', 'batch_2024-05-02');
INSERT INTO staging.routes_raw_20240502 VALUES (NULL, NULL, 'R2', 'Route R2', 'bus', 25.00, NULL, '2026-11-29 19:56:47.583856+00', '2024-05-02', 'batch_2024-05-02');
INSERT INTO staging.routes_raw_20240503 VALUES (NULL, NULL, 'R1', 'Route R1', 'bus', 10.00, NULL, '2026-11-29 19:56:47.968143+00', '2024-05-03', 'batch_2024-05-03');
INSERT INTO staging.routes_raw_20240503 VALUES (NULL, NULL, 'R2', 'Route R2', 'bus', 20.00, NULL, '2026-11-29 19:56:47.968143+00', '2024-05-03', 'batch_2024-05-03');
INSERT INTO staging.routes_raw_20240503 VALUES (NULL, NULL, 'R3', 'Route R3', 'bus', 5.00, NULL, '2026-11-29 19:56:47.968143+00', '2024-05-03', 'batch_2024-05-03');
INSERT INTO staging.trips_raw_20240501 VALUES ('2024-05-01 08:00:00+00', '2024-05-01 08:30:00+00', 900, 'T1', 'U1', 'R1', 'V1', 'S1', 'S2', 2.50, 'completed', '2026-11-29 19:56:47.295145+00', '2024-05-01', 'batch_2024-05-01');
INSERT INTO staging.trips_raw_20240501 VALUES ('2024-05-01 09:00:00+00', '2024-05-01 09:30:00+00', 900, 'T2', 'U1', 'R1', 'V1', 'S1', 'S2', 3.00, 'completed', '2026-11-29 19:56:47.295145+00', '2024-05-01', 'batch_2024-05-01');
INSERT INTO staging.trips_raw_20240501 VALUES ('2024-05-01 10:00:00+00', '2024-05-01 10:30:00+00', 900, 'T3', 'U1', 'R3', 'V9', 'S1', 'S2', 2.50, 'completed', '2026-11-29 19:56:47.295145+00', '2024-05-01', 'batch_2024-05-01');
INSERT INTO staging.trips_raw_20240502 VALUES ('2024-05-01 09:00:00+00', '2024-05-01 09:30:00+00', 900, 'T2', 'U1', 'R1', 'V1', 'S1', 'S2', 3.50, 'completed', '2026-11-29 19:56:47.633934+00', '2024-05-02', 'batch_2024-05-02');
INSERT INTO staging.trips_raw_20240502 VALUES ('2024-05-02 08:00:00+00', '2024-05-02 08:30:00+00', 900, 'T4', 'U2', 'R2', 'V1', 'S1', 'S2', 2.50, 'completed', '2026-11-29 19:56:47.633934+00', '2024-05-02', 'batch_2024-05-02');
INSERT INTO staging.trips_raw_20240502 VALUES ('2024-05-02 09:00:00+00', '2024-05-02 09:30:00+00', 900, 'T5', 'U1', 'R3', 'V8', 'S1', 'S2', 2.50, 'completed', '2026-11-29 19:56:47.633934+00', '2024-05-02', 'batch_2024-05-02');
INSERT INTO staging.trips_raw_20240503 VALUES ('2024-05-03 09:00:00+00', '2024-05-03 09:30:00+00', 900, 'T2', 'U1', 'R1', 'V1', 'S1', 'S2', 4.00, 'completed', '2026-11-29 19:56:47.996498+00', '2024-05-03', 'batch_2024-05-03');
INSERT INTO staging.trips_raw_20240503 VALUES ('2024-05-03 08:00:00+00', '2024-05-03 08:30:00+00', 900, 'T6', 'U3', 'R2', 'V1', 'S1', 'S2', 2.50, 'completed', '2026-11-29 19:56:47.996498+00', '2024-05-03', 'batch_2024-05-03');
INSERT INTO staging.trips_raw_20240503 VALUES ('2024-05-02 22:00:00+00', '2024-05-02 22:30:00+00', 900, 'T7', 'U1', 'R3', 'V1', 'S1', 'S2', 2.50, 'completed', '2026-11-29 19:56:47.996498+00', '2024-05-03', 'batch_2024-05-03');
INSERT INTO staging.users_raw_20240501 VALUES (NULL, NULL, true, 'U1', 'Moscow', 'en', NULL, '2026-11-29 19:56:47.270885+00', '2024-05-01', 'batch_2024-05-01', NULL);
INSERT INTO staging.users_raw_20240501 VALUES (NULL, NULL, true, 'U2', 'Tver', 'en', NULL, '2026-11-29 19:56:47.270885+00', '2024-05-01', 'batch_2024-05-01', NULL);
INSERT INTO staging.users_raw_20240502 VALUES (NULL, NULL, true, 'U1', 'Riga', 'en', NULL, '2026-11-29 19:56:47.607832+00', '2024-05-02', 'batch_2024-05-02', NULL);
INSERT INTO staging.users_raw_20240503 VALUES (NULL, NULL, true, 'U1', 'Moscow', 'en', NULL, '2026-11-29 19:56:47.985169+00', '2024-05-03', 'batch_2024-05-03', NULL);
INSERT INTO staging.users_raw_20240503 VALUES (NULL, NULL, true, 'U3', 'Tver', 'en', NULL, '2026-11-29 19:56:47.985169+00', '2024-05-03', 'batch_2024-05-03', NULL);
INSERT INTO staging.vehicle_positions_raw_20240501 VALUES ('2024-05-01 08:05:00+00', 55.7, 37.6, 30, 90, NULL, 'V1', 'R1', '2026-11-29 19:56:47.320076+00', '2024-05-01', 'batch_2024-05-01', NULL);
INSERT INTO staging.vehicle_positions_raw_20240501 VALUES ('2024-05-01 09:05:00+00', 55.7, 37.6, 30, 90, NULL, 'V9', 'R1', '2026-11-29 19:56:47.320076+00', '2024-05-01', 'batch_2024-05-01', NULL);
INSERT INTO staging.vehicle_positions_raw_20240502 VALUES ('2024-05-02 08:05:00+00', 55.7, 37.6, 30, 90, NULL, 'V2', 'R2', '2026-11-29 19:56:47.665976+00', '2024-05-02', 'batch_2024-05-02', NULL);
INSERT INTO staging.vehicle_positions_raw_20240502 VALUES ('2024-05-01 23:05:00+00', 55.7, 37.6, 30, 90, NULL, 'V8', 'R3', '2026-11-29 19:56:47.665976+00', '2024-05-02', 'batch_2024-05-02', NULL);
INSERT INTO staging.vehicle_positions_raw_20240503 VALUES ('2024-05-03 08:05:00+00', 55.7, 37.6, 30, 90, NULL, 'V2', 'R2', '2026-11-29 19:56:48.017836+00', '2024-05-03', 'batch_2024-05-03', NULL);
INSERT INTO staging.vehicle_positions_raw_20240503 VALUES ('2024-05-03 09:05:00+00', 55.7, 37.6, 30, 90, NULL, 'V9', 'R1', '2026-11-29 19:56:48.017836+00', '2024-05-03', 'batch_2024-05-03', NULL);
INSERT INTO staging.vehicles_raw_20240501 VALUES (NULL, NULL, 80, 'V1', NULL, NULL, NULL, '2026-11-29 19:56:47.285466+00', '2024-05-01', 'batch_2024-05-01');
INSERT INTO staging.vehicles_raw_20240502 VALUES (NULL, NULL, 90, 'V1', NULL, NULL, NULL, '2026-11-29 19:56:47.620518+00', '2024-05-02', 'batch_2024-05-02');
INSERT INTO staging.vehicles_raw_20240502 VALUES (NULL, NULL, 40, 'V2', NULL, NULL, NULL, '2026-11-29 19:56:47.620518+00', '2024-05-02', 'batch_2024-05-02');
SELECT pg_catalog.setval('dwh.mart_dirty_id_seq', 15, true);
SELECT pg_catalog.setval('dwh.payment_method_sk', 4, true);
SELECT pg_catalog.setval('dwh.payment_sk', 7, true);
SELECT pg_catalog.setval('dwh.position_sk', 6, true);
SELECT pg_catalog.setval('dwh.route_sk', 6, true);
SELECT pg_catalog.setval('dwh.stop_sk', 2, true);
SELECT pg_catalog.setval('dwh.trip_sk', 9, true);
SELECT pg_catalog.setval('dwh.user_sk', 5, true);
SELECT pg_catalog.setval('dwh.vehicle_sk', 4, true);
ALTER TABLE ONLY dwh.agg_position_route_hourly
    ADD CONSTRAINT agg_position_route_hourly_pkey PRIMARY KEY (dt, hour_bucket, route_id);
ALTER TABLE ONLY dwh.deployment
    ADD CONSTRAINT deployment_pkey PRIMARY KEY (name);
ALTER TABLE ONLY dwh.dim_date
    ADD CONSTRAINT dim_date_full_date_key UNIQUE (full_date);
ALTER TABLE ONLY dwh.dim_date
    ADD CONSTRAINT dim_date_pkey PRIMARY KEY (date_sk);
ALTER TABLE ONLY dwh.dim_payment_method
    ADD CONSTRAINT dim_payment_method_code_key UNIQUE (code);
ALTER TABLE ONLY dwh.dim_payment_method
    ADD CONSTRAINT dim_payment_method_pkey PRIMARY KEY (payment_method_sk);
ALTER TABLE ONLY dwh.dim_route
    ADD CONSTRAINT dim_route_key_from UNIQUE (route_id, valid_from) DEFERRABLE;
ALTER TABLE ONLY dwh.dim_route
    ADD CONSTRAINT dim_route_pkey PRIMARY KEY (route_sk);
ALTER TABLE ONLY dwh.dim_route_said
    ADD CONSTRAINT dim_route_said_pkey PRIMARY KEY (key, from_dt);
ALTER TABLE ONLY dwh.dim_stop
    ADD CONSTRAINT dim_stop_pkey PRIMARY KEY (stop_sk);
ALTER TABLE ONLY dwh.dim_stop_said
    ADD CONSTRAINT dim_stop_said_pkey PRIMARY KEY (key, from_dt);
ALTER TABLE ONLY dwh.dim_stop
    ADD CONSTRAINT dim_stop_stop_id_key UNIQUE (stop_id);
ALTER TABLE ONLY dwh.dim_time
    ADD CONSTRAINT dim_time_pkey PRIMARY KEY (time_sk);
ALTER TABLE ONLY dwh.dim_user
    ADD CONSTRAINT dim_user_key_from UNIQUE (user_id, effective_from) DEFERRABLE;
ALTER TABLE ONLY dwh.dim_user
    ADD CONSTRAINT dim_user_pkey PRIMARY KEY (user_sk);
ALTER TABLE ONLY dwh.dim_user_said
    ADD CONSTRAINT dim_user_said_pkey PRIMARY KEY (key, from_dt);
ALTER TABLE ONLY dwh.dim_vehicle
    ADD CONSTRAINT dim_vehicle_pkey PRIMARY KEY (vehicle_sk);
ALTER TABLE ONLY dwh.dim_vehicle_said
    ADD CONSTRAINT dim_vehicle_said_pkey PRIMARY KEY (key, from_dt);
ALTER TABLE ONLY dwh.dim_vehicle
    ADD CONSTRAINT dim_vehicle_vehicle_id_key UNIQUE (vehicle_id);
ALTER TABLE ONLY dwh.fact_payment
    ADD CONSTRAINT fact_payment_pkey PRIMARY KEY (payment_sk, dt);
ALTER TABLE ONLY dwh.fact_payment_20240501
    ADD CONSTRAINT fact_payment_20240501_9bf22dcd_pkey PRIMARY KEY (payment_sk, dt);
ALTER TABLE ONLY dwh.fact_payment_20240502
    ADD CONSTRAINT fact_payment_20240502_18abd9c2_pkey PRIMARY KEY (payment_sk, dt);
ALTER TABLE ONLY dwh.fact_payment_20240503
    ADD CONSTRAINT fact_payment_20240503_8b646642_pkey PRIMARY KEY (payment_sk, dt);
ALTER TABLE ONLY dwh.fact_service_date
    ADD CONSTRAINT fact_service_date_pkey PRIMARY KEY (target, dt, service_date);
ALTER TABLE ONLY dwh.fact_trip
    ADD CONSTRAINT fact_trip_pkey PRIMARY KEY (trip_sk, dt);
ALTER TABLE ONLY dwh.fact_trip_20240501
    ADD CONSTRAINT fact_trip_20240501_9bf22dcd_pkey PRIMARY KEY (trip_sk, dt);
ALTER TABLE ONLY dwh.fact_trip_20240502
    ADD CONSTRAINT fact_trip_20240502_18abd9c2_pkey PRIMARY KEY (trip_sk, dt);
ALTER TABLE ONLY dwh.fact_trip_20240503
    ADD CONSTRAINT fact_trip_20240503_8b646642_pkey PRIMARY KEY (trip_sk, dt);
ALTER TABLE ONLY dwh.fact_vehicle_position
    ADD CONSTRAINT fact_vehicle_position_pkey PRIMARY KEY (position_sk, dt);
ALTER TABLE ONLY dwh.fact_vehicle_position_20240501
    ADD CONSTRAINT fact_vehicle_position_20240501_9bf22dcd_pkey PRIMARY KEY (position_sk, dt);
ALTER TABLE ONLY dwh.fact_vehicle_position_20240502
    ADD CONSTRAINT fact_vehicle_position_20240502_18abd9c2_pkey PRIMARY KEY (position_sk, dt);
ALTER TABLE ONLY dwh.fact_vehicle_position_20240503
    ADD CONSTRAINT fact_vehicle_position_20240503_8b646642_pkey PRIMARY KEY (position_sk, dt);
ALTER TABLE ONLY dwh.load_ledger
    ADD CONSTRAINT load_ledger_pkey PRIMARY KEY (target, dt, file);
ALTER TABLE ONLY dwh.mart_build
    ADD CONSTRAINT mart_build_pkey PRIMARY KEY (service_date);
ALTER TABLE ONLY dwh.mart_dirty
    ADD CONSTRAINT mart_dirty_pkey PRIMARY KEY (id);
ALTER TABLE ONLY dwh.payment_key
    ADD CONSTRAINT payment_key_pkey PRIMARY KEY (payment_id);
ALTER TABLE ONLY dwh.superseded_payment
    ADD CONSTRAINT superseded_payment_pkey PRIMARY KEY (payment_id, dt);
ALTER TABLE ONLY dwh.superseded_trip
    ADD CONSTRAINT superseded_trip_pkey PRIMARY KEY (trip_id, dt);
ALTER TABLE ONLY dwh.trip_key
    ADD CONSTRAINT trip_key_pkey PRIMARY KEY (trip_id);
ALTER TABLE ONLY staging.rejected
    ADD CONSTRAINT rejected_pkey PRIMARY KEY (dataset, dt, file, row_number);
ALTER TABLE ONLY staging.repaired
    ADD CONSTRAINT repaired_pkey PRIMARY KEY (dataset, dt, file, row_number);
CREATE UNIQUE INDEX dim_route_open ON dwh.dim_route USING btree (route_id) WHERE (valid_to IS NULL);
CREATE UNIQUE INDEX dim_user_open ON dwh.dim_user USING btree (user_id) WHERE (effective_to IS NULL);
CREATE INDEX fact_payment_paid_at ON ONLY dwh.fact_payment USING brin (paid_at);
CREATE INDEX fact_payment_20240501_9bf22dcd_paid_at_idx ON dwh.fact_payment_20240501 USING brin (paid_at);
CREATE INDEX fact_payment_route_sk ON ONLY dwh.fact_payment USING btree (route_sk);
CREATE INDEX fact_payment_20240501_9bf22dcd_route_sk_idx ON dwh.fact_payment_20240501 USING btree (route_sk);
CREATE INDEX fact_payment_unresolved ON ONLY dwh.fact_payment USING btree (trip_id) WHERE (trip_sk IS NULL);
CREATE INDEX fact_payment_20240501_9bf22dcd_trip_id_idx ON dwh.fact_payment_20240501 USING btree (trip_id) WHERE (trip_sk IS NULL);
CREATE INDEX fact_payment_trip_sk ON ONLY dwh.fact_payment USING btree (trip_sk);
CREATE INDEX fact_payment_20240501_9bf22dcd_trip_sk_idx ON dwh.fact_payment_20240501 USING btree (trip_sk);
CREATE INDEX fact_payment_user_sk ON ONLY dwh.fact_payment USING btree (user_sk);
CREATE INDEX fact_payment_20240501_9bf22dcd_user_sk_idx ON dwh.fact_payment_20240501 USING btree (user_sk);
CREATE INDEX fact_payment_20240502_18abd9c2_paid_at_idx ON dwh.fact_payment_20240502 USING brin (paid_at);
CREATE INDEX fact_payment_20240502_18abd9c2_route_sk_idx ON dwh.fact_payment_20240502 USING btree (route_sk);
CREATE INDEX fact_payment_20240502_18abd9c2_trip_id_idx ON dwh.fact_payment_20240502 USING btree (trip_id) WHERE (trip_sk IS NULL);
CREATE INDEX fact_payment_20240502_18abd9c2_trip_sk_idx ON dwh.fact_payment_20240502 USING btree (trip_sk);
CREATE INDEX fact_payment_20240502_18abd9c2_user_sk_idx ON dwh.fact_payment_20240502 USING btree (user_sk);
CREATE INDEX fact_payment_20240503_8b646642_paid_at_idx ON dwh.fact_payment_20240503 USING brin (paid_at);
CREATE INDEX fact_payment_20240503_8b646642_route_sk_idx ON dwh.fact_payment_20240503 USING btree (route_sk);
CREATE INDEX fact_payment_20240503_8b646642_trip_id_idx ON dwh.fact_payment_20240503 USING btree (trip_id) WHERE (trip_sk IS NULL);
CREATE INDEX fact_payment_20240503_8b646642_trip_sk_idx ON dwh.fact_payment_20240503 USING btree (trip_sk);
CREATE INDEX fact_payment_20240503_8b646642_user_sk_idx ON dwh.fact_payment_20240503 USING btree (user_sk);
CREATE INDEX fact_trip_end_stop_sk ON ONLY dwh.fact_trip USING btree (end_stop_sk);
CREATE INDEX fact_trip_20240501_9bf22dcd_end_stop_sk_idx ON dwh.fact_trip_20240501 USING btree (end_stop_sk);
CREATE INDEX fact_trip_route_sk ON ONLY dwh.fact_trip USING btree (route_sk);
CREATE INDEX fact_trip_20240501_9bf22dcd_route_sk_idx ON dwh.fact_trip_20240501 USING btree (route_sk);
CREATE INDEX fact_trip_start_stop_sk ON ONLY dwh.fact_trip USING btree (start_stop_sk);
CREATE INDEX fact_trip_20240501_9bf22dcd_start_stop_sk_idx ON dwh.fact_trip_20240501 USING btree (start_stop_sk);
CREATE INDEX fact_trip_start_ts ON ONLY dwh.fact_trip USING brin (start_ts);
CREATE INDEX fact_trip_20240501_9bf22dcd_start_ts_idx ON dwh.fact_trip_20240501 USING brin (start_ts);
CREATE INDEX fact_trip_user_sk ON ONLY dwh.fact_trip USING btree (user_sk);
CREATE INDEX fact_trip_20240501_9bf22dcd_user_sk_idx ON dwh.fact_trip_20240501 USING btree (user_sk);
CREATE INDEX fact_trip_vehicle_sk ON ONLY dwh.fact_trip USING btree (vehicle_sk);
CREATE INDEX fact_trip_20240501_9bf22dcd_vehicle_sk_idx ON dwh.fact_trip_20240501 USING btree (vehicle_sk);
CREATE INDEX fact_trip_20240502_18abd9c2_end_stop_sk_idx ON dwh.fact_trip_20240502 USING btree (end_stop_sk);
CREATE INDEX fact_trip_20240502_18abd9c2_route_sk_idx ON dwh.fact_trip_20240502 USING btree (route_sk);
CREATE INDEX fact_trip_20240502_18abd9c2_start_stop_sk_idx ON dwh.fact_trip_20240502 USING btree (start_stop_sk);
CREATE INDEX fact_trip_20240502_18abd9c2_start_ts_idx ON dwh.fact_trip_20240502 USING brin (start_ts);
CREATE INDEX fact_trip_20240502_18abd9c2_user_sk_idx ON dwh.fact_trip_20240502 USING btree (user_sk);
CREATE INDEX fact_trip_20240502_18abd9c2_vehicle_sk_idx ON dwh.fact_trip_20240502 USING btree (vehicle_sk);
CREATE INDEX fact_trip_20240503_8b646642_end_stop_sk_idx ON dwh.fact_trip_20240503 USING btree (end_stop_sk);
CREATE INDEX fact_trip_20240503_8b646642_route_sk_idx ON dwh.fact_trip_20240503 USING btree (route_sk);
CREATE INDEX fact_trip_20240503_8b646642_start_stop_sk_idx ON dwh.fact_trip_20240503 USING btree (start_stop_sk);
CREATE INDEX fact_trip_20240503_8b646642_start_ts_idx ON dwh.fact_trip_20240503 USING brin (start_ts);
CREATE INDEX fact_trip_20240503_8b646642_user_sk_idx ON dwh.fact_trip_20240503 USING btree (user_sk);
CREATE INDEX fact_trip_20240503_8b646642_vehicle_sk_idx ON dwh.fact_trip_20240503 USING btree (vehicle_sk);
CREATE INDEX fact_vehicle_position_event_ts ON ONLY dwh.fact_vehicle_position USING brin (event_ts);
CREATE INDEX fact_vehicle_position_20240501_9bf22dcd_event_ts_idx ON dwh.fact_vehicle_position_20240501 USING brin (event_ts);
CREATE INDEX fact_vehicle_position_route_sk ON ONLY dwh.fact_vehicle_position USING btree (route_sk);
CREATE INDEX fact_vehicle_position_20240501_9bf22dcd_route_sk_idx ON dwh.fact_vehicle_position_20240501 USING btree (route_sk);
CREATE INDEX fact_vehicle_position_vehicle_sk ON ONLY dwh.fact_vehicle_position USING btree (vehicle_sk);
CREATE INDEX fact_vehicle_position_20240501_9bf22dcd_vehicle_sk_idx ON dwh.fact_vehicle_position_20240501 USING btree (vehicle_sk);
CREATE INDEX fact_vehicle_position_20240502_18abd9c2_event_ts_idx ON dwh.fact_vehicle_position_20240502 USING brin (event_ts);
CREATE INDEX fact_vehicle_position_20240502_18abd9c2_route_sk_idx ON dwh.fact_vehicle_position_20240502 USING btree (route_sk);
CREATE INDEX fact_vehicle_position_20240502_18abd9c2_vehicle_sk_idx ON dwh.fact_vehicle_position_20240502 USING btree (vehicle_sk);
CREATE INDEX fact_vehicle_position_20240503_8b646642_event_ts_idx ON dwh.fact_vehicle_position_20240503 USING brin (event_ts);
CREATE INDEX fact_vehicle_position_20240503_8b646642_route_sk_idx ON dwh.fact_vehicle_position_20240503 USING btree (route_sk);
CREATE INDEX fact_vehicle_position_20240503_8b646642_vehicle_sk_idx ON dwh.fact_vehicle_position_20240503 USING btree (vehicle_sk);
CREATE INDEX mart_dirty_service_date ON dwh.mart_dirty USING btree (service_date);
CREATE INDEX quality_result_checked_at ON dwh.quality_result USING btree (checked_at);
CREATE INDEX step_failure_dt ON dwh.step_failure USING btree (dt);
CREATE INDEX superseded_payment_dt ON dwh.superseded_payment USING btree (dt);
CREATE INDEX superseded_trip_dt ON dwh.superseded_trip USING btree (dt);
ALTER INDEX dwh.fact_payment_paid_at ATTACH PARTITION dwh.fact_payment_20240501_9bf22dcd_paid_at_idx;
ALTER INDEX dwh.fact_payment_pkey ATTACH PARTITION dwh.fact_payment_20240501_9bf22dcd_pkey;
ALTER INDEX dwh.fact_payment_route_sk ATTACH PARTITION dwh.fact_payment_20240501_9bf22dcd_route_sk_idx;
ALTER INDEX dwh.fact_payment_unresolved ATTACH PARTITION dwh.fact_payment_20240501_9bf22dcd_trip_id_idx;
ALTER INDEX dwh.fact_payment_trip_sk ATTACH PARTITION dwh.fact_payment_20240501_9bf22dcd_trip_sk_idx;
ALTER INDEX dwh.fact_payment_user_sk ATTACH PARTITION dwh.fact_payment_20240501_9bf22dcd_user_sk_idx;
ALTER INDEX dwh.fact_payment_paid_at ATTACH PARTITION dwh.fact_payment_20240502_18abd9c2_paid_at_idx;
ALTER INDEX dwh.fact_payment_pkey ATTACH PARTITION dwh.fact_payment_20240502_18abd9c2_pkey;
ALTER INDEX dwh.fact_payment_route_sk ATTACH PARTITION dwh.fact_payment_20240502_18abd9c2_route_sk_idx;
ALTER INDEX dwh.fact_payment_unresolved ATTACH PARTITION dwh.fact_payment_20240502_18abd9c2_trip_id_idx;
ALTER INDEX dwh.fact_payment_trip_sk ATTACH PARTITION dwh.fact_payment_20240502_18abd9c2_trip_sk_idx;
ALTER INDEX dwh.fact_payment_user_sk ATTACH PARTITION dwh.fact_payment_20240502_18abd9c2_user_sk_idx;
ALTER INDEX dwh.fact_payment_paid_at ATTACH PARTITION dwh.fact_payment_20240503_8b646642_paid_at_idx;
ALTER INDEX dwh.fact_payment_pkey ATTACH PARTITION dwh.fact_payment_20240503_8b646642_pkey;
ALTER INDEX dwh.fact_payment_route_sk ATTACH PARTITION dwh.fact_payment_20240503_8b646642_route_sk_idx;
ALTER INDEX dwh.fact_payment_unresolved ATTACH PARTITION dwh.fact_payment_20240503_8b646642_trip_id_idx;
ALTER INDEX dwh.fact_payment_trip_sk ATTACH PARTITION dwh.fact_payment_20240503_8b646642_trip_sk_idx;
ALTER INDEX dwh.fact_payment_user_sk ATTACH PARTITION dwh.fact_payment_20240503_8b646642_user_sk_idx;
ALTER INDEX dwh.fact_trip_end_stop_sk ATTACH PARTITION dwh.fact_trip_20240501_9bf22dcd_end_stop_sk_idx;
ALTER INDEX dwh.fact_trip_pkey ATTACH PARTITION dwh.fact_trip_20240501_9bf22dcd_pkey;
ALTER INDEX dwh.fact_trip_route_sk ATTACH PARTITION dwh.fact_trip_20240501_9bf22dcd_route_sk_idx;
ALTER INDEX dwh.fact_trip_start_stop_sk ATTACH PARTITION dwh.fact_trip_20240501_9bf22dcd_start_stop_sk_idx;
ALTER INDEX dwh.fact_trip_start_ts ATTACH PARTITION dwh.fact_trip_20240501_9bf22dcd_start_ts_idx;
ALTER INDEX dwh.fact_trip_user_sk ATTACH PARTITION dwh.fact_trip_20240501_9bf22dcd_user_sk_idx;
ALTER INDEX dwh.fact_trip_vehicle_sk ATTACH PARTITION dwh.fact_trip_20240501_9bf22dcd_vehicle_sk_idx;
ALTER INDEX dwh.fact_trip_end_stop_sk ATTACH PARTITION dwh.fact_trip_20240502_18abd9c2_end_stop_sk_idx;
ALTER INDEX dwh.fact_trip_pkey ATTACH PARTITION dwh.fact_trip_20240502_18abd9c2_pkey;
ALTER INDEX dwh.fact_trip_route_sk ATTACH PARTITION dwh.fact_trip_20240502_18abd9c2_route_sk_idx;
ALTER INDEX dwh.fact_trip_start_stop_sk ATTACH PARTITION dwh.fact_trip_20240502_18abd9c2_start_stop_sk_idx;
ALTER INDEX dwh.fact_trip_start_ts ATTACH PARTITION dwh.fact_trip_20240502_18abd9c2_start_ts_idx;
ALTER INDEX dwh.fact_trip_user_sk ATTACH PARTITION dwh.fact_trip_20240502_18abd9c2_user_sk_idx;
ALTER INDEX dwh.fact_trip_vehicle_sk ATTACH PARTITION dwh.fact_trip_20240502_18abd9c2_vehicle_sk_idx;
ALTER INDEX dwh.fact_trip_end_stop_sk ATTACH PARTITION dwh.fact_trip_20240503_8b646642_end_stop_sk_idx;
ALTER INDEX dwh.fact_trip_pkey ATTACH PARTITION dwh.fact_trip_20240503_8b646642_pkey;
ALTER INDEX dwh.fact_trip_route_sk ATTACH PARTITION dwh.fact_trip_20240503_8b646642_route_sk_idx;
ALTER INDEX dwh.fact_trip_start_stop_sk ATTACH PARTITION dwh.fact_trip_20240503_8b646642_start_stop_sk_idx;
ALTER INDEX dwh.fact_trip_start_ts ATTACH PARTITION dwh.fact_trip_20240503_8b646642_start_ts_idx;
ALTER INDEX dwh.fact_trip_user_sk ATTACH PARTITION dwh.fact_trip_20240503_8b646642_user_sk_idx;
ALTER INDEX dwh.fact_trip_vehicle_sk ATTACH PARTITION dwh.fact_trip_20240503_8b646642_vehicle_sk_idx;
ALTER INDEX dwh.fact_vehicle_position_event_ts ATTACH PARTITION dwh.fact_vehicle_position_20240501_9bf22dcd_event_ts_idx;
ALTER INDEX dwh.fact_vehicle_position_pkey ATTACH PARTITION dwh.fact_vehicle_position_20240501_9bf22dcd_pkey;
ALTER INDEX dwh.fact_vehicle_position_route_sk ATTACH PARTITION dwh.fact_vehicle_position_20240501_9bf22dcd_route_sk_idx;
ALTER INDEX dwh.fact_vehicle_position_vehicle_sk ATTACH PARTITION dwh.fact_vehicle_position_20240501_9bf22dcd_vehicle_sk_idx;
ALTER INDEX dwh.fact_vehicle_position_event_ts ATTACH PARTITION dwh.fact_vehicle_position_20240502_18abd9c2_event_ts_idx;
ALTER INDEX dwh.fact_vehicle_position_pkey ATTACH PARTITION dwh.fact_vehicle_position_20240502_18abd9c2_pkey;
ALTER INDEX dwh.fact_vehicle_position_route_sk ATTACH PARTITION dwh.fact_vehicle_position_20240502_18abd9c2_route_sk_idx;
ALTER INDEX dwh.fact_vehicle_position_vehicle_sk ATTACH PARTITION dwh.fact_vehicle_position_20240502_18abd9c2_vehicle_sk_idx;
ALTER INDEX dwh.fact_vehicle_position_event_ts ATTACH PARTITION dwh.fact_vehicle_position_20240503_8b646642_event_ts_idx;
ALTER INDEX dwh.fact_vehicle_position_pkey ATTACH PARTITION dwh.fact_vehicle_position_20240503_8b646642_pkey;
ALTER INDEX dwh.fact_vehicle_position_route_sk ATTACH PARTITION dwh.fact_vehicle_position_20240503_8b646642_route_sk_idx;
ALTER INDEX dwh.fact_vehicle_position_vehicle_sk ATTACH PARTITION dwh.fact_vehicle_position_20240503_8b646642_vehicle_sk_idx;
ALTER TABLE dwh.fact_payment
    ADD CONSTRAINT fact_payment_payment_method_sk_fkey FOREIGN KEY (payment_method_sk) REFERENCES dwh.dim_payment_method(payment_method_sk) DEFERRABLE;
ALTER TABLE dwh.fact_payment
    ADD CONSTRAINT fact_payment_route_sk_fkey FOREIGN KEY (route_sk) REFERENCES dwh.dim_route(route_sk) DEFERRABLE;
ALTER TABLE dwh.fact_payment
    ADD CONSTRAINT fact_payment_user_sk_fkey FOREIGN KEY (user_sk) REFERENCES dwh.dim_user(user_sk) DEFERRABLE;
ALTER TABLE dwh.fact_trip
    ADD CONSTRAINT fact_trip_end_stop_sk_fkey FOREIGN KEY (end_stop_sk) REFERENCES dwh.dim_stop(stop_sk) DEFERRABLE;
ALTER TABLE dwh.fact_trip
    ADD CONSTRAINT fact_trip_route_sk_fkey FOREIGN KEY (route_sk) REFERENCES dwh.dim_route(route_sk) DEFERRABLE;
ALTER TABLE dwh.fact_trip
    ADD CONSTRAINT fact_trip_start_stop_sk_fkey FOREIGN KEY (start_stop_sk) REFERENCES dwh.dim_stop(stop_sk) DEFERRABLE;
ALTER TABLE dwh.fact_trip
    ADD CONSTRAINT fact_trip_user_sk_fkey FOREIGN KEY (user_sk) REFERENCES dwh.dim_user(user_sk) DEFERRABLE;
ALTER TABLE dwh.fact_trip
    ADD CONSTRAINT fact_trip_vehicle_sk_fkey FOREIGN KEY (vehicle_sk) REFERENCES dwh.dim_vehicle(vehicle_sk) DEFERRABLE;
ALTER TABLE dwh.fact_vehicle_position
    ADD CONSTRAINT fact_vehicle_position_route_sk_fkey FOREIGN KEY (route_sk) REFERENCES dwh.dim_route(route_sk) DEFERRABLE;
ALTER TABLE dwh.fact_vehicle_position
    ADD CONSTRAINT fact_vehicle_position_vehicle_sk_fkey FOREIGN KEY (vehicle_sk) REFERENCES dwh.dim_vehicle(vehicle_sk) DEFERRABLE;
