-- The tables of the prototype, in its own types and without partitions, with a few rows in each.
CREATE SCHEMA staging;
CREATE SCHEMA dwh;
CREATE TABLE staging.vehicle_positions_raw (event_ts timestamptz, vehicle_id varchar(64), route_id varchar(64), lat numeric(10,7),
    lon numeric(10,7), speed numeric(10,3), heading numeric(10,3), payload jsonb, load_id varchar(64), ingestion_ts timestamptz DEFAULT now());
CREATE TABLE staging.users_raw (user_id varchar(64), created_at timestamptz, city varchar(128), lang varchar(16), gender varchar(16),
    birthdate date, is_active boolean, payload jsonb, load_id varchar(64), ingestion_ts timestamptz DEFAULT now());
CREATE TABLE staging.routes_raw (route_id varchar(64), name varchar(255), transport_type varchar(32), base_fare numeric(12,2),
    schema_json jsonb, active_from timestamptz, active_to timestamptz, load_id varchar(64), ingestion_ts timestamptz DEFAULT now());
CREATE TABLE staging.trips_raw (trip_id varchar(64), user_id varchar(64), route_id varchar(64), vehicle_id varchar(64), start_ts timestamptz,
    end_ts timestamptz, start_stop_id varchar(64), end_stop_id varchar(64), distance_m numeric(14,3), fare numeric(12,2), status varchar(32),
    load_id varchar(64), ingestion_ts timestamptz DEFAULT now());
CREATE TABLE staging.payments_raw (payment_id varchar(64), user_id varchar(64), route_id varchar(64), trip_id varchar(64), amount numeric(12,2),
    currency varchar(8), status varchar(32), payment_method varchar(32), paid_at timestamptz, load_id varchar(64), ingestion_ts timestamptz DEFAULT now());
CREATE TABLE dwh.dim_date (date_sk int PRIMARY KEY, full_date date, day int, week int, month int, quarter int, year int, is_weekend boolean);
CREATE TABLE dwh.dim_time (time_sk int PRIMARY KEY, hh24mi char(5), hour int, minute int, second int);
CREATE TABLE dwh.dim_user (user_sk bigserial PRIMARY KEY, user_id varchar(64) NOT NULL, city varchar(128), lang varchar(16), birthdate date,
    gender varchar(16), created_at timestamptz, is_active boolean, effective_from timestamptz NOT NULL, effective_to timestamptz, is_current boolean);
CREATE TABLE dwh.dim_route (route_sk bigserial PRIMARY KEY, route_id varchar(64) NOT NULL, name varchar(255), transport_type varchar(32),
    base_fare numeric(12,2), schema_json jsonb, active_flag boolean, valid_from timestamptz NOT NULL, valid_to timestamptz, is_current boolean);
CREATE TABLE dwh.dim_vehicle (vehicle_sk bigserial PRIMARY KEY, vehicle_id varchar(64) NOT NULL, route_id varchar(64), transport_type varchar(32),
    capacity int, vendor varchar(128), commissioned_at timestamptz, decommissioned_at timestamptz);
CREATE TABLE dwh.dim_stop (stop_sk bigserial PRIMARY KEY, stop_id varchar(64) NOT NULL, name varchar(255), lat numeric(10,7), lon numeric(10,7), city varchar(128));
CREATE TABLE dwh.dim_payment_method (payment_method_sk bigserial PRIMARY KEY, code varchar(32) NOT NULL, name varchar(128), provider varchar(128));
CREATE TABLE dwh.fact_trip (trip_sk bigserial PRIMARY KEY, trip_id varchar(64), user_sk bigint REFERENCES dwh.dim_user, route_sk bigint REFERENCES dwh.dim_route,
    vehicle_sk bigint REFERENCES dwh.dim_vehicle, start_stop_sk bigint REFERENCES dwh.dim_stop, end_stop_sk bigint REFERENCES dwh.dim_stop,
    start_ts timestamptz, end_ts timestamptz, duration_sec int, distance_m numeric(14,3), fare_amount numeric(12,2), delay_start_sec int,
    delay_end_sec int, status varchar(32), load_id varchar(64), inserted_at timestamptz DEFAULT now());
CREATE TABLE dwh.fact_payment (payment_sk bigserial PRIMARY KEY, payment_id varchar(64), user_sk bigint, route_sk bigint, trip_sk bigint,
    payment_method_sk bigint, amount numeric(12,2), currency varchar(8), status varchar(32), paid_at timestamptz, load_id varchar(64),
    inserted_at timestamptz DEFAULT now());
CREATE TABLE dwh.fact_vehicle_position (position_sk bigserial PRIMARY KEY, event_ts timestamptz, event_date_sk int, event_time_sk int, vehicle_sk bigint,
    route_sk bigint, lat numeric(10,7), lon numeric(10,7), speed numeric(10,3), heading numeric(10,3), provider_ts timestamptz, load_id varchar(64),
    inserted_at timestamptz DEFAULT now());
CREATE INDEX fact_trip_start_ts ON dwh.fact_trip USING brin (start_ts);
CREATE INDEX fact_payment_paid_at ON dwh.fact_payment USING brin (paid_at);
CREATE INDEX fact_vehicle_position_event_ts ON dwh.fact_vehicle_position USING brin (event_ts);
CREATE VIEW dwh.fares AS SELECT r.name, sum(t.fare_amount) AS fares FROM dwh.fact_trip t JOIN dwh.dim_route r USING (route_sk) GROUP BY 1;
INSERT INTO staging.routes_raw (route_id, name, base_fare, load_id) VALUES ('R001', 'Old line', 30, 'batch_2024-05-01');
INSERT INTO dwh.dim_payment_method (code, name, provider) VALUES ('card', 'Bank card', 'Sber'), ('wallet', 'Wallet', NULL), ('promo', 'Promo', NULL), ('sbp', 'Fast payments', 'CBR');
INSERT INTO dwh.dim_user (user_id, city, effective_from, is_current) VALUES ('U000001', 'Moscow', '2024-05-01', true);
INSERT INTO dwh.dim_route (route_id, name, base_fare, valid_from, valid_to, is_current) VALUES
    ('R001', 'Old line', 30, '2024-05-01', '2024-05-02', false), ('R001', 'Old line', 35, '2024-05-02', NULL, true);
INSERT INTO dwh.dim_vehicle (vehicle_id) VALUES ('VR00001');
INSERT INTO dwh.dim_stop (stop_id, name) VALUES ('S1', 'First');
INSERT INTO dwh.fact_trip (trip_id, user_sk, route_sk, vehicle_sk, start_stop_sk, start_ts, fare_amount, load_id)
    VALUES ('T000000001', 1, 1, 1, 1, '2024-05-01 08:00+00', 30, 'batch_2024-05-01'), ('T000000002', 1, 2, 1, 1, '2024-05-02 08:00+00', 35, 'batch_2024-05-02');
INSERT INTO dwh.fact_payment (payment_id, user_sk, amount, load_id) VALUES ('PT000000001', 1, 30, 'batch_2024-05-01');
