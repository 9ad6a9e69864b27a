"""From nothing, from the last version and from the prototype's own tables to the schema of this version."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import psycopg
import pytest

import metropulse as mp

from .city import DAYS, ask, load, state

SCHEMAS = Path(__file__).parents[2] / "data" / "schemas"

_SHAPE = """
    SELECT c.oid::regclass::text, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
           pg_get_expr(d.adbin, d.adrelid)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE n.nspname IN ('dwh', 'staging') AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p')
    UNION ALL SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), NULL, NULL
    FROM pg_constraint WHERE connamespace::regnamespace::text IN ('dwh', 'staging')
    UNION ALL SELECT tablename, indexname, indexdef, NULL, NULL FROM pg_indexes WHERE schemaname IN ('dwh', 'staging')
"""


def shape(url: str) -> list[str]:
    return sorted(map(repr, ask(url, _SHAPE)))


def run_script(url: str, name: str) -> None:
    with psycopg.connect(url) as link:
        link.execute((SCHEMAS / name).read_text())  # type: ignore[arg-type]


def version(url: str) -> str:
    return str(ask(url, "SELECT value FROM dwh.deployment WHERE name = 'schema_version'")[0][0])


def test_an_empty_database_becomes_the_current_version_and_a_second_run_does_nothing(pipeline, database):
    dry = pipeline.migrate(dry_run=True)
    assert (dry.from_version, dry.to_version, dry.dry_run) == ("empty", 8, True)
    assert ask(database, "SELECT to_regclass('dwh.deployment')") == [(None,)]
    assert pipeline.migrate().from_version == "empty"
    assert version(database) == "8"
    again = pipeline.migrate()
    assert again.unchanged
    assert again.from_version == "8"


@pytest.mark.parametrize(
    ("found", "steps"),
    [
        ("1", (2, 3, 4, 5, 6, 7, 8)),
        ("2", (3, 4, 5, 6, 7, 8)),
        ("3", (4, 5, 6, 7, 8)),
        ("4", (5, 6, 7, 8)),
        ("5", (6, 7, 8)),
        ("6", (7, 8)),
        ("7", (8,)),
    ],
)
def test_an_earlier_version_becomes_what_an_empty_database_becomes(pipeline, database, other_database, found, steps):
    run_script(database, f"schema_{found}.sql")
    ask(database, f"INSERT INTO dwh.deployment VALUES ('schema_version', '{found}')")
    ask(
        database,
        "INSERT INTO dwh.load_ledger VALUES ('dwh.fact_trip', '2024-05-01', 'f', 0, 1, 'x', 1, 1, 0, 0, 0, 's', 'r')",
    )
    assert pipeline.migrate(dry_run=True).applied == steps
    assert version(database) == found
    assert pipeline.migrate().applied == steps
    mp.Pipeline(warehouse=other_database).migrate()
    assert shape(database) == shape(other_database)
    assert ask(database, "SELECT file, purged_at FROM dwh.load_ledger") == [("f", None)]


def test_verbs_upgrade_the_last_version_on_demand(pipeline, database):
    run_script(database, "schema_1.sql")
    load(pipeline, DAYS[0])
    assert version(database) == "8"


_KEYS = """
    SELECT 'route', route_sk, route_id, valid_from FROM dwh.dim_route
    UNION ALL SELECT 'user', user_sk, user_id, effective_from FROM dwh.dim_user
    UNION ALL SELECT 'vehicle', vehicle_sk, vehicle_id, NULL FROM dwh.dim_vehicle
