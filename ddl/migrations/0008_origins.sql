-- From schema version 7 to 8: what a file was made of, so that the oddities of an agency's feed stay known with what they brought.
ALTER TABLE dwh.load_ledger ADD COLUMN IF NOT EXISTS origin json;
