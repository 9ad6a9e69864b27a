-- From schema version 2 to 3: which columns a run of the log states is a set of any size, no longer the bits of a number.
ALTER TABLE dwh.dim_route_said ALTER COLUMN stated TYPE bit varying
    USING rtrim(reverse(stated::bit(64)::text), '0')::bit varying;
ALTER TABLE dwh.dim_user_said ALTER COLUMN stated TYPE bit varying
    USING rtrim(reverse(stated::bit(64)::text), '0')::bit varying;
ALTER TABLE dwh.dim_vehicle_said ALTER COLUMN stated TYPE bit varying
    USING rtrim(reverse(stated::bit(64)::text), '0')::bit varying;
ALTER TABLE dwh.dim_stop_said ALTER COLUMN stated TYPE bit varying
    USING rtrim(reverse(stated::bit(64)::text), '0')::bit varying;