"""


def loaded_state(url: str) -> dict[str, list[str]]:
    # Size and digest of a file depend on who wrote the Parquet.
    return {name: rows for name, rows in state(url).items() if name != "ledger"}


@pytest.mark.parametrize(("found", "steps"), [("loaded_2.sql", (3, 4, 5, 6, 7, 8)), ("loaded_3.sql", (4, 5, 6, 7, 8))])
def test_a_loaded_warehouse_of_an_earlier_version_keeps_its_keys_and_goes_on_as_one_loaded_anew(
    pipeline, database, other_database, found, steps
):
    run_script(database, found)
    keys = sorted(map(repr, ask(database, _KEYS)))
    assert pipeline.migrate().applied == steps
    assert sorted(map(repr, ask(database, _KEYS))) == keys
    anew = mp.Pipeline(lake=pipeline.settings.lake, warehouse=other_database, reject_limit=0.5, allow_vanishing=True)
    load(anew, DAYS[2], DAYS[0], DAYS[1])
    assert loaded_state(database) == loaded_state(other_database)
    for warehouse in (pipeline, anew):
        warehouse.undo(DAYS[1])
    assert loaded_state(database) == loaded_state(other_database)
    for warehouse in (pipeline, anew):
        load(warehouse, DAYS[1])
    assert loaded_state(database) == loaded_state(other_database)


@pytest.mark.parametrize("found", ["loaded_2.sql", "loaded_3.sql"])
def test_a_loaded_warehouse_of_an_earlier_version_remembers_that_its_positions_are_here(
    pipeline, database, lake, mart, found
):
    run_script(database, found)
    apart = mp.Pipeline(lake=lake, warehouse=database, positions="telemetry", reject_limit=0.5, **mart)
    for verb in (apart.load_facts, apart.undo):
        with pytest.raises(mp.ConfigError, match=r'positions is "telemetry", but .* have theirs in "warehouse"'):
            verb(DAYS[1])
    assert pipeline.status().positions == "warehouse"


_SAID = {
    "dwh.dim_route_said (key, from_dt, is_mention, stated, said)": [
        """('R1', '2024-05-01', false, B'111111', '{"Пушкин, \\"1\\"",bus,10.00,"{\\"a\\":[1,2]}",-1,1714521600000001}')""",
        "('R2', '2024-05-01', false, B'11', '{NULL,\"\",NULL,NULL,NULL,NULL}')",
        "('R3', '2024-05-01', true, B'', '{}')",
    ],
    "dwh.dim_user_said (key, from_dt, to_dt, is_mention, stated, said)": [
        "('U1', '2024-05-01', '2024-05-02', false, B'111111', '{253402300799999999,Riga,en,f,1969-12-31,false}')",
    ],
    "dwh.dim_vehicle_said (key, from_dt, is_mention, stated, said)": [
        "('V1', '2024-05-01', false, B'1011', '{R1,NULL,-80,x,NULL,NULL}')",
    ],
    "dwh.dim_stop_said (key, from_dt, is_mention, stated, said)": [
        "('S1', '2024-05-01', false, B'0111', '{NULL,0.30000000000000004,0.000000000000000000001,Riga}')",
    ],
    "dwh.dim_shape_said (key, from_dt, is_mention, stated, said)": [
        """('P1', '2024-05-01', false, B'1', '{"[[1,2.5]]"}')"""
    ],
}


def test_what_days_said_keeps_its_values_when_it_gets_typed_columns(pipeline, database):
    run_script(database, "schema_5.sql")
    ask(database, "INSERT INTO dwh.deployment VALUES ('schema_version', '5')")
    for table, rows in _SAID.items():
        ask(database, f"INSERT INTO {table} VALUES {', '.join(rows)}")
    assert pipeline.migrate().applied == (6, 7, 8)
    found = {
        log: [row for (row,) in ask(database, f"SELECT m::text FROM dwh.dim_{log}_said m ORDER BY 1")]
        for log in ("route", "user", "vehicle", "stop", "shape")
    }
    assert found == {
        "route": [
            '(R1,2024-05-01,,f,111111,"Пушкин, ""1""",bus,10.00,"{""a"": [1, 2]}",'
            '"1969-12-31 23:59:59.999999+00","2024-05-01 00:00:00.000001+00")',
            '(R2,2024-05-01,,f,11,,"",,,,)',
            '(R3,2024-05-01,,t,"",,,,,,)',
        ],
        "user": ['(U1,2024-05-01,2024-05-02,f,111111,"9999-12-31 23:59:59.999999+00",Riga,en,f,1969-12-31,f)'],
        "vehicle": ["(V1,2024-05-01,,f,1011,R1,,-80,x,,)"],
        "stop": ["(S1,2024-05-01,,f,0111,,0.30000000000000004,1e-21,Riga)"],
        "shape": ['(P1,2024-05-01,,f,1,"[[1, 2.5]]")'],
    }


