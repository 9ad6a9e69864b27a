"""ClickHouse's HTTP interface over the engine of the wheel `chdb`.

One process owns the engine (its folder takes one process at a time). Clients written for a ClickHouse server work unmodified; what the
engine itself cannot do (users, roles, quotas) stays out, and the password is checked here. Nothing here imports chdb: the engine is handed
in by `metropulse.embedded.clickhouse_server`.
"""
