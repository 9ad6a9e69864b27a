-- From schema version 1 to 2: purged ledger lines. The new tables come with dwh_schema.sql itself, which runs next.
ALTER TABLE dwh.load_ledger ADD COLUMN IF NOT EXISTS purged_at timestamptz;