def test_a_newer_warehouse_is_refused_also_where_text_would_sort_it_first(pipeline, database):
    pipeline.migrate()
    ask(database, "UPDATE dwh.deployment SET value = '10' WHERE name = 'schema_version'")
    for verb in (pipeline.migrate, lambda: pipeline.stage(DAYS[0])):
        with pytest.raises(mp.ConfigError, match=r"schema version 10.*upgrade metropulse"):
            verb()


def test_no_verb_builds_on_the_prototypes_tables(pipeline, database):
    run_script(database, "prototype.sql")
    before = shape(database)
    for verb in (pipeline.apply_schema, lambda: pipeline.stage(DAYS[0]), pipeline.status):
        with pytest.raises(mp.ConfigError, match="metropulse migrate"):
            verb()
    assert shape(database) == before


def test_the_prototypes_tables_move_aside_with_every_row(pipeline, database, other_database):
    run_script(database, "prototype.sql")
    before = shape(database)
    dry = pipeline.migrate(dry_run=True)
    assert shape(database) == before
    report = pipeline.migrate()
    assert report.moved == dry.moved
    rows = {moved.table: moved.rows for moved in report.moved}
    assert len(rows) == 15
    assert rows["dwh.dim_route"] == rows["dwh.fact_trip"] == 2
    for moved in report.moved:
        assert ask(database, f"SELECT count(*) FROM {moved.now}") == [(moved.rows,)]
    # Its own views and keys still work, on its own rows.
    assert ask(database, "SELECT name, fares::text FROM dwh.fares") == [("Old line", "65.00")]
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        ask(database, "INSERT INTO prototype.fact_trip (route_sk) VALUES (77)")
    mp.Pipeline(warehouse=other_database).migrate()
    assert shape(database) == shape(other_database)
    # What no raw file brings is taken over.
    assert report.payment_methods == 4
    methods = ask(
        database, "SELECT code, name, provider FROM dwh.dim_payment_method WHERE code IN ('card', 'sbp') ORDER BY 1"
    )
    assert methods == [("card", "Bank card", "Sber"), ("sbp", "Fast payments", "CBR")]
    load(pipeline, *DAYS)
    load(
        mp.Pipeline(lake=pipeline.settings.lake, warehouse=other_database, reject_limit=0.5, allow_vanishing=True),
        *DAYS,
    )
    assert state(database) == state(other_database)


def test_nothing_moves_when_the_place_is_taken(pipeline, database):
    run_script(database, "prototype.sql")
    ask(database, "CREATE SCHEMA prototype")
    ask(database, "CREATE TABLE prototype.dim_stop (a int)")
    before = shape(database)
    with pytest.raises(mp.ConflictError, match=r"prototype\.dim_stop") as error:
        pipeline.migrate()
    assert not error.value.retryable
    assert shape(database) == before


def test_the_prototypes_mart_is_renamed_and_everything_built_anew(database, lake, mart):
    p = mp.Pipeline(lake=lake, warehouse=database, reject_limit=0.5, allow_vanishing=True, **mart)

    def clickhouse(sql: str) -> str:
        call = urllib.request.Request(
            mart["mart"].replace("/life", "/?database=life"), data=sql.encode(), method="POST"
        )
        call.add_header("X-ClickHouse-User", mart["mart_user"])
        call.add_header("X-ClickHouse-Key", mart["mart_password"])
        return urllib.request.urlopen(call, timeout=60).read().decode()

    clickhouse(
        "CREATE TABLE mart_route_hourly (route_id String, name String, transport_type String, hour_bucket DateTime, "
        "trip_cnt UInt64, avg_fare Float64, avg_duration_sec Float64, sum_distance_m Float64, avg_speed Float64, "
        "snapshot_ts DateTime) ENGINE = MergeTree PARTITION BY toYYYYMMDD(hour_bucket) ORDER BY (route_id, hour_bucket)"
    )
    clickhouse("INSERT INTO mart_route_hourly VALUES ('R1', 'x', 'bus', 0, 1, 1, 1, 1, 1, 0)")
    load(p, DAYS[0])
    with pytest.raises(mp.SchemaError, match="metropulse migrate"):
        p.build_route_hourly()
    assert p.migrate(dry_run=True).mart_moved == "mart_route_hourly_prototype"
    assert p.migrate().mart_moved == "mart_route_hourly_prototype"
    assert clickhouse("SELECT count() FROM mart_route_hourly_prototype").strip() == "1"
    assert p.build_route_hourly().rows > 0
    assert p.migrate().unchanged
