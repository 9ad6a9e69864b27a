-- MetroPulse roles with least privilege, for PostgreSQL 13 and later. Safe to run again.
-- Run it once as the owner of the schema (or a superuser), after `metropulse migrate` has made the tables:
--   psql -v ON_ERROR_STOP=1 -f ddl/roles.sql
-- Then give logins to people and programs:
--   CREATE ROLE etl LOGIN PASSWORD '...' IN ROLE metropulse_loader;
--   CREATE ROLE bi LOGIN PASSWORD '...' IN ROLE metropulse_reader;
--
-- metropulse_loader runs every step of a day, undo, requeue and purge. PostgreSQL lets only a table's owner attach and
-- drop partitions, so it owns the partitioned tables and nothing else; it can neither change nor drop a dimension, the
-- ledger or the history, only write their rows. Migrations stay with the owner of the schema.
-- metropulse_reader reads schema dwh and writes nothing. Staging, which holds raw personal data, is not for it.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'metropulse_loader') THEN
        CREATE ROLE metropulse_loader NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'metropulse_reader') THEN
        CREATE ROLE metropulse_reader NOLOGIN;
    END IF;
    EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO metropulse_loader', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO metropulse_reader', current_database());
END
$$;

REVOKE ALL ON SCHEMA staging, dwh FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA staging, dwh TO metropulse_loader;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA staging, dwh TO metropulse_loader;
-- The side table of a day gets foreign keys to the dimensions.
GRANT REFERENCES ON ALL TABLES IN SCHEMA dwh TO metropulse_loader;
GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA dwh TO metropulse_loader;

-- Partitioned tables and the partitions that are there already.
DO $$
DECLARE
    held record;
BEGIN
    FOR held IN
        SELECT c.oid::regclass AS name
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname IN ('staging', 'dwh') AND (c.relkind = 'p' OR (c.relkind = 'r' AND c.relispartition))
    LOOP
        EXECUTE format('ALTER TABLE %s OWNER TO metropulse_loader', held.name);
    END LOOP;
END
$$;

GRANT USAGE ON SCHEMA dwh TO metropulse_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA dwh TO metropulse_reader;
