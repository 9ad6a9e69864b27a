-- From schema version 6 to 7: a warehouse remembers where its positions are kept. Until now they were in PostgreSQL.
INSERT INTO dwh.deployment (name, value)
SELECT 'positions', 'warehouse'
WHERE EXISTS (
    SELECT FROM dwh.load_ledger WHERE target IN ('dwh.fact_vehicle_position', 'staging.vehicle_positions_raw')
)
ON CONFLICT (name) DO NOTHING;
