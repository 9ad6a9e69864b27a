-- From schema version 3 to 4: what an agency's own feeds say of positions and trips. Their new tables are in dwh_schema.sql.
ALTER TABLE staging.vehicle_positions_raw
    ADD COLUMN IF NOT EXISTS trip_id text,
    ADD COLUMN IF NOT EXISTS start_date date,
    ADD COLUMN IF NOT EXISTS direction_id integer,
    ADD COLUMN IF NOT EXISTS stop_id text,
    ADD COLUMN IF NOT EXISTS current_stop_sequence integer,
    ADD COLUMN IF NOT EXISTS current_status text,
    ADD COLUMN IF NOT EXISTS occupancy_status text,
    ADD COLUMN IF NOT EXISTS odometer_m float8,
    ADD COLUMN IF NOT EXISTS vehicle_label text,
    ADD COLUMN IF NOT EXISTS received_at timestamptz;
ALTER TABLE dwh.fact_vehicle_position
    ADD COLUMN IF NOT EXISTS trip_id text,
    ADD COLUMN IF NOT EXISTS start_date date,
    ADD COLUMN IF NOT EXISTS direction_id integer,
    ADD COLUMN IF NOT EXISTS stop_id text,
    ADD COLUMN IF NOT EXISTS current_stop_sequence integer,
    ADD COLUMN IF NOT EXISTS current_status text,
    ADD COLUMN IF NOT EXISTS occupancy_status text,
    ADD COLUMN IF NOT EXISTS odometer_m float8,
    ADD COLUMN IF NOT EXISTS vehicle_label text,
    ADD COLUMN IF NOT EXISTS received_at timestamptz;
ALTER TABLE staging.trips_raw
    ADD COLUMN IF NOT EXISTS scheduled_trip_id text,
    ADD COLUMN IF NOT EXISTS scheduled_start_time text;
ALTER TABLE dwh.fact_trip
    ADD COLUMN IF NOT EXISTS scheduled_trip_id text,
    ADD COLUMN IF NOT EXISTS scheduled_start_time text;
ALTER TABLE dwh.superseded_trip
    ADD COLUMN IF NOT EXISTS scheduled_trip_id text,
    ADD COLUMN IF NOT EXISTS scheduled_start_time text;
