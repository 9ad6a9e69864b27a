-- The warehouse of the whole-day peer: the prototype's tables, as its own pages ask for them.
CREATE SCHEMA staging;
CREATE SCHEMA dwh;
CREATE TABLE staging.vehicle_positions_raw (event_ts timestamptz, vehicle_id text, route_id text, lat float8, lon float8,
  speed float8, heading float8, provider_ts timestamptz, load_id text, ingestion_ts timestamptz DEFAULT now());
CREATE TABLE staging.users_raw (user_id text, created_at timestamptz, city text, lang text, gender text, birthdate date,
  is_active boolean, load_id text, ingestion_ts timestamptz DEFAULT now());
CREATE TABLE staging.routes_raw (route_id text, name text, transport_type text, base_fare numeric(12,2),
  schema_json jsonb, active_from timestamptz, active_to timestamptz, load_id text, ingestion_ts timestamptz DEFAULT now());
CREATE TABLE staging.vehicles_raw (vehicle_id text, route_id text, transport_type text, capacity int, vendor text,
  commissioned_at timestamptz, decommissioned_at timestamptz, load_id text, ingestion_ts timestamptz DEFAULT now());
CREATE TABLE staging.stops_raw (stop_id text, name text, lat float8, lon float8, city text, load_id text,
  ingestion_ts timestamptz DEFAULT now());
CREATE TABLE staging.trips_raw (trip_id text, user_id text, route_id text, vehicle_id text, start_ts timestamptz,
  end_ts timestamptz, start_stop_id text, end_stop_id text, distance_m float8, fare numeric(12,2), status text,
  load_id text, ingestion_ts timestamptz DEFAULT now());
CREATE TABLE staging.payments_raw (payment_id text, user_id text, route_id text, trip_id text, amount numeric(12,2),
  currency text, status text, payment_method text, paid_at timestamptz, load_id text,
  ingestion_ts timestamptz DEFAULT now());
CREATE TABLE dwh.dim_user (user_sk bigserial PRIMARY KEY, user_id text, city text, lang text, birthdate date, gender text,
  created_at timestamptz, is_active boolean, effective_from timestamptz, effective_to timestamptz,
  is_current boolean DEFAULT true, UNIQUE (user_id, effective_from));
CREATE TABLE dwh.dim_route (route_sk bigserial PRIMARY KEY, route_id text, name text, transport_type text,
  base_fare numeric(12,2), schema_json jsonb, active_flag boolean DEFAULT true, valid_from timestamptz,
  valid_to timestamptz, is_current boolean DEFAULT true, UNIQUE (route_id, valid_from));
CREATE TABLE dwh.dim_vehicle (vehicle_sk bigserial PRIMARY KEY, vehicle_id text UNIQUE, route_id text,
  transport_type text, capacity int, vendor text, commissioned_at timestamptz, decommissioned_at timestamptz);
CREATE TABLE dwh.dim_stop (stop_sk bigserial PRIMARY KEY, stop_id text UNIQUE, name text, lat float8, lon float8,
  city text);
CREATE TABLE dwh.dim_payment_method (payment_method_sk bigserial PRIMARY KEY, code text UNIQUE, name text);
INSERT INTO dwh.dim_payment_method (code, name) VALUES ('card', 'card'), ('wallet', 'wallet'), ('promo', 'promo');
CREATE TABLE dwh.fact_trip (trip_sk bigserial, trip_id text, user_sk bigint, route_sk bigint, vehicle_sk bigint,
  start_stop_sk bigint, end_stop_sk bigint, start_ts timestamptz, end_ts timestamptz, duration_sec bigint,
  distance_m float8, fare_amount numeric(12,2), status text, load_id text, inserted_at timestamptz DEFAULT now(),
  PRIMARY KEY (trip_sk, start_ts)) PARTITION BY RANGE (start_ts);
CREATE TABLE dwh.fact_payment (payment_sk bigserial, payment_id text, user_sk bigint, route_sk bigint, trip_sk bigint,
  payment_method_sk bigint, amount numeric(12,2), currency text, status text, paid_at timestamptz, load_id text,
  inserted_at timestamptz DEFAULT now(), PRIMARY KEY (payment_sk, paid_at)) PARTITION BY RANGE (paid_at);
CREATE TABLE dwh.fact_vehicle_position (position_sk bigserial, event_ts timestamptz, event_date_sk int,
  event_time_sk int, vehicle_sk bigint, route_sk bigint, lat float8, lon float8, speed float8, heading float8,
  provider_ts timestamptz, load_id text, inserted_at timestamptz DEFAULT now(),
  PRIMARY KEY (position_sk, event_ts)) PARTITION BY RANGE (event_ts);
