"""ClickHouse's HTTP interface over the engine of the wheel `chdb`.

One process owns the engine (its folder takes one process at a time). Clients written for a ClickHouse server work
unmodified; what the engine itself cannot do (users, roles, quotas, external tables) stays out, and the password is
checked here. Nothing here imports chdb: the engine is handed in by `metropulse.embedded.clickhouse_server`.

What differs from a server: answers are never compressed; the checksums of compressed blocks are not verified; `role`
and `quota_key` are ignored; the engine gives queries identifiers of its own, so `system.processes` shows a client's in
`Settings['log_comment']` (a KILL QUERY by the client's identifier works all the same).
"""
