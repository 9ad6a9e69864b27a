-- From schema version 5 to 6: what the days said of a key stands in columns of its own types, no longer in an array of texts.
-- Each table is rewritten once; rights on it stay.
ALTER TABLE IF EXISTS dwh.dim_route_said RENAME COLUMN key TO route_id;
ALTER TABLE IF EXISTS dwh.dim_route_said ADD COLUMN name text,
    ADD COLUMN transport_type text,
    ADD COLUMN base_fare numeric(12,2),
    ADD COLUMN schema_json jsonb,
    ADD COLUMN active_from timestamptz,
    ADD COLUMN active_to timestamptz;
ALTER TABLE IF EXISTS dwh.dim_route_said
    ALTER COLUMN name TYPE text USING said[1],
    ALTER COLUMN transport_type TYPE text USING said[2],
    ALTER COLUMN base_fare TYPE numeric(12,2) USING said[3]::numeric(12,2),
    ALTER COLUMN schema_json TYPE jsonb USING said[4]::jsonb,
    ALTER COLUMN active_from TYPE timestamptz USING 'epoch'::timestamptz + said[5]::bigint / 1000000 * interval '1 second'
        + said[5]::bigint % 1000000 * interval '1 microsecond',
    ALTER COLUMN active_to TYPE timestamptz USING 'epoch'::timestamptz + said[6]::bigint / 1000000 * interval '1 second'
        + said[6]::bigint % 1000000 * interval '1 microsecond',
    ALTER COLUMN said DROP NOT NULL, ALTER COLUMN said TYPE text USING NULL::text;
ALTER TABLE IF EXISTS dwh.dim_route_said DROP COLUMN said;
ALTER TABLE IF EXISTS dwh.dim_user_said RENAME COLUMN key TO user_id;
ALTER TABLE IF EXISTS dwh.dim_user_said ADD COLUMN created_at timestamptz,
    ADD COLUMN city text,
    ADD COLUMN lang text,
    ADD COLUMN gender text,
    ADD COLUMN birthdate date,
    ADD COLUMN is_active bool;
ALTER TABLE IF EXISTS dwh.dim_user_said
    ALTER COLUMN created_at TYPE timestamptz USING 'epoch'::timestamptz + said[1]::bigint / 1000000 * interval '1 second'
        + said[1]::bigint % 1000000 * interval '1 microsecond',
    ALTER COLUMN city TYPE text USING said[2],
    ALTER COLUMN lang TYPE text USING said[3],
    ALTER COLUMN gender TYPE text USING said[4],
    ALTER COLUMN birthdate TYPE date USING said[5]::date,
    ALTER COLUMN is_active TYPE bool USING said[6]::bool,
    ALTER COLUMN said DROP NOT NULL, ALTER COLUMN said TYPE text USING NULL::text;
ALTER TABLE IF EXISTS dwh.dim_user_said DROP COLUMN said;
ALTER TABLE IF EXISTS dwh.dim_vehicle_said RENAME COLUMN key TO vehicle_id;
ALTER TABLE IF EXISTS dwh.dim_vehicle_said ADD COLUMN route_id text,
    ADD COLUMN transport_type text,
    ADD COLUMN capacity int4,
    ADD COLUMN vendor text,
    ADD COLUMN commissioned_at timestamptz,
    ADD COLUMN decommissioned_at timestamptz;
ALTER TABLE IF EXISTS dwh.dim_vehicle_said
    ALTER COLUMN route_id TYPE text USING said[1],
    ALTER COLUMN transport_type TYPE text USING said[2],
    ALTER COLUMN capacity TYPE int4 USING said[3]::int4,
    ALTER COLUMN vendor TYPE text USING said[4],
    ALTER COLUMN commissioned_at TYPE timestamptz USING 'epoch'::timestamptz + said[5]::bigint / 1000000 * interval '1 second'
        + said[5]::bigint % 1000000 * interval '1 microsecond',
    ALTER COLUMN decommissioned_at TYPE timestamptz USING 'epoch'::timestamptz + said[6]::bigint / 1000000 * interval '1 second'
        + said[6]::bigint % 1000000 * interval '1 microsecond',
    ALTER COLUMN said DROP NOT NULL, ALTER COLUMN said TYPE text USING NULL::text;
ALTER TABLE IF EXISTS dwh.dim_vehicle_said DROP COLUMN said;
ALTER TABLE IF EXISTS dwh.dim_stop_said RENAME COLUMN key TO stop_id;
ALTER TABLE IF EXISTS dwh.dim_stop_said ADD COLUMN name text,
    ADD COLUMN lat float8,
    ADD COLUMN lon float8,
    ADD COLUMN city text;
ALTER TABLE IF EXISTS dwh.dim_stop_said
    ALTER COLUMN name TYPE text USING said[1],
    ALTER COLUMN lat TYPE float8 USING said[2]::float8,
    ALTER COLUMN lon TYPE float8 USING said[3]::float8,
    ALTER COLUMN city TYPE text USING said[4],
    ALTER COLUMN said DROP NOT NULL, ALTER COLUMN said TYPE text USING NULL::text;
ALTER TABLE IF EXISTS dwh.dim_stop_said DROP COLUMN said;
ALTER TABLE IF EXISTS dwh.dim_shape_said RENAME COLUMN key TO shape_id;
ALTER TABLE IF EXISTS dwh.dim_shape_said ADD COLUMN points jsonb;
ALTER TABLE IF EXISTS dwh.dim_shape_said
    ALTER COLUMN points TYPE jsonb USING said[1]::jsonb,
    ALTER COLUMN said DROP NOT NULL, ALTER COLUMN said TYPE text USING NULL::text;
ALTER TABLE IF EXISTS dwh.dim_shape_said DROP COLUMN said;
-- From PostgreSQL 18 on NOT NULL is a constraint whose name holds the column's.
DO $$
DECLARE
    one record;
BEGIN
    FOR one IN
        SELECT c.conrelid::regclass AS log, c.conname AS old_name, r.relname || '_' || a.attname || '_not_null' AS new_name
        FROM pg_constraint c JOIN pg_class r ON r.oid = c.conrelid
        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
        WHERE c.contype = 'n' AND r.relnamespace = 'dwh'::regnamespace AND c.conname = r.relname || '_key_not_null'
    LOOP
        EXECUTE format('ALTER TABLE %s RENAME CONSTRAINT %I TO %I', one.log, one.old_name, one.new_name);
    END LOOP;
END $$;
