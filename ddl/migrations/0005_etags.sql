-- From schema version 4 to 5: what the object store said of a file's bytes, so that an unchanged one is not read again.
ALTER TABLE dwh.load_ledger ADD COLUMN IF NOT EXISTS etag text;
